"""An authorization request under way, and how the browser carries it.

Until somebody has logged in, the request lives in the browser: a sealed cookie, one per
request, named after its id.  Nothing is stored for strangers.  A request too large for
a cookie is stored at once, and counted per address.  After the login it is stored as
soon as the end user must be asked something; the cookie then only proves that this is
the browser the flow began in.
"""

from __future__ import annotations

import hmac
import time

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import orjson

from aiohttp import hdrs, web

from ...errors import (
    NotFound,
    OAuthError,
    Unauthorized,
    WrongRequest,
)
from ...jose import b64decode, b64encode
from ...oauth2 import claims_parameter, response_modes
from ...oauth2.extras import NO_EXTRAS, Extras
from ...oauth2.ids import is_id, new_hmac_key
from ...oauth2.subjects import step_mac
from ...storage import (
    PKCE,
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

#: The parameters an authorization request came with.
PARAMETERS: web.RequestKey[Mapping[str, str]] = web.RequestKey("parameters", Mapping)

#: ``Set-Cookie`` lines that go with whatever the walk ends in.
COOKIES: web.RequestKey[list[str]] = web.RequestKey("cookies", list)

COOKIE = "dexcore_flow_"
#: Proxies refuse header lines over 8 KB; all flows of a browser stay below this.
COOKIE_BUDGET = 6 * 1024  # bytes
ONE_COOKIE = 3800  # bytes: browsers keep 4096 of name, value and attributes

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
        self._set_cookie(web_request, response, flow.request.id, value)
        return flow

    async def begun(self, web_request: web.Request, flow_id: str) -> Flow:
        """Return the flow *flow_id* that this browser began.

        Raises ``WrongRequest`` if it did not, or if the flow has expired.
        """
        if not flow_id:
            raise WrongRequest("User session error.")
        plain = self._unseal(web_request, flow_id)
        if plain is None:
            raise WrongRequest(_EXPIRED)
        if plain.startswith(_STORED):
            return await self._stored(web_request, flow_id, plain)
        request, beside = _unpack(flow_id, plain)
        if not beside:
            return await self._ready(web_request, request, NO_EXTRAS, stored=False)
        hint, login_hint, packed = beside
        extras = Extras.unpack(packed)
        flow = await self._ready(web_request, request, extras, stored=False)
        return attrs.evolve(flow, hint=hint, login_hint=login_hint)

    def carries(self, web_request: web.Request, flow_id: str) -> bool:
        """Return whether the browser sent the cookie of flow *flow_id*."""
        return _cookie(web_request, COOKIE + flow_id) is not None

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
        plain = self._unseal(web_request, flow_id) or b""
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
        self._set_cookie(web_request, response, flow.request.id, mark)
        return response

    def finish(self, response: web.StreamResponse, flow: Flow) -> None:
        """Let the browser forget the flow."""
        response.headers.add(
            hdrs.SET_COOKIE, self._cookie(COOKIE + flow.request.id, "", 0)
        )

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
        return self._stamped(flow.request.id, _pack(flow))

    def _mark(self, flow: Flow) -> str:
        beside = flow.hint, flow.login_hint, flow.extras != NO_EXTRAS
        plain = _STORED + orjson.dumps(beside) if any(beside) else _STORED
        return self._stamped(flow.request.id, plain)

    def _stamped(self, flow_id: str, plain: bytes) -> str:
        # The time goes first and in clear, so that the oldest can be told.
        return f"{int(time.time()):x}.{self.sealer.seal(COOKIE + flow_id, plain)}"

    def _unseal(self, web_request: web.Request, flow_id: str) -> bytes | None:
        if not is_id(flow_id):
            return None
        cookie = _cookie(web_request, COOKIE + flow_id)
        if cookie is None:
            return None
        return self.sealer.open(COOKIE + flow_id, cookie.partition(".")[2])

    def _set_cookie(
        self,
        web_request: web.Request,
        response: web.StreamResponse,
        flow_id: str,
        value: str,
    ) -> None:
        name = COOKIE + flow_id
        age = int(self.lifetime.total_seconds())
        response.headers.add(hdrs.SET_COOKIE, self._cookie(name, value, age))
        for stale in _surplus(web_request, name, len(value)):
            response.headers.add(hdrs.SET_COOKIE, self._cookie(stale, "", 0))

    def _cookie(self, name: str, value: str, age: int) -> str:
        secure = "; Secure" if self.issuer.secure else ""
        return (
            f"{name}={value}; Path={self.issuer.cookie_path}; Max-Age={age}; "
            f"HttpOnly{secure}; SameSite=Lax"
        )


def _cookie(web_request: web.Request, name: str) -> str | None:
    """Return one cookie; parsing them all would cost more than all else here."""
    wanted = f"{name}="
    for line in web_request.headers.getall(hdrs.COOKIE, ()):
        for pair in line.split(";"):
            stripped = pair.strip()
            if stripped.startswith(wanted):
                return stripped[len(wanted) :]
    return None


def _surplus(web_request: web.Request, name: str, size: int) -> list[str]:
    """Return the oldest flows' cookies, as many as must go for the new one to fit."""
    if hdrs.COOKIE not in web_request.headers:
        return []
    others = sorted(
        (value.partition(".")[0].rjust(12, "0"), other, len(other) + len(value))
        for other, value in web_request.cookies.items()
        if other.startswith(COOKIE) and other != name
    )
    total = len(name) + size + sum(length for _, _, length in others)
    surplus = []
    for _, other, length in others:
        if total <= COOKIE_BUDGET:
            break
        surplus.append(other)
        total -= length
    return surplus


def remember_cookie(web_request: web.Request, cookie: str) -> None:
    """Send this ``Set-Cookie`` with whatever the walk ends in."""
    web_request.setdefault(COOKIES, []).append(cookie)


def _pack(flow: Flow) -> bytes:
    request = flow.request
    # Beside the request: dex's record has no place for it.
    beside = flow.hint, flow.login_hint, flow.extras.pack()
    return orjson.dumps(
        (
            request.client_id,
            request.response_types,
            request.scopes,
            request.redirect_uri,
            request.nonce,
            request.state,
            request.force_approval_prompt,
            request.prompt,
            request.max_age,
            request.expiry.timestamp(),
            request.connector_id,
            b64encode(request.connector_data) if request.connector_data else "",
            request.pkce.code_challenge,
            request.pkce.code_challenge_method,
            *(beside if any(beside) else ()),
        )
    )


def _unpack(flow_id: str, plain: bytes) -> tuple[AuthRequest, list[Any]]:
    (
        client_id,
        response_types,
        scopes,
        redirect_uri,
        nonce,
        state,
        force,
        prompt,
        max_age,
        expiry,
        connector_id,
        connector_data,
        challenge,
        method,
        *beside,
    ) = orjson.loads(plain)
    request = AuthRequest(
        id=flow_id,
        client_id=client_id,
        response_types=tuple(response_types),
        scopes=tuple(scopes),
        redirect_uri=redirect_uri,
        nonce=nonce,
        state=state,
        force_approval_prompt=force,
        prompt=prompt,
        max_age=max_age,
        expiry=datetime.fromtimestamp(expiry, UTC),
        connector_id=connector_id,
        connector_data=b64decode(connector_data),
        pkce=PKCE(challenge, method),
    )
    return request, beside
