"""The one place where everything meets."""

from __future__ import annotations

import os

from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

import attrs

from aiohttp import web
from aiohttp.web import Application

from ..config import Config
from ..oauth2.response_types import switched_on
from ..oauth2.times import utcnow
from ..plugins import Plugins
from .account import AccountPage
from .authorize.callback import UpstreamCallback
from .authorize.consent import Consent
from .authorize.endpoint import AuthorizationEndpoint
from .authorize.flow import Flows, Step
from .authorize.front_channel import FrontChannel
from .authorize.login import Login, Logins
from .authorize.pushed import PushedAuthorizationEndpoint, PushedRequests
from .authorize.request import AuthorizationRequests
from .authorize.request_objects import RequestObjects
from .authorize.response import AuthorizationResponse
from .authorize.select import SelectConnector
from .authorize.signup import SignupEndpoint
from .background import Background
from .channels import Channels, Handler
from .cors import Cors
from .csrf import Csrf
from .discovery import Discovery
from .granting import Granting, Tokens, challenge_methods
from .guard import Guard
from .health import Health
from .home import HomePage
from .introspection import IntrospectionEndpoint
from .metadata import MetadataEndpoint
from .metrics import Metrics, open_metrics
from .middleware import combined
from .parking import Parking
from .parts import Now, Parts, open_parts
from .real_ip import RealIP
from .registering import registered_clients, registration_of
from .revocation import RevocationEndpoint
from .sealing import Sealer, derive
from .session_parts import SessionParts, hints_of, session_parts
from .tokens.leftovers import remove_leftovers
from .userinfo import UserinfoEndpoint

SWEEP_SECONDS = 300.0
# It reads all refresh tokens and offline sessions, and rarely finds something.
LEFTOVERS_SECONDS = 3600.0
# It reads all clients; one whose time is over counts no more before that.
TIDY_SECONDS = 3600.0

# What strangers may store: requests too large for a cookie, forms that upstreams post.
STRANGERS = partial(Guard, rate=1.0, burst=120)
# Sign-ups: a class behind one router signs up together, each at the price of a hash.
SIGNUPS = partial(Guard, rate=0.5, burst=50)


@attrs.frozen(eq=False)
class Server:
    """The endpoints, ready to be served, and what runs beside them."""

    web: Application
    telemetry: Application
    health: Health
    metrics: Metrics
    parts: Parts
    sessions: SessionParts | None
    _background: Background
    _stack: AsyncExitStack

    async def start(self) -> None:
        """Start what runs beside the endpoints."""
        parts, background = self.parts, self._background
        background.start("metrics", self.metrics.run)
        background.start("keys", parts.signer.run)
        background.start("connectors", parts.connectors.run)
        background.start("revocations", parts.revocations.run)
        background.start("health", self.health.run)
        background.every(SWEEP_SECONDS, self._sweep, jitter=0.1)
        if parts.config.registration.enabled:
            background.every(TIDY_SECONDS, self._tidy_clients, jitter=0.5)
        if not parts.storage.atomic:
            background.every(LEFTOVERS_SECONDS, self._tidy, jitter=0.5)

    async def close(self) -> None:
        """Stop everything and let go of connections."""
        if self.sessions is not None:
            await self.sessions.notices.close()
        await self._background.close()
        await self._stack.aclose()

    async def _sweep(self) -> None:
        swept = await self.parts.storage.sweep(self.parts.now())
        found = {kind: count for kind, count in swept.items() if count}
        if found:
            self.parts.audit.log.info("swept", extra={"fields": found})

    async def _tidy_clients(self) -> None:
        if removed := await registered_clients(self.parts).tidy():
            found = {"clients": removed}
            self.parts.audit.log.info("removed clients", extra={"fields": found})

    async def _tidy(self) -> None:
        storage, now = self.parts.storage, self.parts.now()
        if removed := await remove_leftovers(storage, now):
            found = {"refresh_tokens": removed}
            self.parts.audit.log.info("removed leftovers", extra={"fields": found})


