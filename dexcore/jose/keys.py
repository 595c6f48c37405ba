"""Keys, and raw signatures by them (RFC 7517, RFC 7518 sections 3 and 6, RFC 8037)."""

from __future__ import annotations

import hashlib
import secrets

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from .encoding import b64decode, b64encode

__all__ = [
    "ALGORITHMS",
    "Check",
    "Sign",
    "algorithm_of",
    "checker",
    "generate",
    "jwk_of_pem",
    "private_key_of",
    "public",
    "public_key_of",
    "signer",
    "thumbprint",
]

#: What a token may be signed with, and the ``kty`` and ``crv`` of the key that fits.
ALGORITHMS: Mapping[str, tuple[str, str]] = {
    "RS256": ("RSA", ""),
    "RS384": ("RSA", ""),
    "RS512": ("RSA", ""),
    "PS256": ("RSA", ""),
    "PS384": ("RSA", ""),
    "PS512": ("RSA", ""),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}

_DEFAULTS = {kind: name for name, kind in reversed([*ALGORITHMS.items()])}
_HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_CURVES: Mapping[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_PUBLIC_MEMBERS = ("use", "kty", "kid", "crv", "alg", "x", "y", "n", "e")

Sign = Callable[[bytes], bytes]
Check = Callable[[bytes, bytes], None]


def generate(algorithm: str) -> dict[str, Any]:
    """Make a key for *algorithm*; return it as a private JWK with a random ``kid``.

    An RSA key takes a tenth of a second: never on the event loop.
    """
    kind, curve = ALGORITHMS[algorithm]
    head = {"use": "sig", "kty": kind, "kid": secrets.token_hex(20)}
    if kind == "RSA":
        return {**head, "alg": algorithm, **_new_rsa()}
    if kind == "EC":
        return {**head, "crv": curve, "alg": algorithm, **_new_ec(curve)}
    return {**head, "crv": curve, "alg": algorithm, **_new_ed25519()}


def jwk_of_pem(pem: bytes) -> dict[str, Any]:
    """Return the private key in *pem* as a JWK; raise ``ValueError``.

    Its ``kid`` is the key's thumbprint.  An RSA key takes some hundredths of a second.
    """
    # It brings bcrypt, for keys of SSH: a start that reads no such file does without.
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"This is no unencrypted private key: {error}") from None
    jwk: dict[str, Any] = {"use": "sig"}
    if isinstance(key, rsa.RSAPrivateKey):
        jwk |= {"kty": "RSA", **_rsa_members(key)}
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        jwk |= {"kty": "OKP", "crv": "Ed25519", **_ed25519_members(key)}
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        names = {curve.name: name for name, curve in _CURVES.items()}
        if key.curve.name not in names:
            raise ValueError(f"The curve {key.curve.name} is not for signatures here.")
        curve = names[key.curve.name]
        jwk |= {"kty": "EC", "crv": curve, **_ec_members(key, curve)}
    else:
        raise ValueError("A key of this kind signs no tokens.")
    return {**jwk, "alg": algorithm_of(jwk), "kid": thumbprint(jwk)}


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Return the SHA-256 thumbprint of *jwk* (RFC 7638 section 3)."""
    names = {"RSA": "e kty n", "EC": "crv kty x y", "OKP": "crv kty x"}[jwk["kty"]]
    members = orjson.dumps({name: jwk[name] for name in names.split()})
    return b64encode(hashlib.sha256(members).digest())


def public(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """Return the public half of *jwk*, in the order dex writes it."""
    return {name: jwk[name] for name in _PUBLIC_MEMBERS if jwk.get(name)}


def algorithm_of(jwk: Mapping[str, Any]) -> str:
    """Return what *jwk* is for; a key that does not say so gets its kind's default."""
    kind = (jwk["kty"], jwk.get("crv") or "")
    algorithm: str = jwk.get("alg") or _DEFAULTS[kind]
    if ALGORITHMS.get(algorithm) != kind:
        raise ValueError(f"{algorithm} does not fit the key")
    return algorithm


def private_key_of(jwk: Mapping[str, Any]) -> Any:
    """Return the private key in *jwk*; ``KeyError``, ``TypeError``, ``ValueError``.

    That an RSA key is one is not checked: for keys of our own only.
    """
    if jwk["kty"] == "RSA":
        return _rsa_private(jwk)
    if jwk["kty"] == "EC":
        curve = _CURVES[jwk["crv"]]
        numbers = ec.EllipticCurvePublicNumbers(_int(jwk["x"]), _int(jwk["y"]), curve)
        return ec.EllipticCurvePrivateNumbers(_int(jwk["d"]), numbers).private_key()
    return ed25519.Ed25519PrivateKey.from_private_bytes(b64decode(jwk["d"]))


