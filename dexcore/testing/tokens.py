"""What a client gets at the token endpoint, and how it proves who it is there."""

from __future__ import annotations

import base64

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import attrs
import orjson

from ..jose import b64decode
from ..storage import Client


class TokenError(AssertionError):
    """The provider gave no tokens; the text says what it answered."""


@attrs.frozen
class Tokens:
    """What a client got; ``claims`` are those of the ID token, not verified."""

    access_token: str = attrs.field(repr=False)
    id_token: str = attrs.field(repr=False)
    refresh_token: str = attrs.field(repr=False)
    claims: Mapping[str, Any]

    @classmethod
    def of(cls, status: int, body: bytes) -> Tokens:
        """Return the tokens of a token response (RFC 6749 section 5.1).

        Raises :class:`TokenError` if it is none.
        """
        if status != 200:
            raise TokenError(f"{status} {body.decode(errors='replace')}")
        response = orjson.loads(body)
        id_token = str(response.get("id_token", ""))
        claims = b64decode(id_token.split(".")[1]) if id_token else b"{}"
        return cls(
            access_token=str(response["access_token"]),
            id_token=id_token,
            refresh_token=str(response.get("refresh_token", "")),
            claims=orjson.loads(claims),
        )


def proof_of(client: Client) -> tuple[dict[str, str], dict[str, str]]:
    """Return the headers and fields *client* proves itself with (RFC 6749 2.3.1)."""
    if client.public:
        return {}, {"client_id": client.id}
    pair = f"{quote(client.id, safe='')}:{quote(client.secret, safe='')}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}, {}
