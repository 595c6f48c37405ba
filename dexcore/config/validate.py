"""The rules that the types of the sections cannot say: what dex checks at start."""

from __future__ import annotations

import re

from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import urlsplit

from ..oauth2.redirect_uris import is_unusable
from .durations import format_duration
from .findings import Findings, Path
from .flags import Flags
from .jwt_bearer import check_jwt_bearer
from .listeners import check_listeners
from .model import (
    CLIENT_CREDENTIALS,
    CODE_CHALLENGE_METHODS,
    GRANT_TYPES,
    RESPONSE_TYPES,
    Config,
    Sessions,
)
from .problems import suggest
from .registration import check_registration
from .resources import check_resources
from .subjects import check_subjects

_LEVEL = re.compile(r"^(DEBUG|INFO|WARN|ERROR)([+-][0-9]+)?$", re.IGNORECASE)
# Front-Channel Logout section 2; nothing that would end the policy it is put into.
_FRAME = re.compile(r"https?://[A-Za-z0-9.:_\[\]-]+(/[^\s\"<>;,#]*)?")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_SECOND_FACTORS = ("TOTP", "WebAuthn")
_ZERO = timedelta(0)


def validate(config: Config, flags: Flags, found: Findings) -> None:
    """Write down everything that is wrong with *config*."""
    for rule in (
        _issuer,
        _storage,
        check_listeners,
        _oauth2,
        _expiry,
        _logger,
        _signer,
        _connectors,
        _clients,
        _passwords,
        _signup,
        check_resources,
        check_jwt_bearer,
        check_subjects,
        check_registration,
    ):
        rule(config, found)
    _sessions(config, found)
    _second_factors(config, flags, found)


def _issuer(config: Config, found: Findings) -> None:
    at: Path = ("issuer",)
    if not found.given(at):
        return  # the key is missing; that is said already
    try:
        url = urlsplit(config.issuer)
    except ValueError:
        found.error(
            at, f'the issuer "{config.issuer}" is not a URL', "Check its brackets."
        )
        return
    if url.scheme not in ("http", "https") or not url.netloc:
        found.error(
            at,
            f'the issuer "{config.issuer}" is not an http or https URL',
            'Write the whole URL clients use, such as "https://id.example.com".',
        )
    elif url.query or url.fragment:
        # OpenID Connect Discovery 1.0 section 3
        found.error(
            at,
            f'the issuer "{config.issuer}" has a query or a fragment',
            "Remove what follows ? or #.",
        )


def _storage(config: Config, found: Findings) -> None:
    if found.given(("storage",)) and not config.storage.type:
        found.error(
            ("storage", "type"),
            "the storage has no type",
            'Add "type: sqlite3", or memory to try things out.',
        )


def _oauth2(config: Config, found: Findings) -> None:
    oauth2 = config.oauth2
    known = (*GRANT_TYPES, CLIENT_CREDENTIALS)
    for index, name in enumerate(oauth2.grant_types):
        if name not in known:
            found.warn(
                ("oauth2", "grantTypes", index),
                f'the grant type "{name}" is not known and is left out',
                suggest(name, known),
            )
    if oauth2.grant_types and not set(oauth2.grant_types) & set(known):
        found.error(
            ("oauth2", "grantTypes"),
            "no grant type is left, so nobody could log in",
            "Name at least authorization_code.",
        )
    for index, name in enumerate(oauth2.response_types):
        at: Path = ("oauth2", "responseTypes", index)
        if response_type(name) is None:
            _one_of(at, name, "response type", RESPONSE_TYPES, found)
    for index, name in enumerate(oauth2.pkce.code_challenge_methods_supported):
        at = ("oauth2", "pkce", "codeChallengeMethodsSupported", index)
        if name not in CODE_CHALLENGE_METHODS:
            _one_of(at, name, "PKCE challenge method", CODE_CHALLENGE_METHODS, found)


def response_type(text: str) -> str | None:
    """Return *text* with its words in our order (they have none), if it is known."""
    words = sorted(text.split())
    return next(
        (each for each in RESPONSE_TYPES if sorted(each.split()) == words), None
    )


def _expiry(config: Config, found: Findings) -> None:
    expiry = config.expiry
    lengths: tuple[tuple[Path, timedelta], ...] = (
        (("expiry", "idTokens"), expiry.id_tokens),
        (("expiry", "authRequests"), expiry.auth_requests),
        (("expiry", "deviceRequests"), expiry.device_requests),
        (("expiry", "signingKeys"), expiry.signing_keys),
    )
    tokens = expiry.refresh_tokens
    lengths += (
        (("expiry", "refreshTokens", "reuseInterval"), tokens.reuse_interval),
        (("expiry", "refreshTokens", "absoluteLifetime"), tokens.absolute_lifetime),
        (
            ("expiry", "refreshTokens", "validIfNotUsedFor"),
            tokens.valid_if_not_used_for,
        ),
    )
    for path, length in lengths:
        if length < _ZERO:
            found.error(
                path, f"{path[-1]} must not be negative", "Remove the minus sign."
            )
    if expiry.id_tokens == _ZERO:
        found.error(
            ("expiry", "idTokens"),
            "tokens that live no time at all are of no use",
            'Write how long they live, such as "1h".',
        )


