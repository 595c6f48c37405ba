"""What a grant is: one ``grant_type`` of the token endpoint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar, TypeVar

import attrs

from ...errors import InvalidGrant, InvalidRequest, NotFound
from ...oauth2.extras import NO_EXTRAS, Extras
from ...storage import AuthCode, Client, Collections, RefreshToken, Storage
from ..connectors import Connectors, OpenConnector
from ..policy import ConnectorNeeded, NotAllowed, Policy
from ..tokens.authorization import Authorization, family_of
from ..tokens.refresh import refresh_id_for, wire

T = TypeVar("T")

Form = Mapping[str, str]


@attrs.frozen
class Sender:
    """Whoever sent a token request, beside what the client is and says.

    ``address`` is where it came from, ``jkt`` the thumbprint of the key that it proved
    to hold (RFC 9449), "" if none.
    """

    address: str = ""
    jkt: str = ""


class Grant(ABC):
    """Turns a token request of an authenticated client into an authorization.

    A grant signs nothing: the endpoint lets the policy see what it has come to, and
    has the tokens issued.
    """

    grant_type: ClassVar[str]

    #: Whether the end user was at a browser, which asks for a second factor.
    attended: ClassVar[bool] = False

    policy: Policy

    @abstractmethod
    async def authorize(
        self, form: Form, client: Client, sender: Sender
    ) -> Authorization:
        """Return who may have tokens for what, or raise the refusal."""

    async def allowed(
        self, authorization: Authorization, collections: Collections
    ) -> Authorization:
        """Return *authorization* as the policy allows it, or raise the refusal.

        Whoever has something to spend asks before; the endpoint asks for all others.
        """
        if authorization.allowed:
            return authorization
        return await self.policy.allow(
            collections, authorization, self.grant_type, attended=self.attended
        )


def required(form: Form, name: str) -> str:
    """Return the parameter; raise ``InvalidRequest`` if it is missing or empty."""
    value = form.get(name, "")
    if not value:
        raise InvalidRequest(f"Required param: {name}.")
    return value


async def connector_named(
    policy: Policy, client: Client, connector_id: str, grant_type: str
) -> OpenConnector:
    """Return the connector a request, or the file, names for *grant_type*.

    Raises what dex answers: ``InvalidGrant`` if the client may not use it,
    ``InvalidRequest`` if nobody can.
    """
    try:
        return await policy.connector(client, connector_id, grant_type)
    except NotAllowed as refused:
        if refused.why == "client":
            raise InvalidGrant(str(refused)) from None
        raise InvalidRequest(str(refused)) from None


def authorization_for(
    login: AuthCode,
    client: Client,
    refresh_token: RefreshToken | None = None,
    code: str = "",
    extras: Extras = NO_EXTRAS,
    jkt: str = "",
) -> Authorization:
    """Return what *login* entitles *client* to, as a code and its like record it."""
    return Authorization(
        client=client,
        claims=login.claims,
        scopes=login.scopes,
        connector_id=login.connector_id,
        nonce=login.nonce,
        auth_time=login.auth_time,
        session_id=login.session_id,
        family=family_of(refresh_id_for(login.id)),
        code=code,
        refresh_token=wire(refresh_token) if refresh_token else "",
        extras=extras,
        jkt=jkt,
    )


def lasting(extras: Extras, client: Client, sender: Sender) -> Extras:
    """Return what supplements a refresh token.

    RFC 9449 section 5: that of a public client is bound to the key it has proved;
    others prove who they are, and may change their key.
    """
    jkt = sender.jkt if client.public else ""
    return extras if extras.dpop_jkt == jkt else attrs.evolve(extras, dpop_jkt=jkt)


async def traded(
    storage: Storage,
    connectors: Connectors,
    work: Callable[[Collections], Awaitable[T]],
) -> T:
    """Run *work* in one transaction; open the connector it finds missing, once."""
    try:
        return await storage.unit(work)
    except ConnectorNeeded as needed:
        try:
            await connectors.get(str(needed))
        except NotFound:
            raise InvalidGrant("The connector does not exist any more.") from None
    return await storage.unit(work)
