"""What a connector is: the way to one upstream identity provider.

A connector *is* what it inherits: pick the kinds below that fit, and inherit from each.
Every method may raise a typed refusal (:class:`~dexcore.errors.AccessDenied`,
:class:`~dexcore.errors.NotInRequiredGroups`), which becomes a 403 page with its safe
reason; :class:`~dexcore.errors.UnmetAuthenticationRequirements`, which the client
hears of that insisted; or :class:`~dexcore.errors.UpstreamError`, which becomes a page
that names the connector.  Anything else it raises is logged with the connector's id and
never stops the other connectors.
"""

from __future__ import annotations

import logging

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from .oauth2.times import utcnow
from .passwords import Passwords
from .storage import Collections, OfflineSessions

if TYPE_CHECKING:
    from multidict import MultiMapping

C = TypeVar("C")

_NO_CLAIMS: Mapping[str, Any] = {}


@attrs.frozen
class Scopes:
    """What the client asked to learn about the end user, and how sure it must be.

    ``max_age``: the end user must have proved who they are at most so many seconds ago
    (0: now, -1: whenever); a connector that logs in elsewhere passes it on as well as
    the upstream can take it.  ``login_hint`` is what the end user may want to log in
    as, ``""`` if that is not known; it comes from the client and proves nothing.
    ``acr_values`` are the kinds of login the client wants, the best first; with
    ``acr_essential`` another one will be refused.  ``ui_locales`` are the end user's
    languages, the best first (RFC 5646).
    """

    offline_access: bool = False
    groups: bool = False
    max_age: int = -1
    login_hint: str = ""
    acr_values: tuple[str, ...] = ()
    acr_essential: bool = False
    ui_locales: tuple[str, ...] = ()


@attrs.frozen
class Identity:
    """The end user, as the upstream identity provider knows them.

    ``connector_data`` is the connector's own; it comes back at refresh.  ``acr`` and
    ``amr`` are how they have logged in there (OpenID Connect Core section 2, RFC 8176),
    if that is known; a password typed into our own form is ``pwd`` without saying so.
    ``claims`` are further ones, under their standard names (Core section 5.1): what
    cannot be one is left out by the server, and clients learn of the others what their
    scopes and their end user let them.
    """

    user_id: str
    username: str = ""
    preferred_username: str = ""
    email: str = ""
    email_verified: bool = False
    groups: tuple[str, ...] = ()
    connector_data: bytes = b""
    acr: str = ""
    amr: tuple[str, ...] = ()
    claims: Mapping[str, Any] = _NO_CLAIMS


@attrs.frozen
class Redirect:
    """Send the browser to *url*; keep *connector_data* until it comes back."""

    url: str
    connector_data: bytes = b""


@attrs.frozen
class FormPost:
    """Let the browser post *fields* to *url* (SAML's POST binding)."""

    url: str
    fields: Mapping[str, str]
    connector_data: bytes = b""


@attrs.frozen
class Callback:
    """What the browser brought back from upstream.

    ``headers`` are the request's, without ``X-Remote-*`` unless ``via_proxy``: the
    browser came to this connector's own path, ``callback_url`` and the connector's id,
    through a proxy that is trusted (``web.clientRemoteIP.trustedProxies``).  Only then
    may a header say who the end user is.
    """

    query: MultiMapping[str]
    form: MultiMapping[str]
    headers: MultiMapping[str]
    callback_url: str
    connector_data: bytes = b""
    via_proxy: bool = False


@attrs.frozen
class Document:
    """Something to publish: its bytes and their media type."""

    body: bytes
    content_type: str


@attrs.frozen
class Challenge:
    """Ask the browser to negotiate (RFC 4559): answer 401 with this header.

    With ``form`` the answer carries the password form, for browsers that cannot.
    """

    www_authenticate: str = "Negotiate"
    form: bool = True


class Connector(ABC):
    """The root of the kinds below."""

    async def close(self) -> None:
        """Let go of sockets and files."""


class PasswordConnector(Connector):
    """Checks a user name and a password typed into our own login form."""

    @property
    def prompt(self) -> str:
        """The label of the name field."""
        return "Username"

    @abstractmethod
    async def login(
        self, scopes: Scopes, username: str, password: str
    ) -> Identity | None:
        """Return who this is, or ``None`` if the name or the password is wrong."""


