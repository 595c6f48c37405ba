"""Decrypting assertions (XML Encryption 1.1).

The key of a message is wrapped with RSA-OAEP, the message encrypted with AES-GCM.
AES-CBC says by its padding errors what is in a message, to whoever may send many, so it
is taken only where a signature over the encrypted form has been verified before.
Everything that goes wrong has one reason and the same words.
"""

from __future__ import annotations

import base64
import binascii

from collections.abc import Callable, Sequence

import attrs

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .grammar import only, tag
from .xml import DSIG, XENC, XENC11, Element, Rejected, children, text

__all__ = ["CONTENT", "decrypt"]

_OAEP_MGF1P = f"{XENC}rsa-oaep-mgf1p"
_OAEP = f"{XENC11}rsa-oaep"
_SHA1 = f"{DSIG}sha1"
# SHA-1 in OAEP is no signature: nobody has to find a collision there.
_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    _SHA1: hashes.SHA1,
    f"{XENC}sha256": hashes.SHA256,
    "http://www.w3.org/2001/04/xmldsig-more#sha384": hashes.SHA384,
    f"{XENC}sha512": hashes.SHA512,
}
_MGF: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    f"{XENC11}mgf1sha1": hashes.SHA1,
    f"{XENC11}mgf1sha256": hashes.SHA256,
    f"{XENC11}mgf1sha384": hashes.SHA384,
    f"{XENC11}mgf1sha512": hashes.SHA512,
}


@attrs.frozen
class _Content:
    """An algorithm for the message itself: the length of its key in bytes."""

    key: int
    authenticated: bool


CONTENT = {
    f"{XENC11}aes256-gcm": _Content(32, True),
    f"{XENC11}aes192-gcm": _Content(24, True),
    f"{XENC11}aes128-gcm": _Content(16, True),
    f"{XENC}aes256-cbc": _Content(32, False),
    f"{XENC}aes192-cbc": _Content(24, False),
    f"{XENC}aes128-cbc": _Content(16, False),
}

_FAILED = "an encrypted assertion that cannot be decrypted"
_GCM_NONCE, _GCM_TAG, _BLOCK = 12, 16, 16  # bytes


def decrypt(
    encrypted: Element, keys: Sequence[rsa.RSAPrivateKey], *, signed: bool
) -> bytes:
    """Return the text in a ``saml:EncryptedAssertion``.

    *signed*: a signature over *encrypted* itself has been verified.  Raises
    :class:`~.xml.Rejected`.
    """
    data = only(encrypted, "xenc:EncryptedData")
    name = _method(data).get("Algorithm", "")
    content = CONTENT.get(name)
    if content is None or children(_method(data)):
        raise Rejected(f"the encryption {name!r}")
    if not (content.authenticated or signed):
        raise Rejected(f"the encryption {name!r} of an unsigned response")
    if not keys:
        raise Rejected("an encrypted assertion, and spKey is not set")
    wrapped = _encrypted_key(encrypted, data)
    scheme = _oaep(_method(wrapped))
    wrapped_key, message = _cipher_value(wrapped), _cipher_value(data)
    open_ = _open_gcm if content.authenticated else _open_cbc
    for key in keys:
        try:
            plain_key = key.decrypt(wrapped_key, scheme)
            if len(plain_key) == content.key:
                return open_(plain_key, message)
        except (ValueError, InvalidTag):
            continue
    raise Rejected(_FAILED)


def _open_gcm(key: bytes, message: bytes) -> bytes:
    if len(message) < _GCM_NONCE + _GCM_TAG:
        raise ValueError
    return AESGCM(key).decrypt(message[:_GCM_NONCE], message[_GCM_NONCE:], None)


def _open_cbc(key: bytes, message: bytes) -> bytes:
    if len(message) < 2 * _BLOCK or len(message) % _BLOCK:
        raise ValueError
    opener = Cipher(algorithms.AES(key), modes.CBC(message[:_BLOCK])).decryptor()
    padded = opener.update(message[_BLOCK:]) + opener.finalize()
    # Section 5.2: only the last byte of the padding means something.
    if not 1 <= padded[-1] <= _BLOCK:
        raise ValueError
    return padded[: -padded[-1]]


def _encrypted_key(encrypted: Element, data: Element) -> Element:
    """Return the only wrapped key: beside the data or in its ``ds:KeyInfo``."""
    found = children(encrypted, tag("xenc:EncryptedKey"))
    for info in children(data, tag("ds:KeyInfo")):
        found += children(info, tag("xenc:EncryptedKey"))
    if len(found) != 1:
        raise Rejected(f"{len(found)} wrapped keys for an encrypted assertion")
    return found[0]


def _oaep(method: Element) -> padding.OAEP:
    name = method.get("Algorithm", "")
    digests, masks = (
        children(method, tag("ds:DigestMethod")),
        children(method, tag("xenc11:MGF")),
    )
    digest = digests[0].get("Algorithm", "") if digests else _SHA1
    mask = masks[0].get("Algorithm", "") if masks else f"{XENC11}mgf1sha1"
    # Section 5.5.2: the older name always means MGF1 with SHA-1.
    known = name == _OAEP or (name == _OAEP_MGF1P and not masks)
    if not known or digest not in _HASHES or mask not in _MGF:
        raise Rejected(f"the key encryption {name!r} ({digest!r}, {mask!r})")
    return padding.OAEP(padding.MGF1(_MGF[mask]()), _HASHES[digest](), None)


def _cipher_value(node: Element) -> bytes:
    value = only(only(node, "xenc:CipherData"), "xenc:CipherValue")
    try:
        return base64.b64decode("".join(text(value).split()), validate=True)
    except (binascii.Error, ValueError):
        raise Rejected(_FAILED) from None


def _method(node: Element) -> Element:
    return only(node, "xenc:EncryptionMethod")
