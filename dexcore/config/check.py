"""``dexcore check``: what is wrong with a file, and what is unwise."""

from __future__ import annotations

import ipaddress
import json
import os

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

import attrs

from ..errors import PluginError
from ..oauth2.response_types import switched_on
from .convert import examine
from .document import Section
from .findings import Findings, Path
from .flags import Flags
from .grants import check_grants
from .load import Reading, read
from .model import Config, Plugged
from .problems import ConfigProblems, Position, Problem, problem, suggest

#: A secret shorter than this can be guessed, in characters.
SHORTEST_SECRET = 16
_IMPLICIT = frozenset({"token", "id_token"})


class Offer(Protocol):
    """What a plugin offers: its options are an attrs class."""

    @property
    def config(self) -> type[Any]:
        """The class of its options."""


class Types(Protocol):
    """What finds plugins by the type the file names, or raises ``PluginError``."""

    def storage_type(self, name: str, /) -> Offer: ...
    def signer_type(self, name: str, /) -> Offer: ...
    def connector_type(self, name: str, /) -> Offer: ...
    def signup_type(self, name: str, /) -> Offer: ...
    def authenticator_type(self, name: str, /) -> Offer: ...


def check(
    path: str | os.PathLike[str],
    plugins: Types | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
) -> list[Problem]:
    """Return everything that is wrong or unwise in the file at *path*, in its order.

    With *plugins* also what their options say.  Never raises for what is in the file.
    """
    try:
        reading = read(path, environ=environ)
    except ConfigProblems as unreadable:
        return list(unreadable.problems)
    return check_reading(reading, plugins)


def check_reading(reading: Reading, plugins: Types | None = None) -> list[Problem]:
    """Return everything that is wrong or unwise in a file that is read already."""
    if reading.findings.root:
        _check_references(reading.config, reading.flags, reading.findings)
        _check_wisdom(reading.config, reading.findings)
        if plugins is not None:
            _check_plugins(reading.config, reading.findings, plugins)
    return list(dict.fromkeys(reading.problems))


def render_text(problems: Iterable[Problem]) -> str:
    """Return the problems for a person, one a line."""
    return "".join(f"{each}\n" for each in problems)


def render_json(problems: Iterable[Problem]) -> str:
    """Return the problems for a program: a JSON array of objects."""
    return json.dumps([attrs.asdict(each) for each in problems], indent=2) + "\n"


# — References -------------------------------------------------------------------------


def _check_references(config: Config, flags: Flags, found: Findings) -> None:
    connectors = [entry.id for entry in config.connectors]
    # Connectors may also be in the storage, but only where the API puts them there.
    say = found.warn if flags.api_connectors_crud else found.error
    named: list[tuple[Path, str]] = [
        (("staticClients", index, "allowedConnectors", place), name)
        for index, client in enumerate(config.static_clients)
        for place, name in enumerate(client.allowed_connectors)
    ]
    if config.oauth2.password_connector:
        named.append(
            (("oauth2", "passwordConnector"), config.oauth2.password_connector)
        )
    named += [
        (("oauth2", "jwtBearer", "trustedIssuers", index, "connectorID"), name)
        for index, name in enumerate(
            entry.connector_id for entry in config.oauth2.jwt_bearer.trusted_issuers
        )
    ]
    for path, name in named:
        if name not in connectors:
            otherwise = "Add the connector, or remove its id here."
            say(
                path,
                f'there is no connector "{name}"',
                suggest(name, connectors, otherwise),
            )
    if not connectors:
        found.warn(
            ("connectors",),
            "there is no way to log in",
            'Add connectors, or "enablePasswordDB: true".',
        )
    _check_clients(config, found)
    check_grants(config, found)
    _check_subjects(config, found)
    _check_connector_types(config, found)


