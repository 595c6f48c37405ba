"""Signed tokens: JWS, JWK and JWA (RFC 7515, 7517, 7518) and nothing else of JOSE.

Tokens of ours are signed and checked by hand, on keys that were loaded once: their
header is one of a few strings known in advance.  Every other header takes the strict
way through jwcrypto, which no other module imports.  Either way the key says which
algorithm it is for; the header is only believed if it says the same (RFC 8725 section
3.1).
"""

from __future__ import annotations

import contextlib
import math
import re

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import orjson

from cryptography.exceptions import InvalidSignature

from .encoding import b64decode, b64encode, left_half_hash, load_strictly
from .keys import (
    ALGORITHMS,
    Check,
    Sign,
    algorithm_of,
    checker,
    generate,
    jwk_of_pem,
    private_key_of,
    public,
    public_key_of,
    signer,
    thumbprint,
)
from .proofs import verify_by_own_key

__all__ = [
    "ALGORITHMS",
    "InvalidJWS",
    "KeySet",
    "PublicKeys",
    "SigningKey",
    "UnknownKey",
    "Verified",
    "b64decode",
    "b64encode",
    "generate",
    "jwk_of_pem",
    "left_half_hash",
    "load_strictly",
    "public",
    "thumbprint",
    "verify_by_own_key",
    "verify_with_jwks",
    "warm_up",
]

#: The longest token that is looked at, in characters.
MOST_TOKEN = 64 * 1024

#: The ``typ`` our own tokens have, if any: RFC 9068, Back-Channel Logout section 2.4.
_TYPES = (None, "at+jwt", "logout+jwt")

_TIMES = ("exp", "iat", "nbf", "auth_time")
_KEY_MEMBERS = ("kty", "crv", "x", "y", "n", "e")

# RFC 7515 section 4.1: these would bring a key of their own, another payload, or rules
# we do not know.  A token of ours never has them.
_BRINGS_A_KEY = frozenset(("jwk", "jku", "x5u"))
_CHANGES_THE_RULES = frozenset(("crit", "b64", "zip", "enc"))

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+")


class InvalidJWS(Exception):
    """The token is not a JWS, or no key of ours has signed it."""


class UnknownKey(InvalidJWS):
    """No key we know has signed the token: its signer may have a new one."""


