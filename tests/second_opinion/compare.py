"""Compares our verdicts with PyJWT's, for the tokens that tests/tokens/second_opinion.rs writes.

PyJWT must accept every token that we accept. If we reject a token that PyJWT accepts, its class must be in
STRICTER, with the sentence of the RFC that decides it. A class may stay there after PyJWT starts to reject it.
"""

import collections
import json
import sys

import jwt

NUMERIC = 'RFC 7519 section 4.1.4 (and 4.1.5, 4.1.6): "Its value MUST be a number containing a NumericDate value."'
HEADER_TWICE = (
    'RFC 7515 section 4: "The Header Parameter names within the JOSE Header MUST be unique; JWS parsers MUST either'
    ' reject JWSs with duplicate Header Parameter names or use a JSON parser that returns only the lexically last'
    ' duplicate member name". We reject, PyJWT takes the last.'
)
CLAIM_TWICE = (
    'RFC 7519 section 4: "The Claim Names within a JWT Claims Set MUST be unique; JWT parsers MUST either reject JWTs'
    ' with duplicate Claim Names or use a JSON parser that returns only the lexically last duplicate member name".'
    ' We reject, PyJWT takes the last.'
)
TYP = (
    'RFC 9068 section 4: "The resource server MUST verify that the "typ" header value is "at+jwt" or'
    ' "application/at+jwt" and reject tokens carrying any other value." We also accept JWT and no typ, because older'
    ' issuers use them; PyJWT leaves typ to its caller.'
)
UTF_8 = (
    'RFC 8259 section 8.1: "JSON text exchanged between systems that are not part of a closed ecosystem MUST be encoded'
    ' using UTF-8", and RFC 7515 section 3 builds a header from its UTF-8. PyJWT guesses the encoding.'
)

# class -> why we reject a token that PyJWT accepts.
STRICTER = {
    "claims: a date as a boolean": NUMERIC,
    "claims: a date as a string": NUMERIC,
    "claims: a member twice": CLAIM_TWICE,
    "claims: a number beyond a double": (
        'RFC 8259 section 6: "This specification allows implementations to set limits on the range and precision of'
        ' numbers accepted." PyJWT reads an infinity.'
    ),
    "claims: cnf": (
        'RFC 9449 section 7.2: "such a protected resource MUST reject a DPoP-bound access token received as a bearer'
        ' token"; RFC 7800 leaves other bindings to the application, and the service in this test enables none.'
    ),
    "header: a member twice": HEADER_TWICE,
    "header: kid twice": HEADER_TWICE,
    "header: b64": (
        'RFC 7797 section 7: "For interoperability reasons, JSON Web Tokens [JWT] MUST NOT use "b64" with a "false"'
        ' value." An access token has no use for other values, and some libraries read them as false.'
    ),
    "header: typ of another kind": TYP,
    "header: typ of another type": TYP,
    "text: NaN and Infinity": (
        'RFC 8259 section 6: "Numeric values that cannot be represented in the grammar below (such as Infinity and NaN)'
        ' are not permitted."'
    ),
    "text: UTF-16": UTF_8,
    "text: a byte order mark": (
        'RFC 8259 section 8.1: "Implementations MUST NOT add a byte order mark (U+FEFF) to the beginning of a'
        ' networked-transmitted JSON text."'
    ),
    "text: a lone surrogate": (
        'RFC 8259 section 8.2: "the behavior of software that receives JSON texts containing such values is'
        ' unpredictable"; RFC 7493 section 2.1 forbids them.'
    ),
    "token: padding": (
        'RFC 7515 section 2: base64url is "with all trailing \'=\' characters omitted [...] and without the inclusion of'
        ' any line breaks, whitespace, or other additional characters".'
    ),
}


def key_for(keys, header):
    """Chooses the key as the library does: by kid, or without a kid the only key for the algorithm."""
    kid = header.get("kid")
    if kid is not None:
        fitting = [key for key in keys if key.key_id == kid]
    else:
        fitting = [key for key in keys if key.algorithm_name == header.get("alg")]
    if len(fitting) != 1:
        raise jwt.InvalidKeyError("no key, or several")
    return fitting[0]


def opinion(corpus, keys, token):
    try:
        header = jwt.get_unverified_header(token)
        jwt.decode(
            token,
            key_for(keys, header),
            algorithms=corpus["algorithms"],
            audience=corpus["audience"],
            issuer=corpus["issuer"],
            leeway=corpus["leeway"],
            options={"require": ["exp", "iss", "aud"]},
        )
        return "accepted"
    except jwt.PyJWTError as error:
        return type(error).__name__
    except Exception as error:  # PyJWT crashed; a service that uses it would answer 500
        return f"crashed: {type(error).__name__}"


def main(path):
    with open(path, encoding="utf-8") as file:
        corpus = json.load(file)
    keys = jwt.PyJWKSet.from_dict(corpus["jwks"]).keys
    agreed = collections.Counter()
    stricter = collections.Counter()
    crashed = collections.Counter()
    wrong = []
    for row in corpus["tokens"]:
        ours, theirs = row["ours"], opinion(corpus, keys, row["token"])
        if theirs.startswith("crashed"):
            crashed[row["class"], theirs] += 1
        if (ours == "accepted") == (theirs == "accepted"):
            agreed[ours == "accepted"] += 1
        elif theirs == "accepted":
            stricter[row["class"]] += 1
            if row["class"] not in STRICTER:
                wrong.append(f"we reject ({ours}), PyJWT accepts: {row['class']}\n    {row['token']}")
        else:
            wrong.append(f"we accept, PyJWT rejects ({theirs}): {row['class']}\n    {row['token']}")

    print(f"{len(corpus['tokens'])} tokens, PyJWT {jwt.__version__}")
    print(f"{agreed[True]:6} accepted by both\n{agreed[False]:6} rejected by both")
    print(f"{sum(stricter.values()):6} rejected only by us:")
    for name, count in sorted(stricter.items()):
        print(f"  {count:6} {name}\n         {STRICTER.get(name, 'not listed')}")
    print(f"{sum(crashed.values()):6} for which PyJWT raised an exception other than PyJWTError:")
    for (name, error), count in sorted(crashed.items()):
        print(f"  {count:6} {name}: {error}")
    print(f"{len(wrong):6} unexplained differences")
    for line in wrong[:20]:
        print(" ", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
