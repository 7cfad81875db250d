"""Do the proxies in examples/proxies protect an application?

Each is started as its example has it, but for the ports, in front of an application that tells what it
was sent, with warp-bearer behind: one with its own issuer, one whose issuer is down, none at all, and
one that is asked for a policy which the proxy's operator misspelt.
"""

import base64
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples" / "proxies"
NAMES = ["X-Auth-Subject", "X-Auth-Scope", "X-Auth-Claims"]
PATIENCE = 20
# Debian keeps servers where a user's PATH may not look.
PATH = os.environ["PATH"] + ":/usr/sbin"

# Where its example is, how it is started in a directory with a copy of it, and what it makes of
# refusals that are not its client's doing.
PROXIES = {
    "nginx": {
        "file": "nginx.conf",
        "start": ["nginx", "-p", ".", "-c", "nginx.conf", "-g", "daemon off; pid nginx.pid;"],
        "listens": "listen 8080",
        "misspelt": 500,
        "gone": 503,
    },
    "caddy": {
        "file": "Caddyfile",
        "start": ["caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"],
        "listens": ":8080",
        "misspelt": 400,
        "gone": 502,
    },
    "haproxy": {
        "file": "haproxy.cfg",
        "start": ["haproxy", "-db", "-f", "haproxy.cfg"],
        "listens": "bind :8080",
        "misspelt": 400,
        "gone": 503,
    },
    "envoy": {
        "file": "envoy.yaml",
        "start": ["envoy", "-c", "envoy.yaml", "--use-dynamic-base-id", "--log-level", "warn"],
        "listens": "port_value: 8080",
        "misspelt": 400,
        "gone": 503,
    },
}


class Application(http.server.BaseHTTPRequestHandler):
    """Knows nothing of tokens, and tells what it was sent."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def answer(self):
        Application.asked += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told = {"fields": self.headers.items(), "body": body.decode(), "path": self.path}
        page = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    do_GET = do_POST = answer

    def log_message(self, *_):
        """Says nothing: what was asked is in the answer."""


class Generous(http.server.BaseHTTPRequestHandler):
    """In the place of /auth: lets everybody through, with claims of the largest size."""

    CLAIMS = "e" * 16_000

    def do_GET(self):
        self.send_response(200)
        for name in NAMES:
            self.send_header(name, self.CLAIMS if name == "X-Auth-Claims" else "")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Says nothing."""


