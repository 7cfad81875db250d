"""Compares our verdicts with PyJWT's, over the corpus that tests/tokens/second_opinion.rs has written.

What we accept, PyJWT must accept. What we refuse and PyJWT accepts must be of a class that stands in
STRICTER, with the sentence that decides it. A class that PyJWT has come to refuse may stay there.
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
    ' "application/at+jwt" and reject tokens carrying any other value." JWT and none are taken besides, as issuers'
    ' of the older kind have them; PyJWT leaves typ to its caller.'
)
UTF_8 = (
    'RFC 8259 section 8.1: "JSON text exchanged between systems that are not part of a closed ecosystem MUST be encoded'
    ' using UTF-8", and RFC 7515 section 3 builds a header from its UTF-8. PyJWT guesses the encoding.'
)

# class -> why we refuse what PyJWT accepts.
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
        ' token"; RFC 7800 leaves other bindings to the application, and this one checks none.'
    ),
    "header: a member twice": HEADER_TWICE,
    "header: kid twice": HEADER_TWICE,
    "header: b64": (
        'RFC 7797 section 7: "For interoperability reasons, JSON Web Tokens [JWT] MUST NOT use "b64" with a "false"'
        ' value." Other values are no use to an access token, and some readers take them for false.'
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
    """As we choose: by kid; without one, the only key that fits."""
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
    except Exception as error:  # a crash is no verdict; a service would answer 500
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
                wrong.append(f"we refuse ({ours}), PyJWT accepts: {row['class']}\n    {row['token']}")
        else:
            wrong.append(f"we accept, PyJWT refuses ({theirs}): {row['class']}\n    {row['token']}")

    print(f"{len(corpus['tokens'])} tokens, PyJWT {jwt.__version__}")
    print(f"{agreed[True]:6} accepted by both\n{agreed[False]:6} refused by both")
    print(f"{sum(stricter.values()):6} refused by us alone:")
    for name, count in sorted(stricter.items()):
        print(f"  {count:6} {name}\n         {STRICTER.get(name, 'not listed')}")
    print(f"{sum(crashed.values()):6} on which PyJWT raised something that is no PyJWTError:")
    for (name, error), count in sorted(crashed.items()):
        print(f"  {count:6} {name}: {error}")
    print(f"{len(wrong):6} that nothing explains")
    for line in wrong[:20]:
        print(" ", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
