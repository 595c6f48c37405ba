"""Signing keys for tests, and a signer that uses them.

They are shipped, so everybody has them: making an RSA key takes a tenth of a second,
and a test should not wait for that.  Never let a server outside tests sign with them.
"""

from __future__ import annotations

import json

from collections.abc import Iterable
from importlib import resources
from typing import Any

import orjson

from ..jose import KeySet, SigningKey, generate
from ..signer import Signer

_FILE = "test-only-keys.json"


def _load() -> dict[str, dict[str, Any]]:
    text = resources.files(__package__).joinpath(_FILE).read_text("utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found


class TestOnlySigner(Signer):
    """Signs with keys that everybody has.

    ``wrong_aud`` and ``withdrawn`` spoil what it signs: another audience, and a key
    that is not published any more.
    """

    __test__ = False  # not a test, though its name begins like one

    def __init__(self) -> None:
        known = _load()
        self._spare = [known["second"]]
        self._withdrawn = SigningKey.load(known["withdrawn"])
        self._signing = SigningKey.load(known["first"])
        self._key_set = KeySet.of(self._signing, ())
        self._retired: list[SigningKey] = []
        self.wrong_aud: str | None = None
        self.withdrawn = False

    @property
    def key_set(self) -> KeySet:
        """The keys as they are now."""
        return self._key_set

    async def sign(self, payload: bytes, *, typ: str | None = None) -> str:
        """Return *payload* as a compact JWS, spoiled if asked for."""
        if self.wrong_aud is not None:
            payload = orjson.dumps({**orjson.loads(payload), "aud": self.wrong_aud})
        key = self._withdrawn if self.withdrawn else self._signing
        return key.sign(payload, typ)

    def rotate(self, *, forget: bool = False) -> None:
        """Sign with another key.

        The key before still verifies, unless it is to be forgotten.
        """
        jwk = self._spare.pop() if self._spare else generate("RS256")
        self._retired = [] if forget else [self._signing, *self._retired]
        self._signing = SigningKey.load(jwk)
        self._key_set = KeySet.of(self._signing, _public(self._retired))


def _public(keys: Iterable[SigningKey]) -> list[dict[str, Any]]:
    return [dict(key.public) for key in keys]