def _logger(config: Config, found: Findings) -> None:
    if not _LEVEL.match(config.logger.level):
        found.error(
            ("logger", "level"),
            f'"{config.logger.level}" is not a log level',
            "Write DEBUG, INFO, WARN or ERROR.",
        )
    if config.logger.format.lower() not in ("text", "json"):
        found.error(
            ("logger", "format"),
            f'"{config.logger.format}" is not a log format',
            "Write text or json.",
        )


def _signer(config: Config, found: Findings) -> None:
    if not found.given(("signer",)):
        if found.given(("expiry", "signingKeys")):
            found.warn(
                ("expiry", "signingKeys"),
                "expiry.signingKeys is deprecated",
                "Write signer.type: local and its config.keysRotationPeriod instead.",
            )
        return
    if not config.signer.type:
        found.error(("signer", "type"), "the signer has no type", 'Add "type: local".')
    if config.signer.type != "local":
        return
    if not found.given(("signer", "config", "keysRotationPeriod")):
        found.warn(
            ("signer", "config"),
            "signer.config.keysRotationPeriod is missing, so it is 6h; dex would not "
            "start",
            'Add "keysRotationPeriod: 6h".',
        )
    if found.given(("expiry", "signingKeys")):
        found.warn(
            ("expiry", "signingKeys"),
            "expiry.signingKeys is ignored beside signer",
            "Remove it; signer.config.keysRotationPeriod counts.",
        )


def _connectors(config: Config, found: Findings) -> None:
    for index, entry in enumerate(config.connectors):
        at: Path = ("connectors", index)
        for key, value in (
            ("type", entry.type),
            ("id", entry.id),
            ("name", entry.name),
        ):
            if not value and found.given((*at, key)):
                found.error(
                    (*at, key), f"a connector needs a {key}", f'Write "{key}: …".'
                )
        for place, name in enumerate(entry.grant_types):
            if name not in GRANT_TYPES:
                where = (*at, "grantTypes", place)
                _one_of(where, name, "grant type", GRANT_TYPES, found)
    _unique(
        ("connectors",),
        "id",
        (entry.id for entry in config.connectors),
        "a connector",
        found,
    )
    if config.enable_password_db:
        for index, entry in enumerate(config.connectors):
            if entry.id == "local":
                found.error(
                    ("connectors", index, "id"),
                    'the id "local" belongs to the password database',
                    "Give this connector another id, or remove enablePasswordDB.",
                )


def _clients(config: Config, found: Findings) -> None:
    at: Path = ("staticClients",)
    _unique(at, "id", (each.id for each in config.static_clients), "a client", found)
    for index, client in enumerate(config.static_clients):
        for place, uri in enumerate(client.redirect_uris):
            if is_unusable(uri):
                found.error(
                    (*at, index, "redirectURIs", place),
                    f'nobody can be sent to "{uri}" with a code',
                    "Write an https address, or a scheme of the application's own, "
                    "without what follows #.",
                )


def _passwords(config: Config, found: Findings) -> None:
    users = config.static_passwords
    at: Path = ("staticPasswords",)
    if users and not config.enable_password_db:
        found.error(
            at,
            "static passwords need the password database",
            'Add "enablePasswordDB: true".',
        )
    _unique(at, "email", (each.email for each in users), "a static password", found)
    nameless = [index for index, each in enumerate(users) if not each.user_id]
    for index in nameless:
        # Alone it works as in dex; two of them would be one person to every client.
        say = found.warn if len(nameless) == 1 else found.error
        say(
            (*at, index, "userID"),
            "a static password needs a userID: it is what clients know the user by",
            'Add "userID: …" with a value that never changes, such as a UUID.',
        )


def _signup(config: Config, found: Findings) -> None:
    if config.enable_signup and not config.enable_password_db:
        found.error(
            ("enableSignup",),
            "enableSignup needs the password database",
            'Add "enablePasswordDB: true".',
        )
    if found.given(("signup",)) and not config.enable_signup:
        found.warn(
            ("signup",),
            "signup has no effect while nobody may sign up",
            'Add "enableSignup: true".',
        )


