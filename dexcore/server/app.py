"""The one place where everything meets."""

from __future__ import annotations

import os

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from functools import partial

import attrs
import orjson

from aiohttp import web
from aiohttp.web import Application

from ..config import Config, ConnectorEntry, Plugged, structure
from ..config.flags import Flags
from ..errors import DexcoreError
from ..oauth2.response_types import CODE
from ..oauth2.times import utcnow
from ..passwords import Passwords
from ..plugins import Extensions, Plugins
from ..signer import Signer, SignerContext
from ..signup import Signup, SignupContext
from ..storage import Connector as ConnectorRecord
from ..storage import Storage, StorageContext
from ..storage.static import overlay
from .audit import Audit
from .authorize.callback import UpstreamCallback
from .authorize.consent import Consent
from .authorize.endpoint import AuthorizationEndpoint
from .authorize.flow import Flows
from .authorize.login import Login, Logins
from .authorize.request import AuthorizationRequests
from .authorize.response import AuthorizationResponse
from .authorize.select import SelectConnector
from .authorize.signup import SignupEndpoint
from .background import Background
from .channels import Channels, Handler
from .clients import Clients
from .connectors import Connectors
from .cors import Cors
from .csrf import Csrf
from .discovery import Discovery
from .grants.authorization_code import AuthorizationCodeGrant
from .grants.endpoint import TokenEndpoint
from .grants.grant import Grant
from .grants.refresh_token import RefreshTokenGrant
from .guard import Guard
from .health import Health
from .home import HomePage
from .introspection import IntrospectionEndpoint
from .metrics import Metrics, open_metrics
from .middleware import combined
from .pages import Pages
from .real_ip import RealIP
from .revocation import RevocationEndpoint
from .sealing import Sealer, derive, shared_key
from .tokens.access import AccessTokens
from .tokens.claims import ExtraClaims
from .tokens.issuer import TokenIssuer
from .tokens.refresh import RefreshPolicy, RefreshSecrets, RefreshTokens
from .tokens.revocations import Revocations
from .urls import Issuer
from .userinfo import UserinfoEndpoint

Now = Callable[[], datetime]

SWEEP_SECONDS = 300.0

# Guesses of one account's password from one address: a burst that many tabs and devices
# may need, then ten a minute.
FAILED_LOGINS = partial(Guard, rate=1 / 6, burst=100)
# What strangers may store: requests too large for a cookie, forms that upstreams post.
STRANGERS = partial(Guard, rate=1.0, burst=120)
# Sign-ups: a class behind one router signs up together, each at the price of a hash.
SIGNUPS = partial(Guard, rate=0.5, burst=50)


@attrs.frozen
class Parts:
    """What everything is made of."""

    config: Config
    issuer: Issuer
    storage: Storage
    signer: Signer
    connectors: Connectors
    clients: Clients
    pages: Pages
    passwords: Passwords
    revocations: Revocations
    extensions: Extensions
    signups: tuple[Signup, ...]
    secret: bytes
    audit: Audit
    now: Now

    @property
    def strict(self) -> bool:
        """Whether the specifications come before what clients of dex may rely on."""
        return self.config.compat == "strict"


@attrs.frozen
class Server:
    """The endpoints, ready to be served, and what runs beside them."""

    web: Application
    telemetry: Application
    health: Health
    metrics: Metrics
    parts: Parts
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

    async def close(self) -> None:
        """Stop everything and let go of connections."""
        await self._background.close()
        await self._stack.aclose()

    async def _sweep(self) -> None:
        swept = await self.parts.storage.sweep(self.parts.now())
        found = {kind: count for kind, count in swept.items() if count}
        if found:
            self.parts.audit.log.info("swept", extra={"fields": found})


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
        parts = await _open_parts(config, plugins, now, environ, stack)
        health = Health(parts.storage, parts.connectors.states, now)
        metrics = open_metrics(environ)
        return Server(
            web=_public(parts, health, metrics),
            telemetry=_telemetry(health, metrics),
            health=health,
            metrics=metrics,
            parts=parts,
            background=Background(),
            stack=stack.pop_all(),
        )
    raise AssertionError  # an exit stack swallows no exception