def _check_clients(config: Config, found: Findings) -> None:
    clients = [client.id for client in config.static_clients]
    servers = {name for each in config.resources for name in each.servers}
    listed: list[tuple[Path, Iterable[str]]] = []
    for index, resource in enumerate(config.resources):
        listed.append((("resources", index, "clients"), resource.clients or ()))
        listed.append((("resources", index, "servers"), resource.servers))
    for index, issuer in enumerate(config.oauth2.jwt_bearer.trusted_issuers):
        at: Path = ("oauth2", "jwtBearer", "trustedIssuers", index, "clients")
        listed.append((at, issuer.clients or ()))
    for index, client in enumerate(config.static_clients):
        shared = [name for name in client.sso_shared_with or () if name != "*"]
        listed += [
            (("staticClients", index, "trustedPeers"), client.trusted_peers),
            (("staticClients", index, "ssoSharedWith"), shared),
        ]
        if (
            not client.redirect_uris
            and not client.public
            and client.client_credentials_claims is None
            and client.id not in servers
        ):
            found.warn(
                ("staticClients", index, "redirectURIs"),
                f'the client "{client.id}" has no redirectURIs, so nobody can log in',
                'Add "redirectURIs: [https://…/callback]".',
            )
    for path, names in listed:
        for name in names:
            if name not in clients:
                found.warn(
                    found.item(path, name),
                    f'no static client has the id "{name}"',
                    suggest(name, clients, "Add it, or make it through the API."),
                )


def _check_subjects(config: Config, found: Findings) -> None:
    seen: dict[str, str] = {}
    for index, user in enumerate(config.static_passwords):
        first = seen.setdefault(user.user_id, user.email)
        if user.user_id and first != user.email:
            found.warn(
                ("staticPasswords", index, "userID"),
                f'"{first}" has the same userID: to clients both are one person',
                "Give every person a userID of their own.",
            )


def _check_connector_types(config: Config, found: Findings) -> None:
    types = {entry.type for entry in config.connectors}
    for index, entry in enumerate(config.mfa.authenticators):
        for place, name in enumerate(entry.connector_types):
            if name not in types:
                found.warn(
                    ("mfa", "authenticators", index, "connectorTypes", place),
                    f'no connector has the type "{name}"',
                    suggest(name, types, "Name a type, not an id."),
                )


# — Wisdom -----------------------------------------------------------------------------


def _check_wisdom(config: Config, found: Findings) -> None:
    _check_transport(config, found)
    _check_grpc(config, found)
    _check_flows(config, found)
    _check_secrets(config, found)
    if "*" in config.web.allowed_origins:
        found.warn(
            found.item(("web", "allowedOrigins"), "*"),
            "scripts of every web site may call this server",
            "List the origins of your own applications.",
        )
    if config.storage.type == "memory":
        found.warn(
            ("storage", "type"),
            "the memory storage forgets keys, tokens and users at every restart",
            "Use sqlite3 or a database server for anything but trying things out.",
        )


def _check_transport(config: Config, found: Findings) -> None:
    issuer = _url(config.issuer)
    if not issuer.hostname:
        return  # said already
    web = config.web
    if issuer.scheme == "http" and not _is_loopback(issuer.hostname):
        # OpenID Connect Core section 16.17
        found.warn(
            ("issuer",),
            "the issuer is http, so passwords and tokens travel readable",
            "Serve it over https, with web.https or behind a proxy.",
        )
    if (
        issuer.scheme == "https"
        and web.http
        and not web.https
        and not _is_loopback_address(web.http)
        and not web.client_remote_ip.trusted_proxies
    ):
        found.warn(
            ("web", "http"),
            "the issuer is https, but this address serves plain http to everybody",
            "Set web.https, listen on 127.0.0.1, or name the proxy in "
            "web.clientRemoteIP.trustedProxies.",
        )
    if config.telemetry.enable_profiling and not _is_loopback_address(
        config.telemetry.http
    ):
        found.warn(
            ("telemetry", "enableProfiling"),
            "profiles can be taken by everybody who reaches telemetry.http",
            "Listen on 127.0.0.1 there.",
        )


def _check_grpc(config: Config, found: Findings) -> None:
    grpc = config.grpc
    if grpc.addr and not grpc.tls_client_ca and not _is_loopback_address(grpc.addr):
        found.warn(
            ("grpc", "addr"),
            "everybody who reaches the gRPC API may change clients and passwords",
            "Set grpc.tlsClientCA, or listen on 127.0.0.1.",
        )