async def open_server(
    config: Config,
    plugins: Plugins,
    *,
    now: Now = utcnow,
    environ: Mapping[str, str] = os.environ,
) -> Server:
    """Open every part *config* names and compose the endpoints.

    Raises ``ConfigError``, ``PluginError`` or ``StorageError``, all closed.
    """
    async with AsyncExitStack() as stack:
        parts = await open_parts(config, plugins, now, environ, stack)
        health = Health(parts.storage, parts.connectors.states, now)
        metrics = open_metrics(environ)
        tokens = Tokens.of(parts)
        strangers = STRANGERS()
        sessions = session_parts(parts, tokens.refresh, strangers)
        return Server(
            web=_public(parts, health, metrics, tokens, sessions, strangers),
            telemetry=_telemetry(health, metrics),
            health=health,
            metrics=metrics,
            parts=parts,
            sessions=sessions,
            background=Background(),
            stack=stack.pop_all(),
        )
    raise AssertionError  # an exit stack swallows no exception


# — the endpoints ----------------------------------------------------------------------


def _public(
    parts: Parts,
    health: Health,
    metrics: Metrics,
    tokens: Tokens,
    sessions: SessionParts | None,
    strangers: Guard,
) -> Application:
    config, issuer = parts.config, parts.issuer
    channels = Channels(parts.pages)
    cors = Cors(config.web.allowed_origins, config.web.allowed_headers)
    token_sessions = sessions.tokens if sessions is not None else None
    granting = Granting.of(parts, tokens, token_sessions)
    registration = registration_of(parts, granting.grant_types, _response_types(config))
    discovery = Discovery(
        issuer,
        parts.signer,
        granting.grant_types,
        _response_types(config),
        challenge_methods(parts),
        sessions=sessions is not None,
        id_jag=parts.trusted_issuers.id_jag,
        require_pushed=config.oauth2.require_pushed_authorization_requests,
        registration=registration is not None,
        client_documents=config.registration.client_id_metadata_documents,
    )
    introspection = IntrospectionEndpoint(
        parts.clients,
        parts.storage,
        tokens.access,
        tokens.refresh,
        tokens.resources,
        token_sessions,
    )
    revocation = RevocationEndpoint(
        parts.clients, parts.storage, tokens.access, tokens.refresh, parts.audit
    )
    userinfo = UserinfoEndpoint(tokens.access, tokens.proofs, parts.strict)
    metadata = MetadataEndpoint(parts.connectors, issuer)
    home: HomePage | AccountPage = HomePage(parts.pages, issuer, bool(parts.signups))
    if sessions is not None:
        home = sessions.account
    below = issuer.path
    well_known = "/.well-known/oauth-authorization-server"

    app = Application(
        middlewares=[
            combined(
                real_ip=RealIP.of(config.web.client_remote_ip),
                headers=config.web.headers,
                secure=issuer.secure,
                base=issuer.base,
                metrics=metrics,
                unexpected=channels.page,
            )
        ],
        client_max_size=0,  # every endpoint reads its own limit
    )
    parts.pages.install(app)

    def route(path: str, handler: Handler) -> None:
        app.router.add_route("*", path, handler)

    for path in (below("/.well-known/openid-configuration"), below(well_known)):
        route(path, cors.wrap(channels.back(discovery.document)))
    if issuer.base:
        # RFC 8414 section 3.1: well-known comes before the issuer's own path.
        path = well_known + issuer.base
        route(path, cors.wrap(channels.back(discovery.document)))
    route(below("/keys"), cors.wrap(channels.back(discovery.keys)))
    route(below("/token"), cors.wrap(channels.back(granting.endpoint.exchange)))
    route(below("/token/introspect"), cors.wrap(channels.back(introspection.answer)))
    route(below("/token/revoke"), cors.wrap(channels.back(revocation.answer)))
    route(below("/userinfo"), cors.wrap(channels.back(userinfo.answer)))
    route(below("/healthz"), channels.front(health.public))
    authorization = _authorization(parts, granting, sessions, strangers)
    for path, handler in authorization.routes():
        route(below(path), channels.front(handler))
    pushing = PushedAuthorizationEndpoint(
        parts.clients,
        authorization.requests,
        authorization.objects,
        authorization.pushed,
        tokens.proofs,
        granting.policy,
        strangers,
        parts.audit,
    )
    route(below(pushing.path), cors.wrap(channels.back(pushing.answer)))
    for path, handler in sessions.routes() if sessions is not None else ():
        route(below(path), channels.front(handler))
    for path, handler in registration.routes() if registration is not None else ():
        route(below(path), cors.wrap(channels.back(handler)))
    for path, handler in granting.device_routes(channels):
        route(below(path), handler)
    route(below("/connectors/{connector}/metadata"), channels.front(metadata.show))
    if parts.signups:
        for path, handler in _signup(parts).routes():
            route(below(path), channels.front(handler))
    app.add_routes(parts.pages.routes())
    route(below(""), cors.wrap(channels.front(home.show)))
    return app


