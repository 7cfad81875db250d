"""Tests CORS with pages in a real browser. A page of an origin in CORS_ORIGINS can read successes, errors and their
challenges, from the service and from an application behind nginx. Its requests have the fields that MCP clients and
tracing libraries add. A page of another origin can read nothing."""

import contextlib
import http.server
import json
import os
import pathlib
import sys
import tempfile

from selenium import webdriver

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import check

ADDED = {"mcp-protocol-version": "2025-11-25", "tracestate": "a=b", "baggage": "a=b", "sentry-trace": "a-b-1",
         "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "cache-control": "no-cache"}
ASK = """
const [url, fields, done] = arguments;
fetch(url, {headers: fields}).then(async (answer) => done({
    status: answer.status,
    body: await answer.text(),
    challenge: answer.headers.get('www-authenticate'),
}), (error) => done({error: error.name}));
"""


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>a page</title>")

    def log_message(self, *_):
        """Logs nothing."""


class Application(http.server.BaseHTTPRequestHandler):
    """Answers with the fields of the request. It sets its own CORS fields, as docs/mcp.md requires."""

    protocol_version = "HTTP/1.1"
    pages = ""

    def do_GET(self):
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Access-Control-Allow-Origin", Application.pages)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Logs nothing."""


@contextlib.contextmanager
def browser():
    options = webdriver.ChromeOptions()
    for option in ["--headless=new", "--no-sandbox"]:
        options.add_argument(option)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    driver.set_script_timeout(check.PATIENCE)
    try:
        yield driver
    finally:
        driver.quit()


def main(warp_bearer):
    warp_bearer = os.path.abspath(warp_bearer)
    listed, other, application = (check.serving(handler) for handler in [Page, Page, Application])
    pages = {name: f"http://127.0.0.1:{port}" for name, port in [("listed", listed), ("other", other)]}
    Application.pages = pages["listed"]
    failed = []
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        dev, service = check.free_port(), check.free_port()
        listen = f"127.0.0.1:{dev}"
        stack.enter_context(check.running([warp_bearer, "dev"], dev, directory, LISTEN=listen))
        plain, reader = (check.token_of(warp_bearer, listen, scope) for scope in ["", "read:messages"])
        claims = check.payload_of(plain)
        serve = {"LISTEN": f"127.0.0.1:{service}", "AUTH0_ISSUER": claims["iss"], "AUTH0_API_AUDIENCE": claims["aud"],
                 "CORS_ORIGINS": pages["listed"]}
        stack.enter_context(check.running([warp_bearer, "serve"], service, directory, **serve))
        nginx = stack.enter_context(check.proxy("nginx", service, application))
        driver = stack.enter_context(browser())
        at = {"the service": f"http://127.0.0.1:{service}", "nginx": f"http://127.0.0.1:{nginx}"}
        rows = [
            ("the service", "/api/private", plain, 200, None),
            ("the service", "/api/private", None, 401, 'Bearer realm="api"'),
            ("the service", "/api/private-scoped", plain, 403, 'error="insufficient_scope"'),
            ("nginx", "/messages/1", reader, 200, None),
            ("nginx", "/messages/1", None, 401, 'scope="read:messages"'),
            ("nginx", "/messages/1", plain, 403, 'error="insufficient_scope"'),
            ("nginx", "/profile/", "a.b.c", 401, 'error="invalid_token"'),
        ]
        for page, address in pages.items():
            driver.get(address)
            for target, path, token, status, challenge in rows:
                fields = {**ADDED, **({"authorization": f"Bearer {token}"} if token else {})}
                found = driver.execute_async_script(ASK, at[target] + path, fields)
                if page == "other":
                    fits = found == {"error": "TypeError"}
                else:
                    fits = found.get("status") == status and (challenge or "") in (found["challenge"] or "")
                    if fits and (target, status) == ("nginx", 200):
                        arrived = json.loads(found["body"])
                        fits = all(arrived.get(name) == value for name, value in ADDED.items())
                expected = "not readable" if page == "other" else status
                case = f"{page} page, {target}: {path}: {expected}"
                print(f"  {'ok' if fits else 'FAILED':6} {case}")
                if not fits:
                    failed.append(case)
                    print(f"         {found}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