# — Keys -------------------------------------------------------------------------------


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
    _signature: Sign = attrs.field(repr=False)
    _headers: dict[str | None, str] = attrs.field(repr=False)

    @classmethod
    def load(cls, jwk: Mapping[str, Any]) -> SigningKey:
        """Load a private JWK from our own storage; raise ``ValueError``.

        Proving that RSA primes are prime takes OpenSSL 36 ms and is left out: the key
        is ours.  That its parts belong together is shown by a signature.
        """
        try:
            algorithm = algorithm_of(jwk)
            sign = signer(algorithm, private_key_of(jwk))
            checker(algorithm, public_key_of(jwk))(sign(b"ours"), b"ours")
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
    _known: Mapping[str, Check] = attrs.field(repr=False)
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
            jwks[kid] = public({**jwk, "use": "sig", "alg": algorithm_of(jwk)})
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
            payload, _ = _verify_strictly(
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


@attrs.frozen
class Verified:
    """What a signature was right for, and what its header says.

    ``typ`` is in lower case and without ``application/``; a token that does not say of
    which type it is, is a ``jwt`` (RFC 8725 section 3.11).
    """

    claims: dict[str, Any]
    payload: bytes
    algorithm: str
    typ: str


@attrs.frozen(eq=False)
class PublicKeys:
    """The keys somebody else signs with, for tokens to verify one after the other.

    Keys that are not for signatures are passed over.
    """

    _keys: Sequence[_PublicKey]

    @classmethod
    def of(cls, jwks: Mapping[str, Any]) -> PublicKeys:
        """Return the keys of a JWK set (RFC 7517 section 5); raise ``InvalidJWS``."""
        try:
            return cls(
                [_PublicKey(jwk) for jwk in jwks["keys"] if _is_for_signatures(jwk)]
            )
        except (KeyError, TypeError, AttributeError):
            raise InvalidJWS("This is no JWK set.") from None

    def load(self) -> PublicKeys:
        """Import all keys now rather than at first use: for a thread.

        One that cannot be imported is no key of anybody.
        """
        for key in self._keys:
            with contextlib.suppress(Exception):  # jwcrypto fails in many ways
                key.loaded()
        return self

    def verify(self, token: str, algorithms: Iterable[str]) -> Verified:
        """Return what the token says; *algorithms* are the ones we accept.

        A key the token brings along is passed over (RFC 8725 section 3.5).  Raises
        ``UnknownKey`` if none of the keys has signed it, else ``InvalidJWS``.
        """
        accepted = tuple(name for name in algorithms if name in ALGORITHMS)
        payload, header = _verify_strictly(
            token, self._keys, accepted, _CHANGES_THE_RULES
        )
        claims = _claims(payload)
        for name in _TIMES:
            moment = claims.get(name, 0)
            if type(moment) not in (int, float) or not 0 <= moment < math.inf:
                raise InvalidJWS(f"{name} is not a time.")
        typ = header.get("typ", "jwt").lower().removeprefix("application/")
        return Verified(claims, payload, header["alg"], typ)


def verify_with_jwks(
    token: str, jwks: Mapping[str, Any], algorithms: Iterable[str]
) -> tuple[dict[str, Any], bytes]:
    """Return the claims and the payload of one token that somebody else has signed.

    *jwks* is the signer's JWK set; see :meth:`PublicKeys.verify`.
    """
    verified = PublicKeys.of(jwks).verify(token, algorithms)
    return verified.claims, verified.payload


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


def _known(jwk: Mapping[str, Any]) -> dict[str, Check]:
    algorithm = algorithm_of(jwk)
    check = checker(algorithm, public_key_of(jwk))
    headers = _headers(algorithm, str(jwk.get("kid", "")))
    return {header: check for header in headers.values()}


def _verify_known(
    token: str, check: Check, signed: str, signature: str, body: str
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
            return load_strictly(payload)
    except (ValueError, TypeError, RecursionError):
        raise InvalidJWS("The payload is not a JSON object.") from None
    claims: dict[str, Any] = found
    return claims


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
        only = self.jwk.get("alg", algorithm)
        return kind == ALGORITHMS[algorithm] and only == algorithm

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
) -> tuple[bytes, dict[str, Any]]:
    if len(token) > MOST_TOKEN or not _COMPACT.fullmatch(token):
        raise InvalidJWS("This is not a compact JWS.")
    header = _strict_header(token, refused)
    algorithm, kid = header["alg"], header.get("kid")
    if algorithm not in algorithms:
        raise InvalidJWS("The algorithm is not one of ours.")
    for key in keys:
        # RFC 7515 section 4.1.4: a token may leave out which key it is.
        if kid is not None and kid != key.jwk.get("kid"):
            continue
        if key.fits(algorithm) and (payload := _payload(token, key, algorithm)):
            return payload, header
    raise UnknownKey("No key of ours has signed this.")


def _strict_header(token: str, refused: frozenset[str]) -> dict[str, Any]:
    try:
        for part in token.split("."):
            b64decode(part)
        header = load_strictly(b64decode(token.partition(".")[0]))
    except (ValueError, RecursionError):
        raise InvalidJWS("This is not a compact JWS.") from None
    if refused & header.keys():
        raise InvalidJWS("The header asks for what we do not do.")
    texts = {"alg": "", "kid": "", "typ": "", **header}
    if "alg" not in header or any(
        not isinstance(texts[name], str) for name in ("alg", "kid", "typ")
    ):
        raise InvalidJWS("The header is not one of a JWS.")
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
