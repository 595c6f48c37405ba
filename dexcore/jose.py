"""Signed tokens: JWS, JWK and JWA (RFC 7515, 7517, 7518) and nothing else of JOSE.

Tokens of ours are signed and checked by hand, on keys that were loaded once: their
header is one of a few strings known in advance.  Every other header takes the strict
way through jwcrypto, which no other module imports.  Either way the key says which
algorithm it is for; the header is only believed if it says the same (RFC 8725 section
3.1).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
import secrets

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs
import orjson

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

__all__ = [
    "ALGORITHMS",
    "InvalidJWS",
    "KeySet",
    "SigningKey",
    "b64decode",
    "b64encode",
    "generate",
    "left_half_hash",
    "public",
    "verify_with_jwks",
    "warm_up",
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

#: The longest token that is looked at, in characters.
MOST_TOKEN = 64 * 1024

#: The ``typ`` our own tokens have, if any: RFC 9068, Back-Channel Logout section 2.4.
_TYPES = (None, "at+jwt", "logout+jwt")

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
_TIMES = ("exp", "iat", "nbf", "auth_time")

# RFC 7515 section 4.1: these would bring a key of their own, another payload, or rules
# we do not know.  A token of ours never has them.
_BRINGS_A_KEY = frozenset(("jwk", "jku", "x5u"))
_CHANGES_THE_RULES = frozenset(("crit", "b64", "zip", "enc"))

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+")

_Sign = Callable[[bytes], bytes]
_Check = Callable[[bytes, bytes], None]


class InvalidJWS(Exception):
    """The token is not a JWS, or no key of ours has signed it."""


# — Encoding ---------------------------------------------------------------------------


def b64encode(data: bytes) -> str:
    """Return *data* in base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64decode(text: str) -> bytes:
    """Return what :func:`b64encode` made *text* of; raise ``ValueError`` for the rest.

    Padding, foreign characters and stray bits at the end are all refused: one value has
    one spelling.
    """
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if b64encode(data) != text:
        raise ValueError("This is not base64url without padding.")
    return data


