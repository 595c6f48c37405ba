"""Login on another device (RFC 8628): where devices begin, and where people type codes.

The page leads into an ordinary login, whose redirect URI is ours.  A browser that has
typed the code keeps a sealed cookie for it, and only with that cookie does the way back
connect the device: nobody gets a device of theirs connected by a link alone.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import attrs

from aiohttp import hdrs, web

from ..errors import InvalidRequest, InvalidScope, MethodNotAllowed, WrongRequest
from ..oauth2 import pkce, scopes
from ..oauth2.extras import Extras
from ..oauth2.ids import parse_user_code
from ..oauth2.words import quote_all
from ..storage import Client, DeviceRequest
from .audit import Audit
from .channels import Handler, answer_json, read_form, read_query, see_other
from .clients import Clients
from .csrf import FIELD, Csrf
from .guard import Guard
from .middleware import ADDRESS
from .pages import Pages
from .policy import Policy
from .sealing import Sealer
from .tokens.devices import INTERVAL, Devices, WrongCode
from .urls import Issuer

_CONFIRMED = b"confirmed"
_EVERYBODY = "everybody"
_TRUE = ("1", "t", "T", "true", "TRUE", "True")


@attrs.frozen(eq=False)
class DeviceAuthorizationEndpoint:
    """``/device/code`` (RFC 8628 section 3.1).

    ``strangers`` counts what clients that prove nothing have us store.
    """

    clients: Clients
    policy: Policy
    devices: Devices
    issuer: Issuer
    challenge_methods: tuple[str, ...]
    strangers: Guard
    audit: Audit

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a new pair of codes."""
        if request.method != "POST":
            raise InvalidRequest("method not allowed")
        form = await read_form(request)
        client = await self.clients.authenticate(
            request.headers.get(hdrs.AUTHORIZATION), form
        )
        self.policy.check_device(client)
        asked = await self._scopes(client, form.get("scope", ""))
        extras = self.policy.resources.extras(form, client)
        challenge = pkce.check_challenge(
            form.get("code_challenge", ""),
            form.get("code_challenge_method", ""),
            self.challenge_methods,
        )
        if client.public and not client.secret:
            self.strangers.check(request.get(ADDRESS) or "")
        begun = await self.devices.begin(client, asked, challenge, extras)
        self.audit.record("device code issued", client_id=client.id, scopes=asked)
        return answer_json(self._response(begun))

    async def _scopes(self, client: Client, text: str) -> tuple[str, ...]:
        asked = scopes.parse(text) or (scopes.OPENID,)
        if scopes.OPENID not in asked:
            raise InvalidScope('Missing required scope(s) ["openid"].')
        unknown = scopes.unknown(asked)
        if unknown:
            raise InvalidScope(f"Unrecognized scope(s) {quote_all(unknown)}")
        await self.clients.check_audiences(client, asked)
        return asked

    def _response(self, begun: DeviceRequest) -> dict[str, Any]:
        uri = self.issuer.absolute("/device")
        return {
            "device_code": begun.device_code,
            "user_code": begun.user_code,
            "verification_uri": uri,
            "verification_uri_complete": f"{uri}?user_code={begun.user_code}",
            "expires_in": int(self.devices.lifetime.total_seconds()),
            "interval": INTERVAL,
        }