# — the parts --------------------------------------------------------------------------


async def _open_parts(
    config: Config,
    plugins: Plugins,
    now: Now,
    environ: Mapping[str, str],
    stack: AsyncExitStack,
) -> Parts:
    issuer = Issuer(config.issuer)
    extensions = plugins.extensions(config.plugins)
    pages = Pages.open(config.frontend, issuer, extensions.template_dirs)
    storage = await _open_storage(config, plugins)
    stack.push_async_callback(storage.close)
    passwords = Passwords()
    stack.callback(passwords.close)
    signer = await _open_signer(config, plugins, storage, now)
    stack.push_async_callback(signer.close)
    revocations = Revocations(storage, now)
    await revocations.load()
    connectors = await Connectors.open(
        storage,
        plugins,
        passwords=passwords,
        continue_on_failure=Flags.from_environ(environ).continue_on_connector_failure,
    )
    stack.push_async_callback(connectors.close)
    signups = await _open_signups(config, plugins, storage, passwords, stack)
    return Parts(
        config=config,
        issuer=issuer,
        storage=storage,
        signer=signer,
        connectors=connectors,
        clients=Clients(storage),
        pages=pages,
        passwords=passwords,
        revocations=revocations,
        extensions=extensions,
        signups=signups,
        secret=await shared_key(storage, "server", now()),
        audit=Audit(),
        now=now,
    )


async def _open_storage(config: Config, plugins: Plugins) -> Storage:
    kind = plugins.storage_type(config.storage.type)
    async with _blaming(plugins, "storage", config.storage.type):
        options = structure(config.storage.config, kind.config, where="storage")
        storage = await kind.open(options, StorageContext())
    return overlay(
        storage,
        clients=config.static_clients,
        passwords=config.static_passwords,
        connectors=tuple(_record(entry) for entry in config.connectors),
    )


async def _open_signer(
    config: Config, plugins: Plugins, storage: Storage, now: Now
) -> Signer:
    kind = plugins.signer_type(config.signer.type or "local")
    async with _blaming(plugins, "signer", config.signer.type):
        return await kind.open(
            structure(config.signer.config, kind.config),
            SignerContext(storage, config.expiry.id_tokens, now),
        )


async def _open_signups(
    config: Config,
    plugins: Plugins,
    storage: Storage,
    passwords: Passwords,
    stack: AsyncExitStack,
) -> tuple[Signup, ...]:
    if not config.enable_signup:
        return ()
    opened = []
    for entry in config.signup:
        opened.append(await _open_signup(entry, plugins, storage, passwords))
        stack.push_async_callback(opened[-1].close)
    return tuple(opened)


async def _open_signup(
    entry: Plugged, plugins: Plugins, storage: Storage, passwords: Passwords
) -> Signup:
    kind = plugins.signup_type(entry.type)
    async with _blaming(plugins, "signup", entry.type):
        return await kind.open(
            structure(entry.config, kind.config, where="signup"),
            SignupContext(storage, passwords),
        )


@asynccontextmanager
async def _blaming(plugins: Plugins, kind: str, name: str) -> AsyncIterator[None]:
    """Say which plugin it was, whatever it raises while it opens."""
    try:
        yield
    except DexcoreError:
        raise
    except Exception as error:
        raise plugins.failed(kind, name, "open", error) from error


def _record(entry: ConnectorEntry) -> ConnectorRecord:
    return ConnectorRecord(
        id=entry.id,
        type=entry.type,
        name=entry.name,
        config=orjson.dumps(dict(entry.config)),
        grant_types=tuple(entry.grant_types),
    )


# — the endpoints ----------------------------------------------------------------------


