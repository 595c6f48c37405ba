"""What every grant ends in: who may have tokens, for whom, and for what."""

from __future__ import annotations

import hashlib

from datetime import datetime
from typing import Literal

import attrs

from ...oauth2.extras import NO_EXTRAS, Extras
from ...oauth2.ids import bare_id, random_bytes
from ...storage import ZERO_TIME, Claims, Client


@attrs.frozen
class Authorization:
    """Tokens may be issued.

    ``family`` marks all tokens that come of one login, so that they can be revoked
    together; ``code`` is the authorization code they came of, ``refresh_token`` the one
    to hand out with them.  With ``always_identify`` there is an ID token whatever the
    scopes; with ``only`` there is that one token and no other (RFC 8693 section 2.2.1).
    ``narrowed``: these are fewer scopes than the client has asked for, so that it must
    be told (RFC 6749 section 5.1).  ``allowed`` is for the policy to say, and for
    nobody else.  ``extras`` is what the client and the login said beyond dex's records;
    its ``dpop_jkt`` is the only key that may have tokens, and ``jkt`` the one that was
    proved (RFC 9449).
    """

    client: Client
    claims: Claims
    scopes: tuple[str, ...]
    connector_id: str
    nonce: str = ""
    auth_time: datetime = ZERO_TIME
    session_id: str = ""
    family: str = ""
    code: str = ""
    refresh_token: str = ""
    always_identify: bool = False
    only: Literal["", "access_token", "id_token"] = ""
    narrowed: bool = False
    allowed: bool = False
    extras: Extras = NO_EXTRAS
    jkt: str = ""


def family_of(token_id: str) -> str:
    """Return the mark of the tokens that come of *token_id*: 60 bits, as in a UUID."""
    digits = hashlib.sha256(bare_id(token_id).encode()).hexdigest()[:15]
    return f"{digits[:3]}-{digits[3:]}"


def new_jti(family: str) -> str:
    """Return a random token id in the form of a UUID (RFC 9562 section 5.4).

    Its last sixty bits are the *family*, so that one revocation finds all its members.
    """
    noise = random_bytes(8).hex()
    variant = "89ab"[int(noise[15], 16) & 3]
    tail = family or family_of(random_bytes(16).hex())
    return f"{noise[:8]}-{noise[8:12]}-4{noise[12:15]}-{variant}{tail}"


def family_in(jti: str) -> str:
    """Return the family a token id belongs to."""
    return jti[20:]
