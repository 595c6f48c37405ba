"""Makes sure a form that changes a session was sent from a page of that session."""

from __future__ import annotations

import hashlib
import hmac

from collections.abc import Mapping

import attrs

from aiohttp import web

from ...errors import Forbidden
from ...jose import b64decode, b64encode
from ...oauth2.ids import random_bytes
from ...storage import AuthSession
from ..csrf import FIELD, Csrf

_NONCE = 16
_STALE = "This page is out of date. Go back, reload it and try again."


@attrs.frozen(eq=False)
class SessionForms:
    """Tokens bound to a session by its secret, so that they change with every login.

    No cookie of their own is needed; ``csrf`` looks at where a request comes from.
    """

    key: bytes = attrs.field(repr=False)
    csrf: Csrf

    def issue(self, session: AuthSession) -> dict[str, str]:
        """Return the hidden field of a form; another value each time."""
        nonce = random_bytes(_NONCE)
        return {FIELD: b64encode(nonce + self._mac(nonce, session))}

    def check(
        self, request: web.BaseRequest, form: Mapping[str, str], session: AuthSession
    ) -> None:
        """Return if *form* comes from a page of *session*; raise ``Forbidden``."""
        self.csrf.check_origin(request)
        try:
            sent = b64decode(form.get(FIELD, ""))
        except ValueError:
            raise Forbidden(_STALE) from None
        nonce, mac = sent[:_NONCE], sent[_NONCE:]
        if not hmac.compare_digest(mac, self._mac(nonce, session)):
            raise Forbidden(_STALE)

    def _mac(self, nonce: bytes, session: AuthSession) -> bytes:
        message = b"dexcore session form\0" + nonce + session.secret.encode()
        return hmac.digest(self.key, message, hashlib.sha256)
