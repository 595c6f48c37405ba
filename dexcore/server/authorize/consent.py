"""Step 4: the end user agrees to what the client asked for."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlsplit

import attrs

from aiohttp import web

from ...errors import AccessDenied, ConsentRequired, MethodNotAllowed, NotFound
from ...oauth2 import claims_parameter, scopes, user_claims
from ...oauth2.redirect_uris import is_loopback
from ...storage import Storage, UserIdentity, is_stranger, metadata_of
from ..audit import Audit
from ..channels import read_form, read_query
from ..pages import Pages
from ..tokens.resources import Resources
from ..urls import Issuer
from .flow import Flow, Flows, Passed, Step, StepRoute

_CLAIM = "claim:"


@attrs.frozen(eq=False)
class Consent(Step):
    """Asks, unless the operator or an earlier consent makes it needless.

    ``remember``: keep what was agreed to for the next time.
    """

    path: ClassVar = "/approval"

    flows: Flows
    storage: Storage
    pages: Pages
    issuer: Issuer
    audit: Audit
    resources: Resources
    skip: bool
    remember: bool = False

    async def take(self, web_request: web.Request, flow: Flow) -> Passed:
        """Let the flow pass, or ask."""
        if flow.consented or await self._needless(flow):
            return flow
        return await self.flows.ask(web_request, flow, self.path, ConsentRequired)

    def routes(self) -> tuple[StepRoute, ...]:
        """Return the page that asks."""
        return (StepRoute(self.path, self.answer),)

    async def answer(self, web_request: web.Request) -> Passed:
        """Show the page, or take the end user's word."""
        if web_request.method not in ("GET", "HEAD", "POST"):
            raise MethodNotAllowed("Use GET or POST.")
        flow = await self.flows.resume(web_request, self.path)
        if web_request.method != "POST":
            return self._page(web_request, flow)
        form = await read_form(web_request)
        agreed = form.get("approval") == "approve"
        self.audit.record(
            "consent" if agreed else "consent refused",
            client_id=flow.client.id,
            connector_id=flow.request.connector_id,
            user_id=flow.request.claims.user_id,
            scopes=_asked(flow),
        )
        if not agreed:
            await self._drop(flow)
            # RFC 6749 section 4.1.2.1.
            raise AccessDenied("The end user did not agree.")
        if self.remember:
            await self._keep(flow)
        return attrs.evolve(flow, consented=True)

    def _page(self, web_request: web.Request, flow: Flow) -> web.Response:
        query = read_query(web_request)
        claims = flow.request.claims
        return self.pages.render(
            "approval.html",
            web_request.path,
            user=claims.username or claims.preferred_username or claims.email,
            client_name=flow.client.name or flow.client.id,
            scopes=[
                *scopes.describe(flow.request.scopes),
                *user_claims.describe(_beyond_scopes(flow)),
                *self.resources.describe(flow.extras.resources),
            ],
            **_introduced(flow),
            post_url=f"{self.issuer.path(self.path)}?{web_request.rel_url.raw_query_string}",
            hidden={"req": query["req"]},
        )

    async def _drop(self, flow: Flow) -> None:
        try:
            await self.storage.auth_requests.delete(flow.request.id)
        except NotFound:
            return
        await flow.forget_extras(self.storage)

    async def _keep(self, flow: Flow) -> None:
        """Keep what this client may have, in the place of what it could before."""
        request, asked = flow.request, _asked(flow)

        def enter(user: UserIdentity) -> UserIdentity:
            if user.consents.get(flow.client.id) == asked:
                return user
            agreed = {**user.consents, flow.client.id: asked}
            return attrs.evolve(user, consents=agreed)

        try:
            await self.storage.user_identities.update(
                request.claims.user_id, request.connector_id, change=enter
            )
        except NotFound:
            return  # purged meanwhile: asked again the next time

    async def _needless(self, flow: Flow) -> bool:
        if flow.request.force_approval_prompt:
            return False
        # The operator vouches for clients they know.
        skip = self.skip and not is_stranger(flow.client)
        return skip or await self._agreed_before(flow)

    async def _agreed_before(self, flow: Flow) -> bool:
        asked = {*_asked(flow)} - {scopes.OPENID}
        user = flow.user
        if user is not None and not asked and not is_stranger(flow.client):
            return True  # what openid alone tells is no more than that it is them
        if user is None:
            user = await self.storage.user_identities.find(
                flow.request.claims.user_id, flow.request.connector_id
            )
        if user is None or flow.client.id not in user.consents:
            return False
        agreed = {*user.consents[flow.client.id]}
        return all(each in agreed or _scope_of(each) in agreed for each in asked)


def _asked(flow: Flow) -> tuple[str, ...]:
    """Return what the end user agrees to: scopes, and what goes beyond them.

    Claims and resources are remembered beside the scopes, by prefixes that none has.
    """
    return (
        *flow.request.scopes,
        *(f"{_CLAIM}{name}" for name in _beyond_scopes(flow)),
        *(f"resource:{each}" for each in flow.extras.resources),
    )


def _beyond_scopes(flow: Flow) -> list[str]:
    """Return the claims the client asks for one by one, without those of its scopes."""
    return [
        name
        for name in claims_parameter.names(flow.extras.claims)
        if user_claims.SCOPE_OF[name] not in flow.request.scopes
    ]


def _scope_of(asked: str) -> str:
    """Return the scope that a claim belongs to; who agreed to that has to the claim."""
    if not asked.startswith(_CLAIM):
        return asked
    return user_claims.SCOPE_OF[asked.removeprefix(_CLAIM)]


def _introduced(flow: Flow) -> dict[str, Any]:
    """Return what the page says of a client that nobody has vouched for."""
    metadata = metadata_of(flow.client)
    pages = {
        "About it": metadata.client_uri,
        "What it does with your data": metadata.policy_uri,
        "Terms of service": metadata.tos_uri,
    }
    links = {words: uri for words, uri in pages.items() if uri}
    if not is_stranger(flow.client):
        return {"links": links}
    home = _host(flow.client.id) if "://" in flow.client.id else ""
    return {
        "links": links,
        "stranger": True,
        "client_host": home,
        "destination": _destination(flow.request.redirect_uri),
    }


def _destination(uri: str) -> str:
    """Return where *uri* leads, as end users understand it."""
    if is_loopback(uri):
        return "a program on your computer"
    return _host(uri) if uri.startswith("https:") else "an app on your device"


def _host(uri: str) -> str:
    return urlsplit(uri).netloc
