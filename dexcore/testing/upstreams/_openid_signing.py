"""ID tokens of a double: signed as they should be, or spoiled."""

from __future__ import annotations

import hmac
import json

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from ...jose import SigningKey, b64encode, generate
from ...jose.keys import private_key_of, signer
from .base import Upstream

__all__ = ["FAULTS", "Signature", "SigningUpstream", "changed", "to_json"]

#: Ways to spoil a signature.
Signature = Literal["right", "none", "hs256", "stranger", "broken"]

#: What may be wrong with an ID token: the attribute that makes it so, and its value.
FAULTS: Mapping[str, tuple[str, Any]] = {
    "aud": ("id_token_changes", {"aud": "another-client"}),
    "azp": ("id_token_changes", {"azp": "another-client"}),
    "iss": ("id_token_changes", {"iss": "https://another.example"}),
    "sub": ("id_token_changes", {"sub": None}),
    "nonce": ("id_token_changes", {"nonce": "of-another-login"}),
    "expired": ("id_token_changes", {"exp": 1_000_000_000, "iat": 999_999_000}),
    "at_hash": ("id_token_changes", {"at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng"}),
    "none": ("signature", "none"),
    "hs256": ("signature", "hs256"),
    "kid": ("header_changes", {"kid": "of-no-key"}),
    "signature": ("signature", "stranger"),
}


class SigningUpstream(Upstream):
    """Has keys, and signs with the first of them.

    ``id_token_changes`` and ``header_changes`` are what ID tokens and their headers say
    instead, ``signature`` is how they are signed.
    """

    def __init__(self, algorithm: str, **options: Any) -> None:
        super().__init__(**options)
        self.id_token_changes: dict[str, Any] = {}
        self.header_changes: dict[str, Any] = {}
        self.signature: Signature = "right"
        self._algorithm = algorithm
        self._keys = [SigningKey.load(generate(algorithm))]
        self._stranger = SigningKey.load(generate(algorithm))

    def rotate_keys(self, *, forget: bool = True) -> None:
        """Sign with another key; publish the old one too, unless it is forgotten."""
        old = [] if forget else self._keys
        self._keys = [SigningKey.load(generate(self._algorithm)), *old]

    @contextmanager
    def spoil(self, fault: str) -> Iterator[None]:
        """Let ID tokens be wrong while the ``with`` lasts, in one of ``FAULTS``."""
        before = self.id_token_changes, self.header_changes, self.signature
        name, change = FAULTS[fault]
        setattr(self, name, change)
        try:
            yield
        finally:
            self.id_token_changes, self.header_changes, self.signature = before

    @property
    def jwks(self) -> dict[str, Any]:
        """The keys it publishes."""
        return {"keys": [dict(key.public) for key in self._keys]}

    def _signed(self, claims: Mapping[str, Any]) -> str:
        key = self._stranger if self.signature == "stranger" else self._keys[0]
        header = {"alg": self._algorithm, "kid": self._keys[0].kid, "typ": "JWT"}
        if self.signature in ("none", "hs256"):
            header["alg"] = self.signature.replace("hs", "HS")
        header = changed(header, self.header_changes)
        signed = f"{b64encode(to_json(header))}.{b64encode(to_json(claims))}"
        if self.signature == "none":
            return signed + "."
        if self.signature == "hs256":
            # The public key as the secret of an algorithm that has one.
            mac = hmac.digest(to_json(dict(key.public)), signed.encode(), "sha256")
            return f"{signed}.{b64encode(mac)}"
        raw = signer(self._algorithm, private_key_of(key.private))(signed.encode())
        if self.signature == "broken":
            raw = bytes([raw[0] ^ 1]) + raw[1:]
        return f"{signed}.{b64encode(raw)}"


def changed(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return *document* with *changes*; ``None`` leaves a member out."""
    found = {**document, **changes}
    return {name: value for name, value in found.items() if value is not None}


def to_json(document: Mapping[str, Any]) -> bytes:
    """Return *document* as it is signed."""
    return json.dumps(document).encode()
