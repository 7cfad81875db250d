"""Checks that the proxies in examples/proxies protect an application.

Each proxy runs with its example and other ports. The application behind it answers with the request that it
received. The tests run with several kinds of /auth: warp-bearer with a working issuer, warp-bearer whose issuer is
down, stubs, and no server at all. One test misspells the policy in the example. Everything is tested with the
service of `dev`, which rejects a foreign Host, and with `serve`.

The two most important rules:

- The proxy and the application interpret a path in the same way. Every spelling in SPELLINGS is sent with a token
  that has no scope. If the request reaches the application, its path must be under /profile/ in every way in which
  an application may interpret it (see readings()).
- The application gets the identity fields only from /auth.
"""

import base64
import concurrent.futures
import contextlib
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unicodedata
import urllib.parse

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "proxies"
NAMES = ["X-Auth-Issuer", "X-Auth-Subject", "X-Auth-Scope", "X-Auth-Claims"]
# Fields that some applications read as one of NAMES: CGI and WSGI turn every separator into `_`.
LOOKS_LIKE_IDENTITY = re.compile("x[^a-z0-9]auth[^a-z0-9]")
# Fields from which some framework or server takes the path, or a part of it, instead of the request's path.
PATHS = ["X-Original-URL", "X-Original-URI", "X-Original-Path", "X-Rewrite-URL", "X-Script-Name", "X-Replaced-Path",
         "X-Envoy-Original-Path", "X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Prefix",
         "X-WAWS-Unencoded-URL", "Forwarded", "Destination", "SCRIPT_NAME", "PATH_INFO", "X_Original_URL"]
# Fields into which other gateways write the user.
USERS = ["Remote-User", "X-Remote-User", "X-Forwarded-User", "REMOTE_USER"]
# Fields that describe the client and its request.
CLIENT = ["X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port"]
# Fields in which a proxy writes the certificate of the client. /auth trusts the one that CLIENT_CERT_FIELD names.
CERTIFICATES = ["Client-Cert", "Client-Cert-Chain", "X-Forwarded-Client-Cert", "X-SSL-Client-Cert"]
# What a proxy drops beside them, as it drops by pattern or forwards only the fields in a list.
MORE_CERTIFICATES = ["SSL-Client-Cert", "X-SSL-Client-Verify", "X-SSL-Client-S-DN", "X-Client-Cert",
                     "X-Forwarded-Tls-Client-Cert", "X-Amzn-Mtls-Clientcert", "X-ARR-ClientCert"]
# Further fields of this kind that a proxy drops.
PREFIXED = ["X-Original-Request-URI", "X-Rewrite-Path", "X-Script-Path", "X-Replaced-Query", "X-Envoy-Original-Url"]
# Fields from which some frameworks take the method.
METHODS = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"]
# Every character of a field name (RFC 9110 §5.6.2) except letters and digits.
SEPARATORS = "!#$%&'*+-.^_`|~"
PATIENCE = 20
# Debian installs servers in /usr/sbin, which a user's PATH may lack.
PATH = os.environ["PATH"] + ":/usr/sbin"

# IDs of a client that warp-bearer does not accept: each is the values of X-Request-Id.
STRANGE_IDS = [["req:1"], ["a" * 65], [""], ["a", "b:1"], ["a", "b"], ["a b"]]
# How long a client may wait if warp-bearer hangs, in seconds
HANGS = 11

# file: the example. start: the command that starts the proxy in a directory with a copy of the example. listens: the
# example's text with the port. misspelt, gone, hangs: the client's status if the policy is misspelt, if no server is
# at /auth, or if the server at /auth does not answer. keeps_empty: whether it forwards empty fields. trailers: which
# request trailers it forwards. added: a line of the example, and what someone adds before it to forward /reports/ to
# the application without choosing a policy.
PROXIES = {
    "nginx": {
        "file": "nginx.conf",
        "start": ["nginx", "-p", ".", "-c", "nginx.conf", "-g", "daemon off; pid nginx.pid;"],
        "listens": "listen 127.0.0.1:8080",
        "misspelt": 500,
        "gone": 503,
        "hangs": 503,
        "keeps_empty": False,
        "trailers": "none",
        "added": ("        location / {", "location /reports/ { proxy_pass http://application; }\n"),
    },
    "caddy": {
        "file": "Caddyfile",
        "start": ["caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"],
        "listens": "http://:8080",
        "misspelt": 400,
        "gone": 502,
        "hangs": 504,
        "keeps_empty": True,
        "trailers": "none",
        "added": ("\n\t\treverse_proxy 127.0.0.1:9000", "\nhandle /reports/* {\nreverse_proxy 127.0.0.1:9000 {\nheader_up X-Added yes\n}\n}\n"),
    },
    "haproxy": {
        "file": "haproxy.cfg",
        "start": ["haproxy", "-db", "-f", "haproxy.cfg"],
        "listens": "bind 127.0.0.1:8080",
        "misspelt": 400,
        "gone": 503,
        "hangs": 503,
        "keeps_empty": True,
        "trailers": "unannounced",
        "added": ("    default_backend", "    use_backend application if { path_beg /reports/ }\n"),
    },
    "envoy": {
        "file": "envoy.yaml",
        "start": ["envoy", "-c", "envoy.yaml", "--use-dynamic-base-id", "--log-level", "warn"],
        "listens": "port_value: 8080",
        "misspelt": 400,
        "gone": 503,
        "hangs": 503,
        "keeps_empty": True,
        "trailers": "none",
        "added": (
            "                        - match: { safe_regex: { regex: '/[!-~]*' } }\n",
            "                        - { match: { prefix: /reports/ }, route: { cluster: application } }\n",
        ),
    },
}


