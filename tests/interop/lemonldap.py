"""Runs Debian's LemonLDAP::NG with one client, on a free port of loopback.

Prints one line of JSON: the issuer, the audience, and a token. Ends when its standard input ends.
"""

import base64
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

AUDIENCE = "https://api.example.com"
PSGI = pathlib.Path(__file__).with_name("lemonldap.psgi")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def make_keys(directory):
    key = directory / "key.pem"
    generate = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key]
    subprocess.run(generate, check=True, capture_output=True)
    public = ["openssl", "pkey", "-in", key, "-pubout", "-out", directory / "public.pem"]
    subprocess.run(public, check=True, capture_output=True)


def token(origin):
    """Requests a token until the portal answers; it takes some seconds to load."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    credentials = base64.b64encode(b"application:application").decode()
    body = b"grant_type=client_credentials&scope=read:messages"
    request = urllib.request.Request(f"{origin}/oauth2/token", body, {"authorization": f"Basic {credentials}"})
    deadline = time.monotonic() + 60
    while True:
        try:
            with opener.open(request, timeout=30) as answer:
                return json.load(answer)["access_token"]
        except urllib.error.HTTPError as error:
            sys.exit(f"{error}: {error.read().decode()}")
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f"LemonLDAP::NG does not answer: {error}")
            time.sleep(0.2)


def main():
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        for folder in ["conf", "cache", "sessions", "persistent"]:
            (directory / folder).mkdir()
        first = {"cfgNum": 1, "cfgAuthor": "interop", "cfgDate": 1}
        (directory / "conf" / "lmConf-1.json").write_text(json.dumps(first))
        make_keys(directory)
        port = free_port()
        origin = f"http://127.0.0.1:{port}"
        environment = {**os.environ, "DIRECTORY": name, "ORIGIN": origin}
        command = ["plackup", "--host", "127.0.0.1", "--port", str(port), PSGI]
        server = subprocess.Popen(command, env=environment, stdout=sys.stderr)
        try:
            said = {"issuer": origin, "audience": AUDIENCE, "token": token(origin)}
            print(json.dumps(said), flush=True)
            sys.stdin.read()
        finally:
            server.terminate()
            server.wait(10)


main()
