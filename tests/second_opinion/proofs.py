"""Compares our verdicts on DPoP proofs with a second implementation of RFC 9449 section 4.3, for the proofs that
tests/tokens/second_opinion_of_proofs.rs writes. PyJWT parses the proofs and verifies their signatures; this script
implements the checks against the request.

This script must accept every proof that we accept. If we reject a proof that it accepts, its class must be in
STRICTER, with the sentence of the RFC that decides it.
"""

import base64
import collections
import hashlib
import json
import re
import sys
import urllib.parse

import jwt

from compare import CLAIM_TWICE, HEADER_TWICE, STRICTER as OF_TOKENS

# class -> why we reject a proof that this script accepts.
STRICTER = {
    "header: a member twice": HEADER_TWICE,
    "claims: a member twice": CLAIM_TWICE,
    "header: jwk for something else": (
        'RFC 7517 section 4.2: the "use" parameter "identifies the intended use of the public key". PyJWT ignores it.'
    ),
    "header: jwk with a private member": (
        'RFC 9449 section 4.3: "the jwk JOSE Header Parameter does not contain a private key". Members of other kinds'
        " of keys count here too; PyJWT ignores them."
    ),
    "proof: padding": OF_TOKENS["token: padding"],
    **{name: why for name, why in OF_TOKENS.items() if name.startswith("text: ")},
}
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "k"}
# RFC 7638 section 3.2, and RFC 8037 section 2.
REQUIRED = {"EC": ["crv", "kty", "x", "y"], "RSA": ["e", "kty", "n"], "OKP": ["crv", "kty", "x"]}


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def thumbprint(jwk):
    members = {name: jwk[name] for name in REQUIRED[jwk["kty"]]}
    text = json.dumps(members, separators=(",", ":"), sort_keys=True)
    return base64url(hashlib.sha256(text.encode()).digest())


def normalized(url):
    """Normalizes a URL (RFC 3986 sections 6.2.2 and 6.2.3), except for dot segments. Drops query and fragment."""
    parts = urllib.parse.urlsplit(url)
    port = parts.port if parts.port != {"http": 80, "https": 443}.get(parts.scheme) else None

    def escape(found):
        character = chr(int(found[1], 16))
        return character if re.match("[A-Za-z0-9._~-]", character) else found[0].upper()

    path = re.sub("%([0-9A-Fa-f]{2})", escape, parts.path)
    return parts.scheme, parts.hostname, port, path or "/"


def opinion(corpus, row):
    proof = row["proof"]
    if "," in proof:
        return "more than one"
    try:
        header = jwt.get_unverified_header(proof)
        jwk = header.get("jwk")
        if header.get("typ") != "dpop+jwt":
            return "typ"
        if header.get("alg") not in corpus["algorithms"]:
            return "alg"
        if not isinstance(jwk, dict) or PRIVATE & jwk.keys():
            return "jwk"
        if "crit" in header:
            return "crit"
        # `iat` is checked below. exp and nbf are not defined for a proof.
        options = {f"verify_{name}": False for name in ["exp", "nbf", "iat", "aud", "iss", "sub", "jti"]}
        key = jwt.PyJWK.from_dict(jwk, algorithm=header["alg"])
        claims = jwt.decode(proof, key, algorithms=[header["alg"]], options=options)
    except jwt.PyJWTError as error:
        return type(error).__name__
    except Exception as error:  # PyJWT crashed; a service that uses it would answer 500
        return f"crashed: {type(error).__name__}"
    issued, jti = claims.get("iat"), claims.get("jti")
    if claims.get("htm") != corpus["method"]:
        return "htm"
    if not isinstance(claims.get("htu"), str) or normalized(claims["htu"]) != normalized(corpus["url"]):
        return "htu"
    if isinstance(issued, bool) or not isinstance(issued, (int, float)):
        return "iat"
    # Our verdicts are some seconds older, hence the extra seconds. No proof in the corpus is that close to a limit
    age = corpus["now"] - issued
    if not -corpus["leeway"] - 1 <= age <= corpus["window"] + corpus["leeway"] + 60:
        return "iat"
    if claims.get("ath") != base64url(hashlib.sha256(row["token"].encode()).digest()):
        return "ath"
    if not isinstance(jti, str) or not 1 <= len(jti) <= 256:
        return "jti"
    return "accepted" if thumbprint(jwk) == row["jkt"] else "another key"


def main(path):
    with open(path, encoding="utf-8") as file:
        corpus = json.load(file)
    agreed, stricter, wrong = collections.Counter(), collections.Counter(), []
    for row in corpus["proofs"]:
        ours, theirs = row["ours"], opinion(corpus, row)
        if (ours == "accepted") == (theirs == "accepted"):
            agreed[ours == "accepted"] += 1
        elif theirs == "accepted":
            stricter[row["class"]] += 1
            if row["class"] not in STRICTER:
                wrong.append(f"we reject ({ours}), this script accepts: {row['class']}\n    {row['proof']}")
        else:
            wrong.append(f"we accept, this script rejects ({theirs}): {row['class']}\n    {row['proof']}")
    print(f"{len(corpus['proofs'])} proofs, PyJWT {jwt.__version__}")
    print(f"{agreed[True]:6} accepted by both\n{agreed[False]:6} rejected by both")
    print(f"{sum(stricter.values()):6} rejected only by us:")
    for name, count in sorted(stricter.items()):
        print(f"  {count:6} {name}\n         {STRICTER.get(name, 'not listed')}")
    print(f"{len(wrong):6} unexplained differences")
    for line in wrong[:20]:
        print(" ", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