def left_half_hash(algorithm: str, text: str) -> str:
    """Return ``at_hash`` or ``c_hash`` (OpenID Connect Core section 3.1.3.6).

    Ed25519 hashes with SHA-512 inside, so EdDSA does here too.
    """
    name = "sha512" if algorithm == "EdDSA" else f"sha{algorithm[-3:]}"
    digest = hashlib.new(name, text.encode("ascii")).digest()
    return b64encode(digest[: len(digest) // 2])


# — Keys -------------------------------------------------------------------------------


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


def public(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """Return the public half of *jwk*, in the order dex writes it."""
    return {name: jwk[name] for name in _PUBLIC_MEMBERS if jwk.get(name)}


@attrs.frozen(eq=False)
class SigningKey:
    """A key that signs, loaded and ready.

    ``private`` and ``public`` are its JWKs; ``slow`` is whether a signature takes so
    long (RSA: a quarter of a millisecond) that others should get a turn in between.
    """

    algorithm: str
    kid: str
    private: Mapping[str, Any] = attrs.field(repr=False)
    public: Mapping[str, Any] = attrs.field(repr=False)
    slow: bool
    _signature: _Sign = attrs.field(repr=False)
    _headers: dict[str | None, str] = attrs.field(repr=False)

    @classmethod
    def load(cls, jwk: Mapping[str, Any]) -> SigningKey:
        """Load a private JWK from our own storage; raise ``ValueError``.

        Proving that RSA primes are prime takes OpenSSL 36 ms and is left out: the key
        is ours.  That its parts belong together is shown by a signature.
        """
        try:
            algorithm = _algorithm(jwk)
            sign = _signer(algorithm, _private_key(jwk))
            _checker(algorithm, _public_key(jwk))(sign(b"ours"), b"ours")
        except (LookupError, TypeError, ValueError, InvalidSignature) as error:
            raise ValueError(f"The stored signing key is unusable: {error!r}") from None
        kid = str(jwk.get("kid", ""))
        known = public({**jwk, "use": "sig", "alg": algorithm})
        slow = jwk["kty"] == "RSA"
        return cls(algorithm, kid, jwk, known, slow, sign, _headers(algorithm, kid))

    def sign(self, payload: bytes, typ: str | None = None) -> str:
        """Return *payload* as a compact JWS (RFC 7515 section 7.1)."""
        header = self._headers.get(typ) or _header(self.algorithm, self.kid, typ)
        signed = f"{header}.{b64encode(payload)}"
        return f"{signed}.{b64encode(self._signature(signed.encode('ascii')))}"


@attrs.frozen(eq=False)
class KeySet:
    """The keys of a moment: one signs, all of them verify.  Immutable.

    ``algorithm`` and ``kid`` are the signing key's, ``algorithms`` those of all keys,
    the signing one's first, and ``jwks`` is what the ``jwks_uri`` answers (RFC 7517
    section 5).
    """

    algorithm: str
    kid: str
    algorithms: tuple[str, ...]
    jwks: bytes
    _known: Mapping[str, _Check] = attrs.field(repr=False)
    _keys: Sequence[_PublicKey] = attrs.field(repr=False)

    @classmethod
    def of(cls, signing: SigningKey, others: Iterable[Mapping[str, Any]]) -> KeySet:
        """Make a key set of the signing key and the public JWKs of the *others*.

        One that cannot be read, or has a ``kid`` that came before, is left out.
        """
        jwks = {signing.kid: dict(signing.public)}
        known = _known(signing.public)
        for jwk in others:
            kid = str(jwk.get("kid", ""))
            if kid in jwks:
                continue
            try:
                known = {**_known(jwk), **known}
            except (KeyError, TypeError, ValueError):
                continue
            jwks[kid] = public({**jwk, "use": "sig", "alg": _algorithm(jwk)})
        listed = [*jwks.values()]
        return cls(
            algorithm=signing.algorithm,
            kid=signing.kid,
            algorithms=tuple(dict.fromkeys(jwk["alg"] for jwk in listed)),
            jwks=orjson.dumps({"keys": listed}, option=orjson.OPT_INDENT_2),
            known=known,
            keys=[_PublicKey(jwk) for jwk in listed],
        )

    def verify(self, token: str) -> tuple[dict[str, Any], bytes]:
        """Return the claims and the payload of a token of ours; raise ``InvalidJWS``.

        Nothing but the signature and the shape of the claims is checked here: whose
        token it is, for whom and until when is the caller's business.
        """
        signed, _, signature = token.rpartition(".")
        header, _, body = signed.partition(".")
        check = self._known.get(header)
        if check is None:
            payload = _verify_strictly(
                token, self._keys, self.algorithms, _BRINGS_A_KEY | _CHANGES_THE_RULES
            )
        else:
            payload = _verify_known(token, check, signed, signature, body)
        claims = _claims(payload)
        for name in _TIMES:
            moment = claims.get(name, 0)
            if type(moment) is not int or moment < 0:
                raise InvalidJWS(f"{name} is not a time.")
        return claims, payload


def verify_with_jwks(
    token: str, jwks: Mapping[str, Any], algorithms: Iterable[str]
) -> tuple[dict[str, Any], bytes]:
    """Return the claims and the payload of a token that somebody else has signed.

    *jwks* is the signer's JWK set; *algorithms* are the ones we accept from it.  Keys
    that are not for signatures are passed over, and so is any key the token brings
    along (RFC 8725 section 3.5).  Raises ``InvalidJWS``.
    """
    try:
        keys = [_PublicKey(jwk) for jwk in jwks["keys"] if _is_for_signatures(jwk)]
    except (KeyError, TypeError, AttributeError):
        raise InvalidJWS("This is no JWK set.") from None
    accepted = tuple(name for name in algorithms if name in ALGORITHMS)
    payload = _verify_strictly(token, keys, accepted, _CHANGES_THE_RULES)
    claims = _claims(payload)
    for name in _TIMES:
        moment = claims.get(name, 0)
        if type(moment) not in (int, float) or not 0 <= moment < math.inf:
            raise InvalidJWS(f"{name} is not a time.")
    return claims, payload


def warm_up() -> None:
    """Import what only unusual tokens need, so that the first does not wait for it."""
    _jwcrypto()


# — The usual way ----------------------------------------------------------------------


def _header(algorithm: str, kid: str, typ: str | None) -> str:
    header = {"alg": algorithm, "kid": kid}
    if typ is not None:
        header["typ"] = typ
    return b64encode(orjson.dumps(header))


def _headers(algorithm: str, kid: str) -> dict[str | None, str]:
    return {typ: _header(algorithm, kid, typ) for typ in _TYPES}


def _known(jwk: Mapping[str, Any]) -> dict[str, _Check]:
    algorithm = _algorithm(jwk)
    check = _checker(algorithm, _public_key(jwk))
    headers = _headers(algorithm, str(jwk.get("kid", "")))
    return {header: check for header in headers.values()}


def _verify_known(
    token: str, check: _Check, signed: str, signature: str, body: str
) -> bytes:
    if len(token) > MOST_TOKEN:
        raise InvalidJWS("The token is too long.")
    try:
        payload = b64decode(body)
        check(b64decode(signature), signed.encode("ascii"))
    except (ValueError, InvalidSignature):
        raise InvalidJWS("The signature is wrong.") from None
    return payload


def _claims(payload: bytes) -> dict[str, Any]:
    try:
        found: Any = orjson.loads(payload)
        # What comes out as it went in has no member twice; the rest is read strictly.
        if not isinstance(found, dict) or orjson.dumps(found) != payload:
            return _load_strictly(payload)
    except (ValueError, TypeError, RecursionError):
        raise InvalidJWS("The payload is not a JSON object.") from None
    claims: dict[str, Any] = found
    return claims


def _load_strictly(text: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        # RFC 7515 section 4, RFC 7519 section 4: no name comes twice.
        if len(found) != len(pairs):
            raise ValueError("a member comes twice")
        return found

    def finite(text: str) -> float:
        number = float(text)
        if not math.isfinite(number):
            raise ValueError("a number is too large")
        return number

    def never(text: str) -> None:
        raise ValueError(f"{text} is not JSON")

    found = json.loads(
        text.decode("utf-8"),
        object_pairs_hook=once,
        parse_float=finite,
        parse_constant=never,
    )
    if not isinstance(found, dict):
        raise ValueError("this is not an object")
    return found


# — The strict way ---------------------------------------------------------------------


def _jwcrypto() -> tuple[Any, Any]:
    # Imported at first use: it takes a tenth of a second, and usual tokens need none.
    from jwcrypto.jwk import JWK
    from jwcrypto.jws import JWS

    return JWK, JWS


@attrs.define(eq=False)
class _PublicKey:
    jwk: Mapping[str, Any]
    _loaded: Any = attrs.field(default=None, init=False, repr=False)

    def fits(self, algorithm: str) -> bool:
        kind = (self.jwk.get("kty"), self.jwk.get("crv") or "")
        return kind == ALGORITHMS[algorithm] and self.jwk.get("alg") in (
            None,
            algorithm,
        )

    def loaded(self) -> Any:
        if self._loaded is None:
            # OpenSSL takes its time over the powers of a huge RSA exponent.
            if len(self.jwk.get("n", "")) > 2800 or len(self.jwk.get("e", "")) > 8:
                raise ValueError("the key is too large")
            members = {
                name: self.jwk[name] for name in _KEY_MEMBERS if name in self.jwk
            }
            self._loaded = _jwcrypto()[0](**members)
        return self._loaded


_KEY_MEMBERS = ("kty", "crv", "x", "y", "n", "e")


def _is_for_signatures(jwk: Mapping[str, Any]) -> bool:
    # RFC 7517 sections 4.2 and 4.3.
    return jwk.get("use", "sig") == "sig" and "verify" in jwk.get(
        "key_ops", ("verify",)
    )


def _verify_strictly(
    token: str,
    keys: Sequence[_PublicKey],
    algorithms: Sequence[str],
    refused: frozenset[str],
) -> bytes:
    if len(token) > MOST_TOKEN or not _COMPACT.fullmatch(token):
        raise InvalidJWS("This is not a compact JWS.")
    header = _strict_header(token, refused)
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise InvalidJWS("The algorithm is not one of ours.")
    for key in keys:
        if "kid" in header and kid != key.jwk.get("kid"):
            continue
        if key.fits(algorithm) and (payload := _payload(token, key, algorithm)):
            return payload
    raise InvalidJWS("No key of ours has signed this.")


def _strict_header(token: str, refused: frozenset[str]) -> dict[str, Any]:
    try:
        for part in token.split("."):
            b64decode(part)
        header = _load_strictly(b64decode(token.partition(".")[0]))
    except (ValueError, RecursionError):
        raise InvalidJWS("This is not a compact JWS.") from None
    if refused & header.keys():
        raise InvalidJWS("The header asks for what we do not do.")
    return header


def _payload(token: str, key: _PublicKey, algorithm: str) -> bytes | None:
    jws = _jwcrypto()[1]()
    # The list is not empty: an empty one would mean jwcrypto's default.
    jws.allowed_algs = [algorithm]
    try:
        jws.deserialize(token)
        jws.verify(key.loaded(), algorithm)
    except Exception:
        # jwcrypto and a foreign key fail in many ways; all of them say no.
        return None
    payload: bytes = jws.payload
    return payload


# — Algorithms -------------------------------------------------------------------------


def _algorithm(jwk: Mapping[str, Any]) -> str:
    """Return what *jwk* is for; a key that does not say so gets its kind's default."""
    kind = (jwk["kty"], jwk.get("crv") or "")
    algorithm: str = jwk.get("alg") or _DEFAULTS[kind]
    if ALGORITHMS.get(algorithm) != kind:
        raise ValueError(f"{algorithm} does not fit the key")
    return algorithm


def _private_key(jwk: Mapping[str, Any]) -> Any:
    if jwk["kty"] == "RSA":
        return _rsa_private(jwk)
    if jwk["kty"] == "EC":
        curve = _CURVES[jwk["crv"]]
        numbers = ec.EllipticCurvePublicNumbers(_int(jwk["x"]), _int(jwk["y"]), curve)
        return ec.EllipticCurvePrivateNumbers(_int(jwk["d"]), numbers).private_key()
    return ed25519.Ed25519PrivateKey.from_private_bytes(b64decode(jwk["d"]))


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


def _public_key(jwk: Mapping[str, Any]) -> Any:
    if jwk["kty"] == "RSA":
        return rsa.RSAPublicNumbers(_int(jwk["e"]), _int(jwk["n"])).public_key()
    if jwk["kty"] == "EC":
        x, y = _int(jwk["x"]), _int(jwk["y"])
        return ec.EllipticCurvePublicNumbers(x, y, _CURVES[jwk["crv"]]).public_key()
    return ed25519.Ed25519PublicKey.from_public_bytes(b64decode(jwk["x"]))


def _signer(algorithm: str, key: Any) -> _Sign:
    """Return what makes a raw signature (RFC 7518 section 3, RFC 8037 section 3.1)."""
    if algorithm == "EdDSA":
        sign: _Sign = key.sign
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


def _checker(algorithm: str, key: Any) -> _Check:
    """Return what checks a raw signature: ``InvalidSignature`` or ``ValueError``."""
    if algorithm == "EdDSA":
        check: _Check = key.verify
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


def _padding(algorithm: str, digest: hashes.HashAlgorithm) -> Any:
    if algorithm.startswith("PS"):
        return padding.PSS(padding.MGF1(digest), digest.digest_size)
    return padding.PKCS1v15()


def _size(curve: ec.EllipticCurve) -> int:
    return (curve.key_size + 7) // 8


def _new_rsa() -> dict[str, str]:
    key = rsa.generate_private_key(65537, 2048).private_numbers()
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
    key = ec.generate_private_key(_CURVES[curve]).private_numbers()
    size = _size(_CURVES[curve])
    numbers = {"x": key.public_numbers.x, "y": key.public_numbers.y}
    # RFC 7518 sections 6.2.1.2 and 6.2.2.1: always of full length.
    return {
        name: _text(number, size)
        for name, number in {**numbers, "d": key.private_value}.items()
    }


def _new_ed25519() -> dict[str, str]:
    key = ed25519.Ed25519PrivateKey.generate()
    return {
        "x": b64encode(key.public_key().public_bytes_raw()),
        "d": b64encode(key.private_bytes_raw()),
    }


def _int(text: str) -> int:
    return int.from_bytes(b64decode(text), "big")


def _text(number: int, size: int = 0) -> str:
    return b64encode(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))