def public_key_of(jwk: Mapping[str, Any]) -> Any:
    """Return the public key in *jwk*; ``KeyError``, ``TypeError``, ``ValueError``."""
    if jwk["kty"] == "RSA":
        return rsa.RSAPublicNumbers(_int(jwk["e"]), _int(jwk["n"])).public_key()
    if jwk["kty"] == "EC":
        x, y = _int(jwk["x"]), _int(jwk["y"])
        return ec.EllipticCurvePublicNumbers(x, y, _CURVES[jwk["crv"]]).public_key()
    return ed25519.Ed25519PublicKey.from_public_bytes(b64decode(jwk["x"]))


def signer(algorithm: str, key: Any) -> Sign:
    """Return what makes a raw signature (RFC 7518 section 3, RFC 8037 section 3.1)."""
    if algorithm == "EdDSA":
        sign: Sign = key.sign
        return sign
    digest = _HASHES[algorithm[-3:]]
    if algorithm.startswith("ES"):
        method, size = ec.ECDSA(digest), _size(key.curve)

        def sign_ec(data: bytes) -> bytes:
            r, s = decode_dss_signature(key.sign(data, method))
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")

        return sign_ec
    scheme = _padding(algorithm, digest)
    return lambda data: bytes(key.sign(data, scheme, digest))


def checker(algorithm: str, key: Any) -> Check:
    """Return what checks a raw signature: ``InvalidSignature`` or ``ValueError``."""
    if algorithm == "EdDSA":
        check: Check = key.verify
        return check
    digest = _HASHES[algorithm[-3:]]
    if algorithm.startswith("ES"):
        method, size = ec.ECDSA(digest), _size(key.curve)

        def check_ec(signature: bytes, data: bytes) -> None:
            if len(signature) != 2 * size:
                raise ValueError("the signature has the wrong length")
            r = int.from_bytes(signature[:size], "big")
            s = int.from_bytes(signature[size:], "big")
            key.verify(encode_dss_signature(r, s), data, method)

        return check_ec
    scheme = _padding(algorithm, digest)

    def check_rsa(signature: bytes, data: bytes) -> None:
        key.verify(signature, data, scheme, digest)

    return check_rsa


def _rsa_private(jwk: Mapping[str, Any]) -> rsa.RSAPrivateKey:
    n, e, d = _int(jwk["n"]), _int(jwk["e"]), _int(jwk["d"])
    if all(jwk.get(name) for name in ("p", "q", "dp", "dq", "qi")):
        p, q, dp, dq, qi = (_int(jwk[name]) for name in ("p", "q", "dp", "dq", "qi"))
    else:
        p, q = rsa.rsa_recover_prime_factors(n, e, d)
        dp, dq = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q)
        qi = rsa.rsa_crt_iqmp(p, q)
    if p * q != n:
        raise ValueError("the primes are not those of the modulus")
    numbers = rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(e, n))
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _padding(algorithm: str, digest: hashes.HashAlgorithm) -> Any:
    if algorithm.startswith("PS"):
        return padding.PSS(padding.MGF1(digest), digest.digest_size)
    return padding.PKCS1v15()


def _size(curve: ec.EllipticCurve) -> int:
    return (curve.key_size + 7) // 8


def _new_rsa() -> dict[str, str]:
    return _rsa_members(rsa.generate_private_key(65537, 2048))


def _rsa_members(private: rsa.RSAPrivateKey) -> dict[str, str]:
    key = private.private_numbers()
    numbers = {
        "n": key.public_numbers.n,
        "e": key.public_numbers.e,
        "d": key.d,
        "p": key.p,
        "q": key.q,
        "dp": key.dmp1,
        "dq": key.dmq1,
        "qi": key.iqmp,
    }
    return {name: _text(number) for name, number in numbers.items()}


def _new_ec(curve: str) -> dict[str, str]:
    return _ec_members(ec.generate_private_key(_CURVES[curve]), curve)


def _ec_members(private: ec.EllipticCurvePrivateKey, curve: str) -> dict[str, str]:
    key = private.private_numbers()
    size = _size(_CURVES[curve])
    numbers = {"x": key.public_numbers.x, "y": key.public_numbers.y}
    # RFC 7518 sections 6.2.1.2 and 6.2.2.1: always of full length.
    return {
        name: _text(number, size)
        for name, number in {**numbers, "d": key.private_value}.items()
    }


def _new_ed25519() -> dict[str, str]:
    return _ed25519_members(ed25519.Ed25519PrivateKey.generate())


def _ed25519_members(key: ed25519.Ed25519PrivateKey) -> dict[str, str]:
    return {
        "x": b64encode(key.public_key().public_bytes_raw()),
        "d": b64encode(key.private_bytes_raw()),
    }


def _int(text: str) -> int:
    return int.from_bytes(b64decode(text), "big")


def _text(number: int, size: int = 0) -> str:
    return b64encode(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))
