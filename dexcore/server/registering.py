"""Clients that register themselves, put together."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from ..config import Config
from ..oauth2.grant_types import IMPLICIT
from ..oauth2.redirect_uris import DEVICE_CALLBACK
from ..oauth2.registration import Rules
from ..oauth2.response_types import CODE, possible
from ..signer import Signer
from .guard import Guard
from .parts import Parts
from .registered_clients import RegisteredClients, rules_of
from .registration import RegistrationEndpoint, initial_tokens

__all__ = ["registered_clients", "registration_of"]

# Registrations from one address that no initial access token vouches for.
REGISTRATIONS = partial(Guard, rate=1 / 30, burst=30)


def registration_of(
    parts: Parts, grant_types: Collection[str], response_types: Collection[str]
) -> RegistrationEndpoint | None:
    """Return the endpoint, if it is on.

    *grant_types* are those of the token endpoint, *response_types* the parts that are
    switched on.
    """
    config, options = parts.config, parts.config.registration
    if not options.enabled:
        return None
    response_types = possible(response_types)
    if any(each != CODE for each in response_types):
        grant_types = (*grant_types, IMPLICIT)
    return RegistrationEndpoint(
        registered_clients(parts),
        partial(_rules, config, parts.signer, grant_types, response_types),
        initial_tokens(options.initial_access_tokens),
        options.open,
        REGISTRATIONS(),
        parts.audit,
        parts.issuer,
    )


def registered_clients(parts: Parts) -> RegisteredClients:
    """Return what keeps the clients that have registered themselves."""
    config, options = parts.config, parts.config.registration
    return RegisteredClients(
        parts.storage,
        parts.revocations,
        parts.issuer.path(DEVICE_CALLBACK),
        parts.clients.of_file,
        options.max_clients,
        options.clients_per_token,
        options.client_lifetime,
        config.expiry.id_tokens,
        parts.now,
    )


def _rules(
    config: Config,
    signer: Signer,
    grant_types: Collection[str],
    response_types: Collection[str],
) -> Rules:
    return rules_of(
        config,
        grant_types=grant_types,
        response_types=response_types,
        signing_algorithm=signer.key_set.algorithm,
        secrets=True,
        logout=config.sessions is not None,
    )
