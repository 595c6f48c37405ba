"""An authorization request under way, and how the browser carries it.

Until somebody has logged in, the request lives in the browser: a sealed cookie, one per
request, named after its id.  Nothing is stored for strangers.  A request too large for
a cookie is stored at once, and counted per address.  After the login it is stored as
soon as the end user must be asked something; the cookie then only proves that this is
the browser the flow began in.
"""

from __future__ import annotations

import hmac

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta

import attrs
import orjson

from aiohttp import web

from ...errors import (
    NotFound,
    OAuthError,
    Unauthorized,
    WrongRequest,
)
from ...oauth2 import claims_parameter, response_modes
from ...oauth2.extras import NO_EXTRAS, Extras
from ...oauth2.ids import new_hmac_key
from ...oauth2.subjects import step_mac
from ...storage import (
    AuthRequest,
    AuthSession,
    Client,
    Collections,
    Storage,
    Supplement,
    UserIdentity,
)
from ..channels import REPLY_TO, ReplyTo, read_query, see_other
from ..clients import Clients
from ..guard import Guard
from ..middleware import ADDRESS
from ..sealing import Sealer
from ..urls import Issuer
from .cookies import ONE_COOKIE, FlowCookies, pack, unpack

#: The parameters an authorization request came with.
PARAMETERS: web.RequestKey[Mapping[str, str]] = web.RequestKey("parameters", Mapping)

#: ``Set-Cookie`` lines that go with whatever the walk ends in.
COOKIES: web.RequestKey[list[str]] = web.RequestKey("cookies", list)

_STORED = b"stored"
_EXPIRED = (
    "This login has expired, or was begun in another browser. Please start again."
)


@attrs.frozen
class Flow:
    """The request and the client it came from.

    ``stored``: the request is in the storage.  ``consented``: the end user has just
    agreed.  ``fresh``: they have just logged in, and want the browser to ``remember``
    it, or not; ``told`` is what the login tells beyond dex's record, whoever asks.
    ``session`` is the browser's, if this client may use it, and ``user`` what we
    remember of its user.  ``hint`` is the ``sub`` that the client expects,
    ``login_hint`` what the end user may want to log in as, ``extras`` what dex's record
    has no place for.
    """

    request: AuthRequest
    client: Client
    stored: bool = False
    consented: bool = False
    fresh: bool = False
    remember: bool = False
    told: Extras = NO_EXTRAS
    session: AuthSession | None = None
    user: UserIdentity | None = None
    hint: str = ""
    login_hint: str = ""
    extras: Extras = NO_EXTRAS

    @property
    def silent(self) -> bool:
        """Whether no page may be shown (``prompt=none``)."""
        return self.request.prompt == "none"

    def expects(self, known: tuple[str, ...]) -> bool:
        """Return whether the client will take for its end user who is *known* as this.

        The first is the one that tokens will say.  OpenID Connect Core sections 3.1.2.1
        (``id_token_hint``) and 5.5.1 (``sub``).
        """
        return self.hint in ("", *known) and claims_parameter.fits_subject(
            self.extras.claims, known[0]
        )

    async def forget_extras(self, collections: Collections) -> None:
        """Delete what is stored beside the request, if anything is."""
        if self.extras == NO_EXTRAS:
            return
        try:
            await collections.supplements.delete(self.request.id)
        except NotFound:
            return


Passed = Flow | web.StreamResponse


@attrs.frozen
class StepRoute:
    """A page of a step: *handler* answers the browser, or lets the flow pass."""

    path: str
    handler: Callable[[web.Request], Awaitable[Passed]]


class Step(ABC):
    """One thing that may stand between the browser and its code."""

    @abstractmethod
    async def take(self, web_request: web.Request, flow: Flow) -> Passed:
        """Let the flow pass, perhaps knowing more, or answer the browser."""

    def routes(self) -> Iterable[StepRoute]:
        """Return the pages of this step."""
        return ()