# Request targets. The first ones are other spellings of /messages/1, which needs a scope. The others begin with
# /profile/, which needs none, but some application could interpret them as a path outside /profile/.
SPELLINGS = [
    "/messages/1",
    "/messages",
    "/Messages/1",
    "/MESSAGES/1",
    "/%6dessages/1",
    "/%6Dessages/1",
    "/%4dessages/1",
    "/./messages/1",
    "/x/../messages/1",
    "/x/%2e%2e/messages/1",
    "/x/.%2E/messages/1",
    "//messages/1",
    "/messages//1",
    "/messages%2f1",
    "/messages%2F1",
    "/messages%5c1",
    "/messages\\1",
    "/messages;x=1/1",
    "/messages%3bx/1",
    "/;x/messages/1",
    "/messages%00/1",
    "/messages%252f1",
    "/%256dessages/1",
    "http://example.com/messages/1",
    "/messages/1#/profile/",
    "/profile",
    "/profile/../messages/1",
    "/profile/./../messages/1",
    "/profile/%2e%2e/messages/1",
    "/profile/%2E./messages/1",
    "/profile/..%2fmessages/1",
    "/profile/..%2Fmessages/1",
    "/profile/..%5cmessages/1",
    "/profile/..\\messages/1",
    "/profile\\..\\messages/1",
    "/profile/..;/messages/1",
    "/profile/..;x=1/messages/1",
    "/profile/..%3b/messages/1",
    "/profile/;/../messages/1",
    "/profile//../messages/1",
    "/profile/x/..//../messages/1",
    "/profile//../../messages/1",
    "/profile/%252e%252e/messages/1",
    "/profile/%25%32%65%25%32%65/messages/1",
    "/profile/..%252fmessages/1",
    "/profile/..%00/messages/1",
    "/profile/%c0%ae%c0%ae/messages/1",
    "/profile/..%c0%afmessages/1",
    "/profile/..%e0%80%afmessages/1",
    "/profile/..%f0%80%80%afmessages/1",
    "/profile/..%c1%9cmessages/1",
    "/profile/..",
    "/profile/..?x",
    "/profile/..%3fx",
    "/profile/..#x",
    "/profile/..%23x",
    "/profile/%2e%2e%2fmessages/1",
    "/profile/..%09/messages/1",
    "/profile/..%20/messages/1",
    "/profile/%20../messages/1",
    "/profile/.%20./messages/1",
    "/profile/..%20x/messages/1",
    "/profile/\xff..;/messages/1",
    "/profile/\xff../messages/1",
    "/profile/..\xff/messages/1",
    "/profile/\xc2\xa0../messages/1",
    "/\xff/../messages/1",
    "/profile/%c2%a0../messages/1",
    "/profile/%20%c2%a0%e2%80%8b../messages/1",
    "/profile/..%c2%a0/messages/1",
    "/profile../messages/1",
    "/profile/static../messages/1",
    "/profile/static..",
    "/profile/static..?x",
    "/profile/static%2e%2e/messages/1",
    "/profile/.%c2%ad./messages/1",
    "/profile/%e2%80%a4%e2%80%a4/messages/1",
    "/profile/%e2%80%a5/messages/1",
    "/profile/%ef%bc%8e%EF%BC%8E/messages/1",
    "/profile/x%ef%bc%8f..%ef%bc%8f..%ef%bc%8fmessages/1",
    "/profile/%ef%b9%92%ef%b9%92%ef%b9%a8messages%ef%bc%bc1",
    "/profile/%zz/../messages/1",
    "/profile/%2e%2/../messages/1",
    "/%70rofile/../messages/1",
    "//profile/../messages/1",
    "//example.com/profile/../messages/1",
    "/profile/?/../messages/1",
    "http://example.com/profile/../messages/1",
    "http://example.com/profile/..%2fmessages/1",
    "HTTP://example.com//profile/../messages/1",
    "http://profile/messages/1",
    "profile/../messages/1",
    "*",
]
# Ordinary paths, which must reach the application unchanged.
ORDINARY = [
    "/profile/",
    "/profile/1?page=2&next=/../%2e%2e;",
    "/profile/a.b/.well-known/x..y/~me_-",
    "/profile/Wait.../a./x..y?z=..",
    "/profile/caf%C3%A9%20au%20lait/%E6%97%A5%E6%9C%AC",
    "/profile/%E6%97%A5%E6%9C%AC.%E8%AA%9E.txt/%EF%BC%88%E6%A0%AA%EF%BC%89%E2%80%A6",
    "/profile/a%40example.com/1,2:3=4+5!$&'()*/%5B1%5D",
]


def readings(target):
    """Returns every path as which some application could interpret a request target."""

    def overlong(path):
        """Decodes UTF-8 without rejecting overlong forms: %c0%af becomes a slash."""
        wide = re.sub(r"[\xc0-\xdf][\x80-\xbf]", lambda m: chr((ord(m[0][0]) & 31) << 6 | ord(m[0][1]) & 63), path)
        wide = re.sub(r"[\xe0-\xf7][\x80-\xbf]{2,3}", lambda m: chr(ord(m[0][-2]) << 6 & 4032 | ord(m[0][-1]) & 63), wide)
        return "".join(c if ord(c) < 256 else "\ufffd" for c in wide)

    def dots(path):
        """Removes dot-segments and keeps empty ones (RFC 3986 §5.2.4)."""
        kept, segments = [], path.split("/")
        for segment in segments:
            if segment == "..":
                del kept[max(1, len(kept) - 1):]
            elif segment != ".":
                kept.append(segment)
        return "/".join(kept) + ("/" if segments[-1] in [".", ".."] else "")

    def compatible(path):
        """Replaces characters such as the fullwidth slash by their ASCII equivalents (NFKC)."""
        with contextlib.suppress(UnicodeError):
            path = path.encode("latin-1").decode()
        return unicodedata.normalize("NFKC", path)

    steps = [
        lambda path: urllib.parse.unquote(path, "latin-1"),
        overlong,
        compatible,
        lambda path: re.sub("[^\0-\x7f]", "", path),
        dots,
        lambda path: re.sub("/+", "/", path),
        lambda path: path.replace("\\", "/"),
        lambda path: re.sub(";[^/]*", "", path),
        lambda path: re.sub("[?#].*", "", path, flags=re.DOTALL),
        lambda path: re.sub("[\0-\x20].*", "", path, flags=re.DOTALL),
        lambda path: re.sub("[\0-\x20]", "", path),
        lambda path: re.sub("^(?i:https?:)?//[^/]*", "", path),
        lambda path: path.lower(),
        # nginx's `alias` without a final slash: /static../secret is the file data/../secret
        lambda path: re.sub(r"[^/.]+\.\.(/|$)", r"/../\1", path),
    ]
    # No application reads the query as a part of the path, unless its question mark is escaped.
    found, new = set(), {target.split("?")[0]}
    while new:
        found |= new
        new = {step(path) for path in new for step in steps} - found
    return found


class Application(http.server.BaseHTTPRequestHandler):
    """Does not verify tokens. Answers with the request that it received. Accepts every Upgrade."""

    protocol_version = "HTTP/1.1"
    # the target and the fields of each request, in the order of their arrival
    requests = []

    def answer(self):
        # self.path would merge slashes at the start
        target, fields = self.requestline.split(" ")[1], self.headers.items()
        Application.requests.append((target, fields))
        if self.headers.get("Upgrade"):
            self.send_response(101)
            self.send_header("Connection", "upgrade")
            self.send_header("Upgrade", self.headers["Upgrade"])
            # HAProxy verifies Sec-WebSocket-Accept (RFC 6455 §4.2.2)
            key = self.headers.get("Sec-WebSocket-Key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
            self.send_header("Sec-WebSocket-Accept", accept)
            self.end_headers()
            self.wfile.write(self.rfile.readline())
            self.close_connection = True
            return
        body, trailers = b"", []
        if self.headers.get("Transfer-Encoding"):
            while length := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(length)
                self.rfile.readline()
            while trailer := self.rfile.readline().strip():
                trailers.append(trailer.decode())
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        about = {"fields": fields, "body": body.decode(), "path": target, "trailers": trailers}
        page = json.dumps(about).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.send_header("X-Request-Id", "of the application")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page)

    do_GET = do_HEAD = do_POST = do_DELETE = do_OPTIONS = answer

    def log_message(self, *_):
        """Logs nothing, because the answer has everything."""


