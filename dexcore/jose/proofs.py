"""Tokens that bring the key they are signed with: proofs that somebody holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from .encoding import b64decode, load_strictly
from .keys import ALGORITHMS, checker, public_key_of, thumbprint

__all__ = ["verify_by_own_key"]

_MOST = 8 * 1024  # characters

# RFC 7518 section 6: what only a private or a shared key has.
_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
# RFC 7515 section 4.1: other keys, another payload, or rules we do not know.
_REFUSED = frozenset(("jku", "x5u", "x5c", "crit", "b64", "zip", "enc"))


def verify_by_own_key(token: str, typ: str) -> tuple[dict[str, Any], str]:
    """Return the claims of *token*, and the thumbprint of the key it brings.

    The key is the public JWK in its header (RFC 7515 section 4.1.3), which also says
    that the token is a *typ*.  It proves that whoever made the token has the private
    half of that key, and nothing else.  Raises ``ValueError``.
    """
    if len(token) > _MOST or token.count(".") != 2:
        raise ValueError("This is not a compact JWS.")
    head, body, signature = token.split(".")
    try:
        header = load_strictly(b64decode(head))
        jwk, algorithm = header["jwk"], header["alg"]
        if str(header.get("typ", "")).lower() != typ or _REFUSED & header.keys():
            raise ValueError(f"This is not a {typ}.")
        _check_key(jwk, algorithm)
        key = public_key_of(jwk)
        if jwk["kty"] == "RSA" and key.key_size < 2048:
            raise ValueError("RSA keys have 2048 bits at least.")
        checker(algorithm, key)(b64decode(signature), f"{head}.{body}".encode())
        return load_strictly(b64decode(body)), thumbprint(jwk)
    except InvalidSignature:
        raise ValueError("The signature is wrong.") from None
    except (
        AttributeError,
        LookupError,
        OverflowError,
        RecursionError,
        TypeError,
        UnsupportedAlgorithm,
    ) as error:
        raise ValueError(f"The token or its key is malformed: {error!r}") from None


def _check_key(jwk: Mapping[str, Any], algorithm: str) -> None:
    if _PRIVATE & jwk.keys():
        raise ValueError("The key is not public.")
    # RFC 8725 section 3.1: what the key is says what it can be used for.
    if ALGORITHMS[algorithm] != (jwk["kty"], jwk.get("crv", "")):
        raise ValueError("The key does not fit the algorithm.")
    if (
        jwk.get("alg", algorithm) != algorithm
        or jwk.get("use", "sig") != "sig"
        or "verify" not in jwk.get("key_ops", ("verify",))
    ):
        raise ValueError("The key is not for this.")
    # OpenSSL takes its time over the powers of a huge RSA exponent.
    if len(jwk.get("n", "")) > 2800 or len(jwk.get("e", "")) > 8:
        raise ValueError("The key is too large.")
