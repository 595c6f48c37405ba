"""What a file says about clients that register themselves, and cannot mean."""

from __future__ import annotations

import re

from ..oauth2 import scopes
from ..oauth2.redirect_uris import is_unusable
from .durations import format_duration
from .findings import Findings, Path
from .model import CLIENT_CREDENTIALS, GRANT_TYPES, NEVER, Config
from .problems import suggest

#: Characters of an initial access token: fewer can be guessed.
_SHORTEST = 16

_AT: Path = ("registration",)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")  # RFC 3986 section 3.1, in one spelling


def check_registration(config: Config, found: Findings) -> None:
    """Write down everything that is wrong with the section ``registration``."""
    if not found.given(_AT):
        return
    _check_switches(config, found)
    _check_tokens(config, found)
    _check_limits(config, found)
    _check_lists(config, found)


def _check_switches(config: Config, found: Findings) -> None:
    options = config.registration
    if not options.enabled:
        if not options.client_id_metadata_documents:
            found.warn(
                _AT,
                "registration has no effect while no client may register",
                'Add "enabled: true", or remove it.',
            )
        return
    if not (options.open or found.given((*_AT, "initialAccessTokens"))):
        found.error(
            (*_AT, "enabled"),
            "nobody can register: there is no initial access token",
            'Add "initialAccessTokens", or "open: true" to let everybody register.',
        )


def _check_tokens(config: Config, found: Findings) -> None:
    for index, token in enumerate(config.registration.initial_access_tokens):
        if len(token) < _SHORTEST:
            found.error(
                (*_AT, "initialAccessTokens", index),
                f"the initial access token has {len(token)} characters and can be "
                "guessed",
                "Make one with: openssl rand -hex 32.",
            )


def _check_limits(config: Config, found: Findings) -> None:
    options = config.registration
    for key, number in (
        ("clientsPerToken", options.clients_per_token),
        ("maxClients", options.max_clients),
    ):
        if number < 1:
            found.error(
                (*_AT, key), f"{key} leaves room for no client", "Write 1 or more."
            )
    if options.client_lifetime < NEVER:
        length = format_duration(-options.client_lifetime)
        found.error(
            (*_AT, "clientLifetime"),
            "clientLifetime must not be negative",
            f"Write {length}, or 0.",
        )


def _check_lists(config: Config, found: Findings) -> None:
    options = config.registration
    known = (*GRANT_TYPES, CLIENT_CREDENTIALS)
    for index, name in enumerate(options.grant_types):
        at = (*_AT, "grantTypes", index)
        if name not in known:
            message = f'the grant type "{name}" is not known'
            found.error(at, message, suggest(name, known))
        elif (
            found.given((*_AT, "grantTypes")) and name not in config.oauth2.grant_types
        ):
            found.warn(
                at,
                f"the grant {name} is off for everybody",
                "Add it to oauth2.grantTypes, or remove it here.",
            )
    for index, name in enumerate(options.scopes):
        if name not in scopes.SCOPES:
            message = f'the scope "{name}" is not known'
            remedy = suggest(name, scopes.SCOPES)
            found.error((*_AT, "scopes", index), message, remedy)
    for index, name in enumerate(options.redirect_uri_schemes):
        at = (*_AT, "redirectURISchemes", index)
        if is_unusable(f"{name}:"):
            message = f"whoever registers a {name}: address runs code in browsers"
            found.error(at, message, "Remove it.")
        elif not _SCHEME.fullmatch(name):
            message = f'"{name}" is not how an address begins'
            found.error(
                at, message, 'Write the scheme alone, such as "com.example.app".'
            )
    for key, values in (
        ("grantTypes", options.grant_types),
        ("scopes", options.scopes),
        ("redirectURISchemes", options.redirect_uri_schemes),
    ):
        if not values:
            found.error(
                (*_AT, key), f"without {key} no client can register", "Name some."
            )