class Generous(http.server.BaseHTTPRequestHandler):
    """A stub of /auth that accepts every request, with claims of the maximum size. Stores the fields of the last
    request, and whether the proxy closed the connection first."""

    protocol_version = "HTTP/1.1"
    CLAIMS = "e" * 16_000
    fields = {}
    proxy_left = threading.Event()

    def do_GET(self):
        Generous.fields = self.headers
        self.send_response(200)
        for name in NAMES:
            self.send_header(name, self.CLAIMS if name == "X-Auth-Claims" else "")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def finish(self):
        super().finish()
        Generous.proxy_left.set()

    def log_message(self, *_):
        """Logs nothing."""


class Leaving(http.server.BaseHTTPRequestHandler):
    """A stub of /auth that rejects the first request of a connection, and closes the connection at the second
    without an answer, like a service that is restarted."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if hasattr(self, "answered"):
            self.close_connection = True
            return
        self.answered = True
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Bearer error="invalid_token"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Logs nothing."""


def serving(handler):
    """Starts a server that runs until the process ends. Returns its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    # ignore the errors of connections that a stopping proxy drops
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def free_port():
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


@contextlib.contextmanager
def running(command, port, directory, **environment):
    """Starts a program, waits until it listens on the port, and ends it at the end of the block."""
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
def proxy(name, auth, application, misspelt=False, added=(), replaced=(), appended=""):
    """Runs a proxy with its example and these ports. `added` are pairs: a text of the example, and what to add before
    it. `replaced` are pairs: a text of the example, and what replaces it. `appended` comes before the last line. Yields the
    proxy's port."""
    about, port = PROXIES[name], free_port()
    with tempfile.TemporaryDirectory() as directory:
        for example in EXAMPLES.glob(about["file"].split(".")[0] + "*"):
            text = example.read_text()
            listens = about["listens"]
            if example.name == about["file"]:
                assert listens in text, f"{name}: {listens}"
                for old, new in [*replaced, *((before, more + before) for before, more in added)]:
                    assert text.count(old) == 1, f"{name}: {old}"
                    text = text.replace(old, new)
                if appended:
                    *lines, last = text.splitlines(keepends=True)
                    text = "".join([*lines, appended, last])
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
        before = len(Application.requests)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.putrequest(method, path)
        for name, value in fields:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        reply = connection.getresponse()
        self.status, self.fields, self.body = reply.status, reply.headers, reply.read().decode()
        self.arrived = len(Application.requests) - before
        connection.close()

    def seen(self, name):
        """Returns the values that the application saw for a name. Compares names as CGI does: without case, and with
        every separator equal. An empty field gives "", an absent field gives no value."""
        return seen(json.loads(self.body)["fields"], name)


def seen(fields, name):
    alike = lambda key: re.sub("[^a-z0-9]", "_", key.lower())
    return [value for key, value in fields if alike(key) == alike(name)]


def raw(port, target, fields=(), method="GET", more=b"", body=b"", host=None, version="1.1"):
    """Sends a request that no client library would send. Returns the status and the bytes of the answer. Sends `more`
    after a 101. An empty `host` sends no Host field."""
    lines = [f"{method} {target} HTTP/{version}"]
    lines += [f"Host: {host or f'127.0.0.1:{port}'}"] if host != "" else []
    lines += [f"{name}: {value}" for name, value in fields]
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall("\r\n".join(lines + ["", ""]).encode("latin-1") + body)
        answer = b""
        # after a timeout, return what has arrived so far
        with contextlib.suppress(TimeoutError):
            while chunk := connection.recv(65536):
                answer += chunk
                head, end, body = answer.partition(b"\r\n\r\n")
                length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                switched = answer.startswith(b"HTTP/1.1 101")
                if end and switched and more:
                    connection.sendall(more)
                    more = b""
                if end and (method == "HEAD" or (body.endswith(b"\n") if switched else length and len(body) >= int(length[1]))):
                    break
    return int(answer.split(b" ")[1]) if answer else 0, answer


def bearer(token):
    return [("Authorization", f"Bearer {token}")]


# AUTH0_RESOURCE of `serve`, and the origin in its CORS_ORIGINS.
RESOURCE = "https://mcp.example.com/mcp"
PAGE = "https://app.example.com"

SPOOFED = [
    (spelling, value)
    for name, value in zip(NAMES, ["https://admin.example/", "admin", "read:messages admin", "e30"])
    for spelling in [name, name.lower(), name.replace("-", "_"), name.replace("h-", "h_"), name.replace("X-", "x_")]
]


# Locations with the lines of Debian's /etc/nginx/proxy_params. They make nginx ignore every proxy_set_header of `server`.
OWN_FIELDS = "".join(
    f"""
        location {path} {{
            {policy}
            proxy_set_header Host $host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_pass http://application;
        }}
"""
    for path, policy in [("/profile/own", "auth_request /_auth/any-token;"), ("/own", "")]
)

# Exceptions that nginx leaves for a location with the strictest policy.
REDIRECTS = """
        location @strictest { proxy_pass http://application; }
        location @reader { auth_request /_auth/scope=read:messages; proxy_pass http://application; }
        location = /profile/named { auth_request /_auth/any-token; try_files $uri @strictest; }
        location = /profile/own { auth_request /_auth/any-token; try_files $uri @reader; }
        location = /profile/missing { auth_request /_auth/any-token; error_page 404 = @reader; return 404; }
        location = /profile/absent { auth_request /_auth/any-token; error_page 404 = @strictest; root /nowhere; }
        location = /profile/rewritten { auth_request /_auth/any-token; rewrite ^ /messages/1 last; }
        location = /profile/tried { auth_request /_auth/any-token; try_files $uri /messages/1; }
        location = /profile/failed {
            auth_request /_auth/any-token;
            error_page 502 = /messages/1;
            proxy_pass http://127.0.0.1:1;
        }
"""


# Locations that nginx itself answers with an error.
OWN_REFUSALS = """
        location = /profile/denied { deny all; proxy_pass http://application; }
        location = /profile/limited {
            auth_request /_auth/any-token;
            limit_except GET { deny all; }
            proxy_pass http://application;
        }
        location = /profile/files/ { auth_request /_auth/any-token; alias /; }
        location = /profile/returned { return 403; }
        location = /profile/basic { auth_basic here; auth_basic_user_file nobody; proxy_pass http://application; }
        location = /profile/loop { auth_request /_auth/any-token; try_files /nowhere /profile/loop; }
"""

# What someone adds at the end of the site in the Caddyfile
AFTER_ROUTE = [f"\t{handle} /reports/* {{\n\t\treverse_proxy 127.0.0.1:9000\n\t}}\n" for handle in ["handle", "handle_path"]]


# Texts of the examples beside which the blocks of docs/forward-auth-policies.md belong.
POLICY = {
    "nginx": "        auth_request /_auth/scope=read:messages;\n",
    "haproxy": """    http-request set-var(txn.policy) str(scope=read:messages)
    http-request unset-var(txn.policy) if { path_beg /profile/ }
""",
    "caddy": """				@profile path_regexp ^/profile/
				handle @profile {
					# With the question mark, Caddy doesn't append the client's query, which could change
					# the policy.
					import ask /auth?
				}

				# Everything else needs the strictest policy, so that no unexpected spelling of a path needs
				# less.
				handle {
					import ask /auth?scope=read:messages
				}
""",
}
LOCATION = """        location /profile/ {
            auth_request /_auth/any-token;
            proxy_pass http://application;
        }
"""
ASKS = "    http-request lua.bearer unless { var(txn.public) -m found }\n"
HANDLE = "				@profile path_regexp ^/profile/\n"
ROUTE = "                        # the exceptions: paths that only need a valid token\n"
LAST_ROUTE = "                        - match: { safe_regex: { regex: '/[!-~]*' } }\n"


