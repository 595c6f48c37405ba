"""From parameters to a checked authorization request.

The order of the checks is the order of who gets to hear of a failure: until the client
and its redirect URI are known, the end user; from then on the client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import attrs
import orjson

from aiohttp import web

from ...errors import (
    InvalidRequest,
    InvalidScope,
    NotFound,
    PageRefusal,
    RegistrationNotSupported,
    RequestUriNotSupported,
    WrongRequest,
)
from ...oauth2 import (
    claims_parameter,
    pkce,
    prompts,
    redirect_uris,
    response_modes,
    response_types,
    scopes,
)
from ...oauth2.authentication import parse_acr_values, parse_ui_locales
from ...oauth2.client_metadata import ClientMetadata
from ...oauth2.dpop import check_thumbprint
from ...oauth2.extras import NO_EXTRAS, Extras
from ...oauth2.ids import new_id
from ...oauth2.redirect_uris import DEVICE_CALLBACK
from ...oauth2.words import quote, quote_all
from ...storage import AuthRequest, Client, is_stranger, metadata_of
from ..channels import REPLY_TO, ReplyTo
from ..clients import Clients
from ..hints import IdTokenHints
from ..tokens.resources import Resources
from ..tokens.subjects import Subjects
from ..urls import Issuer
from .flow import Flow

MOST_STATE = 64 * 1024  # characters of any one parameter
_LONGEST_LOGIN_HINT = 256  # characters; an email address has at most 254
_BESIDE = frozenset(("claims", "acr_values", "ui_locales"))


@attrs.frozen
class AuthorizationRequests:
    """Receives authorization requests (OpenID Connect Core section 3.1.2.1).

    Everybody must use PKCE with ``require_pkce``; public clients also with ``strict``
    (RFC 9700 section 2.1.1).  With ``require_pushed`` every request must be pushed
    (RFC 9126 section 5).
    """

    clients: Clients
    issuer: Issuer
    response_types: tuple[str, ...]
    challenge_methods: tuple[str, ...]
    require_pkce: bool
    strict: bool
    lifetime: timedelta
    now: Callable[[], datetime]
    hints: IdTokenHints
    resources: Resources
    subjects: Subjects
    require_pushed: bool = False

    async def receive(
        self,
        web_request: web.Request,
        params: Mapping[str, str],
        *,
        connector_id: str,
        unknown_client: PageRefusal,
        how: Extras = NO_EXTRAS,
    ) -> Flow:
        """Check *params*; return the flow they begin, to *connector_id* if it is given.

        *unknown_client* is raised if there is no such client; *how* says whether the
        client has pushed or signed them.
        """
        client = await self._client(params, unknown_client)
        redirect_uri = self._redirect_uri(client, params)
        state = params.get("state", "")
        asked_types = params.get("response_type", "").split()
        asked_mode = params.get("response_mode", "")
        mode = response_modes.effective(asked_mode, asked_types)
        # RFC 6749 section 4.1.2.1: from here on a refusal goes back to the client.
        web_request[REPLY_TO] = ReplyTo(redirect_uri, state, self.issuer.url, mode)

        _check_unsupported(params)
        response_modes.check(asked_mode, asked_types)
        challenge = pkce.check_challenge(
            params.get("code_challenge", ""),
            params.get("code_challenge_method", ""),
            self.challenge_methods,
        )
        at_device = redirect_uri == self.issuer.path(DEVICE_CALLBACK)
        if not at_device:
            self._check_way(metadata_of(client), how)
        # What is issued without a code cannot be stolen on the way back to us.
        strict = response_types.CODE in asked_types and (
            self.strict or is_stranger(client)
        )
        required = self.require_pkce or (strict and client.public)
        # Our own device pages take the code; the device proves its own challenge.
        if required and not at_device and not challenge.code_challenge:
            raise InvalidRequest(
                "PKCE is required. The code_challenge parameter must be provided."
            )
        asked = await self._scopes(client, params)
        extras = self._extras(client, params, how)
        nonce = params.get("nonce", "")
        types = response_types.parse(
            params.get("response_type", ""),
            self.response_types,
            nonce=nonce,
            redirect_uri=redirect_uri,
            device_callback=self.issuer.path("/device/callback"),
        )
        prompt = prompts.parse(params.get("prompt", ""))
        request = AuthRequest(
            id=new_id(),
            client_id=client.id,
            response_types=types,
            scopes=asked,
            redirect_uri=redirect_uri,
            nonce=nonce,
            state=state,
            force_approval_prompt=params.get("approval_prompt") == "force"
            or "consent" in prompt,
            prompt=" ".join(prompt),
            max_age=_max_age(client, params),
            expiry=self.now() + self.lifetime,
            connector_id=connector_id,
            pkce=challenge,
        )
        id_token_hint = params.get("id_token_hint", "")
        login_hint = params.get("login_hint", "")
        return Flow(
            request,
            client,
            hint=self._expected(client, id_token_hint) if id_token_hint else "",
            login_hint=login_hint if len(login_hint) <= _LONGEST_LOGIN_HINT else "",
            extras=_extras(
                extras
                if mode == response_modes.default(types)
                else attrs.evolve(extras, response_mode=mode),
                params,
                metadata_of(client).scope,
            ),
        )

    def parameters_of(self, flow: Flow) -> dict[str, str]:
        """Return the parameters that make the request of *flow* again."""
        found = parameters_of(flow.request)
        if flow.hint:
            found["id_token_hint"] = self.hints.keep(flow.hint)
        if flow.login_hint:
            found["login_hint"] = flow.login_hint
        return found | _parameters_of(flow.extras)

    def _expected(self, client: Client, token: str) -> str:
        """Return what the hint calls the user that *client* expects."""
        hint = self.hints.read(token)
        if hint.client_id not in ("", client.id) and not self.subjects.is_shared(
            client
        ):
            # Core section 8.1: it must not learn whether both mean the same person.
            raise InvalidRequest("id_token_hint was issued to another client.")
        return hint.subject

    def _check_way(self, metadata: ClientMetadata, how: Extras) -> None:
        """Refuse a request that came another way than the client has to take."""
        if not how.request_uri and (
            self.require_pushed or metadata.require_pushed_authorization_requests
        ):
            raise InvalidRequest("The request must be pushed (RFC 9126).")
        if metadata.require_signed_request_object and not how.signed:
            raise InvalidRequest("The request must be signed (RFC 9101).")

    async def _client(
        self, params: Mapping[str, str], unknown_client: PageRefusal
    ) -> Client:
        try:
            return await self.clients.get(params.get("client_id", ""))
        except NotFound:
            raise unknown_client from None

    def _redirect_uri(self, client: Client, params: Mapping[str, str]) -> str:
        redirect_uri = params.get("redirect_uri", "")
        if not redirect_uris.is_registered(
            client.redirect_uris,
            client.public,
            redirect_uri,
            device_callback=self.issuer.path("/device/callback"),
        ):
            raise WrongRequest("Unregistered redirect_uri.")
        return redirect_uri

    def _extras(self, client: Client, params: Mapping[str, str], how: Extras) -> Extras:
        """Return what dex's record has no place for; mostly there is nothing."""
        if how.sealed and params.get("connector_id"):
            how = attrs.evolve(how, connector_id=params["connector_id"])
        asked = self.resources.asked(params, client)
        jkt = check_thumbprint(params.get("dpop_jkt", ""))
        if not asked and not jkt:
            return how
        return attrs.evolve(how, resources=asked, dpop_jkt=jkt)

    async def _scopes(
        self, client: Client, params: Mapping[str, str]
    ) -> tuple[str, ...]:
        asked = scopes.parse(params.get("scope", ""))
        if scopes.OPENID not in asked:
            raise InvalidScope('Missing required scope(s) ["openid"].')
        unknown = scopes.unknown(asked)
        if unknown:
            raise InvalidScope(f"Unrecognized scope(s) {quote_all(unknown)}")
        await self.clients.check_audiences(client, asked)
        return asked