def _sessions(config: Config, found: Findings) -> None:
    at: Path = ("sessions",)
    sessions = config.sessions
    if not found.given(at) or sessions is None:
        return
    for key, length in (
        ("absoluteLifetime", sessions.absolute_lifetime),
        ("validIfNotUsedFor", sessions.valid_if_not_used_for),
    ):
        if length <= _ZERO:
            found.error(
                (*at, key), f"{key} must be more than nothing", 'Write, say, "1h".'
            )
    for client_id, uri in sessions.frontchannel_logout_uris.items():
        if not _FRAME.fullmatch(uri):
            found.error(
                (*at, "frontchannelLogoutURIs", client_id),
                f'"{uri}" is not an address that a page can load',
                'Write an absolute one: "https://app.example.com/logout".',
            )
    _session_rules(sessions, found)
    _cookie_name(config.issuer, sessions.cookie_name, found)


def _cookie_name(issuer: str, name: str, found: Findings) -> None:
    """RFC 6265 section 4.1.1, and its successor's section 4.1.3 on prefixes."""
    at: Path = ("sessions", "cookieName")
    if not _TOKEN.fullmatch(name):
        found.error(
            at,
            f'"{name}" cannot be the name of a cookie',
            "Use letters, digits, - and _.",
        )
    scheme, _, rest = issuer.partition("://")
    secure, path = scheme == "https", rest.partition("/")[2].strip("/")
    if name.startswith("__Host-") and (path or not secure):
        found.error(
            at,
            "browsers take a __Host- cookie only over https, for the path /",
            "Choose another name for this issuer.",
        )
    elif name.startswith("__Secure-") and not secure:
        found.error(
            at,
            "browsers take a __Secure- cookie only over https",
            "Choose another name for this issuer.",
        )


def _session_rules(sessions: Sessions, found: Findings) -> None:
    if sessions.valid_if_not_used_for > sessions.absolute_lifetime:
        longest = format_duration(sessions.absolute_lifetime)
        found.error(
            ("sessions", "validIfNotUsedFor"),
            f"validIfNotUsedFor is longer than absoluteLifetime ({longest})",
            f"Write {longest} or less.",
        )
    size = len(sessions.cookie_encryption_key.encode())
    if size not in (0, 16, 24, 32):
        found.error(
            ("sessions", "cookieEncryptionKey"),
            f"the key has {size} bytes instead of 16, 24 or 32",
            "Make one with: openssl rand -hex 16.",
        )
    if sessions.sso_shared_with_default not in ("none", "all"):
        at: Path = ("sessions", "ssoSharedWithDefault")
        text = sessions.sso_shared_with_default
        _one_of(at, text, "sharing policy", ("none", "all"), found)


def _second_factors(config: Config, flags: Flags, found: Findings) -> None:
    at: Path = ("mfa", "authenticators")
    sessions = config.sessions is not None or flags.sessions_enabled
    if found.given(("mfa",)) and not sessions:
        found.error(
            ("mfa",),
            "second factors need sessions",
            'Add "sessions: {}", or remove mfa.',
        )
    for index, entry in enumerate(config.mfa.authenticators):
        if not entry.id and found.given((*at, index, "id")):
            found.error(
                (*at, index, "id"), "an authenticator needs an id", 'Write "id: …".'
            )
        exact = {each.lower(): each for each in _SECOND_FACTORS}.get(entry.type.lower())
        if exact not in (None, entry.type):
            found.error(
                (*at, index, "type"),
                f'the type of authenticator "{entry.type}" is not known',
                f"Did you mean {exact}?",
            )
    ids = [entry.id for entry in config.mfa.authenticators]
    _unique(at, "id", ids, "an authenticator", found)
    chains: list[tuple[Path, Iterable[str]]] = [
        (("mfa", "defaultMFAChain"), config.mfa.default_mfa_chain)
    ]
    chains += [
        (("staticClients", index, "mfaChain"), client.mfa_chain or ())
        for index, client in enumerate(config.static_clients)
    ]
    for path, chain in chains:
        for place, name in enumerate(chain):
            if name not in ids:
                found.error(
                    (*path, place),
                    f'there is no authenticator "{name}" in mfa.authenticators',
                    suggest(name, ids, "Add it there, or remove it here."),
                )


def _unique(
    at: Path, key: str, values: Iterable[str], what: str, found: Findings
) -> None:
    seen: dict[str, int] = {}
    for index, value in enumerate(values):
        if not value:
            continue
        if value in seen:
            first = found.at((*at, seen[value], key))
            found.error(
                (*at, index, key),
                f'{what} with the {key} "{value}" is there already, at line '
                f"{first.line}",
                f"Change the {key}, or remove one of them.",
            )
        else:
            seen[value] = index


def _one_of(
    at: Path, text: str, what: str, known: Iterable[str], found: Findings
) -> None:
    found.error(at, f'the {what} "{text}" is not supported', suggest(text, known))