def documented(heading, name):
    """Returns the block for a proxy in a section of docs/forward-auth-policies.md, or None."""
    section = (ROOT / "docs" / "forward-auth-policies.md").read_text().partition(f" {heading}\n")[2]
    section = re.split("^##", section, maxsplit=1, flags=re.MULTILINE)[0]
    language = {"envoy": "yaml"}.get(name, name)
    blocks = re.findall(f"```{language}\n(.*?)```", section, re.DOTALL)
    assert len(blocks) <= 1, f"{heading}: {name}"
    return blocks[0] if blocks else None


def parts(block):
    """Splits a block for nginx at its comments, which say where each part belongs."""
    return [part for part in re.split("^# .*\n", block, flags=re.MULTILINE) if part]


def layouts(name):
    """Yields each layout of docs/forward-auth-policies.md, with the changes to the example that it describes."""
    for heading in ["One path needs more than the others", "Different scopes"]:
        if block := documented(heading, name):
            changes = [(POLICY[name], block)]
            if name == "nginx":
                changes = list(zip([POLICY[name], LOCATION], parts(block), strict=True))
            yield heading, {"replaced": changes}
    methods, public = (documented(heading, name) for heading in ["A policy for each method", "A path without a token"])
    if name == "nginx":
        places = ["    map $uri $query {\n", '        /_auth/any-token           "";\n', "        location / {"]
        yield "A policy for each method", {"added": list(zip(places, parts(methods), strict=True))}
        yield "A path without a token", {"added": [("        location / {", public)]}
    elif name == "haproxy":
        yield "A policy for each method", {"added": [(ASKS, methods)]}
        yield "A path without a token", {"replaced": [(ASKS, public)]}
    elif name == "caddy":
        yield "A policy for each method", {"added": [(HANDLE, methods)]}
        yield "A path without a token", {"added": [(HANDLE, public)]}
    else:
        text = (EXAMPLES / "envoy.yaml").read_text()
        route = text.partition(ROUTE)[2].partition(LAST_ROUTE)[0]
        # The copies refer to the anchors of the first
        route = route.partition("authorization_request:")[0]
        route += "authorization_request: *of_request\n" + " " * 34 + "authorization_response: *identity\n"
        route = re.sub("&application .*", "*application", route)
        copies = ""
        for match, scope in [(textwrap.indent("\n" + methods.rstrip(), " " * 28), "read"),
                             (" { safe_regex: { regex: '/orders/[!-~]*' } }", "write")]:
            copy = route.replace(" { safe_regex: { regex: '/profile/[!-~]*' } }", match)
            copies += copy.replace("path_override: /auth\n", f"path_override: /auth?scope={scope}:orders\n")
        yield "A policy for each method", {"added": [(LAST_ROUTE, copies)]}
        yield "A path without a token", {"added": [(LAST_ROUTE, textwrap.indent(public, " " * 24))]}


# The method and path of a request in a layout, and the statuses without a token and with a token of each scope.
SCOPES = ["", "admin", "read:messages", "read:reports", "read:orders", "write:orders"]
LAID_OUT = {
    "One path needs more than the others": [
        ("GET /", [401, 200, 200, 200, 200, 200, 200]),
        ("GET /items/1", [401, 200, 200, 200, 200, 200, 200]),
        ("GET /users/", [401, 200, 200, 200, 200, 200, 200]),
        ("GET /admin/", [401, 403, 200, 403, 403, 403, 403]),
        ("GET /Items/1", [401, 403, 200, 403, 403, 403, 403]),
    ],
    "Different scopes": [
        ("GET /messages/1", [401, 403, 403, 200, 403, 403, 403]),
        ("GET /reports/1", [401, 403, 403, 403, 200, 403, 403]),
        ("GET /Reports/1", [401, 403, 403, 403, 403, 403, 403]),
        ("GET /other", [401, 403, 403, 403, 403, 403, 403]),
    ],
    "A policy for each method": [
        ("GET /orders/1", [401, 403, 403, 403, 403, 200, 403]),
        ("HEAD /orders/1", [401, 403, 403, 403, 403, 200, 403]),
        ("POST /orders/1", [401, 403, 403, 403, 403, 403, 200]),
        ("OPTIONS /orders/1", [401, 403, 403, 403, 403, 403, 200]),
        ("DELETE /orders/1", [401, 403, 403, 403, 403, 403, 200]),
        ("GET /Orders/1", [401, 403, 403, 200, 403, 403, 403]),
        ("GET /profile/1", [401, 200, 200, 200, 200, 200, 200]),
    ],
    "A path without a token": [
        ("GET /health", [200] * 7),
        ("POST /open/1", [200] * 7),
        ("GET /open/", [200] * 7),
        ("GET /health/", [401, 403, 403, 200, 403, 403, 403]),
        ("GET /healthy", [401, 403, 403, 200, 403, 403, 403]),
        ("GET /openadmin", [401, 403, 403, 200, 403, 403, 403]),
        ("GET /Open/1", [401, 403, 403, 200, 403, 403, 403]),
        ("GET /open/../messages/1", [400] * 7),
        ("GET /open/..%2fmessages/1", [400] * 7),
        ("GET /open/..;/messages/1", [400] * 7),
        ("GET /messages/1", [401, 403, 403, 200, 403, 403, 403]),
    ],
}


