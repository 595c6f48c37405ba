"""Where our endpoints are: everything is below the issuer."""

from __future__ import annotations

import posixpath

from urllib.parse import urlencode, urlsplit

import attrs


def _path(url: str) -> str:
    path = posixpath.normpath(urlsplit(url).path or "/")
    return "" if path in ("/", ".") else "/" + path.strip("/")


@attrs.frozen
class Issuer:
    """The issuer identifier, verbatim, and the paths below it.

    ``base`` is its path without a slash at the end ("" at the root); ``origin`` its
    scheme and host.  Cookies and links use these, so that they are right behind any
    proxy.
    """

    url: str
    base: str = attrs.field(init=False)
    origin: str = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        parts = urlsplit(self.url)
        object.__setattr__(self, "base", _path(self.url))
        object.__setattr__(self, "origin", f"{parts.scheme}://{parts.netloc}")

    @property
    def secure(self) -> bool:
        """Whether cookies need ``Secure``."""
        return self.url.startswith("https:")

    @property
    def cookie_path(self) -> str:
        """The ``Path`` of our cookies."""
        return self.base or "/"

    def path(self, path: str) -> str:
        """Return *path* below the issuer, as the browser asks for it: ``/dex/auth``."""
        return (self.base + path) or "/"

    def absolute(self, path: str) -> str:
        """Return the absolute URL of *path* below the issuer."""
        return f"{self.origin}{self.base}{path}"

    def signup(self, back: str = "") -> str:
        """Return where strangers sign up, and what they go *back* to afterwards.

        A way back that is too long is left out: proxies refuse lines over 8 KB.
        """
        query = urlencode({"back": back}) if back else ""
        return self.path("/signup") + (f"?{query}" if 0 < len(query) < 4096 else "")
