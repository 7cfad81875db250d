"""Checks that the proxies in examples/proxies/mtls pass the client's certificate on, and that a certificate field
which the client sends does not reach the service. Checks the same for examples/proxies/nginx.conf, which asks /auth,
with the lines of docs/mtls.md.

Each proxy runs in front of `serve`, with its example and other ports. The tokens are signed with a secret, so no
issuer is needed.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse

from check import EXAMPLES, PATIENCE, ROOT, Application, free_port, running, serving

SECRET = "a secret of thirty-two bytes or more"
ISSUER, AUDIENCE = "https://issuer.example/", "https://api.example.com"
PROXIES = {
    "nginx": {
        "file": "nginx.conf",
        "start": ["nginx", "-p", ".", "-c", "nginx.conf", "-g", "daemon off; pid nginx.pid;"],
        "field": "x-ssl-client-cert",
    },
    "haproxy": {
        "file": "haproxy.cfg",
        "start": ["haproxy", "-db", "-f", "haproxy.cfg"],
        "field": "client-cert",
    },
    "nginx that asks /auth": {
        "file": "nginx.conf",
        "start": ["nginx", "-p", ".", "-c", "nginx.conf", "-g", "daemon off; pid nginx.pid;"],
        "field": "x-ssl-client-cert",
    },
}


def asking_nginx(application):
    """Returns examples/proxies/nginx.conf with TLS and the lines of docs/mtls.md. `/api/private` needs only a token."""
    text = (EXAMPLES / "nginx.conf").read_text()
    lines = re.search("```nginx\n(.*?)```", (ROOT / "docs" / "mtls.md").read_text(), re.DOTALL)[1]
    _, *parts = re.split("^# in `(.*)`\n", lines, flags=re.MULTILINE)
    assert parts[::2] == ["server", "location ^~ /_auth/"], parts
    own = "listen 127.0.0.1:8443 ssl;\nssl_certificate server.crt;\nssl_certificate_key server.key;\n"
    for old, new in [
        ("listen 127.0.0.1:8080;\n", own + parts[1]),
        ("location ^~ /_auth/ {\n", "location ^~ /_auth/ {\n" + parts[3]),
        ("location /profile/ {", "location /api/ {"),
        ("127.0.0.1:9000", f"127.0.0.1:{application}"),
    ]:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(certificate=None, more=""):
    """Returns a token. It is bound to the certificate, if there is one. `more` is the value of an extra claim."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "client", "iat": now, "exp": now + 3600}
    if more:
        claims["more"] = more
    if certificate:
        claims["cnf"] = {"x5t#S256": base64url(hashlib.sha256(certificate).digest())}
    signed = ".".join(base64url(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims))
    return signed + "." + base64url(hmac.digest(SECRET.encode(), signed.encode(), "sha256"))