def serving(handler):
    """The port of a server that ends with the process."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    # A proxy that stops leaves its connections behind, which is no news.
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def free_port():
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


@contextlib.contextmanager
def running(command, port, directory, **environment):
    """A program that listens at the port, until the end of the block."""
    with tempfile.TemporaryFile("w+") as log:
        env = {"PATH": PATH, "HOME": directory, **environment}
        program = subprocess.Popen(command, cwd=directory, env=env, stdout=log, stderr=log)
        try:
            patience = time.monotonic() + PATIENCE
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                if program.poll() is not None or time.monotonic() > patience:
                    log.seek(0)
                    sys.exit(f"{command[0]} does not listen:\n{log.read()}")
                time.sleep(0.02)
            yield program
        finally:
            program.terminate()
            program.wait(PATIENCE)


@contextlib.contextmanager
def proxy(name, auth, application, misspelt=False):
    """The example, with these ports in the place of its own."""
    about, port = PROXIES[name], free_port()
    with tempfile.TemporaryDirectory() as directory:
        for example in EXAMPLES.glob(about["file"].split(".")[0] + "*"):
            text = example.read_text()
            listens = about["listens"]
            if example.name == about["file"]:
                assert listens in text, f"{name}: {listens}"
            text = text.replace(listens, listens.replace("8080", str(port)))
            text = text.replace("127.0.0.1:8000", f"127.0.0.1:{auth}")
            text = text.replace("127.0.0.1:9000", f"127.0.0.1:{application}")
            text = text.replace("port_value: 8000", f"port_value: {auth}")
            text = text.replace("port_value: 9000", f"port_value: {application}")
            if misspelt:
                text = text.replace("scope=read:messages", "scopes=read:messages")
            pathlib.Path(directory, example.name).write_text(text)
        with running(about["start"], port, directory):
            yield port


class Answer:
    def __init__(self, port, path, fields=(), method="GET", body=None):
        before = Application.asked
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.putrequest(method, path)
        for name, value in fields:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        reply = connection.getresponse()
        self.status, self.fields, self.body = reply.status, reply.headers, reply.read().decode()
        self.arrived = Application.asked - before
        connection.close()

    def seen(self, name):
        """What the application saw under a name, read as an application does that knows no case and
        takes underscores for hyphens; an empty field is none."""
        name = name.lower()
        fields = json.loads(self.body)["fields"]
        return [value for key, value in fields if key.lower().replace("_", "-") == name and value]


def bearer(token):
    return [("Authorization", f"Bearer {token}")]


SPOOFED = [
    (spelling, value)
    for name, value in zip(NAMES, ["admin", "read:messages admin", "e30"])
    for spelling in [name, name.lower(), name.replace("-", "_"), name.replace("h-", "h_"), name.replace("X-", "x_")]
]


def check(name, plain, reader, auth, down, generous, application):
    failed = []

    def holds(case, truth, answer):
        print(f"  {'ok' if truth else 'FAILED':6} {case}")
        if not truth:
            failed.append(case)
            print(f"         {answer.status} {answer.fields.items()} {answer.body[:2000]}")

    def refused(case, answer, status, challenge=None):
        found = answer.fields.get_all("WWW-Authenticate") or []
        fits = (
            answer.status == status
            and answer.arrived == 0
            and len(found) == (challenge is not None)
            and all(word in found[0] for word in challenge or [])
            and not any(answer.fields.get(name) for name in NAMES)
        )
        holds(f"{case}: {status}", fits, answer)

    with proxy(name, auth, application) as port:
        ask = lambda *arguments, **more: Answer(port, *arguments, **more)
        refused("no token", ask("/"), 401, ['Bearer realm="api"'])
        refused("no token, and a scope", ask("/messages/1"), 401, ['scope="read:messages"'])
        refused("spoofed fields and no token", ask("/", SPOOFED), 401, ["Bearer"])
        refused("a bad token", ask("/", bearer("a.b.c")), 401, ['error="invalid_token"'])
        refused("what is no token", ask("/", bearer("é".encode())), 400, ['error="invalid_request"'])
        large = ask("/", bearer("a" * 16_000))
        refused("a large token", large, 401, ['error="invalid_token"'])
        doubled = ask("/", bearer(reader) + bearer(plain))
        holds("two tokens: 400", doubled.status == 400 and doubled.arrived == 0, doubled)
        missing = ask("/messages/1", bearer(plain))
        refused("scope not granted", missing, 403, ["insufficient_scope", 'scope="read:messages"'])
        holds("a refusal is a problem in JSON", json.loads(missing.body)["status"] == 403
              and missing.fields["Content-Type"] == "application/problem+json", missing)
        query = ask("/messages/1?scope=openid&permission=p", bearer(plain))
        refused("a query of the client's own", query, 403, ['scope="read:messages"'])

        passed = ask("/messages/1?page=2", bearer(reader))
        holds("scope granted: 200", passed.status == 200 and passed.arrived == 1, passed)
        holds("the path as it came", json.loads(passed.body)["path"] == "/messages/1?page=2", passed)
        claims, payload = reader.split(".")[1], payload_of(reader)
        seen = [passed.seen(name) for name in NAMES]
        expected = [[payload["sub"]], ["read:messages"], [claims]]
        holds("the application knows whose it is", seen == expected, passed)
        holds("the client does not", not any(passed.fields.get(name) for name in NAMES), passed)

        spoofed = ask("/", bearer(plain) + SPOOFED)
        seen = [spoofed.seen(name) for name in NAMES]
        expected = [[payload["sub"]], [], [plain.split(".")[1]]]
        holds("spoofed fields are gone", spoofed.status == 200 and seen == expected, spoofed)

        posted = ask("/messages/", bearer(reader), method="POST", body=b"hello")
        arrived = posted.status == 200 and json.loads(posted.body)["body"] == "hello"
        holds("a body arrives", arrived, posted)

    with proxy(name, down, application) as port:
        answer = Answer(port, "/", bearer(plain))
        refused("the issuer is down", answer, 503)
        if name != "envoy":
            holds("and when to ask again", answer.fields.get("Retry-After"), answer)
    with proxy(name, generous, application) as port:
        large = Answer(port, "/", bearer("a" * 16_000))
        holds("large claims arrive", large.seen("X-Auth-Claims") == [Generous.CLAIMS], large)
    with proxy(name, free_port(), application) as port:
        refused("nobody at /auth", Answer(port, "/", bearer(plain)), PROXIES[name]["gone"])
    with proxy(name, auth, application, misspelt=True) as port:
        misspelt = Answer(port, "/messages/1", bearer(reader))
        refused("a misspelt policy", misspelt, PROXIES[name]["misspelt"])
    return failed


def token_of(warp_bearer, listen, scope):
    command = [warp_bearer, "dev", "--token"] + (["--scope", scope] if scope else [])
    here, env = tempfile.gettempdir(), {"LISTEN": listen}
    printed = subprocess.run(command, cwd=here, env=env, check=True, stdout=subprocess.PIPE, text=True)
    return printed.stdout.strip()


def payload_of(token):
    claims = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))


def main(warp_bearer):
    warp_bearer = os.path.abspath(warp_bearer)
    application, generous = serving(Application), serving(Generous)
    well, ill = free_port(), free_port()
    failed = []
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        listen = f"127.0.0.1:{well}"
        stack.enter_context(running([warp_bearer, "dev"], well, directory, LISTEN=listen))
        plain, reader = (token_of(warp_bearer, listen, scope) for scope in ["", "read:messages"])
        # The same issuer, whose keys cannot be had.
        down = {
            "LISTEN": f"127.0.0.1:{ill}",
            "AUTH0_ISSUER": payload_of(plain)["iss"],
            "AUTH0_API_AUDIENCE": payload_of(plain)["aud"],
            "AUTH0_JWKS_URI": f"http://127.0.0.1:{free_port()}/jwks",
        }
        stack.enter_context(running([warp_bearer, "serve"], ill, directory, **down))
        for name in PROXIES:
            print(name)
            checked = check(name, plain, reader, well, ill, generous, application)
            failed += [f"{name}: {case}" for case in checked]
    for case in failed:
        print(f"FAILED {case}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
