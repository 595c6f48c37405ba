"""What a file says about grants that cannot be meant: a part of ``dexcore check``."""

from __future__ import annotations

from ..oauth2.grant_types import (
    CLIENT_CREDENTIALS,
    IMPLICIT,
    JWT_BEARER,
    PASSWORD,
)
from ..oauth2.response_types import switched_on
from .findings import Findings, Path
from .model import Config


def check_grants(config: Config, found: Findings) -> None:
    """Write down which grants can never be used as the file has them."""
    _check_password(config, found)
    _check_response_types(config, found)
    _check_assertions(config, found)
    for index, client in enumerate(config.static_clients):
        if client.client_credentials_claims is not None:
            at: Path = ("staticClients", index, "clientCredentialsClaims")
            _check_credentials(config, client.public, at, found)


def _check_password(config: Config, found: Findings) -> None:
    oauth2 = config.oauth2
    named = oauth2.password_connector
    if not named:
        grants: Path = ("oauth2", "grantTypes")
        if found.given(grants) and PASSWORD in oauth2.grant_types:
            found.warn(
                found.item(grants, PASSWORD),
                "the grant password is off, because no connector checks passwords",
                "Set oauth2.passwordConnector, or remove the grant.",
            )
        return
    for entry in config.connectors:
        if entry.id != named:
            continue
        if PASSWORD not in oauth2.grant_types:
            found.warn(
                ("oauth2", "passwordConnector"),
                "passwordConnector has no effect: grantTypes leaves password out",
                "Remove it, or add password to oauth2.grantTypes.",
            )
        elif entry.grant_types and PASSWORD not in entry.grant_types:
            found.warn(
                ("oauth2", "passwordConnector"),
                f'the connector "{named}" does not serve the grant password',
                "Add password to its grantTypes, or name another connector.",
            )


def _check_response_types(config: Config, found: Findings) -> None:
    oauth2 = config.oauth2
    on = switched_on(oauth2.response_types, oauth2.grant_types)
    for index, name in enumerate(oauth2.response_types):
        at: Path = ("oauth2", "responseTypes", index)
        parts = name.split()
        if set(parts) <= set(on):
            continue
        if IMPLICIT not in oauth2.grant_types:
            found.warn(
                at,
                f'the response type "{name}" is off, because grantTypes leaves '
                "implicit out",
                "Add implicit to oauth2.grantTypes, or remove the response type.",
            )
        else:
            missing = ", ".join(part for part in parts if part not in on)
            found.warn(
                at,
                f'the response type "{name}" is refused: requests are looked at part '
                "by part, here as in dex",
                f"List its parts too: {missing}.",
            )


def _check_assertions(config: Config, found: Findings) -> None:
    grants: Path = ("oauth2", "grantTypes")
    if config.oauth2.jwt_bearer.trusted_issuers or not found.given(grants):
        return
    if JWT_BEARER in config.oauth2.grant_types:
        found.warn(
            found.item(grants, JWT_BEARER),
            "the grant jwt-bearer is off, because no issuer is trusted",
            "Set oauth2.jwtBearer.trustedIssuers, or remove the grant.",
        )


def _check_credentials(config: Config, public: bool, at: Path, found: Findings) -> None:
    if public:
        found.warn(
            at,
            "a public client cannot log in as itself, so its claims are never used",
            "Give it a secret instead of public: true, or remove the claims.",
        )
    elif CLIENT_CREDENTIALS not in config.oauth2.grant_types:
        found.warn(
            at,
            "the grant client_credentials is off, so these claims are never used",
            "Add client_credentials to oauth2.grantTypes, or set "
            "DEX_CLIENT_CREDENTIAL_GRANT_ENABLED_BY_DEFAULT=true.",
        )
