"""Certificates and keys, from files and from the configuration."""

from __future__ import annotations

import base64
import binascii
import re

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

__all__ = ["check_key", "decode", "parse_certificates", "read_key"]

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

#: NIST SP 800-131A: shorter RSA keys must not sign any more, since 2014.
SHORTEST_RSA = 2048
_CURVES = ("secp256r1", "secp384r1", "secp521r1")

_BLOCK = re.compile(
    r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----", re.ASCII
)
_MARK = re.compile(r"-----(BEGIN|END)")


def parse_certificates(pem: str) -> tuple[x509.Certificate, ...]:
    """Return the certificates in *pem*; raise ``ValueError`` with what is wrong.

    Words on lines of their own before a certificate are no harm (``openssl x509 -text``
    writes them); after the last one there may be blank lines only.
    """
    found: list[x509.Certificate] = []
    end = 0
    for block in _BLOCK.finditer(pem):
        before = pem[end : block.start()]
        if _MARK.search(before) or (before and not before.endswith("\n")):
            raise ValueError("something is glued to a certificate")
        try:
            certificate = x509.load_pem_x509_certificate(block[0].encode())
        except ValueError as error:
            raise ValueError(
                f"certificate {len(found) + 1} is broken: {error}"
            ) from None
        check_key(certificate)
        found.append(certificate)
        end = block.end()
    if not found:
        raise ValueError("there is no certificate in it")
    if pem[end:].strip():
        raise ValueError("there is something after the last certificate")
    return tuple(found)


def decode(data: str) -> str:
    """Return the text that is *data* in base64; raise ``ValueError``."""
    try:
        return base64.b64decode("".join(data.split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("it is not the base64 of a PEM file") from None


def check_key(certificate: x509.Certificate) -> None:
    """Raise ``ValueError`` unless the key of *certificate* is one we verify with."""
    try:
        key = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError) as error:
        raise ValueError(f"the key of a certificate cannot be used: {error}") from None
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < SHORTEST_RSA:
            raise ValueError(
                f"its RSA key has {key.key_size} bits, fewer than {SHORTEST_RSA}"
            )
    elif not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("its key is neither RSA nor of an elliptic curve")
    elif key.curve.name not in _CURVES:
        raise ValueError(f"its curve is {key.curve.name}, not one of {_CURVES}")


def read_key(path: str) -> PrivateKey:
    """Return the private key in the PEM file at *path*.

    Raises ``OSError`` and ``ValueError``.
    """
    try:
        key = load_pem_private_key(Path(path).read_bytes(), None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"it cannot be used: {error}") from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= SHORTEST_RSA:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return key
    raise ValueError(f"it is not RSA of at least {SHORTEST_RSA} bits, nor {_CURVES}")
