"""Makes sure a form that changes something was sent from a page of ours.

Double submit, bound by a MAC: the browser keeps a random secret in a cookie, the form
carries a token made of that secret with a key only the server has.  A cookie planted
by a neighbour domain is of no use without the token to it, and what the browser itself
says about where a request comes from must not contradict.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets

from collections.abc import Mapping
from typing import Any

import attrs

from aiohttp import web

from ..errors import Forbidden
from ..oauth2.ids import random_bytes
from .urls import Issuer

#: The hidden field of every form.
FIELD = "csrf_token"

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_NONCE_BYTES = 16
_STALE = "This page is out of date. Go back, reload it and try again."
_FOREIGN = "This form was sent from another site."


@attrs.frozen
class FormToken:
    """What goes into a form: ``value`` into :data:`FIELD`.

    ``secret`` is what the browser has to keep for it, ``None`` if it already does.
    """

    value: str
    secret: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(eq=False)
class Csrf:
    """Issues and checks the tokens of forms; *key* is shared by all replicas."""

    key: bytes = attrs.field(repr=False)
    issuer: Issuer

    @property
    def cookie(self) -> str:
        """The name of the cookie, with the strongest prefix its attributes allow.

        RFC 6265bis section 4.1.3: a neighbour domain cannot set a ``__Host-`` cookie.
        """
        if not self.issuer.secure:
            return "dexcore_csrf"
        host = self.issuer.cookie_path == "/"
        return ("__Host-" if host else "__Secure-") + "dexcore_csrf"

    def issue(self, request: web.BaseRequest) -> FormToken:
        """Return a token for a form this browser is about to get.

        Each call makes another one, all good for the same secret, so that a compressed
        page gives nothing away about it.  Pass the answer to :meth:`remember`.
        """
        kept = self._secret(request)
        secret = kept or secrets.token_urlsafe(32)
        nonce = random_bytes(_NONCE_BYTES)
        value = base64.urlsafe_b64encode(nonce + self._mac(nonce, secret)).decode()
        return FormToken(value, None if kept else secret)

    def remember(self, response: web.StreamResponse, issued: FormToken) -> None:
        """Let the browser keep the secret *issued* belongs to, if it does not yet."""
        if issued.secret is not None:
            response.set_cookie(
                self.cookie,
                issued.secret,
                path=self.issuer.cookie_path,
                secure=self.issuer.secure,
                httponly=True,
                samesite="Lax",
            )

    def check(self, request: web.BaseRequest, form: Mapping[str, Any]) -> None:
        """Return if *form* came from a page of ours in this browser.

        Raises :class:`~dexcore.errors.Forbidden`.
        """
        self.check_origin(request)
        secret = self._secret(request)
        token = form.get(FIELD)
        if secret is None or not isinstance(token, str):
            raise Forbidden(_STALE)
        try:
            sent = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise Forbidden(_STALE) from None
        nonce, mac = sent[:_NONCE_BYTES], sent[_NONCE_BYTES:]
        if not hmac.compare_digest(mac, self._mac(nonce, secret)):
            raise Forbidden(_STALE)

    def check_origin(self, request: web.BaseRequest) -> None:
        """Return if the browser does not say that another site sent *request*.

        ``Origin: null`` (Fetch section 3.2) says nothing: a page of ours that sends no
        referrer is one, and so is a sandboxed stranger, whom the token stops.
        """
        if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise Forbidden(_FOREIGN)
        origin = request.headers.get("Origin", "null")
        scheme, _, host = origin.partition("://")
        if origin in ("null", self.issuer.origin):
            return
        # Another name of this machine: no browser lets a stranger choose Host.
        if scheme not in ("http", "https") or host != request.host:
            raise Forbidden(_FOREIGN)

    def _secret(self, request: web.BaseRequest) -> str | None:
        secret = request.cookies.get(self.cookie, "")
        return secret if _SECRET.fullmatch(secret) else None

    def _mac(self, nonce: bytes, secret: str) -> bytes:
        message = b"dexcore csrf\0" + nonce + secret.encode()
        return hmac.digest(self.key, message, hashlib.sha256)
