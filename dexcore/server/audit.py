"""What was decided, for whoever must answer for it later.

One line per decision, in the logger ``dexcore.audit``: logins, consents, codes, tokens,
revocations, sign-ups and every refusal of them.  The line carries the request's id and
the client's address, because :mod:`~dexcore.server.logs` adds them to every record.
"""

from __future__ import annotations

import logging

from typing import Any

import attrs

from ..storage import Claims
from . import logs

#: Fields that are secrets whatever event carries them: never written.
SECRETS = frozenset(
    {
        "access_token",
        "assertion",
        "client_secret",
        "code",
        "code_verifier",
        "connector_data",
        "cookie",
        "device_code",
        "id_token",
        "password",
        "refresh_token",
        "secret",
        "state",
        "token",
    }
)


@attrs.frozen(eq=False)
class Audit:
    """Writes down what was decided."""

    log: logging.Logger = attrs.field(
        factory=lambda: logging.getLogger("dexcore.audit")
    )

    def record(self, event: str, **fields: Any) -> None:
        """Write that *event* happened.

        Fields that are ``None`` or empty are left out, and so are secrets: give ids
        (``client_id``, ``connector_id``, ``user_id``, ``reason``), never credentials.
        """
        kept = {k: v for k, v in fields.items() if v and k not in SECRETS}
        logs.tell(self.log, event, kept)


def user(claims: Claims) -> dict[str, Any]:
    """Return the fields that say who somebody is: those of ``login successful``."""
    email = claims.email
    if email and not claims.email_verified:
        email += " (unverified)"
    return {
        "user_id": claims.user_id,
        "username": claims.username,
        "preferred_username": claims.preferred_username,
        "email": email,
        "groups": claims.groups,
    }