def certificate(directory, name):
    """Makes a self-signed certificate. Returns its DER."""
    crt, key = (pathlib.Path(directory, f"{name}.{end}") for end in ("crt", "key"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost", "-days", "2", "-out", crt, "-keyout", key],
        check=True, capture_output=True)
    pathlib.Path(directory, f"{name}.pem").write_text(crt.read_text() + key.read_text())
    return ssl.PEM_cert_to_DER_cert(crt.read_text())


def written(field, der):
    """Returns a certificate as the proxy writes it into the field."""
    if field == "client-cert":
        return f":{base64.b64encode(der).decode()}:"
    return urllib.parse.quote(ssl.DER_cert_to_PEM_cert(der), safe="")


def ask(port, directory, shown, bearer, fields=()):
    """Returns the status and the error code of the answer. `shown` is the name of the client certificate, or None."""
    context = ssl.create_default_context(cafile=pathlib.Path(directory, "server.crt"))
    if shown:
        context.load_cert_chain(*(pathlib.Path(directory, f"{shown}.{end}") for end in ("crt", "key")))
    lines = ["GET /api/private HTTP/1.1", "Host: localhost", "Connection: close", f"Authorization: Bearer {bearer}"]
    lines += [f"{name}: {value}" for name, value in fields]
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as tcp:
        with context.wrap_socket(tcp, server_hostname="localhost") as tls:
            tls.sendall("\r\n".join(lines + ["", ""]).encode())
            with contextlib.suppress(ssl.SSLEOFError):
                while chunk := tls.recv(65536):
                    answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    code = body.partition(b'"code":"')[2].partition(b'"')[0].decode()
    if status == 401 and not code:
        # nginx replaces the body of /auth
        code = "token_bound" if b"bound" in head else head.decode()
    return status, code


def check(name, warp_bearer):
    about, port, service = PROXIES[name], free_port(), free_port()
    with tempfile.TemporaryDirectory() as directory:
        certificate(directory, "server")
        mine, other = certificate(directory, "mine"), certificate(directory, "other")
        certificate(directory, "clients")
        asks = name.endswith("/auth")
        text = asking_nginx(serving(Application)) if asks else (EXAMPLES / "mtls" / about["file"]).read_text()
        for example, ours in (("127.0.0.1:8443", port), ("127.0.0.1:8000", service)):
            assert example in text, f"{name}: {example}"
            text = text.replace(example, f"127.0.0.1:{ours}")
        pathlib.Path(directory, about["file"]).write_text(text)
        settings = {
            "AUTH0_ISSUER": ISSUER, "AUTH0_API_AUDIENCE": AUDIENCE, "AUTH0_ALGORITHMS": "HS256",
            "AUTH0_SIGNING_SECRET": SECRET, "LISTEN": f"127.0.0.1:{service}", "CLIENT_CERT_FIELD": about["field"],
        }
        bound, plain, refused = token(mine), token(), (401, "token_bound")
        # The token has almost 16 KiB, the limit of the service
        large = token(mine, "x" * 12_000)
        forged = [(spelling, written(about["field"], mine))
                  for spelling in (about["field"], about["field"].upper(), about["field"].replace("-", "_"))]
        with running([warp_bearer, "serve"], service, directory, **settings), running(about["start"], port, directory):
            for case, shown, bearer, fields, expected in [
                ("its certificate", "mine", bound, [], (200, "")),
                ("a large token", "mine", large, [], (200, "")),
                ("another certificate", "other", bound, [], refused),
                ("no certificate", None, bound, [], refused),
                ("a plain token", None, plain, [], (200, "")),
                ("its certificate, and a field with it", "mine", bound, forged, (200, "")),
                ("its certificate, and a field with another", "mine", bound,
                 [(spelling, written(about["field"], other)) for spelling, _ in forged], (200, "")),
                ("another certificate, and a field with its own", "other", bound, forged, refused),
                ("no certificate, and a field with its own", None, bound, forged, refused),
                ("no certificate, and the field twice", None, bound, forged[:1] * 2, refused),
            ] + [(f"no certificate, and {field[0]}", None, bound, [field], refused) for field in forged]:
                before = len(Application.requests)
                found = ask(port, directory, shown, bearer, fields)
                assert found == expected, f"{name}: {case}: {found}"
                arrived = [fields for _, fields in Application.requests[before:]]
                assert len(arrived) == (asks and found[0] == 200), f"{name}: {case}: {arrived}"
                given = [field for fields in arrived for field, _ in fields if "cert" in field.lower()]
                assert not given, f"{name}: {case}: {given}"
            # Without the proxy, the service trusts the field. That is, the forged fields above would have had an
            # effect.
            with contextlib.closing(socket.create_connection(("127.0.0.1", service), timeout=PATIENCE)) as tcp:
                tcp.sendall((f"GET /api/private HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                             f"Authorization: Bearer {bound}\r\n{forged[0][0]}: {forged[0][1]}\r\n\r\n").encode())
                assert tcp.recv(12) == b"HTTP/1.1 200", name
    print(f"{name}: passes on only the certificate of the connection")


if __name__ == "__main__":
    for proxy in PROXIES:
        check(proxy, str(pathlib.Path(sys.argv[1]).resolve()))