def _public(parts: Parts, health: Health, metrics: Metrics) -> Application:
    config, issuer = parts.config, parts.issuer
    channels = Channels(parts.pages)
    cors = Cors(config.web.allowed_origins, config.web.allowed_headers)
    tokens = _tokens(parts)
    grants = _grants(parts, tokens)
    discovery = Discovery(
        issuer,
        parts.signer,
        tuple(grants),
        _response_types(config),
        config.oauth2.pkce.code_challenge_methods_supported,
    )
    introspection = IntrospectionEndpoint(
        parts.clients, parts.storage, tokens.access, tokens.refresh
    )
    revocation = RevocationEndpoint(
        parts.clients, parts.storage, tokens.access, tokens.refresh, parts.audit
    )
    userinfo = UserinfoEndpoint(tokens.access, parts.strict)
    token = TokenEndpoint(parts.clients, grants, parts.audit)
    home = HomePage(parts.pages, issuer, bool(parts.signups))
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
    route(below("/token"), cors.wrap(channels.back(token.exchange)))
    route(below("/token/introspect"), cors.wrap(channels.back(introspection.answer)))
    route(below("/token/revoke"), cors.wrap(channels.back(revocation.answer)))
    route(below("/userinfo"), cors.wrap(channels.back(userinfo.answer)))
    route(below("/healthz"), channels.front(health.public))
    for path, handler in _authorization(parts).routes():
        route(below(path), channels.front(handler))
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


@attrs.frozen
class Tokens:
    """The life of tokens."""

    issuer: TokenIssuer
    access: AccessTokens
    refresh: RefreshTokens


def _tokens(parts: Parts) -> Tokens:
    expiry = parts.config.expiry
    extra = ExtraClaims(tuple(parts.extensions.claims))
    return Tokens(
        TokenIssuer(
            parts.issuer.url,
            parts.signer,
            expiry.id_tokens,
            parts.now,
            extra,
            parts.strict,
        ),
        AccessTokens(
            parts.issuer.url, parts.signer, parts.revocations, parts.now, parts.strict
        ),
        RefreshTokens(
            parts.storage,
            RefreshSecrets(derive(parts.secret, "refresh tokens")),
            RefreshPolicy(
                not expiry.refresh_tokens.disable_rotation,
                expiry.refresh_tokens.reuse_interval,
                expiry.refresh_tokens.absolute_lifetime,
                expiry.refresh_tokens.valid_if_not_used_for,
            ),
            parts.revocations,
            expiry.id_tokens,
            parts.now,
        ),
    )


def _grants(parts: Parts, tokens: Tokens) -> dict[str, Grant]:
    """Return the grants that are built and switched on, by name."""
    built: tuple[Grant, ...] = (
        AuthorizationCodeGrant(
            parts.storage,
            parts.clients,
            parts.connectors,
            tokens.refresh,
            tokens.issuer,
            parts.audit,
            parts.now,
        ),
        RefreshTokenGrant(
            parts.storage,
            parts.clients,
            parts.connectors,
            tokens.refresh,
            tokens.issuer,
            parts.audit,
        ),
    )
    on = parts.config.oauth2.grant_types
    return {grant.grant_type: grant for grant in built if grant.grant_type in on}


def _response_types(config: Config) -> tuple[str, ...]:
    """Return the response types that are built and switched on."""
    return tuple(kind for kind in config.oauth2.response_types if kind == CODE)


def _authorization(parts: Parts) -> AuthorizationEndpoint:
    config, issuer, pages = parts.config, parts.issuer, parts.pages
    strangers = STRANGERS()
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
        config.oauth2.pkce.code_challenge_methods_supported,
        config.oauth2.pkce.enforce,
        flows.lifetime,
        parts.now,
    )
    logins = Logins(parts.connectors, parts.audit, parts.now)
    signup = bool(parts.signups)
    steps = (
        SelectConnector(
            parts.connectors,
            pages,
            issuer,
            config.oauth2.always_show_login_screen,
            signup,
        ),
        Login(flows, logins, pages, issuer, FAILED_LOGINS(), signup),
        UpstreamCallback(flows, logins, parts.storage, issuer, strangers),
        Consent(
            flows,
            parts.storage,
            pages,
            issuer,
            parts.audit,
            config.oauth2.skip_approval_screen,
        ),
    )
    response = AuthorizationResponse(
        parts.storage, flows, pages, parts.audit, parts.now
    )
    return AuthorizationEndpoint(flows, requests, steps, response)


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
