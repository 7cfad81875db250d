"""Tests the service with DPoP proofs that joserfc makes. Compares `cnf.jkt` with joserfc's thumbprint of the key.

Argument: the URL of `dev --dpop`.
"""

import base64
import hashlib
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

service = sys.argv[1]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(url, headers, form=None):
    body = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(url, body, headers)
    try:
        with opener.open(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def proof(key, algorithm, method, url, token=None):
    header = {"typ": "dpop+jwt", "alg": algorithm, "jwk": key.as_dict(private=False)}
    claims = {"jti": str(uuid.uuid4()), "htm": method, "htu": url, "iat": int(time.time())}
    if token:
        digest = hashlib.sha256(token.encode()).digest()
        claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return jwt.encode(header, claims, key, algorithms=[algorithm])


_, ready = ask(f"{service}/readyz", {})
endpoint = ready["issuers"][0]["issuer"] + "oauth/token"
form = {"grant_type": "client_credentials", "client_id": "dev", "client_secret": "dev"}
url = f"{service}/api/private"
for algorithm, key in [
    ("ES256", ECKey.generate_key("P-256")),
    ("ES384", ECKey.generate_key("P-384")),
    ("EdDSA", OKPKey.generate_key("Ed25519")),
    ("RS256", RSAKey.generate_key(2048)),
    ("PS256", RSAKey.generate_key(3072)),
]:
    status, granted = ask(endpoint, {"DPoP": proof(key, algorithm, "POST", endpoint)}, form)
    assert (status, granted["token_type"]) == (200, "DPoP"), granted
    token = granted["access_token"]
    made = proof(key, algorithm, "GET", url, token)
    fields = {"Authorization": f"DPoP {token}", "DPoP": made}
    status, claims = ask(url, fields)
    assert status == 200, (algorithm, claims)
    assert claims["cnf"]["jkt"] == key.thumbprint(), algorithm
    status, problem = ask(url, fields)
    assert (status, problem["code"]) == (401, "proof_replayed"), (algorithm, problem)
print("joserfc: passed")
