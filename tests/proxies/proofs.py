"""Checks that a DPoP proof is accepted only for the request that the client sent to the proxy.

Each proxy runs with its example of examples/proxies. It asks a service that accepts bound tokens, and then one that
requires nonces. `dev` makes the tokens and the proofs.
"""

import contextlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile

from check import PROXIES, Answer, Application, free_port, payload_of, proxy, running, serving

# The proxy's URL for clients. Proofs name it, although the proxy listens on another address in this test.
PUBLIC = "https://api.example.com"

# Versions of nginx whose variables have only the first field of a name.
NGINX_1_22 = re.compile(r"nginx/(0\.|1\.(\d|1\d|2[0-2])\.)")
# The `error` of the challenge for each code.
ERRORS = {
    "invalid_proof": "invalid_dpop_proof",
    "proof_replayed": "invalid_dpop_proof",
    "nonce_required": "use_dpop_nonce",
    "token_bound": "invalid_token",
}


class Client:
    """Uses `dev` as the issuer, and as the client that holds the key."""

    def __init__(self, warp_bearer, directory, listen):
        self.command, self.directory, self.env = [warp_bearer, "dev"], directory, {"LISTEN": listen}
        self.bound = self.run("--token", "--dpop", "--scope", "read:messages")
        self.plain = self.run("--token", "--scope", "read:messages")

    def run(self, *arguments):
        printed = subprocess.run([*self.command, *arguments], cwd=self.directory, env=self.env, check=True,
                                 stdout=subprocess.PIPE, text=True)
        return printed.stdout.strip()

    def proof(self, method, path, *more):
        return self.run("--proof", method, PUBLIC + path, "--for-token", self.bound, *more)


def fields(client, proof, *more):
    return [("Authorization", f"DPoP {client.bound}"), ("DPoP", proof), *more]


def check(name, client, auth, with_nonces, application):
    failed = []

    def holds(case, truth, answer):
        print(f"  {'ok' if truth else 'FAILED':6} {case}")
        if not truth:
            failed.append(f"{name}: {case}")
            print(f"         {answer.status} {answer.fields.items()} {answer.body[:1000]}")

    def passes(case, answer):
        holds(f"{case}: 200", answer.status == 200 and answer.arrived == 1, answer)
        if answer.status == 200:
            kept = [field for field in ["DPoP", "Authorization", "X-Forwarded-Uri"] if answer.seen(field)]
            holds("  the proxy does not forward the proof and the token", not kept, answer)

    def refused(case, answer, code, scheme="DPoP"):
        challenges = answer.fields.get_all("WWW-Authenticate") or []
        fits = (answer.status == 401 and answer.arrived == 0 and len(challenges) == 1
                and challenges[0].startswith(f"{scheme} ") and f'error="{ERRORS[code]}"' in challenges[0]
                # nginx replaces the body, which then has no code
                and json.loads(answer.body).get("code", code) == code)
        holds(f"{case}: {code}", fits, answer)

    with proxy(name, auth, application) as port:
        ask = lambda *arguments, **more: Answer(port, *arguments, **more)
        proof = client.proof("GET", "/messages/1")
        passes("a proof for the request", ask("/messages/1", fields(client, proof)))
        refused("the same proof again", ask("/messages/1", fields(client, proof)), "proof_replayed")
        queried = client.proof("GET", "/messages/1")
        passes("a query, which proofs do not contain", ask("/messages/1?page=2", fields(client, queried)))
        posted = client.proof("POST", "/messages/1")
        passes("another method", ask("/messages/1", fields(client, posted), method="POST", body=b"hello"))
        escaped = client.proof("GET", "/profile/caf%c3%a9/%7eme")
        passes("equivalent percent-escapes", ask("/profile/caf%C3%A9/~me", fields(client, escaped)))
        passes("a bearer token", ask("/messages/1", [("Authorization", f"Bearer {client.plain}")]))

        for case, method, path, lies in [
            ("a proof for another path", "GET", "/messages/2", []),
            ("a proof for another method", "POST", "/messages/1", []),
            ("a proof for /auth", "GET", "/auth", []),
            ("a proof for the method and path in the client's own X-Forwarded fields", "DELETE", "/lie",
             [("X-Forwarded-Method", "DELETE"), ("X-Forwarded-Uri", "/lie"), ("X-Original-URI", "/lie")]),
        ]:
            other = client.proof(method, path)
            refused(case, ask("/messages/1", fields(client, other, *lies)), "invalid_proof")
        for case, value in [("no token", "DPoP"), ("two tokens", "DPoP a b"), ("a large token", f"DPoP {'a' * 17_000}")]:
            answer = ask("/messages/1", [("Authorization", value)])
            holds(f"{case} under DPoP: 400", answer.status == 400 and answer.arrived == 0, answer)
        refused("no proof", ask("/messages/1", [("Authorization", f"DPoP {client.bound}")]), "invalid_proof")
        stripped = [("Authorization", f"Bearer {client.bound}"), ("DPoP", client.proof("GET", "/messages/1"))]
        refused("a bound token under Bearer", ask("/messages/1", stripped), "token_bound", "Bearer")
        two = [client.proof("GET", "/messages/1") for _ in range(2)]
        doubled = ask("/messages/1", fields(client, two[0], ("DPoP", two[1])))
        if NGINX_1_22.match(doubled.fields.get("Server", "")):
            passes("two proofs, of which this version of nginx sends only the first", doubled)
        else:
            holds("two proofs: rejected", doubled.status in [400, 401] and doubled.arrived == 0, doubled)

    with proxy(name, with_nonces, application) as port:
        ask = lambda proof: Answer(port, "/messages/1", fields(client, proof))
        without = ask(client.proof("GET", "/messages/1"))
        refused("no nonce", without, "nonce_required")
        nonce = without.fields.get("DPoP-Nonce")
        holds("  the nonce reaches the client", nonce, without)
        passes("with the nonce", ask(client.proof("GET", "/messages/1", "--nonce", nonce or "none")))
    return failed


def main(warp_bearer):
    warp_bearer = str(pathlib.Path(warp_bearer).resolve())
    application, failed = serving(Application), []
    issuer, allowed, with_nonces = free_port(), free_port(), free_port()
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        listen = f"127.0.0.1:{issuer}"
        stack.enter_context(running([warp_bearer, "dev", "--dpop"], issuer, directory, LISTEN=listen))
        client = Client(warp_bearer, directory, listen)
        claims = payload_of(client.bound)
        settings = {"AUTH0_ISSUER": claims["iss"], "AUTH0_API_AUDIENCE": claims["aud"], "PUBLIC_URL": PUBLIC}
        for port, more in [(allowed, {}), (with_nonces, {"AUTH0_DPOP_NONCE": "required"})]:
            environment = {"LISTEN": f"127.0.0.1:{port}", **settings, **more}
            stack.enter_context(running([warp_bearer, "serve"], port, directory, **environment))
        for name in PROXIES:
            print(f"{name}, proofs")
            failed += check(name, client, allowed, with_nonces, application)
    for case in failed:
        print(f"FAILED {case}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
