"""What a connector does when its upstream is down, slow, or lies."""

from __future__ import annotations

import inspect

from typing import Any, ClassVar

import attrs
import pytest

from multidict import MultiDict

from ..connector import Connector, Identity
from ..errors import AccessDenied, UpstreamError, UpstreamUnavailable
from ._connector_base import (
    EVERYTHING,
    ConnectorContract,
    Open,
    Ready,
)
from ._connector_callbacks import OAuthContract
from ._connector_demands import answered, must
from .upstreams import TROUBLES, Trouble, Upstream
from .upstreams.trouble import HUGE

#: Troubles that pass: the page says so, and clients try again.
_PASSING = ("down", "slow", "status")

#: What may be wrong with an ID token, by the names a double knows.
ID_TOKEN_FAULTS = (
    "aud",  # for somebody else
    "azp",  # for several, and issued to somebody else
    "iss",  # by somebody else
    "sub",  # about nobody
    "nonce",  # for another login
    "expired",
    "at_hash",  # beside another access token
    "none",  # alg none, not signed
    "hs256",  # signed with the public key as a secret
    "kid",  # by a key that is not published
    "signature",  # by another key under the same kid
)


class UpstreamContract(ConnectorContract):
    """A connector with an upstream that may fail; inherit from it first.

    The fixture ``upstream`` is an ``Upstream``, or has those of its methods that
    ``troubles`` names.  ``asks``: the calls in which it is asked, if not in all
    (``login``, ``refresh``, ``token_identity``).
    """

    troubles: ClassVar[tuple[str, ...]] = TROUBLES
    asks: ClassVar[tuple[str, ...]] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make one test of every call and trouble."""
        if "trouble" in metafunc.fixturenames:
            metafunc.parametrize("trouble", self.troubles)
        if "call" in metafunc.fixturenames:
            metafunc.parametrize("call", self.asks or _calls(type(self)))

    async def test_of_an_upstream_in_trouble_the_connector_says_so(
        self,
        open_connector: Open,
        upstream: Any,
        options: Any,
        call: str,
        trouble: str,
    ) -> None:
        """At every address it asks for, one after the other."""
        for path in await self._paths(open_connector, upstream, call, trouble):
            connector = await open_connector()
            ready = await self._ready(call, connector, upstream)
            with _make(trouble, upstream, path) as made:
                found = await answered(ready())
            where = f"{call}() with the upstream's {path or 'server'} in {trouble!r}"
            self._check(found, trouble, where)
            for secret in self._secrets(options):
                must(secret not in str(found), f"{where}: a secret is in the error.")
            must(
                trouble != "huge" or made.sent < HUGE // 2,
                f"{where}: an answer is read up to a limit, not to its end.",
            )
            again = await answered((await self._ready(call, connector, upstream))())
            must(
                isinstance(again, Identity),
                f"{where}: once the trouble is over, all is well again.",
                again,
            )

    async def test_it_opens_or_says_what_its_upstream_lacks(
        self, open_connector: Open, upstream: Any, trouble: str
    ) -> None:
        """The server starts without it, and tries again by itself."""
        with _make(trouble, upstream, ""):
            found = await answered(open_connector())
        must(
            isinstance(found, (Connector, UpstreamError)),
            f"With the upstream in {trouble!r} opening succeeds, or raises "
            "UpstreamError: after a mistake in the configuration nobody tries again.",
            found,
        )
        await self.log_in(await open_connector())

    def _check(self, found: object, trouble: str, where: str) -> None:
        __tracebackhide__ = True
        must(
            not isinstance(found, AccessDenied),
            f"{where} does not raise AccessDenied: a user must not lose their access "
            "because an upstream has a bad day.",
            found,
        )
        must(
            found is not None,
            f"{where} does not return None: nobody has looked at the password.",
        )
        wanted = UpstreamUnavailable if trouble in _PASSING else UpstreamError
        must(
            isinstance(found, wanted),
            f"{where} raises {wanted.__name__}. Check the status, the size and the "
            "shape of every answer; nothing of it is optional.",
            found,
        )

    async def _paths(
        self, open_connector: Open, upstream: Any, call: str, trouble: str
    ) -> list[str]:
        """Return what *call* asks for, in its order; "" is the whole upstream."""
        if trouble == "down" or not isinstance(upstream, Upstream):
            return [""]
        ready = await self._ready(call, await open_connector(), upstream)
        before = len(upstream.requests)
        must(isinstance(await answered(ready()), Identity), f"{call}() works.")
        paths = dict.fromkeys(seen.path for seen in upstream.requests[before:])
        must(
            bool(paths),
            f"{call}() asks the upstream; if it need not, say so in asks = (…).",
        )
        return list(paths)

    async def _ready(self, call: str, connector: Any, upstream: Any) -> Ready:
        prepare = getattr(self, f"ready_{call}")
        known = {"connector": connector, "upstream": upstream}
        wanted = inspect.signature(prepare).parameters
        ready: Ready = await prepare(**{n: v for n, v in known.items() if n in wanted})
        return ready


class OpenIDContract(UpstreamContract, OAuthContract):
    """An OpenID Connect client: it knows the user by an ID token.

    ``upstream.spoil(fault)`` returns a context manager; while it lasts, ID tokens are
    wrong as *fault* says, one of :data:`ID_TOKEN_FAULTS`.
    """

    faults: ClassVar[tuple[str, ...]] = ID_TOKEN_FAULTS

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make one test of every fault, too."""
        super().pytest_generate_tests(metafunc)
        if "fault" in metafunc.fixturenames:
            metafunc.parametrize("fault", self.faults)

    async def test_an_id_token_that_is_wrong_logs_nobody_in(
        self, open_connector: Open, upstream: Any, fault: str
    ) -> None:
        """OpenID Connect Core section 3.1.3.7."""
        connector = await open_connector()
        with upstream.spoil(fault):
            ready = await self.ready_login(connector)
            found = await answered(ready())
        must(
            isinstance(found, (UpstreamError, AccessDenied)),
            f"finish() refuses an ID token with a wrong {fault!r}.",
            found,
        )
        await self.log_in(connector)

    async def test_a_code_of_another_login_is_none_of_this(
        self, connector: Any
    ) -> None:
        """RFC 9700 section 4.5: a code that was caught, put into one's own login."""
        victim = await self.come_back(await self.begin(connector))
        own = await self.begin(connector, state="cownownownownownownownown")
        query = {**victim.query, "state": "cownownownownownownownown"}
        mixed = attrs.evolve(
            victim, query=MultiDict(query), connector_data=own.connector_data
        )
        found = await answered(connector.finish(EVERYTHING, mixed))
        must(
            isinstance(found, Exception),
            "A code counts only with the nonce and the verifier of the login it was "
            "issued for: keep both in connector_data.",
            found,
        )


def _calls(contract: type[ConnectorContract]) -> tuple[str, ...]:
    """Return the calls of all contracts that *contract* inherits."""
    found = [call for each in contract.__mro__ for call in vars(each).get("calls", ())]
    return tuple(dict.fromkeys(found))


def _make(trouble: str, upstream: Any, path: str) -> Trouble:
    make = getattr(upstream, trouble)
    made: Trouble = make(path=path) if path else make()
    return made
