"""What the tests of every connector have in common: how it is opened and asked."""

from __future__ import annotations

import asyncio
import json
import logging
import re

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlsplit

import attrs
import pytest

from ..config import Config, loads, structure
from ..connector import Connector, ConnectorContext, Identity, Scopes
from ..options import spelling
from ..passwords import Passwords
from ..plugins import Plugins, find
from ..server.connectors import DEADLINE
from ..storage import Storage, StorageContext
from ..storage.static import overlay
from ._connector_demands import answered, check_identity, must
from .browser import Browser
from .journey import Journey
from .tokens import Tokens

T = TypeVar("T")

#: A call that is ready to be made.
Ready = Callable[[], Awaitable[Identity | None]]
Open = Callable[[], Awaitable[Connector]]

ISSUER = "http://127.0.0.1:5556/dex"

#: All that a client may want to know.
EVERYTHING = Scopes(offline_access=True, groups=True)

#: How long a connector under test may wait for one answer (seconds): every test of a
#: slow upstream takes as long, and a busy machine needs some of it.
TIMEOUT = 2.0

# Below the deadline, so that it is the connector that gives up.
_PATIENT = 10.0

# In such trouble an upstream keeps everybody waiting.
_WAITING = ("slow", "drip")

_SECRET = re.compile(r"(secret|password|passwd|pw|passphrase|token)$")


