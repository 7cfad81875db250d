"""Runs Debian's Glewlwyd on a free port of loopback, with its own database and a new key.

Prints one line of JSON with the issuer's URL and a client's credentials. Then it reads commands from standard
input, one a line, and prints one line of JSON for each: `token` gets a token by client credentials,
`revoke <token>` revokes it, `stop` ends the server, and `start` starts it again.
"""

import base64
import contextlib
import http.cookiejar
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

DATABASE = pathlib.Path("/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3")
SETTINGS = pathlib.Path("/etc/glewlwyd/glewlwyd.conf")
# Without a resource in the request, Glewlwyd writes the scopes into `aud`, so this is also the audience.
SCOPE = "read:messages"
CLIENT, SECRET = "machine", "a-secret-of-this-test-alone"


def free_port():
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


def output(*command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout


class Glewlwyd:
    def __init__(self, directory):
        self.directory, self.port = pathlib.Path(directory), free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        output("sqlite3", self.directory / "database", input=DATABASE.read_text())
        text = SETTINGS.read_text()
        for setting, value in [("port", self.port), ("external_url", f'"{self.origin}"'),
                               ("log_file", f'"{self.directory}/log"')]:
            text, found = re.subn(f"(?m)^{setting}=.*", f"{setting}={value}", text)
            assert found == 1, setting
        own = f'database = {{ type = "sqlite3"; path = "{self.directory}/database"; }};\n'
        text = re.sub("(?m)^@include.*", own, text)
        (self.directory / "settings").write_text('bind_address="127.0.0.1"\n' + text)
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
        self.start()
        self.set_up()

    def start(self):
        self.process = subprocess.Popen(["glewlwyd", f"--config-file={self.directory}/settings"],
                                        cwd=self.directory, stdout=subprocess.DEVNULL)
        patience = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            assert self.process.poll() is None and time.monotonic() < patience, "Glewlwyd does not start"
            time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def ask(self, path, body, **fields):
        request = urllib.request.Request(f"{self.origin}/api/{path}", body.encode(), fields, method="POST")
        with self.opener.open(request, timeout=20) as answer:
            return answer.read().decode()

    def manage(self, path, body):
        self.ask(path, json.dumps(body), **{"Content-Type": "application/json"})

    def as_client(self, path, **form):
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        return self.ask(f"oidc/{path}", urllib.parse.urlencode(form), Authorization=f"Basic {basic}")

    def set_up(self):
        """Creates an issuer, a scope and a client through the API of the administrator's page."""
        self.manage("auth/", {"username": "admin", "password": "password"})
        key = output("openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout")
        public = output("openssl", "ec", "-pubout", input=key)
        kinds = {f"auth-type-{kind}-enabled": kind == "client"
                 for kind in ["client", "code", "token", "id-token", "none", "password", "refresh"]}
        self.manage("mod/plugin/", {"module": "oidc", "name": "oidc", "display_name": "issuer", "parameters": {
            "iss": f"{self.origin}/api/oidc", "jwt-type": "ecdsa", "jwt-key-size": "256", "key": key, "cert": public,
            "access-token-duration": 3600, "refresh-token-duration": 3600, "code-duration": 600,
            "refresh-token-rolling": True, "allow-non-oidc": True, "jwks-show": True, **kinds,
            "introspection-revocation-allowed": True, "introspection-revocation-allow-target-client": True,
            "introspection-revocation-auth-scope": [],
        }})
        self.manage("scope/", {"name": SCOPE, "display_name": "messages", "description": "reads messages",
                               "password_required": False, "scheme": {}})
        self.manage("client/?source=database", {
            "client_id": CLIENT, "name": CLIENT, "enabled": True, "confidential": True,
            "password": SECRET, "scope": [SCOPE], "redirect_uri": [],
            "authorization_type": ["client_credentials"], "token_endpoint_auth_method": ["client_secret_basic"],
        })

    def token(self):
        answer = self.as_client("token", grant_type="client_credentials", scope=SCOPE)
        return {"token": json.loads(answer)["access_token"]}

    def revoke(self, token):
        self.as_client("revoke", token=token)


def main():
    with tempfile.TemporaryDirectory() as directory:
        server = Glewlwyd(directory)
        try:
            about = {"issuer": f"{server.origin}/api/oidc", "audience": SCOPE, "client_id": CLIENT,
                     "client_secret": SECRET}
            print(json.dumps(about), flush=True)
            for line in sys.stdin:
                name, *arguments = line.split()
                print(json.dumps(getattr(server, name)(*arguments) or {}), flush=True)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
