"""Who may get tokens, and how: every way to a token asks here.

The pages ask before somebody logs in and before a code is written; the grants ask
before they trouble a connector and before they spend a code.  What a grant forgets is
refused by the token endpoint, which signs nothing that was not allowed here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal

import attrs

from ..config.model import MFA
from ..connector import RefreshConnector
from ..errors import (
    AccessDenied,
    InvalidDPoPProof,
    InvalidGrant,
    InvalidScope,
    NotFound,
    UnauthorizedClient,
)
from ..oauth2 import redirect_uris, scopes
from ..oauth2.extras import NO_EXTRAS, Extras
from ..oauth2.grant_types import (
    AUTHORIZATION_CODE,
    DEVICE_CODE,
    IMPLICIT,
    REFRESH_TOKEN,
)
from ..oauth2.words import quote, quote_all
from ..storage import (
    AuthCode,
    AuthRequest,
    Client,
    Collections,
    RefreshToken,
    UserIdentity,
    metadata_of,
)
from .clients import Clients
from .connectors import Connectors, Listed, OpenConnector
from .tokens.authorization import Authorization
from .tokens.refresh import RefreshTokens
from .tokens.resources import Resources

_SECOND_FACTOR = "A second factor is required, which this grant cannot ask for."
_BLOCKED = "The user is blocked."

Why = Literal["client", "missing", "grant"]

# The sentences are dex's.
_WHY: dict[Why, str] = {
    "client": "Connector not allowed for this client.",
    "missing": "Requested connector does not exist.",
    "grant": "Requested connector does not support this grant type.",
}


class NotAllowed(Exception):
    """A client may not use a connector; *why* decides who gets to hear of it, and how.

    ``client``: the client's ``allowedConnectors`` leave it out.  ``missing``: there is
    none.  ``grant``: the connector's ``grantTypes`` leave the grant out.
    """

    def __init__(self, why: Why) -> None:
        super().__init__(_WHY[why])
        self.why = why


class ConnectorNeeded(Exception):
    """A transaction needs a connector that is not open yet; the text is its id."""


@attrs.frozen(eq=False)
class Policy:
    """What the configuration allows.

    ``grant_types`` are the ones switched on; ``device_callback`` is the redirect URI of
    our own device pages; ``remembers``: sessions are on, so that we know of users who
    have logged in before, and whether they are blocked.
    """

    storage: Collections
    clients: Clients
    connectors: Connectors
    refresh_tokens: RefreshTokens
    resources: Resources
    grant_types: frozenset[str]
    second_factors: MFA
    device_callback: str
    remembers: bool
    now: Callable[[], datetime]

    # — connectors ---------------------------------------------------------------------

    def offers(self, listed: Listed, client: Client, grant_type: str) -> bool:
        """Return whether *client* may send its users to the connector *listed*."""
        return _allows(client, listed.id) and _serves(listed.grant_types, grant_type)

    async def connector(
        self, client: Client, connector_id: str, grant_type: str
    ) -> OpenConnector:
        """Return the connector, open, if *client* may use it with *grant_type*.

        Raises :class:`NotAllowed`, and ``UpstreamUnavailable`` if it cannot be opened.
        """
        if not _allows(client, connector_id):
            raise NotAllowed("client")
        opened = self.connectors.peek(connector_id)
        if opened is None:
            try:
                opened = await self.connectors.get(connector_id)
            except NotFound:
                raise NotAllowed("missing") from None
        if not _serves(opened.record.grant_types, grant_type):
            raise NotAllowed("grant")
        return opened

    def grant_type(self, request: AuthRequest) -> str:
        """Return the grant that an authorization request is the first half of."""
        if request.redirect_uri == self.device_callback:
            return DEVICE_CODE
        if {"token", "id_token"}.intersection(request.response_types):
            return IMPLICIT
        return AUTHORIZATION_CODE

    def check_grant(self, client: Client, grant_type: str) -> None:
        """Raise ``UnauthorizedClient`` if *client* has registered, but not for this.

        RFC 7591 section 2: a client that says which grants it uses, uses no others.
        """
        if not _registered(client, grant_type):
            raise UnauthorizedClient(
                f"The client has not registered the grant type {quote(grant_type)}."
            )

    def check_request(self, request: AuthRequest, client: Client) -> None:
        """Raise ``UnauthorizedClient`` if *client* has not registered for *request*."""
        grant_type = self.grant_type(request)
        self.check_grant(client, grant_type)
        registered = metadata_of(client).response_types
        if not registered or grant_type == DEVICE_CODE:
            return
        asked = {*request.response_types}
        if not any(asked == {*each.split()} for each in registered):
            types = quote(" ".join(request.response_types))
            raise UnauthorizedClient(
                f"The client has not registered the response type {types}."
            )

    def check_device(self, client: Client) -> None:
        """Raise ``UnauthorizedClient`` unless *client* may use our device pages.

        It says so by registering their redirect URI; a public client without any has
        it by default.
        """
        self.check_grant(client, DEVICE_CODE)
        if not redirect_uris.is_registered(
            client.redirect_uris,
            client.public,
            self.device_callback,
            device_callback=self.device_callback,
        ):
            raise UnauthorizedClient(
                "The client has not registered the redirect URI of the device pages, "
                f"{self.device_callback}."
            )

    # — users --------------------------------------------------------------------------

    def needs_second_factor(self, client: Client, connector_id: str) -> bool:
        """Return whether users of *client* prove more than their password.

        A factor that nobody has configured counts as well: it can never be shown.
        """
        chain = client.mfa_chain
        if chain is None:
            chain = self.second_factors.default_mfa_chain
        if not chain:
            return False
        kind = self.connectors.type_of(connector_id)
        known = {each.id: each for each in self.second_factors.authenticators}
        return any(
            name not in known
            or not kind
            or not known[name].connector_types
            or kind in known[name].connector_types
            for name in chain
        )

    def check_unattended(self, client: Client, connector_id: str) -> None:
        """Raise ``UnauthorizedClient`` where a browser would ask for a second factor.

        Call it before the password or the token is looked at, which must not tell
        whether it was right.
        """
        if self.needs_second_factor(client, connector_id):
            raise UnauthorizedClient(_SECOND_FACTOR)

    async def check_login(
        self, request: AuthRequest, client: Client, user: UserIdentity | None = None
    ) -> None:
        """Raise ``AccessDenied`` if the login of *request* must not end in a code.

        *user* is what we remember of who has logged in, if it was just read.
        """
        if not request.mfa_validated and self.needs_second_factor(
            client, request.connector_id
        ):
            raise AccessDenied(
                "A second factor is required, and this server cannot ask for it."
            )
        if user is not None:
            blocked = user.blocked_until > self.now()
        else:
            blocked = await self._is_blocked(
                self.storage, request.claims.user_id, request.connector_id
            )
        if blocked:
            raise AccessDenied(_BLOCKED)

    async def _is_blocked(
        self, collections: Collections, user_id: str, connector_id: str
    ) -> bool:
        if not self.remembers:
            return False
        user = await collections.user_identities.find(user_id, connector_id)
        return user is not None and user.blocked_until > self.now()

    # — tokens -------------------------------------------------------------------------

    def refresh_token(
        self, login: AuthCode, client: Client, extras: Extras = NO_EXTRAS
    ) -> RefreshToken | None:
        """Return a refresh token for *login* at *client*, not stored yet, if it may be.

        *extras* will supplement it.  Raises :class:`ConnectorNeeded` if that depends on
        a connector we do not have at hand.
        """
        if (
            scopes.OFFLINE_ACCESS not in login.scopes
            or REFRESH_TOKEN not in self.grant_types
            or not _registered(client, REFRESH_TOKEN)
        ):
            return None
        opened = self.connectors.peek(login.connector_id)
        if opened is None:
            raise ConnectorNeeded(login.connector_id)
        if not isinstance(opened.connector, RefreshConnector) or not _serves(
            opened.record.grant_types, REFRESH_TOKEN
        ):
            return None
        return self.refresh_tokens.made_from(login, extras)

    async def allow(
        self,
        collections: Collections,
        authorization: Authorization,
        grant_type: str,
        *,
        attended: bool,
    ) -> Authorization:
        """Return *authorization*, allowed, or raise the refusal.

        *collections* are the storage's, or those of a unit of work that this is a part
        of; *attended*: the end user was at a browser, where everything could be asked.
        """
        if grant_type not in self.grant_types:
            raise UnauthorizedClient("This grant type is not switched on.")
        self.check_grant(authorization.client, grant_type)
        unknown = scopes.unknown(authorization.scopes)
        if unknown:
            raise InvalidScope(f"Unrecognized scope(s) {quote_all(unknown)}")
        await self.clients.check_audiences(
            authorization.client, authorization.scopes, collections
        )
        if grant_type != IMPLICIT:
            # By the browser there are no tokens that a key could be needed for.
            _check_key(authorization)
        if authorization.extras.resources:
            self.resources.check(authorization.extras.resources, authorization.client)
        if authorization.connector_id:
            self._check_connector(authorization, grant_type, attended)
            user = authorization.claims.user_id, authorization.connector_id
            if await self._is_blocked(collections, *user):
                raise InvalidGrant(_BLOCKED)
        return attrs.evolve(authorization, allowed=True)

    def _check_connector(
        self, authorization: Authorization, grant_type: str, attended: bool
    ) -> None:
        client, connector_id = authorization.client, authorization.connector_id
        if not _allows(client, connector_id):
            raise InvalidGrant(_WHY["client"])
        opened = self.connectors.peek(connector_id)
        if opened and not _serves(opened.record.grant_types, grant_type):
            raise InvalidGrant(_WHY["grant"])
        if not attended:
            self.check_unattended(client, connector_id)


def _check_key(authorization: Authorization) -> None:
    """Raise unless the key was proved that the tokens must be bound to (RFC 9449)."""
    bound = authorization.extras.dpop_jkt
    if not authorization.jkt and (
        bound or metadata_of(authorization.client).dpop_bound_access_tokens
    ):
        raise InvalidDPoPProof("A DPoP proof is required.")
    if bound and bound != authorization.jkt:
        raise InvalidGrant("The login is bound to another key than the proof's.")


def _allows(client: Client, connector_id: str) -> bool:
    return not client.allowed_connectors or connector_id in client.allowed_connectors


def _registered(client: Client, grant_type: str) -> bool:
    """Return whether a client that names its grants names this one."""
    grant_types = metadata_of(client).grant_types
    return not grant_types or grant_type in grant_types


def _serves(grant_types: tuple[str, ...], grant_type: str) -> bool:
    """Return whether a connector serves the grant; no grant types: all."""
    return not grant_types or grant_type in grant_types