@attrs.frozen(eq=False)
class Flows:
    """Finds the flow a browser is on, and sends it to the next page.

    ``lifetime`` is how long a login may take; ``guard`` counts what strangers store.
    """

    storage: Storage
    clients: Clients
    issuer: Issuer
    sealer: Sealer
    guard: Guard
    lifetime: timedelta
    now: Callable[[], datetime]
    _cookies: FlowCookies = attrs.field(
        default=attrs.Factory(
            lambda self: FlowCookies(self.issuer, self.sealer, self.lifetime),
            takes_self=True,
        ),
        init=False,
    )

    # — before the login ---------------------------------------------------------------

    async def carry(
        self, web_request: web.Request, flow: Flow, response: web.StreamResponse
    ) -> Flow:
        """Let the browser carry the flow from here on, by a cookie on *response*."""
        value = self._seal(flow)
        if len(value) > ONE_COOKIE:
            self.guard.check(web_request.get(ADDRESS) or "")
            flow = await self._store(flow)
            value = self._mark(flow)
        self._cookies.keep(web_request, response, flow.request.id, value)
        return flow

    async def begun(self, web_request: web.Request, flow_id: str) -> Flow:
        """Return the flow *flow_id* that this browser began.

        Raises ``WrongRequest`` if it did not, or if the flow has expired.
        """
        if not flow_id:
            raise WrongRequest("User session error.")
        plain = self._cookies.read(web_request, flow_id)
        if plain is None:
            raise WrongRequest(_EXPIRED)
        if plain.startswith(_STORED):
            return await self._stored(web_request, flow_id, plain)
        request, beside = unpack(flow_id, plain)
        if not beside:
            return await self._ready(web_request, request, NO_EXTRAS, stored=False)
        hint, login_hint, packed = beside
        extras = Extras.unpack(packed)
        flow = await self._ready(web_request, request, extras, stored=False)
        return attrs.evolve(flow, hint=hint, login_hint=login_hint)

    def carries(self, web_request: web.Request, flow_id: str) -> bool:
        """Return whether the browser sent the cookie of flow *flow_id*."""
        return self._cookies.are_sent(web_request, flow_id)

    # — after the login ----------------------------------------------------------------

    async def resume(self, web_request: web.Request, path: str) -> Flow:
        """Return the flow whose signed link for *path* this is.

        The link's MAC and the cookie of the browser that began must both be right; a
        link for one step opens no other.
        """
        query = read_query(web_request)
        flow_id, mac = query.get("req", ""), query.get("hmac", "")
        if not mac:
            raise Unauthorized("Unauthorized request")
        plain = self._cookies.read(web_request, flow_id) or b""
        if not plain.startswith(_STORED):
            raise WrongRequest(_EXPIRED)
        flow = await self._stored(web_request, flow_id, plain)
        expected = self._mac(flow, path)
        if not hmac.compare_digest(expected.encode(), mac.encode()):
            del web_request[REPLY_TO]  # it is not for the client to hear of
            raise Unauthorized("Unauthorized request")
        if not flow.request.logged_in:
            raise WrongRequest("Login process not yet finalized.")
        return flow

    async def ask(
        self,
        web_request: web.Request,
        flow: Flow,
        path: str,
        or_else: type[OAuthError],
    ) -> web.Response:
        """Send the browser to the page at *path*; ``prompt=none`` forbids pages."""
        if flow.silent:
            raise or_else("The end user would have to be asked.")
        flow = await self._store(flow)
        # Both are letters, digits, "-" and "_": nothing to encode.
        link = f"hmac={self._mac(flow, path)}&req={flow.request.id}"
        response = see_other(f"{self.issuer.path(path)}?{link}")
        mark = self._mark(flow)
        self._cookies.keep(web_request, response, flow.request.id, mark)
        return response

    def finish(self, response: web.StreamResponse, flow: Flow) -> None:
        """Let the browser forget the flow."""
        self._cookies.drop(response, flow.request.id)

    # — how ----------------------------------------------------------------------------

    def reply_to(self, request: AuthRequest, extras: Extras) -> ReplyTo:
        """Return where the answer to *request* goes, and how."""
        mode = extras.response_mode or response_modes.default(request.response_types)
        return ReplyTo(request.redirect_uri, request.state, self.issuer.url, mode)

    async def _ready(
        self,
        web_request: web.Request,
        request: AuthRequest,
        extras: Extras,
        *,
        stored: bool,
    ) -> Flow:
        if request.expiry < self.now():
            raise WrongRequest("User session has expired.")
        try:
            client = await self.clients.get(request.client_id)
        except NotFound:
            raise WrongRequest("The application does not exist any more.") from None
        # RFC 6749 section 4.1.2.1: from here on a refusal goes back to the client.
        web_request[REPLY_TO] = self.reply_to(request, extras)
        return Flow(request, client, stored, extras=extras)

    async def _store(self, flow: Flow) -> Flow:
        """Store the flow, or what has become of it since it was read."""
        request, supplement = flow.request, None
        if flow.extras != NO_EXTRAS:
            supplement = Supplement(request.id, flow.extras, request.expiry)
        if not flow.stored:
            request = attrs.evolve(request, hmac_key=new_hmac_key())

        def logged_in(old: AuthRequest) -> AuthRequest:
            return old if old.logged_in else request

        async def both(collections: Collections) -> None:
            stored = request
            if flow.stored:
                stored = await collections.auth_requests.update(
                    request.id, change=logged_in
                )
            else:
                await collections.auth_requests.create(request)
            # What supplements another login of this flow is not for this one.
            if supplement is not None and stored == request:
                await collections.supplements.update_or_create(
                    request.id, change=lambda old: supplement, first=supplement
                )

        try:
            await self.storage.unit(both)
        except NotFound:
            raise WrongRequest(_EXPIRED) from None
        return attrs.evolve(flow, request=request, stored=True)

    async def _stored(
        self, web_request: web.Request, flow_id: str, mark: bytes
    ) -> Flow:
        hint, login_hint, supplemented = "", "", False
        if beside := mark.removeprefix(_STORED):
            hint, login_hint, supplemented = orjson.loads(beside)
        extras = NO_EXTRAS
        try:
            request = await self.storage.auth_requests.get(flow_id)
            if supplemented:
                extras = (await self.storage.supplements.get(flow_id)).extras
        except NotFound:
            raise WrongRequest(_EXPIRED) from None
        flow = await self._ready(web_request, request, extras, stored=True)
        return attrs.evolve(flow, hint=hint, login_hint=login_hint)

    def _mac(self, flow: Flow, path: str) -> str:
        request, step = flow.request, f"step:{path.lstrip('/')}"
        if flow.extras != NO_EXTRAS:
            # A cookie of before there was a supplement does not fit the link.
            step += "+supplement"
        return step_mac(request.hmac_key, request.id, step)

    def _seal(self, flow: Flow) -> str:
        beside = flow.hint, flow.login_hint, flow.extras.pack()
        return self._cookies.seal(flow.request.id, pack(flow.request, beside))

    def _mark(self, flow: Flow) -> str:
        beside = flow.hint, flow.login_hint, flow.extras != NO_EXTRAS
        plain = _STORED + orjson.dumps(beside) if any(beside) else _STORED
        return self._cookies.seal(flow.request.id, plain)


def remember_cookie(web_request: web.Request, cookie: str) -> None:
    """Send this ``Set-Cookie`` with whatever the walk ends in."""
    web_request.setdefault(COOKIES, []).append(cookie)
