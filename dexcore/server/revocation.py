"""``/token/revoke``: a client gives a token back (RFC 7009)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs

from aiohttp import hdrs, web

from ..errors import InvalidRequest, InvalidToken, NotFound
from ..oauth2 import subjects
from ..storage import Client, Storage
from .audit import Audit
from .channels import read_form
from .clients import Clients
from .tokens.access import AccessTokens
from .tokens.refresh import RefreshTokens
from .tokens.resources import is_for_resources


@attrs.frozen(eq=False)
class RevocationEndpoint:
    """An unknown token, or somebody else's, is answered like one revoked: 200."""

    clients: Clients
    storage: Storage
    access_tokens: AccessTokens
    refresh_tokens: RefreshTokens
    audit: Audit

    async def answer(self, request: web.Request) -> web.Response:
        """Revoke the token in the form, if it is the client's."""
        if request.method != "POST":
            raise InvalidRequest("Use POST.", status=405)
        form = await read_form(request)
        client = await self.clients.authenticate(
            request.headers.get(hdrs.AUTHORIZATION), form
        )
        token = form.get("token", "")
        if not token:
            raise InvalidRequest("Required param: token.")
        if token.count(".") == 2:
            await self._access(token, client)
        else:
            await self._refresh(token, client)
        return web.Response(headers={"Cache-Control": "no-store"})

    async def _access(self, token: str, client: Client) -> None:
        try:
            claims, _ = self.access_tokens.check(token)
        except InvalidToken:
            return
        owner = claims.get("azp", claims.get("aud"))
        if is_for_resources(claims):
            owner = claims["client_id"]
        if owner != client.id:
            return
        over = datetime.fromtimestamp(claims["exp"], UTC) + timedelta(minutes=1)
        await self.refresh_tokens.revocations.revoke(str(claims["jti"]), over)
        self._note(client, "access_token")

    async def _refresh(self, token: str, client: Client) -> None:
        refresh_id, secret = subjects.decode_refresh(token)
        try:
            record = await self.storage.refresh_tokens.get(refresh_id)
        except NotFound:
            return
        known = self.refresh_tokens.standing(record, secret) != "unknown"
        if record.client_id != client.id or not known:
            return
        # RFC 7009 section 2.1: the access tokens of the same grant go too.
        await self.refresh_tokens.revoke_family(record)
        self._note(client, "refresh_token")

    def _note(self, client: Client, kind: str) -> None:
        self.audit.record("revocation", client_id=client.id, token_use=kind)
