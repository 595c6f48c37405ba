"""A browser that walks a login without a browser.

It follows redirects, keeps cookies, reads forms, fills them in and clicks, as somebody
would who wants to get into an app::

    async with Browser() as browser:
        landing = await browser.log_in(url, "jane@example.com", "password")
        code = landing.params["code"]

It knows no provider's addresses, only what pages show, so it gets through dex and
others too.  It says about itself what browsers say (``Origin``, ``Sec-Fetch-Site``) and
withholds ``SameSite`` cookies where they do.
"""

from __future__ import annotations

import ssl

from collections.abc import Iterator, Mapping
from http.cookies import Morsel
from types import TracebackType
from urllib.parse import parse_qsl, urljoin, urlsplit

import attrs
import yarl

from aiohttp import (
    ClientSession,
    ClientTimeout,
    CookieJar,
    DummyCookieJar,
    TCPConnector,
)

from .background import Background
from .page import Button, Form, Link, Page, parse

__all__ = ["Browser", "BrowserError", "Landing", "Page", "SyncBrowser"]

_REDIRECTS = (301, 302, 303, 307, 308)
_HOPS = 20  # browsers give up after about as many
_PAGES = 12  # no login asks more often
_IDENTIFIER_TYPES = ("text", "email", "tel")


class BrowserError(AssertionError):
    """The login did not go on as a person would expect; ``page`` is where it stood."""

    def __init__(self, message: str, page: Page | None = None) -> None:
        where = f" [{page.status} {page.url}] {page.words[:300]}" if page else ""
        super().__init__(message + where)
        self.page = page


@attrs.frozen
class Landing:
    """Back at the app: the redirect to it, which the browser did not follow.

    ``params`` are those of the query, or of the fragment if it has any; ``form`` is
    what the browser was about to post, and ``origin`` the page that let it.
    """

    url: str
    params: Mapping[str, str]
    form: Mapping[str, str] = attrs.field(factory=dict)
    origin: str = ""


@attrs.frozen
class _Request:
    """What goes over the wire next.

    ``initiator`` is the page it starts from, "" for an address typed in.
    """

    method: str
    url: str
    data: Mapping[str, str] | None = None
    initiator: str = ""
    origin: str = ""
    cross_site: bool = False


