"""What leads to tokens, put together: the policy, the grants, the device pages."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import attrs

from ..oauth2.grant_types import DEVICE_CODE, JWT_BEARER, PASSWORD
from ..oauth2.redirect_uris import DEVICE_CALLBACK
from .channels import Channels, Handler
from .csrf import Csrf
from .device import DeviceAuthorizationEndpoint, DevicePages
from .dpop import Proofs
from .grants.authorization_code import AuthorizationCodeGrant
from .grants.client_credentials import ClientCredentialsGrant
from .grants.device_code import DeviceCodeGrant
from .grants.endpoint import TokenEndpoint
from .grants.grant import Grant
from .grants.jwt_bearer import JwtBearerGrant
from .grants.password import PasswordGrant
from .grants.refresh_token import RefreshTokenGrant
from .grants.token_exchange import TokenExchangeGrant
from .guard import Guard
from .parts import Parts
from .policy import Policy
from .sealing import Sealer, derive
from .sessions.bound import TokenSessions
from .tokens.access import AccessTokens
from .tokens.claims import ExtraClaims
from .tokens.devices import Devices
from .tokens.issuer import TokenIssuer
from .tokens.refresh import RefreshPolicy, RefreshSecrets, RefreshTokens
from .tokens.resources import Resources

# Guesses of one account's password from one address: a burst that many tabs and devices
# may need, then ten a minute.
FAILED_LOGINS = partial(Guard, rate=1 / 6, burst=100)
# Device codes that clients without a secret have us store.
DEVICE_CODES = partial(Guard, rate=1.0, burst=120)
# Wrong codes of devices (RFC 8628 section 5.1), from one address and from everybody:
# there are 2.5e10, so of a thousand that wait this finds one in a month.
WRONG_USER_CODES = partial(Guard, rate=1 / 12, burst=5)
ALL_WRONG_USER_CODES = partial(Guard, rate=10.0, burst=600)

# Proofs of keys by clients that prove nothing else; each is stored for two minutes.
PROOFS = partial(Guard, rate=10.0, burst=600)


@attrs.frozen(eq=False)
class Tokens:
    """The life of tokens."""

    issuer: TokenIssuer
    access: AccessTokens
    refresh: RefreshTokens
    resources: Resources
    proofs: Proofs

    @classmethod
    def of(cls, parts: Parts) -> Tokens:
        """Put together what issues, checks and renews tokens."""
        expiry = parts.config.expiry
        extra = ExtraClaims(tuple(parts.extensions.claims))
        resources = Resources.of(parts.config)
        return cls(
            TokenIssuer(
                parts.issuer.url,
                parts.signer,
                expiry.id_tokens,
                parts.now,
                extra,
                resources,
                parts.session_names,
                parts.strict,
            ),
            AccessTokens(
                parts.issuer.url,
                parts.signer,
                parts.revocations,
                parts.now,
                parts.strict,
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
            resources,
            Proofs(
                parts.issuer,
                parts.storage,
                Sealer(derive(parts.secret, "DPoP nonces")),
                PROOFS(),
                parts.now,
                parts.config.oauth2.dpop.require_nonce,
            ),
        )


@attrs.frozen(eq=False)
class Granting:
    """The ways to tokens that are on, and what they share with the pages."""

    policy: Policy
    failed_logins: Guard
    endpoint: TokenEndpoint
    device: tuple[DeviceAuthorizationEndpoint, DevicePages] | None

    @classmethod
    def of(
        cls, parts: Parts, tokens: Tokens, sessions: TokenSessions | None = None
    ) -> Granting:
        """Put together the grants that are built and switched on."""
        policy, failed_logins = _policy(parts, tokens), FAILED_LOGINS()
        built = _grants(parts, tokens, policy, failed_logins, sessions)
        on = set(parts.config.oauth2.grant_types)
        if not parts.config.oauth2.password_connector:
            on.discard(PASSWORD)
        if not parts.trusted_issuers.known:
            on.discard(JWT_BEARER)
        grants = {each.grant_type: each for each in built if each.grant_type in on}
        return cls(
            policy,
            failed_logins,
            TokenEndpoint(
                parts.clients,
                grants,
                parts.storage,
                tokens.issuer,
                tokens.proofs,
                parts.audit,
            ),
            _device(parts, policy) if DEVICE_CODE in grants else None,
        )

    @property
    def grant_types(self) -> tuple[str, ...]:
        """What discovery lists."""
        return tuple(self.endpoint.grants)

    def device_routes(self, channels: Channels) -> list[tuple[str, Handler]]:
        """Return where the device grant is below the issuer, if it is on."""
        if self.device is None:
            return []
        begin, pages = self.device
        # Devices of old know no other token endpoint, and no other grant.
        only = attrs.evolve(
            self.endpoint, grants={DEVICE_CODE: self.endpoint.grants[DEVICE_CODE]}
        )
        return [
            ("/device/code", channels.back(begin.answer)),
            ("/device/token", channels.back(only.exchange)),
            *((path, channels.front(handler)) for path, handler in pages.routes()),
        ]


def challenge_methods(parts: Parts) -> tuple[str, ...]:
    """Return how PKCE may be done; ``plain`` only as long as clients of dex may."""
    methods = parts.config.oauth2.pkce.code_challenge_methods_supported
    return tuple(name for name in methods if name != "plain" or not parts.strict)


def _policy(parts: Parts, tokens: Tokens) -> Policy:
    config = parts.config
    return Policy(
        parts.storage,
        parts.clients,
        parts.connectors,
        tokens.refresh,
        tokens.resources,
        frozenset(config.oauth2.grant_types),
        config.mfa,
        parts.issuer.path(DEVICE_CALLBACK),
        config.sessions is not None,
        parts.now,
    )


def _grants(
    parts: Parts,
    tokens: Tokens,
    policy: Policy,
    failed_logins: Guard,
    sessions: TokenSessions | None,
) -> tuple[Grant, ...]:
    storage, connectors, audit = parts.storage, parts.connectors, parts.audit
    return (
        AuthorizationCodeGrant(
            storage, connectors, policy, tokens.refresh, audit, parts.now
        ),
        RefreshTokenGrant(storage, policy, tokens.refresh, audit, sessions),
        DeviceCodeGrant(storage, connectors, policy, parts.now),
        ClientCredentialsGrant(policy),
        PasswordGrant(
            storage,
            parts.clients,
            connectors,
            policy,
            parts.subjects,
            failed_logins,
            audit,
            parts.config.oauth2.password_connector,
        ),
        TokenExchangeGrant(policy, parts.subjects, audit, parts.strict),
        JwtBearerGrant(
            storage,
            policy,
            parts.subjects,
            parts.trusted_issuers,
            audit,
            parts.issuer.url,
            parts.now,
        ),
    )


def _device(
    parts: Parts, policy: Policy
) -> tuple[DeviceAuthorizationEndpoint, DevicePages]:
    lifetime = parts.config.expiry.device_requests or timedelta(minutes=5)
    devices = Devices(parts.storage, lifetime, policy.device_callback, parts.now)
    begin = DeviceAuthorizationEndpoint(
        parts.clients,
        policy,
        devices,
        parts.issuer,
        challenge_methods(parts),
        DEVICE_CODES(),
        parts.audit,
    )
    pages = DevicePages(
        parts.clients,
        devices,
        parts.pages,
        Csrf(derive(parts.secret, "forms"), parts.issuer),
        Sealer(derive(parts.secret, "cookies")),
        WRONG_USER_CODES(),
        ALL_WRONG_USER_CODES(),
        parts.audit,
        parts.issuer,
    )
    return begin, pages
