"""The rules for ``oauth2.jwtBearer``: whose assertions become tokens (RFC 7523)."""

from __future__ import annotations

from datetime import timedelta

from ..jose import ALGORITHMS
from ..oauth2.client_metadata import check_jwks, may_be_fetched
from ..oauth2.grant_types import JWT_BEARER
from .findings import Findings, Path
from .model import Config, TrustedIssuer
from .problems import suggest

_LONGEST = timedelta(hours=1)
_NOTHING = timedelta(0)


def check_jwt_bearer(config: Config, found: Findings) -> None:
    """Write down everything that is wrong with the trusted issuers."""
    issuers: dict[str, int] = {}
    connectors: dict[str, int] = {}
    for index, entry in enumerate(config.oauth2.jwt_bearer.trusted_issuers):
        at: Path = ("oauth2", "jwtBearer", "trustedIssuers", index)
        if entry.issuer == config.issuer:
            found.error(
                (*at, "issuer"),
                "this server does not take assertions of its own",
                "Name the issuer of somebody else.",
            )
        if entry.issuer in issuers:
            found.error(
                (*at, "issuer"),
                f'the issuer "{entry.issuer}" is trusted already',
                "Remove one of them.",
            )
        # Two of them could say the same sub and mean two users.
        if entry.connector_id in connectors:
            found.error(
                (*at, "connectorID"),
                f'another issuer speaks of the users of "{entry.connector_id}" already',
                "Give each issuer a connector of its own.",
            )
        issuers[entry.issuer] = connectors[entry.connector_id] = index
        _check_keys(entry, at, found)
        _check_kinds(entry, at, found)
    if issuers and JWT_BEARER not in config.oauth2.grant_types:
        found.warn(
            ("oauth2", "jwtBearer"),
            "jwtBearer has no effect: grantTypes leaves the grant out",
            f"Add {JWT_BEARER} to oauth2.grantTypes.",
        )


def _check_keys(entry: TrustedIssuer, at: Path, found: Findings) -> None:
    if entry.jwks and entry.jwks_uri:
        found.error(
            (*at, "jwksURI"), "jwks and jwksURI exclude each other", "Keep one of them."
        )
    if entry.jwks:
        try:
            check_jwks(entry.jwks)
        except ValueError as problem:
            found.error((*at, "jwks"), str(problem), "Write {keys: [...]}.")
    elif not may_be_fetched(entry.jwks_uri or entry.issuer, insecure=True):
        key = "jwksURI" if entry.jwks_uri else "issuer"
        found.error(
            (*at, key),
            f'keys cannot be fetched from "{entry.jwks_uri or entry.issuer}"',
            "Write an address that begins with https://, or the keys under jwks.",
        )


def _check_kinds(entry: TrustedIssuer, at: Path, found: Findings) -> None:
    for key, names, known in (
        ("algorithms", entry.algorithms, tuple(ALGORITHMS)),
        ("assertions", entry.assertions, ("id-jag", "jwt")),
    ):
        for place, name in enumerate(names):
            if name not in known:
                found.error(
                    (*at, key, place),
                    f'"{name}" is none of the {key}',
                    suggest(name, known),
                )
    if not _NOTHING < entry.max_lifetime <= _LONGEST:
        found.error(
            (*at, "maxLifetime"),
            "maxLifetime is not between 0 and 1h",
            'Write "5m": assertions are made to be used at once.',
        )