class Browser:
    """One browser: its cookies, and a connection pool.

    ``stop_at`` is the app's redirect URI; without it, that of the authorization request
    is taken; without one, whatever lies outside the first page's origin is the app.
    ``timeout`` (seconds) is for each request; ``ca``, the PEM text of an authority, is
    trusted beside the system's.
    """

    def __init__(
        self,
        *,
        stop_at: str = "",
        timeout: float = 30,
        headers: Mapping[str, str] | None = None,
        ca: str = "",
    ) -> None:
        self.stop_at = stop_at
        self.ca = ca
        self.jar: CookieJar | None = None
        self.history: list[str] = []
        self.headers = dict(headers or {})
        self._timeout = ClientTimeout(total=timeout)
        self._headers = {"Accept": "text/html,*/*;q=0.8", **self.headers}
        self._session: ClientSession | None = None
        self._home = ""
        self._stop = stop_at

    async def __aenter__(self) -> Browser:
        """Open the browser."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the browser."""
        await self.close()

    async def close(self) -> None:
        """Close connections.  Cookies stay."""
        if self._session:
            await self._session.close()
            self._session = None

    # — a whole login ------------------------------------------------------------------

    async def log_in(
        self,
        url: str,
        username: str = "",
        password: str = "",
        connector: str | None = None,
        *,
        approve: bool = True,
    ) -> Landing:
        """Go to *url* and do what the pages ask until the app is reached.

        *connector* is a connector's name as the page shows it, or its id.  Raises
        :class:`BrowserError` at a page that is an error, or asks for something else.
        """
        answer = await self.authorize(url)
        return await self.go_on(answer, username, password, connector, approve=approve)

    async def go_on(
        self,
        answer: Page | Landing,
        username: str = "",
        password: str = "",
        connector: str | None = None,
        *,
        approve: bool = True,
    ) -> Landing:
        """Go on from *answer*, as :meth:`log_in` does."""
        for _ in range(_PAGES):
            if isinstance(answer, Landing):
                return answer
            # Without a ticket (RFC 4559) one goes on by the form below the 401.
            asked = "WWW-Authenticate" in answer.headers
            if answer.status >= 400 and not asked:
                raise BrowserError("The login was refused:", answer)
            answer = await self._act(answer, username, password, connector, approve)
        raise BrowserError(f"After {_PAGES} pages the login had not ended.")

    async def _act(
        self,
        page: Page,
        username: str,
        password: str,
        connector: str | None,
        approve: bool,
    ) -> Page | Landing:
        for form in page.forms:
            if form.field("password"):
                return await self.enter(page, username, password)
            if "approval" in _choices(form):
                return await self.decide(page, approve=approve)
        if len(page.forms) == 1 and set(page.forms[0].types.values()) <= {"hidden"}:
            return await self.submit(page, page.forms[0])
        return await self.choose(page, connector)

    # — one page at a time -------------------------------------------------------------

    async def authorize(self, url: str) -> Page | Landing:
        """Type *url* into the address bar."""
        query = dict(parse_qsl(urlsplit(url).query))
        return await self._open(url, self.stop_at or query.get("redirect_uri", ""))

    async def open(self, url: str) -> Page | Landing:
        """Type any *url* into the address bar."""
        return await self._open(url, self.stop_at)

    async def post(
        self, url: str, data: Mapping[str, str], *, initiator: str
    ) -> Page | Landing:
        """Send the form *data* to *url*, as the page *initiator* lets browsers do."""
        self._home, self._stop = _origin(initiator), self.stop_at
        return await self._go(
            _Request("POST", url, data, initiator, _origin(initiator))
        )

    async def _open(self, url: str, stop_at: str) -> Page | Landing:
        self._home, self._stop = _origin(url), stop_at
        return await self._go(_Request("GET", url))

    async def choose(self, page: Page, connector: str | None) -> Page | Landing:
        """Pick *connector*, by name or id, on the page that lists them."""
        offered = [link for link in page.links if _is_connector(link)]
        if connector is None and len(offered) == 1:
            return await self.follow(page, offered[0])
        for link in offered:
            if connector and _names(link, connector):
                return await self.follow(page, link)
        names = ", ".join(repr(link.text) for link in offered) or "none"
        raise BrowserError(f"Which connector, {connector!r}? Offered: {names}.", page)

    async def enter(self, page: Page, username: str, password: str) -> Page | Landing:
        """Fill in the password form of *page* and send it."""
        form = next(form for form in page.forms if form.field("password"))
        filled = {form.field("password") or "": password}
        identifier = form.field(*_IDENTIFIER_TYPES)
        if identifier:
            filled[identifier] = username
        return await self.submit(page, form, filled)

    async def decide(self, page: Page, *, approve: bool) -> Page | Landing:
        """Answer the page that asks for consent."""
        for form in page.forms:
            for button in form.buttons:
                answer = form.sent_by(button).get("approval")
                if answer is not None and (answer == "approve") == approve:
                    return await self.submit(page, form, button=button)
        raise BrowserError("This page does not ask for consent:", page)

    async def follow(self, page: Page, link: Link) -> Page | Landing:
        """Click *link* on *page*."""
        return await self._go(_Request("GET", link.url, initiator=page.url))

    async def submit(
        self,
        page: Page,
        form: Form,
        fields: Mapping[str, str] | None = None,
        button: Button | None = None,
    ) -> Page | Landing:
        """Send *form* with *fields* filled in, by *button* or else the first one."""
        pressed = button or (form.buttons[0] if form.buttons else None)
        data = {**form.sent_by(pressed), **(fields or {})}
        if form.method != "post":
            url = str(yarl.URL(form.url, encoded=True).with_query(data))
            return await self._go(_Request("GET", url, initiator=page.url))
        # Fetch standard, "append a request Origin header": a page that forbids
        # referrers does not name its origin either.
        silent = page.headers.get("Referrer-Policy", "") == "no-referrer"
        origin = "null" if silent else _origin(page.url)
        return await self._go(_Request("POST", form.url, data, page.url, origin))

    # — on the wire --------------------------------------------------------------------

    async def _go(self, request: _Request) -> Page | Landing:
        for _ in range(_HOPS):
            if self._is_app(request.url):
                form, url = request.data or {}, request.url
                return Landing(url, _params(url), form, request.initiator)
            request = attrs.evolve(request, cross_site=_crosses(request))
            answer = await self._send(request)
            if isinstance(answer, Page):
                return answer
            request = answer
        raise BrowserError(f"More than {_HOPS} redirects: {self.history[-3:]}")

    async def _send(self, request: _Request) -> Page | _Request:
        session, jar = self._opened()
        self.history.append(request.url)
        url = yarl.URL(request.url, encoded=True).with_fragment(None)
        async with session.request(
            request.method,
            url,
            data=request.data,
            headers=self._headers_of(request, jar, url),
            allow_redirects=False,
        ) as response:
            jar.update_cookies(response.cookies, url)
            location = response.headers.get("Location")
            if response.status in _REDIRECTS and location is not None:
                return _redirected(request, response.status, location)
            html = await response.text(errors="replace")
            return parse(request.url, response.status, html, response.headers.copy())

    def _headers_of(
        self, request: _Request, jar: CookieJar, url: yarl.URL
    ) -> dict[str, str]:
        headers = {**self._headers, "Sec-Fetch-Mode": "navigate"}
        headers["Sec-Fetch-Site"] = _sec_fetch_site(request)
        if request.origin:
            headers["Origin"] = request.origin
        withheld = request.cross_site and request.method == "POST"
        cookies = [
            f"{name}={morsel.value}"
            for name, morsel in jar.filter_cookies(_trusted(url)).items()
            if not (withheld and _is_same_site(jar, name))
        ]
        if cookies:
            headers["Cookie"] = "; ".join(cookies)
        return headers

    def _opened(self) -> tuple[ClientSession, CookieJar]:
        if self.jar is None:
            # Cookies of 127.0.0.1 are kept too, and values are sent as they came.
            self.jar = CookieJar(unsafe=True, quote_cookie=False)
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(ssl=_trusting(self.ca)),
                cookie_jar=DummyCookieJar(),
                timeout=self._timeout,
            )
        return self._session, self.jar

    def _is_app(self, url: str) -> bool:
        if self._stop:
            bare = url.partition("#")[0].partition("?")[0]
            return bare == self._stop.partition("?")[0]
        return _origin(url) != self._home