@attrs.frozen(eq=False)
class DevicePages:
    """``/device`` and what follows it (RFC 8628 section 3.3).

    ``guesses`` counts wrong codes by address, ``all_guesses`` those of everybody.
    """

    clients: Clients
    devices: Devices
    pages: Pages
    csrf: Csrf
    sealer: Sealer
    guesses: Guard
    all_guesses: Guard
    audit: Audit
    issuer: Issuer

    def routes(self) -> list[tuple[str, Handler]]:
        """Return where these pages are, below the issuer."""
        return [
            ("/device", self.show),
            ("/device/auth/verify_code", self.verify),
            ("/device/callback", self.finish),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """Ask for the code; a link may have brought it along."""
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("Use GET.")
        query = read_query(request)
        return self._page(
            request,
            user_code=query.get("user_code", ""),
            invalid=query.get("invalid", "") in _TRUE,
        )

    async def verify(self, request: web.Request) -> web.Response:
        """Look for the device that shows the code; go and log in for it."""
        if request.method != "POST":
            raise MethodNotAllowed("Use POST.")
        form = await read_form(request)
        self.csrf.check(request, form)
        typed = form.get("user_code", "")
        address = request.get(ADDRESS) or ""
        # Only wrong codes count; taken ahead, so that parallel guesses count too.
        self.guesses.check(address)
        self.all_guesses.check(_EVERYBODY)
        user_code = parse_user_code(typed)
        found = await self.devices.find(user_code) if user_code else None
        if found is None:
            return self._page(request, user_code=typed, invalid=True, status=400)
        self.guesses.give_back(address)
        self.all_guesses.give_back(_EVERYBODY)
        extras = await self.devices.asked(found)
        response = see_other(self._login(found, extras), status=302)
        self._confirm(response, user_code, int(self.devices.lifetime.total_seconds()))
        return response

    async def finish(self, request: web.Request) -> web.Response:
        """Connect the device, or tell it that its user said no."""
        if request.method != "GET":
            raise MethodNotAllowed("Method not allowed.")
        query = read_query(request)
        user_code, error = query.get("state", ""), query.get("error", "")
        if not user_code or not (error or query.get("code")):
            raise WrongRequest("Request was missing parameters")
        if not self._confirmed(request, user_code):
            raise WrongRequest(
                "No device code was entered in this browser. Please start "
                "again at the page that your device names."
            )
        try:
            if error == "access_denied":
                response = await self._denied(request, user_code)
            elif error:
                # The device goes on waiting: its user may try again.
                raise WrongRequest("Authorization failed. Please try again.")
            else:
                response = await self._approved(request, user_code, query["code"])
        except WrongCode:
            raise WrongRequest("Invalid or expired user code.") from None
        self._confirm(response, user_code, 0)
        return response

    async def _approved(
        self, request: web.Request, user_code: str, code: str
    ) -> web.Response:
        connected = await self.devices.approve(user_code, code)
        self.audit.record("device connected", client_id=connected.client_id)
        client = await self.clients.get(connected.client_id)
        return self.pages.render(
            "device_success.html",
            request.path,
            client_name=client.name or client.id,
        )

    async def _denied(self, request: web.Request, user_code: str) -> web.Response:
        await self.devices.deny(user_code)
        self.audit.record("device refused")
        return self.pages.render("device_denied.html", request.path)

    # — the page -----------------------------------------------------------------------

    def _page(
        self, request: web.Request, *, user_code: str, invalid: bool, status: int = 200
    ) -> web.Response:
        issued = self.csrf.issue(request)
        response = self.pages.render(
            "device.html",
            request.path,
            status=status,
            post_url=self.issuer.path("/device/auth/verify_code"),
            user_code=user_code,
            invalid=invalid,
            hidden={FIELD: issued.value},
        )
        self.csrf.remember(response, issued)
        return response

    def _login(self, found: DeviceRequest, extras: Extras) -> str:
        """Return where the user logs in.

        They are asked whether they agree, whatever the file says, on a page that names
        the client: RFC 8628 section 5.4 wants them to notice a device of somebody else.
        """
        query = {
            "approval_prompt": "force",
            "client_id": found.client_id,
            # So that the code that comes back is for this device and no other.
            "nonce": found.user_code,
            "redirect_uri": self.devices.callback,
            "response_type": "code",
            "scope": " ".join(found.scopes),
            "state": found.user_code,
        }
        if extras.resources:
            query["resource"] = " ".join(extras.resources)
        return f"{self.issuer.path('/auth')}?{urlencode(query)}"

    # — the cookie ---------------------------------------------------------------------

    def _confirm(self, response: web.Response, user_code: str, age: int) -> None:
        name = self._cookie(user_code)
        response.set_cookie(
            name,
            self.sealer.seal(name, _CONFIRMED) if age else "",
            max_age=age,
            path=self.issuer.cookie_path,
            secure=self.issuer.secure,
            httponly=True,
            samesite="Lax",
        )

    def _confirmed(self, request: web.Request, user_code: str) -> bool:
        if parse_user_code(user_code) != user_code:
            return False
        name = self._cookie(user_code)
        return self.sealer.open(name, request.cookies.get(name, "")) == _CONFIRMED

    def _cookie(self, user_code: str) -> str:
        # RFC 6265bis section 4.1.3: a neighbour domain cannot set a __Host- cookie.
        prefix = ""
        if self.issuer.secure:
            prefix = "__Host-" if self.issuer.cookie_path == "/" else "__Secure-"
        return f"{prefix}dexcore_device_{user_code}"