def check(name, plain, reader, tokens, auth, service, down, generous, leaving, application, table, with_resource):
    failed = []

    def holds(case, truth, answer):
        print(f"  {'ok' if truth else 'FAILED':6} {case}")
        if not truth:
            failed.append(case)
            about = answer
            if isinstance(answer, Answer):
                about = f"{answer.status} {answer.fields.items()} {answer.body[:2000]}"
            print(f"         {about}")

    def refused(case, answer, status, challenge=None):
        found = answer.fields.get_all("WWW-Authenticate") or []
        # `serve` knows its public URL, so a challenge without a token also offers DPoP
        found = [field for field in found if not field.startswith("DPoP ")]
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
        refused("no token", ask("/"), 401, ['scope="read:messages"'])
        refused("no token, and no scope needed", ask("/profile/"), 401, ['Bearer realm="api"'])
        refused("spoofed fields and no token", ask("/profile/", SPOOFED), 401, ["Bearer"])
        refused("a bad token", ask("/", bearer("a.b.c")), 401, ['error="invalid_token"'])
        refused("a token with invalid characters", ask("/", bearer("é".encode())), 400, ['error="invalid_request"'])
        large = ask("/", bearer("a" * 16_000))
        refused("a large token", large, 401, ['error="invalid_token"'])
        # /auth reads no cookie, so cookies must not make the head of its request too large.
        cookies = [("Cookie", f"c{n}={'v' * 3_500}") for n in range(7)]
        crowded = ask("/", bearer("a" * 16_000) + cookies)
        refused("a large token, and large cookies", crowded, 401, ['error="invalid_token"'])
        doubled = ask("/", bearer(reader) + bearer(plain))
        holds("two tokens: 400", doubled.status == 400 and doubled.arrived == 0, doubled)
        missing = ask("/messages/1", bearer(plain))
        refused("scope not granted", missing, 403, ["insufficient_scope", 'scope="read:messages"'])
        holds("an error is a JSON problem document", json.loads(missing.body)["status"] == 403
              and missing.fields["Content-Type"] == "application/problem+json", missing)
        query = ask("/messages/1?scope=openid&permission=p", bearer(plain))
        refused("a client's query does not change the policy", query, 403, ['scope="read:messages"'])

        passed = ask("/messages/1?page=2", bearer(reader))
        holds("scope granted: 200", passed.status == 200 and passed.arrived == 1, passed)
        holds("the path arrives unchanged", json.loads(passed.body)["path"] == "/messages/1?page=2", passed)
        claims, payload = reader.split(".")[1], payload_of(reader)
        seen = [passed.seen(name) for name in NAMES]
        expected = [[payload["iss"]], [payload["sub"]], ["read:messages"], [claims]]
        holds("the application gets the identity fields", seen == expected, passed)
        holds("the client does not get the identity fields", not any(passed.fields.get(name) for name in NAMES), passed)
        holds("the proxy does not forward the token", passed.seen("Authorization") == [], passed)
        proven = ask("/messages/1", bearer(reader) + [("DPoP", "a.b.c")])
        holds("the proxy does not forward the proof", proven.status == 200 and proven.seen("DPoP") == [], proven)
        holds("the Host has its port", passed.seen("Host") == [f"127.0.0.1:{port}"], passed)

        identified = [("X-Request-Id", "r-1"), ("Origin", PAGE)]
        for token, status in [(reader, 200), ("a.b.c", 401), (plain, 403)]:
            answer = ask("/messages/1", bearer(token) + identified)
            fits = answer.status == status and answer.fields.get_all("X-Request-Id") == ["r-1"]
            holds(f"the client gets X-Request-Id with a {status}", fits, answer)
        posted = ask("/messages/", bearer(reader), method="POST", body=b"hello")
        arrived = posted.status == 200 and json.loads(posted.body)["body"] == "hello"
        holds("a body arrives", arrived, posted)

        for path in ORDINARY:
            arrived = ask(path, bearer(plain))
            holds(f"{path}: 200", arrived.status == 200 and json.loads(arrived.body)["path"] == path, arrived)
        spellings(port, plain, reader, holds, table)
        identity(name, port, plain, holds)
        upgrades(port, plain, holds)
        hosts(name, port, plain, holds)
        discovery(port, plain, holds, with_resource)
        trailers(port, plain, holds, PROXIES[name]["trailers"])

    with proxy(name, down, application) as port:
        answer = Answer(port, "/", bearer(plain))
        refused("the issuer is down", answer, 503)
        if name != "envoy":
            holds("the 503 has Retry-After", answer.fields.get("Retry-After"), answer)
    with proxy(name, generous, application) as port:
        large = Answer(port, "/", bearer("a" * 16_000))
        holds("large claims arrive", large.seen("X-Auth-Claims") == [Generous.CLAIMS], large)
        at = f"127.0.0.1:{generous}"
        holds("/auth gets the proxy's Host, not the client's", Generous.fields.get_all("Host") == [at], Generous.fields)
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        fields = [("Traceparent", trace), ("Tracestate", "a=b"), ("DPoP", "p"), ("Origin", PAGE)]
        lies = [("X-Forwarded-Method", "DELETE"), ("X-Forwarded-Uri", "/lie"), ("X-Forwarded-Host", "lie")]
        named = Answer(port, "/messages/1?page=2", [("X-Request-Id", "r-1")] + fields + lies)
        holds("X-Request-Id reaches /auth and the application",
              named.seen("X-Request-Id") == ["r-1"] == Generous.fields.get_all("X-Request-Id"), named)
        for field, value in fields:
            found = Generous.fields.get_all(field)
            # Some proxies add a span of their own to the trace
            holds(f"{field} reaches /auth", found == [value] or field == "Traceparent" and found, found)
        holds("traceparent and tracestate reach the application",
              named.seen("Traceparent") and named.seen("Tracestate") == ["a=b"], named)
        target = [Generous.fields.get_all(f"X-Forwarded-{name}") for name in ["Method", "Uri", "Host"]]
        own = [["GET"], ["/messages/1?page=2"], [f"127.0.0.1:{port}"]]
        holds("the method, the target and the host reach /auth", target == own, target)
        forged = [(field, ":Zm9yZ2Vk:") for field in CERTIFICATES + MORE_CERTIFICATES]
        shown = Answer(port, "/messages/1", forged + [("Cookie", "a=b")])
        found = [field for field, _ in forged if Generous.fields.get_all(field)]
        holds("no certificate of the client's making reaches /auth", shown.status == 200 and not found, found)
        holds("nor does a cookie, which reaches the application",
              not Generous.fields.get_all("Cookie") and shown.seen("Cookie") == ["a=b"], shown)
        for values in STRANGE_IDS:
            renamed = Answer(port, "/", [("X-Request-Id", value) for value in values])
            got, asked = renamed.seen("X-Request-Id"), Generous.fields.get_all("X-Request-Id")
            fits = got == asked == renamed.fields.get_all("X-Request-Id") and len(got) == 1 and re.fullmatch("[A-Za-z0-9._-]{1,64}", got[0]) and got[0] not in values
            # nginx before 1.23 sees only the first of several fields
            fits = fits or name == "nginx" and got == asked == values[:1] == ["a"]
            holds(f"X-Request-Id {' and '.join(values)[:9]!r} is replaced", fits, (got, asked))
        unnamed = Answer(port, "/")
        holds("the proxy generates X-Request-Id if it is absent",
              unnamed.seen("X-Request-Id") == Generous.fields.get_all("X-Request-Id") != [], unnamed)
        # Otherwise the proxy could send a request on a connection that warp-bearer is closing (IDLE_TIMEOUT).
        Generous.proxy_left.clear()
        last = Answer(port, "/")
        holds("the proxy closes an idle connection to /auth first", Generous.proxy_left.wait(PATIENCE), last)
    with proxy(name, leaving, application) as port:
        for count in ["first", "second", "third"]:
            answer = Answer(port, "/messages/1", bearer(reader))
            # A proxy may retry on another connection, or answer that /auth is unavailable
            holds(f"/auth closes its connections, {count} request: 401 or 503",
                  answer.status in (401, 503) and answer.arrived == 0, answer)
    with proxy(name, free_port(), application) as port:
        gone = Answer(port, "/", bearer(plain))
        refused("no server at /auth", gone, PROXIES[name]["gone"])
        if name in ["nginx", "haproxy"]:
            holds("the 503 has Retry-After", gone.fields.get_all("Retry-After") == ["1"], gone)
        if name != "caddy":
            holds("the error has an X-Request-Id", len(gone.fields.get_all("X-Request-Id") or []) == 1, gone)
    with proxy(name, auth, application) as port:
        hangs(name, port, reader, service, holds)
    with proxy(name, auth, application, misspelt=True) as port:
        misspelt = Answer(port, "/messages/1", bearer(reader))
        refused("a misspelt policy", misspelt, PROXIES[name]["misspelt"])
    with proxy(name, auth, application, added=[PROXIES[name]["added"]]) as port:
        refused("an added path without a policy, no token", Answer(port, "/reports/"), 401, ["Bearer"])
        scopeless = Answer(port, "/reports/", bearer(plain) + SPOOFED)
        refused("an added path without a policy, scope not granted", scopeless, 403, ['scope="read:messages"'])
        granted = Answer(port, "/reports/", bearer(reader) + SPOOFED)
        seen = [granted.seen(name) for name in NAMES]
        holds("an added path without a policy, scope granted: 200", granted.status == 200 and seen == expected, granted)
        holds("the proxy does not forward its token", granted.seen("Authorization") == [], granted)
        if name == "caddy":
            holds("the added handler answers", granted.seen("X-Added") == ["yes"], granted)
    if not with_resource:
        laid_out(name, auth, application, tokens, holds)
    if name == "nginx":
        with proxy(name, auth, application, added=[("        location / {", OWN_FIELDS)]) as port:
            fields = SPOOFED + [(field, "admin") for field in PATHS + USERS + CERTIFICATES + PREFIXED + ["X-Auth-Roles"]]
            for path in ["/profile/own", "/own"]:
                answer = Answer(port, path, bearer(reader) + [("DPoP", "a.b.c")] + fields)
                stolen = [field for field in ["Authorization", "DPoP"] + [field for field, _ in fields] if answer.seen(field)]
                holds(f"{path} with its own proxy_set_header: 200 without identity", answer.status == 200 and not stolen,
                      (stolen, answer.body))
            refused("/own with its own proxy_set_header, scope not granted", Answer(port, "/own", bearer(plain)), 403,
                    ['scope="read:messages"'])
        with proxy(name, auth, application, added=[("        location / {", REDIRECTS)]) as port:
            for path in re.findall("/profile/[a-z]+", REDIRECTS):
                for token, status in [([], 401), (bearer(plain), 403), (bearer(reader), 200)]:
                    answer = Answer(port, path, token)
                    holds(f"{path} leads to a location that needs the scope: {answer.status}",
                          answer.status == status and answer.arrived == (status == 200), answer)
        with proxy(name, auth, application, added=[("        location / {", OWN_REFUSALS)]) as port:
            for path, method, token in [("/profile/denied", "GET", []), ("/profile/denied", "GET", bearer(plain)),
                                        ("/profile/limited", "POST", bearer(plain)), ("/profile/files/", "GET", bearer(plain)),
                                        ("/profile/returned", "GET", [])]:
                answer = Answer(port, path, token, method=method)
                refused(f"nginx itself rejects {method} {path}", answer, 403)
                holds("the error is a JSON problem document", json.loads(answer.body)["status"] == 403, answer)
            refused("no token for what nginx itself rejects", Answer(port, "/profile/files/"), 401, ["Bearer"])
            limited = Answer(port, "/profile/limited", bearer(plain))
            holds("the other methods pass: 200", limited.status == 200, limited)
            for path, status in [("/profile/basic", 401), ("/profile/loop", 500)]:
                answer = Answer(port, path, bearer(plain))
                holds(f"nginx's own error at {path}: {status}", answer.status == status and answer.arrived == 0, answer)
    if name == "caddy":
        for handle in AFTER_ROUTE:
            with proxy(name, auth, application, appended=handle) as port:
                case = f"{handle.split()[0]} at the end of the site"
                refused(f"{case}, no token", Answer(port, "/reports/1", SPOOFED), 401, ["Bearer"])
                refused(f"{case}, scope not granted", Answer(port, "/reports/1", bearer(plain) + SPOOFED), 403, ["scope"])
                granted = Answer(port, "/reports/1", bearer(reader) + SPOOFED)
                found = [granted.seen(name) for name in NAMES]
                holds(f"{case}, scope granted: 200", granted.status == 200 and found == expected, granted)
    return failed


