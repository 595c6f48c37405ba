"""The way to log in by way of the upstream: OAuth 2.0, OpenID Connect, SAML."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest

from multidict import CIMultiDict, MultiDict

from ..connector import (
    Callback,
    CallbackConnector,
    FormPost,
    Identity,
    Redirect,
    Scopes,
)
from ..errors import AccessDenied, UpstreamError
from ..oauth2.ids import new_id
from ._connector_base import EVERYTHING, ConnectorContract, Open, Ready
from ._connector_demands import answered, check_identity, must
from .browser import Browser, BrowserError, Landing
from .journey import Journey
from .page import Page

_STATE = "b6zmm5mguyebwvajyf2sdwwcw"


class CallbackContract(ConnectorContract):
    """A ``CallbackConnector``: the browser goes upstream and comes back.

    ``username`` and ``password`` are typed into whatever form the upstream shows.
    """

    calls: ClassVar[tuple[str, ...]] = ("login",)

    @property
    def callback_url(self) -> str:
        """Where the upstream sends the browser back to."""
        return self.issuer + "/callback"

    async def begin(
        self, connector: Any, scopes: Scopes = EVERYTHING, state: str = ""
    ) -> Redirect | FormPost:
        """Let the connector say where the browser goes."""
        must(
            isinstance(connector, CallbackConnector),
            "A connector that sends browsers away inherits from CallbackConnector.",
            connector,
        )
        # Each login has an id of its own.
        begun = await answered(
            connector.begin(scopes, self.callback_url, state or new_id())
        )
        must(
            isinstance(begun, (Redirect, FormPost)),
            "begin() returns a Redirect or a FormPost.",
            begun,
        )
        assert isinstance(begun, (Redirect, FormPost))
        return begun

    async def come_back(self, begun: Redirect | FormPost) -> Callback:
        """Go where *begun* leads, log in there, and return what the browser brings."""
        stop_at = self.issuer + self.callback_path
        async with self.browser(stop_at) as browser:
            landing = await _visit(browser, begun, self.username, self.password)
            headers = CIMultiDict(browser.headers)
        return Callback(
            query=MultiDict(landing.params),
            form=MultiDict(landing.form),
            headers=headers,
            callback_url=self.callback_url,
            connector_data=begun.connector_data,
        )

    async def ready_login(self, connector: Any, scopes: Scopes = EVERYTHING) -> Ready:
        """Go upstream and come back; return the call that says who came."""
        begun = await self.begin(connector, scopes)
        return partial(connector.finish, scopes, await self.come_back(begun))

    async def test_the_browser_takes_the_state_and_no_secret(
        self, connector: Any, options: Any
    ) -> None:
        """What goes through the browser is read by its owner, and stays in logs."""
        begun = await self.begin(connector, state=_STATE)
        fields = begun.fields if isinstance(begun, FormPost) else {}
        sent = {name: [value] for name, value in fields.items()}
        sent = {**parse_qs(urlsplit(begun.url).query), **sent}
        must(
            urlsplit(begun.url).scheme in ("http", "https"),
            "begin() returns an absolute http or https URL.",
            begun.url,
        )
        states = sum(values.count(_STATE) for values in sent.values())
        must(
            states == 1,
            "begin() sends the state along, once, as state or RelayState: by it the "
            "browser is known again.",
            begun,
        )
        for secret in self._secrets(options):
            must(
                all(secret not in value for values in sent.values() for value in values)
                and secret not in begun.url,
                "No secret goes through the browser.",
                begun,
            )

    async def test_another_replica_finishes_what_this_one_began(
        self, open_connector: Open
    ) -> None:
        """What must be remembered travels in connector_data."""
        begun = await self.begin(await open_connector())
        callback = await self.come_back(begun)
        other: Any = await open_connector()
        found = await answered(other.finish(EVERYTHING, callback))
        must(
            isinstance(found, Identity),
            "finish() needs nothing that begin() left in memory: the browser may come "
            "back to another replica. Put it into connector_data.",
            found,
        )

    async def test_it_logs_nobody_in_who_brings_nothing(self, connector: Any) -> None:
        """Somebody typed in the address of the callback, or a proxy lost the query."""
        begun = await self.begin(connector)
        empty = Callback(
            MultiDict(),
            MultiDict(),
            CIMultiDict(),
            self.callback_url,
            begun.connector_data,
        )
        found = await answered(connector.finish(EVERYTHING, empty))
        must(
            isinstance(found, Exception),
            "finish() raises AccessDenied or UpstreamError if nothing came back.",
            found,
        )

    async def test_a_callback_counts_once_and_in_the_browser_that_began(
        self, journey: Journey
    ) -> None:
        """A link to it that somebody sends logs in nobody else."""
        callback = f"{journey.issuer}{self.callback_path}"
        async with self.browser(callback) as browser, self.browser("") as stranger:
            landing = await browser.log_in(
                journey.authorization_url(), self.username, self.password
            )
            stranger.stop_at = browser.stop_at = journey.redirect_uri
            _is_refused(await _bring(stranger, landing), "in another browser")
            arrived = await _bring(browser, landing)
            must(isinstance(arrived, Landing), "The callback logs in.", arrived)
            assert isinstance(arrived, Landing)
            assert journey.landed(arrived.url).claims["sub"]
            _is_refused(await _bring(browser, landing), "a second time")


class OAuthContract(CallbackContract):
    """A ``CallbackConnector`` that speaks OAuth 2.0: a code comes back, or an error."""

    @pytest.mark.parametrize("code", [None, ""])
    async def test_without_a_code_nobody_logs_in(
        self, connector: Any, code: str | None
    ) -> None:
        """It is not sent upstream, which might take an empty one for something."""
        callback = await self.come_back(await self.begin(connector))
        query = MultiDict(callback.query)
        query.pop("code")
        if code is not None:
            query["code"] = code
        found = await answered(
            connector.finish(EVERYTHING, attrs.evolve(callback, query=query))
        )
        must(
            isinstance(found, Exception),
            "finish() raises AccessDenied or UpstreamError if there is no code.",
            found,
        )

    async def test_who_is_refused_upstream_is_denied(self, connector: Any) -> None:
        """RFC 6749 section 4.1.2.1: somebody pressed "Cancel"."""
        found = await self._finish_with(connector, "access_denied")
        must(
            isinstance(found, AccessDenied),
            "error=access_denied raises AccessDenied: a page that says so, no failure.",
            found,
        )

    @pytest.mark.parametrize(
        "error", ["server_error", "temporarily_unavailable", "invalid_scope", "\0<b>"]
    )
    async def test_an_error_from_upstream_logs_nobody_in(
        self, connector: Any, error: str
    ) -> None:
        """Even if a code comes along."""
        found = await self._finish_with(connector, error)
        must(
            isinstance(found, (UpstreamError, AccessDenied)),
            "finish() raises UpstreamError or AccessDenied if upstream says error=.",
            found,
        )

    async def _finish_with(self, connector: Any, error: str) -> object:
        callback = await self.come_back(await self.begin(connector))
        query = MultiDict({**callback.query, "error": error})
        query["error_description"] = "Because."
        return await answered(
            connector.finish(EVERYTHING, attrs.evolve(callback, query=query))
        )


class FormPostContract(CallbackContract):
    """A ``CallbackConnector`` the upstream answers with a form (SAML).

    ``proof`` is the field that says who it is.
    """

    proof: ClassVar[str] = "SAMLResponse"

    @pytest.mark.parametrize(
        "value",
        ["", "x", "PGE+", "%%%", "PD94bWwgdmVyc2lvbj0iMS4wIj8+PGEvPg==", "A" * 500_000],
        ids=["empty", "short", "not XML", "not base64", "other XML", "long"],
    )
    async def test_garbage_logs_nobody_in(self, connector: Any, value: str) -> None:
        """Whatever a program can post."""
        callback = await self.come_back(await self.begin(connector))
        form = {**callback.form, self.proof: value}
        found = await answered(
            connector.finish(EVERYTHING, attrs.evolve(callback, form=MultiDict(form)))
        )
        must(
            isinstance(found, (UpstreamError, AccessDenied)),
            "finish() raises UpstreamError or AccessDenied for garbage.",
            found,
        )

    async def test_a_form_counts_only_where_it_is_posted(self, connector: Any) -> None:
        """What stands in the address stays in histories and logs."""
        callback = await self.come_back(await self.begin(connector))
        moved = attrs.evolve(callback, query=callback.form, form=MultiDict())
        found = await answered(connector.finish(EVERYTHING, moved))
        must(isinstance(found, Exception), "The form is read, not the query.", found)

    async def test_an_answer_to_one_login_is_none_to_another(
        self, connector: Any
    ) -> None:
        """Somebody who caught it begins a login of their own, and uses it there."""
        callback = await self.come_back(await self.begin(connector, state=_STATE))
        other = "cstolenstolenstolenstolen"
        begun = await self.begin(connector, state=other)
        form = {
            name: other if value == _STATE else value
            for name, value in callback.form.items()
        }
        stolen = attrs.evolve(
            callback, form=MultiDict(form), connector_data=begun.connector_data
        )
        found = await answered(connector.finish(EVERYTHING, stolen))
        must(
            isinstance(found, Exception),
            "The answer names the request it is for; another request refuses it.",
            found,
        )

    async def test_an_answer_counts_once(self, open_connector: Open) -> None:
        """On every replica: context.storage.replays knows what was accepted."""
        one: Any = await open_connector()
        other: Any = await open_connector()
        callback = await self.come_back(await self.begin(one))
        check_identity(await answered(one.finish(EVERYTHING, callback)))
        again = await answered(other.finish(EVERYTHING, callback))
        must(
            isinstance(again, Exception),
            "An answer that was accepted is not accepted again: keep its id in "
            "context.storage.replays until it has expired.",
            again,
        )


# — what browsers do -------------------------------------------------------------------


async def _visit(
    browser: Browser, begun: Redirect | FormPost, username: str, password: str
) -> Landing:
    if isinstance(begun, Redirect):
        return await browser.log_in(begun.url, username, password)
    answer = await browser.post(begun.url, dict(begun.fields), initiator="http://a/")
    return await browser.go_on(answer, username, password)


async def _bring(browser: Browser, landing: Landing) -> Page | Landing:
    if landing.form:
        url, form = landing.url, landing.form
        return await browser.post(url, form, initiator=landing.origin)
    return await browser.open(landing.url)


def _is_refused(answer: Page | Landing, when: str) -> None:
    __tracebackhide__ = True
    if isinstance(answer, Landing) or answer.status < 400:
        raise BrowserError(
            f"A callback counts once, and in the browser that began; it counted {when}."
        )