def _check_flows(config: Config, found: Findings) -> None:
    oauth2 = config.oauth2
    on = set(switched_on(oauth2.response_types, oauth2.grant_types))
    for index, name in enumerate(oauth2.response_types):
        parts = set(name.split())
        if parts & _IMPLICIT and parts <= on:
            # RFC 9700 section 2.1.2
            found.warn(
                ("oauth2", "responseTypes", index),
                f'the response type "{name}" puts tokens into the address bar',
                "Use code with PKCE.",
            )
    if found.given(("oauth2", "pkce", "codeChallengeMethodsSupported")):
        methods = oauth2.pkce.code_challenge_methods_supported
        if "plain" in methods:
            # RFC 9700 section 2.1.1
            found.warn(
                found.item(
                    ("oauth2", "pkce", "codeChallengeMethodsSupported"), "plain"
                ),
                "a plain PKCE challenge protects nothing from who sees the request",
                "Leave only S256.",
            )
    if oauth2.password_connector and "password" in oauth2.grant_types:
        # RFC 9700 section 2.4
        found.warn(
            ("oauth2", "passwordConnector"),
            "the password grant gives passwords to clients and knows no second factor",
            "Let clients use the authorization code or the device grant.",
        )


def _check_secrets(config: Config, found: Findings) -> None:
    for index, client in enumerate(config.static_clients):
        at: Path = ("staticClients", index)
        key = "secretEnv" if found.given((*at, "secretEnv")) else "secret"
        if client.secret and len(client.secret) < SHORTEST_SECRET:
            found.warn(
                (*at, key),
                f'the secret of the client "{client.id}" is shorter than '
                f"{SHORTEST_SECRET} characters",
                "Make one with: openssl rand -base64 24.",
            )
        for place, uri in enumerate(client.redirect_uris):
            if _is_readable(uri):
                found.warn(
                    (*at, "redirectURIs", place),
                    f'codes travel readable to "{uri}"',
                    "Use https, or a loopback address on the same machine.",
                )
    sessions = config.sessions
    if sessions and found.given(("sessions",)) and not sessions.cookie_encryption_key:
        found.warn(
            ("sessions", "cookieEncryptionKey"),
            "session cookies are not encrypted",
            'Add "cookieEncryptionKey: …", made with: openssl rand -hex 16.',
        )


def _is_readable(uri: str) -> bool:
    url = _url(uri)
    return url.scheme == "http" and not _is_loopback(url.hostname or "")


def _url(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:
        return urlsplit("")


def _is_loopback_address(address: str) -> bool:
    return not address or _is_loopback(address.rpartition(":")[0].strip("[]"))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


# — Plugins ----------------------------------------------------------------------------


@attrs.frozen
class _Use:
    """One place of the file that names a plugin."""

    path: Path
    type: str
    config: Mapping[str, Any]
    find: Callable[[str], Offer]


def _check_plugins(config: Config, found: Findings, plugins: Types) -> None:
    for use in _uses(config, plugins):
        if not use.type:
            continue  # said already
        try:
            offer = use.find(use.type)
        except PluginError as error:
            found.error(
                (*use.path, "type"),
                _sentence(error),
                'See "dexcore plugins" for the types that are installed.',
            )
            continue
        found.problems.extend(_options_of(use, offer, found))


def _options_of(use: _Use, offer: Offer, found: Findings) -> list[Problem]:
    section = use.config
    if not isinstance(section, Section):
        section = Section(at=found.at(use.path), strict=found.root.strict)
    try:
        return examine(section, offer.config)[1]
    except Exception as error:  # a plugin's class may raise anything
        at: Position = found.at((*use.path, "config"))
        what = type(error).__name__
        message = f'the options of type "{use.type}" could not be read: {what}'
        return [problem(at, message, "Report this to the author of the plugin.")]


def _uses(config: Config, plugins: Types) -> Iterable[_Use]:
    yield _use(("storage",), config.storage, plugins.storage_type)
    yield _use(("signer",), config.signer, plugins.signer_type)
    for index, entry in enumerate(config.connectors):
        path: Path = ("connectors", index)
        yield _Use(path, entry.type, entry.config, plugins.connector_type)
    for index, factor in enumerate(config.mfa.authenticators):
        path = ("mfa", "authenticators", index)
        yield _Use(path, factor.type, factor.config, plugins.authenticator_type)
    if config.enable_signup:
        for index, each in enumerate(config.signup):
            yield _use(("signup", index), each, plugins.signup_type)


def _use(path: Path, plugged: Plugged, find: Callable[[str], Offer]) -> _Use:
    return _Use(path, plugged.type, plugged.config, find)


def _sentence(error: PluginError) -> str:
    return str(error).rstrip(".") or type(error).__name__
