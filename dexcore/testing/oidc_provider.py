"""A real OpenID Connect provider for any app's tests, as a pytest fixture.

Opt in, with the storage it needs installed (``dexcore-storage-memory``)::

    pytest_plugins = ["dexcore.testing.oidc_provider"]

    def test_my_app_lets_admins_in(oidc_provider):
        oidc_provider.add_user("jane@example.com", groups=["admins"])
        tokens = oidc_provider.token(email="jane@example.com")
        assert my_app_accepts(tokens.id_token)

It is the server itself, on a loopback port, in a thread of its own; every test gets a
new one with nothing in it.  All methods are plain functions that wait, so that they can
be called from sync and async tests alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import attrs
import pytest

from ..config import Config, ConnectorEntry, OAuth2, Plugged
from ..oauth2.ids import new_id
from ..storage import Client
from .background import Background
from .browser import Browser, Landing
from .keys import TestOnlySigner
from .people import NAME, PASSWORD, People, TestingPlugin, User
from .serving import CLIENT_ID, CLIENT_SECRET, Clock, Failure, Served
from .tokens import TokenError, Tokens

__all__ = ["Clock", "OIDCProvider", "Tokens", "User", "oidc_provider", "oidc_providers"]

REDIRECT_URI = "http://127.0.0.1/callback"
EMAIL = "jane@example.com"
SCOPES = "openid email profile groups offline_access"


class OIDCProvider(Served):
    """A provider on a loopback port.  There is a client ``app`` from the start.

    ``requests`` lists what was asked of it, as ``"GET /keys"``.
    """

    def __init__(self, background: Background, settings: Mapping[str, Any]) -> None:
        self.users: dict[str, User] = {}
        self._signer = TestOnlySigner()
        super().__init__(
            background,
            lambda issuer: attrs.evolve(_config(issuer), **settings),
            [TestingPlugin(self._signer, People(self.users))],
            redirect_uri=REDIRECT_URI,
        )

    # — who there is -------------------------------------------------------------------

    def add_user(
        self,
        email: str = EMAIL,
        *,
        groups: Iterable[str] = (),
        password: str = PASSWORD,
        username: str = "",
        user_id: str = "",
        email_verified: bool = True,
        claims: Mapping[str, Any] | None = None,
        acr: str = "",
        amr: Iterable[str] = (),
    ) -> User:
        """Let somebody log in; somebody of that email before is replaced."""
        user = User(
            email,
            password,
            username,
            tuple(groups),
            user_id,
            email_verified,
            claims or {},
            acr,
            tuple(amr),
        )
        self.users[email.lower()] = user
        return user

    def add_client(
        self,
        client_id: str,
        *,
        secret: str = CLIENT_SECRET,
        redirect_uris: Iterable[str] = (REDIRECT_URI,),
        public: bool = False,
        trusted_peers: Iterable[str] = (),
    ) -> Client:
        """Register a client; one of that id before is replaced."""
        return super().add_client(
            client_id,
            secret=secret,
            redirect_uris=redirect_uris,
            public=public,
            trusted_peers=trusted_peers,
        )

    # — tokens -------------------------------------------------------------------------

    def token(
        self,
        *,
        email: str = EMAIL,
        scopes: str | Iterable[str] = SCOPES,
        client_id: str = CLIENT_ID,
        nonce: str = "",
    ) -> Tokens:
        """Log *email* in and return the tokens *client_id* gets.

        Somebody unknown is added first.  Raises ``BrowserError`` if the login is
        refused, ``TokenError`` if the token endpoint refuses.
        """
        asked = scopes if isinstance(scopes, str) else " ".join(scopes)
        return self._background.call(self._token(email, asked, client_id, nonce))

    def login(self, url: str, *, email: str = EMAIL, approve: bool = True) -> Landing:
        """Log *email* in at an app's authorization request *url*.

        Returns where the browser is sent back to: ``landing.url``, ``landing.params``.
        """
        return self._background.call(self._login(url, email, approve))

    # — what may happen ----------------------------------------------------------------

    def rotate_keys(self, *, forget: bool = False) -> None:
        """Sign with another key; publish the old one too, unless it is forgotten."""
        self._signer.rotate(forget=forget)

    @contextmanager
    def failing(
        self,
        *,
        slow: float = 0.0,
        status: int = 0,
        path: str = "",
        expired_key: bool = False,
        wrong_aud: str | None = None,
    ) -> Iterator[None]:
        """Let things go wrong while the ``with`` lasts.

        *slow*: every answer takes so many seconds longer.  *status*: every answer is
        this error.  Both can be confined to a *path*, ``"/token"``.  *expired_key*:
        tokens are signed with a key that is no longer published.  *wrong_aud*: tokens
        are for this audience.
        """
        failure, signer = Failure(path, slow, status), self._signer
        before = signer.withdrawn, signer.wrong_aud
        self.failures.append(failure)
        signer.withdrawn = expired_key or signer.withdrawn
        signer.wrong_aud = wrong_aud or signer.wrong_aud
        try:
            yield
        finally:
            self.failures.remove(failure)
            signer.withdrawn, signer.wrong_aud = before

    # — in the thread ------------------------------------------------------------------

    def _user(self, email: str) -> User:
        return self.users.get(email.lower()) or self.add_user(email)

    async def _login(self, url: str, email: str, approve: bool) -> Landing:
        user = self._user(email)
        async with Browser() as browser:
            return await browser.log_in(url, user.email, user.password, approve=approve)

    async def _token(
        self, email: str, scopes: str, client_id: str, nonce: str
    ) -> Tokens:
        client = await self._client(client_id)
        query = {
            "client_id": client_id,
            "redirect_uri": client.redirect_uris[0],
            "response_type": "code",
            "scope": scopes,
            "state": new_id(),
        }
        if nonce:
            query["nonce"] = nonce
        landing = await self._login(
            f"{self.issuer}/auth?{urlencode(query)}", email, approve=True
        )
        if "code" not in landing.params:
            raise TokenError(f"The login ended without a code: {landing.params}")
        return await self._ask_for_tokens(
            {
                "grant_type": "authorization_code",
                "code": landing.params["code"],
                "redirect_uri": client.redirect_uris[0],
            },
            client_id,
        )


class OIDCProviders:
    """Opens providers, all in one thread."""

    def __init__(self) -> None:
        self._background = Background("dexcore.testing.oidc_provider")

    def open(self, **settings: Any) -> OIDCProvider:
        """Open a provider; *settings* replace sections of its ``Config``."""
        return OIDCProvider(self._background, settings)

    def close(self) -> None:
        """End the thread."""
        self._background.close()


def _config(issuer: str) -> Config:
    return Config(
        issuer=issuer,
        storage=Plugged("memory"),
        signer=Plugged(NAME),
        connectors=(ConnectorEntry(NAME, "people", "People"),),
        oauth2=OAuth2(skip_approval_screen=True),
    )


@pytest.fixture(scope="session")
def oidc_providers() -> Iterator[OIDCProviders]:
    """Providers to open yourself: several, with settings, or for a whole session."""
    providers = OIDCProviders()
    yield providers
    providers.close()


@pytest.fixture
def oidc_provider(oidc_providers: OIDCProviders) -> Iterator[OIDCProvider]:
    """A provider with nothing in it but the client ``app``, for one test."""
    with oidc_providers.open() as provider:
        yield provider
