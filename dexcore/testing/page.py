"""What a browser sees of a page: its words, its links, its forms."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin

import attrs

_NOT_SUBMITTED = ("submit", "button", "reset", "image", "file")
_CHECKABLE = ("checkbox", "radio")
_UNSEEN = ("script", "style", "template")


@attrs.frozen
class Link:
    """A link, its address made absolute."""

    url: str
    text: str


@attrs.frozen
class Button:
    """What sends a form; its name and value go with it, if it has a name."""

    text: str
    name: str = ""
    value: str = ""


@attrs.frozen
class Form:
    """A form as it was filled in by the page.

    ``url`` is absolute, ``types`` says which kind of input each named field is.
    """

    url: str
    method: str
    fields: Mapping[str, str]
    types: Mapping[str, str]
    buttons: tuple[Button, ...] = ()

    def field(self, *types: str) -> str | None:
        """Return the name of the first field of one of these *types*."""
        return next((name for name, kind in self.types.items() if kind in types), None)

    def sent_by(self, button: Button | None) -> dict[str, str]:
        """Return the fields that are sent when *button* is clicked."""
        pressed = {button.name: button.value} if button and button.name else {}
        return {**self.fields, **pressed}


@attrs.frozen
class Page:
    """A page the browser stays on, to read or to click."""

    url: str
    status: int
    html: str
    headers: Mapping[str, str]
    words: str = ""
    links: tuple[Link, ...] = ()
    forms: tuple[Form, ...] = ()

    def link(self, text: str) -> Link:
        """Return the link whose text contains *text*.  Raises ``LookupError``."""
        for link in self.links:
            if text in link.text:
                return link
        offered = ", ".join(repr(link.text) for link in self.links)
        raise LookupError(f"No link {text!r} on {self.url}; there are: {offered}")

    def form(self, field: str = "") -> Form:
        """Return the first form that has *field*.  Raises ``LookupError``."""
        for form in self.forms:
            if not field or field in form.types:
                return form
        raise LookupError(f"No form with {field!r} on {self.url}: {self.words[:200]}")


def parse(url: str, status: int, html: str, headers: Mapping[str, str]) -> Page:
    """Return the page that is at *url*."""
    parser = _Parser(urldefrag(url).url)
    parser.feed(html)
    parser.close()
    return Page(
        url=url,
        status=status,
        html=html,
        headers=headers,
        words=" ".join(" ".join(parser.words).split()),
        links=tuple(parser.links),
        forms=tuple(form.done() for form in parser.forms),
    )


class _OpenForm:
    """A form while it is read."""

    def __init__(self, url: str, method: str) -> None:
        self.url, self.method = url, method
        self.fields: dict[str, str] = {}
        self.types: dict[str, str] = {}
        self.buttons: list[Button] = []

    def add_input(self, at: Mapping[str, str]) -> None:
        kind, name, value = at.get("type", "text"), at.get("name", ""), at.get("value")
        if kind == "submit":
            self.buttons.append(Button(value or "", name, value or ""))
        if not name or kind in _NOT_SUBMITTED:
            return
        self.types[name] = kind
        if kind not in _CHECKABLE:
            self.fields[name] = value or ""
        elif "checked" in at:
            self.fields[name] = "on" if value is None else value

    def done(self) -> Form:
        return Form(self.url, self.method, self.fields, self.types, tuple(self.buttons))


class _Parser(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.base = url
        self.words: list[str] = []
        self.links: list[Link] = []
        self.forms: list[_OpenForm] = []
        self._form: _OpenForm | None = None
        self._link: tuple[str, int] | None = None
        self._button: tuple[dict[str, str], int] | None = None
        self._unseen = 0

    def handle_starttag(
        self, tag: str, attributes: list[tuple[str, str | None]]
    ) -> None:
        at = {name: value or "" for name, value in attributes}
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag == "base" and "href" in at:
            self.base = urljoin(self.base, at["href"])
        elif tag == "form":
            url = urljoin(self.base, at.get("action", "")) or self.base
            self._form = _OpenForm(url, at.get("method", "get").lower())
            self.forms.append(self._form)
        elif tag in ("input", "textarea", "select") and self._form:
            self._form.add_input(at if tag == "input" else {**at, "type": tag})
        elif tag == "a" and "href" in at:
            self._link = (urljoin(self.base, at["href"]), len(self.words))
        elif tag == "button" and self._form and at.get("type") != "button":
            self._button = (at, len(self.words))

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen -= 1
        elif tag == "form":
            self._form = None
        elif tag == "a" and self._link:
            url, since = self._link
            self.links.append(Link(url, self._words_since(since)))
            self._link = None
        elif tag == "button" and self._button and self._form:
            at, since = self._button
            self._form.buttons.append(
                Button(
                    self._words_since(since), at.get("name", ""), at.get("value", "")
                )
            )
            self._button = None

    def handle_data(self, data: str) -> None:
        if not self._unseen and data.strip():
            self.words.append(data)

    def _words_since(self, since: int) -> str:
        return " ".join(" ".join(self.words[since:]).split())