def _telemetry(health: Health, metrics: Metrics) -> Application:
    app = Application()
    app.add_routes([web.get("/metrics", metrics.answer), *health.routes()])
    return app


def _response_types(config: Config) -> tuple[str, ...]:
    """Return the parts of response types that are switched on."""
    return switched_on(config.oauth2.response_types, config.oauth2.grant_types)


def _authorization(
    parts: Parts, granting: Granting, sso: SessionParts | None, strangers: Guard
) -> AuthorizationEndpoint:
    config, issuer, pages = parts.config, parts.issuer, parts.pages
    policy = granting.policy
    flows = Flows(
        parts.storage,
        parts.clients,
        issuer,
        Sealer(derive(parts.secret, "cookies")),
        strangers,
        config.expiry.auth_requests or timedelta(hours=24),
        parts.now,
    )
    requests = AuthorizationRequests(
        parts.clients,
        issuer,
        _response_types(config),
        challenge_methods(parts),
        config.oauth2.pkce.enforce,
        parts.strict,
        flows.lifetime,
        parts.now,
        hints_of(parts),
        policy.resources,
        parts.subjects,
        config.oauth2.require_pushed_authorization_requests,
    )
    remember = config.sessions and config.sessions.remember_me_checked_by_default
    logins = Logins(
        parts.connectors,
        policy,
        parts.subjects,
        parts.audit,
        parts.now,
        bool(remember),
    )
    signup = bool(parts.signups)
    steps: tuple[Step, ...] = (
        *((sso.reuse(parts, policy),) if sso else ()),
        SelectConnector(
            flows,
            parts.connectors,
            policy,
            pages,
            issuer,
            config.oauth2.always_show_login_screen,
            signup,
        ),
        Login(flows, logins, pages, issuer, granting.failed_logins, signup, bool(sso)),
        UpstreamCallback(
            flows, logins, Parking(parts.storage, strangers, parts.now), issuer
        ),
        *((sso.begin,) if sso else ()),
        Consent(
            flows,
            parts.storage,
            pages,
            issuer,
            parts.audit,
            policy.resources,
            config.oauth2.skip_approval_screen,
            bool(sso),
        ),
    )
    response = AuthorizationResponse(
        parts.storage,
        flows,
        pages,
        parts.audit,
        parts.now,
        FrontChannel(parts.storage, policy, granting.endpoint.issuer, parts.audit),
        sso.sessions if sso else None,
    )
    pushed = PushedRequests(parts.storage, parts.now)
    objects = RequestObjects(parts.clients, parts.client_keys, issuer.url, parts.now)
    states = sso.sessions.states if sso else None
    return AuthorizationEndpoint(
        flows, requests, steps, policy, response, pushed, objects, states
    )


def _signup(parts: Parts) -> SignupEndpoint:
    return SignupEndpoint(
        parts.storage,
        parts.signups,
        parts.pages,
        Csrf(derive(parts.secret, "forms"), parts.issuer),
        SIGNUPS(),
        parts.audit,
        parts.issuer,
    )