class SyncBrowser:
    """The same browser for tests that have no event loop.

    Close it when done, or use it as a context manager.
    """

    def __init__(self, *, stop_at: str = "", timeout: float = 30, ca: str = "") -> None:
        self.browser = Browser(stop_at=stop_at, timeout=timeout, ca=ca)
        self._background = Background("dexcore.testing.browser")

    def log_in(
        self,
        url: str,
        username: str = "",
        password: str = "",
        connector: str | None = None,
        *,
        approve: bool = True,
    ) -> Landing:
        """See :meth:`Browser.log_in`."""
        return self._background.call(
            self.browser.log_in(url, username, password, connector, approve=approve)
        )

    def authorize(self, url: str) -> Page | Landing:
        """See :meth:`Browser.authorize`."""
        return self._background.call(self.browser.authorize(url))

    def submit(
        self, page: Page, form: Form, fields: Mapping[str, str] | None = None
    ) -> Page | Landing:
        """See :meth:`Browser.submit`."""
        return self._background.call(self.browser.submit(page, form, fields))

    def follow(self, page: Page, link: Link) -> Page | Landing:
        """See :meth:`Browser.follow`."""
        return self._background.call(self.browser.follow(page, link))

    def close(self) -> None:
        """Close the browser and its thread."""
        self._background.call(self.browser.close())
        self._background.close()

    def __enter__(self) -> SyncBrowser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# — what pages and addresses say -------------------------------------------------------


def _trusting(ca: str) -> ssl.SSLContext | bool:
    """Return what trusts the system's authorities, and *ca* if it is not empty."""
    if not ca:
        return True
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=ca)
    return context


def _choices(form: Form) -> set[str]:
    return set(form.types) | {button.name for button in form.buttons}


def _is_connector(link: Link) -> bool:
    return "/auth/" in urlsplit(link.url).path


def _names(link: Link, connector: str) -> bool:
    last = yarl.URL(link.url, encoded=True).name
    return connector == last or connector.lower() in link.text.lower()


def _params(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    return dict(parse_qsl(parts.fragment or parts.query, keep_blank_values=True))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _site(url: str) -> tuple[str, str]:
    """Return scheme and host: a port does not make another site."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or ""


def _trusted(url: yarl.URL) -> yarl.URL:
    """Return *url* as https if it is on this machine: ``Secure`` cookies go there too.

    Secure Contexts section 3.1, as Chromium and Firefox do it.
    """
    local = url.host in ("localhost", "127.0.0.1", "::1")
    return url.with_scheme("https") if local and url.scheme == "http" else url


def _crosses(request: _Request) -> bool:
    # Once a chain of redirects has left the site, it stays cross-site.
    return request.cross_site or bool(
        request.initiator and _site(request.initiator) != _site(request.url)
    )


def _sec_fetch_site(request: _Request) -> str:
    if not request.initiator:
        return "none"
    if request.cross_site:
        return "cross-site"
    same = _origin(request.initiator) == _origin(request.url)
    return "same-origin" if same else "same-site"


def _redirected(request: _Request, status: int, location: str) -> _Request:
    url = urljoin(request.url, location)
    if not urlsplit(url).fragment and urlsplit(request.url).fragment:
        url += "#" + urlsplit(request.url).fragment
    keeps = status in (307, 308) or request.method == "GET"
    return attrs.evolve(
        request,
        url=url,
        method=request.method if keeps else "GET",
        data=request.data if keeps else None,
        origin=request.origin if keeps else "",
    )


def _morsels(jar: CookieJar, name: str) -> Iterator[Morsel[str]]:
    return (morsel for morsel in jar if morsel.key == name)


def _is_same_site(jar: CookieJar, name: str) -> bool:
    return any(
        morsel["samesite"].lower() in ("lax", "strict")
        for morsel in _morsels(jar, name)
    )