class ConnectorContract:
    """Every connector.  Override ``type``, the fixture ``config``, and what differs.

    * ``type``: the connector's, as in the configuration file;
    * ``plugins``: hook implementations to ask beside those that are installed;
    * ``settings``, ``environ``: further sections of the file, and what it may name
      (``$ISSUER`` is known);
    * ``username``, ``password``: of somebody who can log in;
    * ``timeout``: how long it may wait for an answer of an upstream that keeps it
      waiting (seconds);
    * ``secrets``: what must not be seen, beside the password and secret options.
    """

    type: ClassVar[str] = ""
    plugins: ClassVar[Sequence[object]] = ()
    settings: ClassVar[Mapping[str, Any]] = {}
    environ: ClassVar[Mapping[str, str]] = {}
    username: ClassVar[str] = "jane"
    password: ClassVar[str] = "password"
    timeout: ClassVar[float] = TIMEOUT
    secrets: ClassVar[Sequence[str]] = ()
    issuer: ClassVar[str] = ISSUER
    callback_path: ClassVar[str] = "/callback"

    # — to override --------------------------------------------------------------------

    @pytest.fixture
    def upstream(self) -> Any:
        """The upstream, or its double; ``None`` if there is none."""
        return None

    @pytest.fixture
    def config(self, upstream: Any) -> Mapping[str, Any]:
        """What stands under ``config:`` in the file."""
        return {}

    def connectors(self, config: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Return the section ``connectors:`` of the file."""
        return [{"type": self.type, "id": "kit", "name": "Kit", "config": config}]

    def browser(self, stop_at: str) -> Browser:
        """Return the browser of who logs in; it stops at the address *stop_at*."""
        return Browser(stop_at=stop_at)

    async def ready_login(self, connector: Any, scopes: Scopes = EVERYTHING) -> Ready:
        """Do all that comes before *connector* learns who it is; return that call."""
        raise NotImplementedError("Inherit from a contract of a way to log in, too.")

    # — what the tests use -------------------------------------------------------------

    @pytest.fixture
    def document(self, config: Mapping[str, Any]) -> Config:
        """The configuration file, read."""
        document = {
            "issuer": self.issuer,
            "storage": {"type": "memory"},
            "web": {"http": urlsplit(self.issuer).netloc},
            "signer": {"type": "local", "config": {"keysRotationPeriod": "6h"}},
            "connectors": self.connectors(config),
            **self.settings,
        }
        return loads(
            json.dumps(document), environ={"ISSUER": self.issuer, **self.environ}
        )

    @pytest.fixture
    def options(self, document: Config) -> Any:
        """What became of ``config:``."""
        [entry] = [each for each in document.connectors if each.type == self.type]
        kind = self._plugins().connector_type(self.type)
        return structure(entry.config, kind.config, where="connector 'kit'")

    @pytest.fixture
    async def storage(self, document: Config) -> AsyncIterator[Storage]:
        """What the server lends connectors."""
        memory = self._plugins().storage_type("memory")
        storage = await memory.open(memory.config(), StorageContext())
        yield overlay(storage, passwords=document.static_passwords)
        await storage.close()

    @pytest.fixture
    async def open_connector(
        self, options: Any, storage: Storage, request: pytest.FixtureRequest
    ) -> AsyncIterator[Open]:
        """Return what opens the connector; each time it is another replica's."""
        opened: list[Connector] = []
        passwords = Passwords()
        kind = self._plugins().connector_type(self.type)
        context = ConnectorContext(
            id="kit",
            storage=storage,
            log=logging.getLogger(f"dexcore.connector.{self.type}"),
            passwords=passwords,
            timeout=self._patience(request),
        )

        async def open_connector() -> Connector:
            async with asyncio.timeout(DEADLINE):
                opened.append(await kind.open(options, context))
            return opened[-1]

        yield open_connector
        for connector in opened:
            await connector.close()
        passwords.close()

    @pytest.fixture
    async def connector(self, open_connector: Open) -> Connector:
        """The connector, open."""
        return await open_connector()

    @pytest.fixture
    def journey(self, config: Mapping[str, Any]) -> Iterator[Journey]:
        """A whole server with this connector, and an app."""
        with Journey(
            *self.connectors(config),
            plugins=self.plugins,
            settings=self.settings,
            environ=self.environ,
        ) as journey:
            yield journey

    def _patience(self, request: pytest.FixtureRequest) -> float:
        """Return how long it may wait: long, but where it is kept waiting on purpose.

        A machine that is busy for a moment is no fault of the connector's.
        """
        made = getattr(request.node, "callspec", None)
        trouble = made.params.get("trouble") if made is not None else None
        return self.timeout if trouble in _WAITING else max(self.timeout, _PATIENT)

    def _plugins(self) -> Plugins:
        return find(*self.plugins)

    async def log_in(self, connector: Any, scopes: Scopes = EVERYTHING) -> Identity:
        """Log in, as the user all of this is about."""
        __tracebackhide__ = True
        found = await answered((await self.ready_login(connector, scopes))())
        must(
            isinstance(found, Identity),
            f"{self.username!r} can log in, the test class says.",
            found,
        )
        assert isinstance(found, Identity)
        return found

    async def log_in_at(self, journey: Journey) -> Tokens:
        """Log in, as somebody does who wants to use the app of *journey*."""
        url = journey.authorization_url()
        async with self.browser(journey.redirect_uri) as browser:
            landing = await browser.log_in(url, self.username, self.password)
        return journey.landed(landing.url)

    # — the tests ----------------------------------------------------------------------

    async def test_it_opens_and_closes_and_closes_again(
        self, open_connector: Open
    ) -> None:
        """The server may close a connector while a login is under way in it."""
        connector = await open_connector()
        must(
            isinstance(connector, Connector),
            "The opener returns an instance of a class that inherits from Connector: "
            "what a connector can do is what it inherits.",
            connector,
        )
        await connector.close()
        await connector.close()

    async def test_two_are_open_side_by_side(self, open_connector: Open) -> None:
        """While a configuration changes, the old connector and the new one are open."""
        old, new = await open_connector(), await open_connector()
        must(old is not new, "Each opening returns a connector of its own.")
        await self.log_in(old)
        await old.close()
        await self.log_in(new)

    async def test_an_identity_is_what_the_contract_says(
        self, connector: Connector
    ) -> None:
        """The storage and the tokens take its types for granted."""
        identity = await self.log_in(connector)
        check_identity(identity)

    async def test_a_user_has_the_same_id_each_time(
        self, connector: Connector, open_connector: Open
    ) -> None:
        """The id is part of every subject that apps have stored."""
        first = await self.log_in(connector)
        for scopes in (EVERYTHING, Scopes(), Scopes(groups=True)):
            again = await self.log_in(await open_connector(), scopes)
            must(
                again.user_id == first.user_id,
                "user_id is the same at every login, whatever the client asks for, "
                f"because apps know people by it. First {first.user_id!r}.",
                again.user_id,
            )

    async def test_a_whole_login_ends_in_a_verified_id_token(
        self, journey: Journey
    ) -> None:
        """From the app through the pages to the app, and, if it can, a refresh."""
        tokens = await self.log_in_at(journey)
        assert tokens.claims["sub"]
        if tokens.refresh_token:
            tokens = journey.refresh(journey.refresh(tokens))
        journey.userinfo(tokens)

    async def test_secrets_are_in_no_repr_and_no_log(
        self,
        open_connector: Open,
        options: Any,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Operators send each other logs, and bug reports have reprs in them."""
        caplog.set_level(logging.DEBUG)
        connector = await open_connector()
        await self.log_in(connector)
        said = {"repr(config)": repr(options), "repr(connector)": repr(connector)}
        for record in caplog.records:
            said[f"the log of {record.name}"] = f"{record.getMessage()} {vars(record)}"
        for secret in self._secrets(options):
            for where, text in said.items():
                must(
                    secret not in text,
                    f"A secret is in {where}. Declare it with option(secret=True) or "
                    "attrs.field(repr=False), and log what happened, not what was "
                    "sent.",
                    text,
                )

    def test_secret_options_are_declared(self, options: Any) -> None:
        """What is declared is kept from ``dexcore check`` and the schema, too."""
        for field in _fields(options):
            must(
                field.metadata.get("secret", False) or not _sounds_secret(field),
                f"The option {spelling(field)!r} holds a secret by its name: declare "
                "it with option(secret=True).",
            )

    def _secrets(self, options: Any) -> set[str]:
        found = {self.password, *self.secrets, *_secret_values(options)}
        # Who is called that cannot be told from the name of a field.
        return found - {"", "password", "secret"}


def _fields(options: Any) -> Iterator[attrs.Attribute[Any]]:
    for field in attrs.fields(type(options)):
        yield field
        value = getattr(options, field.name)
        if attrs.has(type(value)):
            yield from _fields(value)


def _secret_values(options: Any) -> Iterator[str]:
    for field in attrs.fields(type(options)):
        value = getattr(options, field.name)
        if attrs.has(type(value)):
            yield from _secret_values(value)
        elif isinstance(value, str) and _is_secret(field):
            yield value


def _is_secret(field: attrs.Attribute[Any]) -> bool:
    return bool(field.metadata.get("secret")) or _sounds_secret(field)


def _sounds_secret(field: attrs.Attribute[Any]) -> bool:
    # A switch holds none: "fallbackToPassword".
    switch = field.type in (bool, "bool")
    return not switch and _SECRET.search(spelling(field).lower()) is not None