class CallbackConnector(Connector):
    """Sends the browser upstream and reads what it brings back."""

    @abstractmethod
    async def begin(
        self, scopes: Scopes, callback_url: str, state: str
    ) -> Redirect | FormPost:
        """Return where the browser goes.  *state* comes back as state or RelayState."""

    @abstractmethod
    async def finish(self, scopes: Scopes, callback: Callback) -> Identity:
        """Return who came back."""


class RefreshConnector(Connector):
    """Can look the end user up again when a refresh token is used."""

    @abstractmethod
    async def refresh(self, scopes: Scopes, identity: Identity) -> Identity:
        """Return the end user as they are now; raise ``AccessDenied`` if gone."""


class TokenIdentityConnector(Connector):
    """Knows the end user by a token of the upstream provider (RFC 8693)."""

    @abstractmethod
    async def token_identity(self, token_type: str, token: str) -> Identity:
        """Return whose *token* it is; raise ``AccessDenied``."""


class LogoutConnector(Connector):
    """Can end the end user's session upstream."""

    @abstractmethod
    async def logout_url(self, return_to: str) -> str | None:
        """Return where the browser goes to log out upstream, if anywhere."""

    @abstractmethod
    async def finish_logout(self, callback: Callback) -> None:
        """Check what the browser brought back from upstream."""


class NegotiateConnector(Connector):
    """Knows the end user by what the browser itself can prove (SPNEGO, RFC 4559).

    It is asked before the form is shown, so it is a :class:`PasswordConnector` too.
    """

    @abstractmethod
    async def negotiate(
        self, scopes: Scopes, callback: Callback
    ) -> Identity | Challenge | None:
        """Return who this is, a challenge to answer with, or ``None`` (the form)."""


class MetadataConnector(Connector):
    """Describes our side to the upstream provider: SAML metadata, a client's keys."""

    @abstractmethod
    async def metadata(self, callback_url: str) -> Document:
        """Return what anybody may read at ``<issuer>/connectors/{id}/metadata``.

        *callback_url* is where the upstream provider sends browsers back to.
        """


@attrs.frozen
class ConnectorContext:
    """What the server lends a connector while it opens.

    ``storage`` holds users (``passwords``) and the replay cache (``replays``), in which
    ``create(Replay(id, expiry))`` raises ``AlreadyExists`` for a message that has been
    accepted, on all replicas; choose ids that no other connector chooses, and an expiry
    after which the message is no longer accepted anyway.  ``passwords`` hashes and
    verifies beside the event loop.  ``timeout`` is how long one request to the upstream
    may take (seconds): give it to your :class:`~dexcore.http.HttpClient`.  ``now`` is
    the server's clock, aware and in UTC, which tests may move.
    """

    id: str
    storage: Collections
    log: logging.Logger
    passwords: Passwords | None = None
    timeout: float = 10.0
    now: Callable[[], datetime] = utcnow

    async def keep(self, identity: Identity, connector_data: bytes) -> None:
        """Keep *connector_data* at once, while ``refresh`` is under way.

        A refresh token that upstream has just replaced must not be lost because a later
        call fails.  *identity* is the one ``refresh`` was called with.
        """
        user = (identity.user_id, self.id)

        def keep(old: OfflineSessions) -> OfflineSessions:
            return attrs.evolve(old, connector_data=connector_data)

        await self.storage.offline_sessions.update_or_create(
            *user, change=keep, first=keep(OfflineSessions(*user))
        )

    async def kept(self, identity: Identity) -> bytes:
        """Return what is kept of *identity* now.

        A refresh for another client of theirs may have replaced it meanwhile.
        """
        found = await self.storage.offline_sessions.find(identity.user_id, self.id)
        return found.connector_data if found else b""


@attrs.frozen
class ConnectorType(Generic[C]):
    """One value of ``connectors[].type`` in the file and how to open it."""

    name: str
    config: type[C]
    open: Callable[[C, ConnectorContext], Awaitable[Connector]]
