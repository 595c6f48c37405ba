"""``id_token_hint``: an ID token of ours that comes back and says who is meant.

OpenID Connect Core section 3.1.2.1, RP-Initiated Logout section 2.  It proves nothing:
it is only ever compared with who is logged in.
"""

from __future__ import annotations

from typing import Any

import attrs
import orjson

from ..errors import InvalidRequest
from ..jose import InvalidJWS, b64decode
from ..signer import Signer
from .sealing import Sealer

_INVALID = "Invalid id_token_hint."
# What we sign beside ID tokens says so in its header (RFC 8725 section 3.11).
_TYPES = ("", "JWT")
_SEALED = "~"


@attrs.frozen
class IdTokenHint:
    """Whom an ID token was about, for whom it was, and of which session.

    ``client_id`` is the client it was issued to, ``""`` if that is not certain.
    """

    subject: str
    audience: tuple[str, ...] = ()
    client_id: str = ""
    session_id: str = ""


@attrs.frozen(eq=False)
class IdTokenHints:
    """Reads hints; ``url`` is the issuer's."""

    url: str
    signer: Signer
    sealer: Sealer

    def read(self, token: str) -> IdTokenHint:
        """Return what *token* says; raise ``InvalidRequest``.

        The signature and the issuer must be ours; when it expired does not matter.
        """
        if token.startswith(_SEALED):
            return self._kept(token)
        try:
            claims, _ = self.signer.key_set.verify(token)
        except InvalidJWS:
            raise InvalidRequest(_INVALID) from None
        header: dict[str, Any] = orjson.loads(b64decode(token.partition(".")[0]))
        subject = claims.get("sub")
        if (
            claims.get("iss") != self.url
            or not isinstance(subject, str)
            or header.get("typ", "") not in _TYPES
            or "events" in claims
        ):
            raise InvalidRequest(_INVALID)
        audience = _texts(claims.get("aud"))
        azp = claims.get("azp")
        client_id = azp if isinstance(azp, str) else ""
        if not client_id and len(audience) == 1:
            [client_id] = audience
        return IdTokenHint(subject, audience, client_id, str(claims.get("sid") or ""))

    def keep(self, subject: str) -> str:
        """Return a short hint of our own that names *subject* and nothing else."""
        return _SEALED + self.sealer.seal("hint", subject.encode())

    def _kept(self, text: str) -> IdTokenHint:
        plain = self.sealer.open("hint", text.removeprefix(_SEALED))
        if plain is None:
            raise InvalidRequest(_INVALID)
        return IdTokenHint(plain.decode())


def _texts(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(each for each in values if isinstance(each, str))
