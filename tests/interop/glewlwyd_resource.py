"""Runs Debian's Glewlwyd with one API, one client and one scope, on a free port of loopback.

Prints one line of JSON: the issuer, a token for the API, and a token from a request without `resource`. Ends when
its standard input ends. Needs glewlwyd and openssl.
"""

import base64
import contextlib
import http.cookiejar
import json
import pathlib
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

AUDIENCE = "https://api.example.com"
SCOPE = "read:messages"
SCHEMA = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
# The password of the administrator in the schema.
ADMIN = {"username": "admin", "password": "password"}

CONFIGURATION = """
port={port}
bind_address="127.0.0.1"
external_url="{origin}/"
login_url="login.html"
api_prefix="api"
cookie_secure=0
cookie_same_site="empty"
session_expiration=3600
session_key="session"
admin_session_authentication="cookie"
profile_session_authentication="cookie"
log_mode="console"
log_level="ERROR"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="/usr/lib/glewlwyd/user"
client_module_path="/usr/lib/glewlwyd/client"
user_auth_scheme_module_path="/usr/lib/glewlwyd/scheme"
plugin_module_path="/usr/lib/glewlwyd/plugin"
use_secure_connection=false
secure_connection_key_file="/nowhere/key.pem"
secure_connection_pem_file="/nowhere/certificate.pem"
secure_connection_ca_file="/nowhere/ca.pem"
hash_algorithm="SHA512"
database = {{ type = "sqlite3"; path = "{database}"; }};
static_files_mime_types = ( {{ extension = ".html"  mime_type = "text/html" }} )
"""


class Client:
    """Sends requests to one server, with its cookies and without a proxy."""

    def __init__(self):
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)

    def ask(self, url, body=None, kind="application/json", headers={}):
        encode = json.dumps if kind == "application/json" else urllib.parse.urlencode
        data = None if body is None else encode(body).encode()
        request = urllib.request.Request(url, data, {"content-type": kind, **headers})
        with self.opener.open(request, timeout=10) as answer:
            return answer.read().decode()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def key_pair():
    def openssl(*arguments, text=None):
        run = subprocess.run(["openssl", *arguments], input=text, capture_output=True, text=True, check=True)
        return run.stdout

    private = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    return private, openssl("pkey", "-pubout", text=private)


def set_up(client, origin, issuer):
    """Configures the plugin, the scope and the client. Returns how the client authenticates."""
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            client.ask(f"{origin}/api/auth/", ADMIN)
            break
        if time.monotonic() > deadline:
            sys.exit("glewlwyd does not answer")
        time.sleep(0.1)
    private, public = key_pair()
    plugin = {
        "iss": issuer,
        "jwt-type": "rsa",
        "jwt-key-size": "256",
        "key": private,
        "cert": public,
        "access-token-duration": 3600,
        "refresh-token-duration": 3600,
        "code-duration": 600,
        "refresh-token-rolling": True,
        "allow-non-oidc": True,
        "auth-type-client-enabled": True,
        "auth-type-code-enabled": True,
        "auth-type-id-token-enabled": True,
        "auth-type-refresh-enabled": True,
        "resource-allowed": True,
        "resource-scope": {SCOPE: [AUDIENCE]},
        "jwks-show": True,
        "secret-type": "pairwise",
    }
    client.ask(
        f"{origin}/api/mod/plugin/",
        {"module": "oidc", "name": "oidc", "display_name": "oidc", "parameters": plugin},
    )
    scope = {"name": SCOPE, "display_name": SCOPE, "description": SCOPE, "scheme": {}}
    client.ask(f"{origin}/api/scope/", {**scope, "password_required": False, "password_max_age": 0})
    application = {
        "client_id": "application",
        "name": "application",
        "confidential": True,
        "enabled": True,
        "password": "application",
        "client_secret": "application",
        "authorization_type": ["client_credentials"],
        "token_endpoint_auth_method": ["client_secret_basic"],
        "scope": [SCOPE],
        "redirect_uri": [],
    }
    client.ask(f"{origin}/api/client/?source=database", application)
    return {"authorization": "Basic " + base64.b64encode(b"application:application").decode()}


def main():
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        database = directory / "glewlwyd.db"
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.executescript(pathlib.Path(SCHEMA).read_text())
        port = free_port()
        origin = f"http://127.0.0.1:{port}"
        issuer = f"{origin}/api/oidc"
        configuration = directory / "glewlwyd.conf"
        configuration.write_text(CONFIGURATION.format(port=port, origin=origin, database=database))
        server = subprocess.Popen(["glewlwyd", "-c", configuration], stdout=sys.stderr)
        try:
            client = Client()
            credentials = set_up(client, origin, issuer)

            def token(**more):
                body = {"grant_type": "client_credentials", "scope": SCOPE, **more}
                form = "application/x-www-form-urlencoded"
                answer = client.ask(f"{issuer}/token", body, form, credentials)
                return json.loads(answer)["access_token"]

            tokens = {"token": token(resource=AUDIENCE), "without_resource": token()}
            print(json.dumps({"issuer": issuer, "audience": AUDIENCE, **tokens}), flush=True)
            sys.stdin.read()
        finally:
            server.terminate()
            server.wait(10)


main()