def parameters_of(request: AuthRequest) -> dict[str, str]:
    """Return the parameters that make *request* again."""
    found = {
        "client_id": request.client_id,
        "redirect_uri": request.redirect_uri,
        "response_type": " ".join(request.response_types),
        "scope": " ".join(request.scopes),
        "state": request.state,
        "nonce": request.nonce,
        "prompt": request.prompt,
        "max_age": str(request.max_age) if request.max_age >= 0 else "",
        "approval_prompt": "force" if request.force_approval_prompt else "",
        "code_challenge": request.pkce.code_challenge,
        "code_challenge_method": request.pkce.code_challenge_method,
    }
    return {name: value for name, value in found.items() if value}


def _extras(known: Extras, params: Mapping[str, str], registered: str) -> Extras:
    """Return *known* with what *params* say that dex's record has no place for.

    A client that has *registered* its scopes has no claims of others either.
    """
    if not _BESIDE.intersection(params):
        return known
    claims = claims_parameter.parse(params.get("claims", ""))
    if registered:
        claims = claims_parameter.within(claims, scopes.parse(registered))
    return attrs.evolve(
        known,
        claims=claims,
        acr_values=parse_acr_values(params.get("acr_values", "")),
        ui_locales=parse_ui_locales(params.get("ui_locales", "")),
    )


def _parameters_of(extras: Extras) -> dict[str, str]:
    found = {
        "response_mode": extras.response_mode,
        "claims": orjson.dumps(extras.claims).decode() if extras.claims else "",
        "acr_values": " ".join(extras.acr_values),
        "ui_locales": " ".join(extras.ui_locales),
        "resource": " ".join(extras.resources),
        "dpop_jkt": extras.dpop_jkt,
    }
    return {name: value for name, value in found.items() if value}


def _max_age(client: Client, params: Mapping[str, str]) -> int:
    """Return what counts of the request's and the client's (Registration section 2)."""
    default = metadata_of(client).default_max_age
    if default is not None and not params.get("max_age"):
        return default
    return prompts.parse_max_age(params.get("max_age", ""))


def _check_unsupported(params: Mapping[str, str]) -> None:
    # OpenID Connect Core section 6: what is not supported is refused, not ignored.
    if params.get("request_uri"):
        raise RequestUriNotSupported("Server does not support request_uri parameter.")
    if params.get("registration"):
        raise RegistrationNotSupported(
            "Server does not support registration parameter."
        )
    for name, value in params.items():
        if len(value) > MOST_STATE:
            raise InvalidRequest(f"The parameter {quote(name)} is too long.")