def laid_out(name, auth, application, tokens, holds):
    """Each layout of docs/forward-auth-policies.md requires what the text says."""
    for heading, changes in layouts(name):
        with proxy(name, auth, application, **changes) as port:
            for request, expected in LAID_OUT[heading]:
                method, path = request.split()
                if name == "envoy" and path in ["/open/../messages/1", "/open/..;/messages/1"]:
                    # Envoy normalizes these paths
                    expected = LAID_OUT[heading][-1][1]
                found, arrived = [], []
                for token in [None, *tokens]:
                    before = len(Application.requests)
                    status, _ = raw(port, path, SPOOFED + (bearer(token) if token else []), method)
                    found.append(status)
                    arrived += [fields for _, fields in Application.requests[before:]]
                fits = found == expected and len(arrived) == found.count(200)
                for fields in arrived:
                    fits = fits and not any((field, value) in SPOOFED for field, value in fields)
                    fits = fits and seen(fields, "Authorization") == []
                    # A public path gets no identity
                    fits = fits and len(seen(fields, "X-Auth-Subject")) == (found[0] != 200)
                holds(f"{heading}: {request}: {found}", fits, (expected, arrived))


def hangs(name, port, reader, service, holds):
    """If warp-bearer hangs, clients get an error soon, and are served again as soon as it continues."""
    paths = ["/messages/1", "/messages/2", "/.well-known/oauth-protected-resource"]
    before, started = Answer(port, paths[0], bearer(reader)), time.monotonic()
    service.send_signal(signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answers = list(pool.map(lambda path: Answer(port, path, bearer(reader)), paths))
        took = time.monotonic() - started
    finally:
        service.send_signal(signal.SIGCONT)
    found = [answer.status for answer in answers]
    asked = PROXIES[name]["hangs"]
    fits = found[:2] == [asked, asked] and found[2] >= 500 and not any(answer.arrived for answer in answers)
    holds(f"/auth hangs: {found} after {took:.0f} s", before.status == 200 and fits and took < HANGS, answers[0])
    after = Answer(port, paths[0], bearer(reader))
    holds("/auth continues: 200", after.status == 200, after)


def spellings(port, plain, reader, holds, table):
    """Sends every spelling with a token without the scope, and with one that has it."""
    for target in SPELLINGS:
        for token in [plain, reader]:
            before = len(Application.requests)
            # the Host of a target such as http://host/path must be its host (RFC 9112 §3.2)
            host = target.split("/")[2] if "://" in target else None
            status, answer = raw(port, target, bearer(token), host=host)
            arrived = [target for target, _ in Application.requests[before:]]
            if token == plain:
                table.setdefault(target, []).append(f"{status}" if not arrived else f"{status} as {arrived[0]}")
                outside = [path for got in arrived for path in readings(got) if not path.startswith("/profile/")]
                # 301: nginx redirects /profile to /profile/.
                truth = not outside and (arrived or status in [301, 400, 401, 403])
                holds(f"{ascii(target)} without the scope: {status}", truth, (answer, arrived, outside))
            else:
                # Either nothing arrives, or a path whose every interpretation is the path itself, except for case.
                one = lambda path: urllib.parse.unquote(path).lower()
                truth = all(one(path) == one(got.split("?")[0]) for got in arrived for path in readings(got))
                holds(f"{ascii(target)} with the scope: {status}", truth and (arrived or status in [301, 400]), (answer, arrived))


def identity(name, port, plain, holds):
    """The application sees the identity of the token, whatever fields the client adds."""
    payload = payload_of(plain)
    # A token without scopes gives an empty X-Auth-Scope, or none if the proxy doesn't forward empty fields.
    none = [""] if PROXIES[name]["keeps_empty"] else []
    expected = [[payload["iss"]], [payload["sub"]], none, [plain.split(".")[1]]]
    nominated = [("Connection", "X-Auth-Subject, X-Auth-Claims, X-Auth-Issuer, X-Request-Id, keep-alive")]
    lies = [("all four, in five spellings", SPOOFED), ("Connection names them", nominated + [("X.Auth.Subject", "admin")])]
    for one in SEPARATORS:
        names = [f"X{one}Auth{other}Subject" for other in SEPARATORS]
        lies.append((f"{names[0]} to {names[-1]}", [(name, "admin") for name in names]))
    lies.append(("X.Auth.Issuer and the like", [(f"x.aUTH.{name[7:]}", "admin") for name in NAMES]))
    for case, others in [("path", PATHS), ("user", USERS), ("certificate", CERTIFICATES), ("prefix", PREFIXED),
                         ("other certificate", MORE_CERTIFICATES), ("method", METHODS)]:
        moved = Answer(port, "/profile/", bearer(plain) + [(field, "/profile") for field in others])
        arrived = [field for field in others if moved.seen(field)]
        holds(f"no {case} field of the client arrives", moved.status == 200 and not arrived, (arrived, moved.body))
    lies.append(("X-Auth-Roles", [("X-Auth-Roles", "admin")]))
    forged = Answer(port, "/profile/", bearer(plain) + [(field, "192.0.2.1") for field in CLIENT])
    arrived = [field for field in CLIENT if "192.0.2.1" in ",".join(forged.seen(field))]
    known = forged.seen("X-Forwarded-For") == ["127.0.0.1"] and forged.seen("X-Forwarded-Proto") == ["http"]
    holds("X-Forwarded-For and the like come from the connection", known and not arrived, (arrived, forged.body))
    for case, fields in lies:
        for more in [[], [("Connection", "Authorization"), ("Connection", "x-auth-scope")]]:
            answer = Answer(port, "/profile/", bearer(plain) + fields + more)
            if answer.status in [400, 401] and not answer.arrived:
                holds(f"{case}: {answer.status}", True, answer)
                continue
            fields_seen = json.loads(answer.body)["fields"]
            found = [answer.seen(name) for name in NAMES]
            strange = [key for key, _ in fields_seen if LOOKS_LIKE_IDENTITY.match(key.lower()) and key.lower() not in map(str.lower, NAMES)]
            named = [value for key, value in fields_seen if key.lower() == "connection" and "auth" in value.lower()]
            holds(f"{case}: no forged identity arrives", found == expected and not strange and not named, answer)


def upgrades(port, plain, holds):
    """WebSockets work. An upgrade to h2c, which would open a tunnel past the proxy, never arrives."""
    websocket = [("Connection", "keep-alive, Upgrade, X-Auth-Subject"), ("Upgrade", "WebSocket"),
                 ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")]
    status, answer = raw(port, "/profile/socket", bearer(plain) + websocket, more=b"hello\n")
    target, fields = Application.requests[-1]
    holds("a WebSocket", status == 101 and answer.endswith(b"hello\n"), answer)
    holds("the WebSocket request has the identity fields", seen(fields, "X-Auth-Subject") == [payload_of(plain)["sub"]], fields)
    strange = [["h2c"], ["TLS/1.0"], ["websocket, h2c"], ["h2c, websocket"], ["websocket", "h2c"], ["h2c", "websocket"],
               ["websocket, TLS/1.0"], ["h2c,websocket,h2c"], ["websocket;h2c"], ["websocket/13"]]
    for values in strange:
        # HAProxy rejects a WebSocket request without a key, so a test without a key wouldn't show what it forwards.
        for key in [[], websocket[2:]]:
            before = len(Application.requests)
            fields = [("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")] + key
            fields += [("Upgrade", value) for value in values]
            status, answer = raw(port, "/profile/", bearer(plain) + fields, more=b"hello\n")
            arrived = [seen(fields, "Upgrade") for _, fields in Application.requests[before:]]
            # if websocket is one of several values, it may arrive alone
            truth = status and all(got in [[], ["websocket"]] for got in arrived)
            if status == 101:
                truth = truth and arrived == [["websocket"]]
            case = " and ".join(values) + (", with a key" if key else "")
            holds(f"no upgrade to {case}: {status}", truth, (answer, arrived))


def hosts(name, port, plain, holds):
    """The client's Host does not change the answers of /auth, although `dev` answers only its own Host."""
    for version, host in [("1.1", "evil.example"), ("1.1", "a:99"), ("1.0", "")]:
        for token, expected in [([], 401), (bearer(plain), 200)]:
            status, answer = raw(port, "/profile/", token, host=host, version=version)
            # Caddy and HAProxy accept HTTP/1.0 without Host; Envoy rejects HTTP/1.0
            fits = status == expected or not host and status in [400, 426]
            holds(f"HTTP/{version} with Host {host or 'absent'}: {status}", fits, answer)
    # The application never gets a Host that differs from the one in the target (RFC 9112 §3.2.2).
    good, equal = "http://good.example", ["good.example", "GOOD.EXAMPLE"]
    for authority, others in [(good, equal), (f"{good}:81", ["good.example:81"])]:
        for host in others + ["evil.example", "good.example.evil.example", "evil.good.example", "good.example:82"]:
            before = len(Application.requests)
            status, answer = raw(port, f"{authority}/profile/", bearer(plain), host=host)
            arrived = [seen(fields, "Host") for _, fields in Application.requests[before:]]
            own = authority.partition("//")[2]
            fits = status == (400 if name in ["nginx", "haproxy"] and host not in others else 200)
            fits = fits and all([value.lower() for value in got] == [own] for got in arrived)
            holds(f"{authority}/ with Host {host}: {status}", fits, (answer, arrived))


def discovery(port, plain, holds, with_resource):
    """The resource metadata (RFC 9728) and CORS preflights need no token. warp-bearer answers both; neither reaches
    the application."""
    well_known = "/.well-known/oauth-protected-resource"
    ask = lambda *arguments, **more: Answer(port, *arguments, **more)
    for path in [well_known, well_known + "/mcp"]:
        for token in [[], bearer("a.b.c")]:
            found = ask(path, token)
            fits = found.status == (200 if with_resource else 404) and found.arrived == 0
            holds(f"{path}: {found.status}", fits, found)
            if with_resource:
                metadata = json.loads(found.body)
                fits = metadata["resource"] == RESOURCE and metadata["scopes_supported"] == ["read:messages"]
                holds("the metadata of the resource", fits, found)
        written = ask(path, bearer(plain), method="POST", body=b"")
        fits = written.status == (405 if with_resource else 404) and written.arrived == 0
        holds(f"POST {path}: {written.status}", fits, written)
    for path in [well_known + "s", well_known.upper(), "/x" + well_known, well_known + "%2fmcp"]:
        found = ask(path)
        holds(f"{path}: {found.status}", found.status in [400, 401] and found.arrived == 0, found)
    if with_resource:
        refused = ask("/messages/1", [("Origin", PAGE)])
        url = f'resource_metadata="https://mcp.example.com{well_known}/mcp"'
        holds("the challenge has the URL of the metadata", url in refused.fields["WWW-Authenticate"], refused)
        # MCP clients read only the first of two challenges
        schemes = [field.split()[0] for field in refused.fields.get_all("WWW-Authenticate")]
        holds("Bearer is offered first", schemes[0] == "Bearer", schemes)
        fits = refused.fields.get_all("Access-Control-Allow-Origin") == [PAGE]
        exposed = refused.fields.get("Access-Control-Expose-Headers", "")
        holds("a page can read the challenge", fits and "WWW-Authenticate" in exposed, refused)
        foreign = ask("/messages/1", [("Origin", "https://evil.example")])
        holds("a page of another origin cannot", "Access-Control-Allow-Origin" not in foreign.fields, foreign)
    wish = [("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "authorization")]
    for path in ["/messages/1", "/profile/", "/auth", "/auth?scope=a"]:
        for origin, status in [(PAGE, 204), ("https://evil.example", 403)]:
            asked = ask(path, [("Origin", origin)] + wish, method="OPTIONS")
            allowed = asked.fields.get_all("Access-Control-Allow-Origin")
            fits = asked.status == status and allowed == ([PAGE] if status == 204 else None)
            if not with_resource:
                fits = asked.status >= 400
            holds(f"a preflight of {origin} for {path}: {asked.status}", fits and asked.arrived == 0, asked)
    # a request that only resembles a preflight needs a token
    for fields in [[], [("Origin", PAGE)], [("Origin", PAGE), ("Access-Control-Request-Headers", "authorization")]]:
        options = ask("/messages/1", fields, method="OPTIONS")
        holds(f"OPTIONS without Access-Control-Request-Method: {options.status}", options.status == 401 and options.arrived == 0, options)
        get = ask("/messages/1", wish + fields)
        holds(f"GET with Access-Control-Request-Method: {get.status}", get.status == 401 and get.arrived == 0, get)


def trailers(port, plain, holds, passed):
    """Request trailers do not reach the application, except unannounced ones through HAProxy."""
    body = b"5\r\nhello\r\n0\r\nX-Auth-Subject: admin\r\nX_Auth_Scope: admin\r\n\r\n"
    chunked = [("Transfer-Encoding", "chunked")]
    announced = [("Trailer", "X-Auth-Subject"), ("TE", "trailers")]
    for case, fields in [("announced", announced), ("unannounced", [])]:
        before = len(Application.requests)
        status, answer = raw(port, "/profile/", bearer(plain) + chunked + fields, "POST", body=body)
        arrived = Application.requests[before:]
        if not arrived:
            holds(f"{case} trailers: {status}", status == 400, answer)
            continue
        page = json.loads(answer.partition(b"\r\n\r\n")[2])
        truth = page["body"] == "hello" and not seen(page["fields"], "TE") and bool(page["trailers"]) == (passed == case)
        holds(f"{case} trailers: {status}, {page['trailers']}", truth, answer)


def try_it(warp_bearer):
    """Runs the commands of "Try it" in docs/forward-auth.md, with other ports. Returns what failed."""
    text = (ROOT / "docs" / "forward-auth.md").read_text()
    text = text.partition("\n## Try it\n")[2].partition("\n## ")[0]
    started, asked = re.findall("```sh\n(.*?)```", text, re.DOTALL)
    ports = {documented: free_port() for documented in ["8000", "8080", "9000"]}
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())

        def here(text):
            for documented, port in ports.items():
                text = re.sub(rf"\b{documented}\b", str(port), text)
            text = re.sub("cargo run (--quiet )?--", warp_bearer, text)
            return text.replace("/tmp/nginx.pid", f"{directory}/nginx.pid")

        copied = pathlib.Path(directory, "examples", "proxies")
        copied.mkdir(parents=True)
        pathlib.Path(directory, "docs").mkdir()
        (copied / "nginx.conf").write_text(here((EXAMPLES / "nginx.conf").read_text()))
        listen = {"LISTEN": f"127.0.0.1:{ports['8000']}"}
        for line, port in zip(started.splitlines(), ["8000", "9000", "8080"], strict=True):
            stack.enter_context(running(["sh", "-c", f"exec {here(line)}"], ports[port], directory, **listen))
        script = here(asked).replace("curl -i", "curl --silent --noproxy '*' -i")
        env = {"PATH": PATH, "HOME": directory, **listen}
        shown = subprocess.run(["sh", "-c", script], cwd=directory, env=env, check=True, stdout=subprocess.PIPE, text=True)
    found = re.findall(r"HTTP/1\.1 (\d+)", shown.stdout)
    fits = found == re.findall(r"\b(\d{3})\b", text.replace(started, "").replace(asked, "")) == ["401", "403", "200"]
    print(f"Try it\n  {'ok' if fits else 'FAILED':6} {found}")
    return [] if fits else [f"Try it: {shown.stdout}"]


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
    application, generous, leaving = serving(Application), serving(Generous), serving(Leaving)
    well, strict, ill = free_port(), free_port(), free_port()
    failed, table = try_it(warp_bearer), {}
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        listen = f"127.0.0.1:{strict}"
        dev = stack.enter_context(running([warp_bearer, "dev"], strict, directory, LISTEN=listen))
        plain, reader = (token_of(warp_bearer, listen, scope) for scope in ["", "read:messages"])
        tokens = [token_of(warp_bearer, listen, scope) for scope in SCOPES]
        # Two services with the same issuer. One fetches its keys, the other gets the URL of a closed port.
        issuer = {"AUTH0_ISSUER": payload_of(plain)["iss"], "AUTH0_API_AUDIENCE": payload_of(plain)["aud"]}
        audiences = f"{issuer['AUTH0_API_AUDIENCE']},{RESOURCE}"
        serve = {"LISTEN": f"127.0.0.1:{well}", **issuer, "AUTH0_API_AUDIENCE": audiences, "AUTH0_RESOURCE": RESOURCE,
                 "AUTH0_RESOURCE_SCOPES": "read:messages", "CORS_ORIGINS": PAGE}
        served = stack.enter_context(running([warp_bearer, "serve"], well, directory, **serve))
        down = {"LISTEN": f"127.0.0.1:{ill}", "AUTH0_JWKS_URI": f"http://127.0.0.1:{free_port()}/jwks", **issuer}
        stack.enter_context(running([warp_bearer, "serve"], ill, directory, **down))
        for name in PROXIES:
            for command, auth, service, rows in [("dev", strict, dev, table), ("serve", well, served, {})]:
                print(f"{name}, {command}")
                checked = check(name, plain, reader, tokens, auth, service, ill, generous, leaving, application, rows,
                                command == "serve")
                failed += [f"{name}, {command}: {case}" for case in checked]
    print(f"\nA token without the scope: {', '.join(PROXIES)}")
    for target, found in table.items():
        print(f"  {ascii(target)[1:-1]:55} {' | '.join(found)}")
    for case in failed:
        print(f"FAILED {case}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
