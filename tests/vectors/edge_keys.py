#!/usr/bin/env python3
"""Writes edge_keys.json: keys just outside the range that a verifier should accept, and keys just inside it, each
with a token that it verifies.

Every signature is mathematically valid. So a verifier that does not check the key accepts the token, and a
rejection shows that it checks the key. The private keys are generated from a seed and not stored.

    python3 tests/vectors/edge_keys.py > tests/vectors/edge_keys.json
"""

import hashlib
import json
import random
from base64 import urlsafe_b64encode
from math import gcd

rng = random.Random("warp-bearer, keys at the edge")
CLAIMS = {
    "iss": "https://issuer.example/",
    "aud": "https://api.example.com",
    "sub": "auth0|mallory",
    "exp": 4102444800,
}


def b64(data):
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def integer(number):
    return b64(number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big"))


def signing_input(alg, kid, **claims):
    parts = ({"alg": alg, "kid": kid, "typ": "JWT"}, CLAIMS | claims)
    return ".".join(b64(json.dumps(part, separators=(",", ":")).encode()) for part in parts)


# RSA

SMALL = [p for p in range(3, 2000) if all(p % q for q in range(2, int(p**0.5) + 1))]


def is_prime(n):
    if any(n % p == 0 for p in SMALL):
        return n in SMALL
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(24):
        x = pow(rng.randrange(2, n - 1), odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def prime(bits, residue=1):
    """Returns a prime with its two highest bits set, so that the product of two has the sum of their lengths."""
    while True:
        p = rng.getrandbits(bits) | 3 << (bits - 2) | 1
        if p % 4 in (residue, 3) and is_prime(p):
            return p


def encoded(message, length):
    """EMSA-PKCS1-v1_5 with SHA-256 (RFC 8017 section 9.2)."""
    info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(message).digest()
    return int.from_bytes(b"\0\1" + b"\xff" * (length - len(info) - 3) + b"\0" + info, "big")


def rsa(name, why, primes, e, sign=None):
    n, phi = 1, 1
    for p in primes:
        n, phi = n * p, phi * (p - 1)
    length = (n.bit_length() + 7) // 8
    for jti in range(1000):
        text = signing_input("RS256", name, jti=str(jti))
        em = encoded(text.encode(), length)
        s = sign(em, n, primes) if sign else pow(em, pow(e, -1, phi), n)
        if s is not None and pow(s, e, n) == em % n:
            break
    else:
        raise SystemExit(f"no signature: {name}")
    jwk = {"kty": "RSA", "kid": name, "n": integer(n), "e": integer(e)}
    return entry(name, why, jwk, text, s.to_bytes(length, "big"))


def entry(name, why, jwk, text, signature):
    return {"name": name, "why": why, "jwk": jwk, "token": f"{text}.{b64(signature)}"}


def square_root(em, n, primes):
    """Returns the signature for e = 2 (Rabin), or None if the message has no square root modulo n."""
    p, q = primes
    roots = pow(em, (p + 1) // 4, p), pow(em, (q + 1) // 4, q)
    if roots[0] ** 2 % p != em % p or roots[1] ** 2 % q != em % q:
        return None
    return (roots[0] * q * pow(q, -1, p) + roots[1] * p * pow(p, -1, q)) % n


def with_exponent(bits, e):
    while True:
        p, q = prime(bits), prime(bits)
        if gcd(e, (p - 1) * (q - 1)) == 1:
            return p, q


def of_2047_bits():
    while True:
        p, q = prime(1024), prime(1023)
        if (p * q).bit_length() == 2047 and gcd(65537, (p - 1) * (q - 1)) == 1:
            return p, q


def of_many_primes(bits):
    """Returns eight primes, which are found faster than two large ones."""
    while True:
        primes = [prime(bits // 8) for _ in range(7)]
        n = 1
        for p in primes:
            n *= p
        primes.append(prime(bits - n.bit_length() + 1))
        n *= primes[-1]
        if n.bit_length() == bits and all(p % 65537 != 1 for p in primes):
            return primes


def good_rsa_keys():
    yield rsa("rsa-2048", "the smallest modulus", with_exponent(1024, 65537), 65537)
    yield rsa("rsa-2048, e = 3", "the smallest exponent", with_exponent(1024, 3), 3)
    yield rsa("rsa-2048, e = 2^33 - 1", "the largest exponent", with_exponent(1024, 2**33 - 1), 2**33 - 1)
    yield rsa("rsa-2049", "a bit more than whole bytes", of_many_primes(2049), 65537)
    yield rsa("rsa-3072", "a common modulus", of_many_primes(3072), 65537)
    yield rsa("rsa-4096", "a common modulus", of_many_primes(4096), 65537)
    yield rsa("rsa-8192", "the largest modulus", of_many_primes(8192), 65537)


def rsa_keys():
    p, q = with_exponent(1024, 65537)
    phi = (p - 1) * (q - 1)
    blum = []
    while len(blum) < 2:
        candidate = prime(1024, 3)
        if candidate % 4 == 3:
            blum.append(candidate)
    yield rsa("rsa-512", "a modulus of 512 bits", with_exponent(256, 65537), 65537)
    yield rsa("rsa-1024", "a modulus of 1024 bits", with_exponent(512, 65537), 65537)
    yield rsa("rsa-2047", "a modulus of 2047 bits", of_2047_bits(), 65537)
    yield rsa("rsa-8193", "a modulus of 8193 bits", of_many_primes(8193), 65537)
    yield rsa("rsa-e-1", "an exponent of 1: a signature is its own message", (p, q), 1)
    yield rsa("rsa-e-2", "an even exponent", blum, 2, square_root)
    yield rsa("rsa-e-34-bits", "an exponent beyond 2^33 - 1", with_exponent(1024, 2**33 + 3), 2**33 + 3)
    yield rsa("rsa-e-huge", "an exponent of 2048 bits", (p, q), 65537 + phi)
    even = 9
    while not is_prime(even):
        even = rng.getrandbits(2047) | 3 << 2045 | 1
    yield rsa("rsa-even", "an even modulus", (2, even), 65537)


# EC: the point at infinity is not a public key. If it is accepted, verification computes only u1 * G, so anyone can
# forge a signature.

P256 = {
    "crv": "P-256",
    "alg": "ES256",
    "hash": hashlib.sha256,
    "p": 2**256 - 2**224 + 2**192 + 2**96 - 1,
    "n": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "g": (
        0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    ),
}
P384 = {
    "crv": "P-384",
    "alg": "ES384",
    "hash": hashlib.sha384,
    "p": 2**384 - 2**128 - 2**96 + 2**32 - 1,
    "n": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    "g": (
        0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
        0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F,
    ),
}


def add(a, b, p):
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % p == 0:
        return None
    if a == b:
        slope = (3 * a[0] ** 2 - 3) * pow(2 * a[1], -1, p)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, p)
    x = (slope**2 - a[0] - b[0]) % p
    return x, (slope * (a[0] - x) - a[1]) % p


def times(k, point, p):
    product = None
    while k:
        if k & 1:
            product = add(product, point, p)
        point, k = add(point, point, p), k >> 1
    return product


def at_infinity(curve):
    name, length = f"{curve['crv']} at infinity", (curve["n"].bit_length() + 7) // 8
    text = signing_input(curve["alg"], name)
    h = int.from_bytes(curve["hash"](text.encode()).digest(), "big")
    s = rng.randrange(1, curve["n"])
    r = times(h * pow(s, -1, curve["n"]) % curve["n"], curve["g"], curve["p"])[0] % curve["n"]
    zero = b64(bytes(length))
    jwk = {"kty": "EC", "kid": name, "crv": curve["crv"], "x": zero, "y": zero}
    signature = r.to_bytes(length, "big") + s.to_bytes(length, "big")
    return entry(name, "the point at infinity, written 0, 0", jwk, text, signature)


# Ed25519: [S]B = R + [h]A. If A has small order, S = 0 and R = -[h]A satisfy this for one h in eight.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def edwards_add(a, b):
    k = D * a[0] * b[0] * a[1] * b[1]
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + k, -1, P)
    return x % P, (a[1] * b[1] + a[0] * b[0]) * pow(1 - k, -1, P) % P


def decompress(encoding):
    y = int.from_bytes(encoding, "little")
    sign, y = y >> 255, y % 2**255 % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert x * x % P == square
    return (-x % P if x % 2 != sign else x), y


def compress(point):
    return (point[1] | (point[0] % 2) << 255).to_bytes(32, "little")


def small_order(label, y, sign):
    name = f"Ed25519 {label}{', sign set' if sign else ''}"
    encoding = (y | sign << 255).to_bytes(32, "little")
    a = decompress(encoding)
    for jti in range(1000):
        text = signing_input("EdDSA", name, jti=str(jti))
        multiple = (0, 1)
        for t in range(8):
            r = compress((-multiple[0] % P, multiple[1]))
            h = int.from_bytes(hashlib.sha512(r + encoding + text.encode()).digest(), "little") % L
            if h % 8 == t:
                jwk = {"kty": "OKP", "kid": name, "crv": "Ed25519", "x": b64(encoding)}
                return entry(name, "a point of small order", jwk, text, r + bytes(32))
            multiple = edwards_add(multiple, a)
    raise SystemExit(f"no signature: {name}")


def ed25519_keys():
    # a point of order 8 is a random point times L
    while True:
        try:
            point = decompress(rng.getrandbits(255).to_bytes(32, "little"))
        except AssertionError:
            continue
        torsion, k, base = (0, 1), L, point
        while k:
            if k & 1:
                torsion = edwards_add(torsion, base)
            base, k = edwards_add(base, base), k >> 1
        double = edwards_add(torsion, torsion)
        if edwards_add(double, double) == (0, P - 1):
            break
    eighth = torsion[1], P - torsion[1]
    for label, y in [
        ("of order 1", 1),
        ("of order 2", P - 1),
        ("of order 4", 0),
        ("of order 8", min(eighth)),
        ("of order 8, the other", max(eighth)),
        ("of order 4, y = p", P),
        ("of order 1, y = p + 1", P + 1),
    ]:
        for sign in (0, 1):
            yield small_order(label, y, sign)


document = {
    "source": "tests/vectors/edge_keys.py",
    "refused": [*rsa_keys(), at_infinity(P256), at_infinity(P384), *ed25519_keys()],
    "accepted": [*good_rsa_keys()],
}
print(json.dumps(document, indent=1))
