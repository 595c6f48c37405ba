"""The ways to log in without going elsewhere: by a password, by a ticket."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import pytest

from multidict import CIMultiDict, MultiDict

from ..connector import (
    Callback,
    Challenge,
    Identity,
    NegotiateConnector,
    PasswordConnector,
    Scopes,
)
from ._connector_base import (
    EVERYTHING,
    ConnectorContract,
    Ready,
)
from ._connector_demands import answered, check_identity, must

# Names that mean something in a filter, a path, a query or a shell, or break lines.
_HOSTILE = (
    "",
    "*",
    "{name}*",
    "*)(uid={name}",
    "{name})(|(uid=*",
    "../{name}",
    "{name}/../{name}",
    "{name}?x={name}",
    "{name}' OR '1'='1",
    "x" * 10_000,
)
_ODD = ("{name}\0", "\0", "{name}\r\nX-Admin: 1", "\N{PILE OF POO}", "\u202e{name}")

_ODD_PASSWORDS = ("x" * 10_000, "\0", "wrong\0password", "\N{PILE OF POO}", " ")


class PasswordContract(ConnectorContract):
    """A ``PasswordConnector``: ``username`` and ``password`` are right."""

    calls: ClassVar[tuple[str, ...]] = ("login",)

    async def ready_login(self, connector: Any, scopes: Scopes = EVERYTHING) -> Ready:
        """Return the call with the right password."""
        must(
            isinstance(connector, PasswordConnector),
            "A connector that checks passwords inherits from PasswordConnector.",
            connector,
        )
        return partial(connector.login, scopes, self.username, self.password)

    async def test_the_right_password_logs_in(self, connector: Any) -> None:
        """And the form knows what to call the name."""
        check_identity(await self.log_in(connector))
        must(isinstance(connector.prompt, str), "prompt is a str.", connector.prompt)

    async def test_a_wrong_password_is_no_error(self, connector: Any) -> None:
        """The form is shown again; an error would be a page that leads nowhere."""
        found = await answered(
            connector.login(EVERYTHING, self.username, f"not {self.password}")
        )
        must(
            found is None,
            "login() returns None for a wrong password, so that the form comes back.",
            found,
        )

    async def test_an_unknown_user_is_no_error(self, connector: Any) -> None:
        """Nobody can tell an unknown user from a wrong password."""
        found = await answered(
            connector.login(EVERYTHING, f"no-{self.username}", self.password)
        )
        must(
            found is None,
            "login() returns None for an unknown user, as for a wrong password.",
            found,
        )

    async def test_an_empty_password_is_refused_before_anybody_is_asked(
        self, connector: Any, upstream: Any
    ) -> None:
        """RFC 4513 section 5.1.2: a bind without a password succeeds, as nobody."""
        before = self.times_asked(upstream)
        found = await answered(connector.login(EVERYTHING, self.username, ""))
        must(
            found is None,
            "login() returns None for an empty password: directories take it for a "
            "login without a name, and say yes.",
            found,
        )
        must(
            self.times_asked(upstream) == before,
            "An empty password is refused before the upstream is asked.",
        )

    @pytest.mark.parametrize("name", _HOSTILE)
    async def test_a_name_that_is_a_trick_is_nobody(
        self, connector: Any, name: str
    ) -> None:
        """With the password of somebody who exists."""
        name = name.format(name=self.username)
        found = await answered(connector.login(EVERYTHING, name, self.password))
        must(
            not isinstance(found, Identity),
            f"A name is a name and never a pattern or a path: {name[:40]!r} is nobody. "
            "Escape what you put into a filter or a URL.",
            found,
        )

    @pytest.mark.parametrize("name", _ODD)
    async def test_an_odd_name_breaks_nothing(self, connector: Any, name: str) -> None:
        """Whatever can be typed, or sent by a program, has an answer."""
        name = name.format(name=self.username)
        found = await answered(connector.login(EVERYTHING, name, "wrong"))
        must(not isinstance(found, Identity), "A wrong password is wrong.", found)

    @pytest.mark.parametrize("password", _ODD_PASSWORDS)
    async def test_an_odd_password_is_wrong(
        self, connector: Any, password: str
    ) -> None:
        """Long ones, too: some hashes look at the first 72 bytes only."""
        found = await answered(connector.login(EVERYTHING, self.username, password))
        must(not isinstance(found, Identity), "A wrong password is wrong.", found)
        longer = await answered(
            connector.login(EVERYTHING, self.username, self.password + "x" * 100)
        )
        must(
            longer is None or isinstance(longer, Exception),
            "A password with something behind it is wrong.",
            longer,
        )

    def times_asked(self, upstream: Any) -> int:
        """Return how often *upstream* has been asked by now."""
        return len(getattr(upstream, "requests", ()))


class NegotiateContract(ConnectorContract):
    """A ``NegotiateConnector``: the browser proves who it is, with a ticket.

    Beside ``negotiate`` there is a form, so inherit from :class:`PasswordContract` too.
    """

    calls: ClassVar[tuple[str, ...]] = ("negotiate",)

    async def authorization(self, upstream: Any) -> str:
        """Return an ``Authorization`` header that is right: override this."""
        raise NotImplementedError("Override authorization().")

    async def ready_negotiate(self, connector: Any, upstream: Any) -> Ready:
        """Return the call with a ticket that is right."""
        ready: Ready = self._negotiate(connector, await self.authorization(upstream))
        return ready

    def _negotiate(self, connector: Any, *authorization: str) -> Callable[[], Any]:
        must(
            isinstance(connector, NegotiateConnector),
            "A connector that negotiates inherits from NegotiateConnector.",
            connector,
        )
        headers = CIMultiDict(("Authorization", value) for value in authorization)
        callback_url = self.issuer + "/callback"
        callback = Callback(MultiDict(), MultiDict(), headers, callback_url)
        return partial(connector.negotiate, EVERYTHING, callback)

    async def test_a_ticket_logs_in(self, connector: Any, upstream: Any) -> None:
        """Without a form, as the same person as with one."""
        found = await answered((await self.ready_negotiate(connector, upstream))())
        check_identity(found)
        assert isinstance(found, Identity)
        known = await self.log_in(connector)
        must(
            found.user_id == known.user_id,
            f"A ticket tells of the same user as the password, {known.user_id!r}.",
            found.user_id,
        )

    async def test_without_a_ticket_it_asks_for_one_or_leaves_it(
        self, connector: Any
    ) -> None:
        """RFC 4559 section 4.1."""
        found = await answered(self._negotiate(connector)())
        must(
            found is None or isinstance(found, Challenge),
            "Without a ticket negotiate() returns a Challenge, or None for the form.",
            found,
        )
        if isinstance(found, Challenge):
            must(
                found.www_authenticate.startswith("Negotiate"),
                "A challenge is of the scheme Negotiate.",
                found,
            )

    @pytest.mark.parametrize(
        "header",
        [
            "Negotiate",
            "Negotiate !!!",
            "Negotiate YII=",
            "Negotiate " + "A" * 60_000,
            "Basic amFuZTpwYXNzd29yZA==",
            "negotiate \N{PILE OF POO}",
        ],
        ids=lambda header: header[:20],
    )
    async def test_no_ticket_but_the_right_one_logs_in(
        self, connector: Any, header: str
    ) -> None:
        """Whatever a program can send."""
        found = await answered(self._negotiate(connector, header)())
        must(not isinstance(found, Identity), "Garbage is no ticket.", found)
