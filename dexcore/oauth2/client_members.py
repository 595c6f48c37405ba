"""Reading what clients say about themselves, member by member."""

from __future__ import annotations

import unicodedata

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import attrs

from ..errors import InvalidClientMetadata, InvalidRedirectURI
from .client_metadata import may_be_fetched
from .redirect_uris import is_loopback, is_unusable
from .words import quote

__all__ = ["LONGEST_URI", "Reader", "check_redirect_uri"]

LONGEST_URI = 2000  # characters
_MOST_ITEMS, _LONGEST_TEXT = 20, 200

Document = Mapping[str, Any]
T = TypeVar("T")


@attrs.frozen
class Reader:
    """Takes members out of a document, each as what it must be.

    All return ``None`` for what is not there, and raise ``InvalidClientMetadata``.
    ``insecure``: addresses may be on our own machine, without TLS.
    """

    document: Document
    insecure: bool = False

    def text(self, name: str) -> str | None:
        """Return a text that can be shown."""
        value = self.document.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT:
            raise InvalidClientMetadata(
                f"{name} must be a text of 1 to 200 characters."
            )
        if any(unicodedata.category(character)[0] == "C" for character in value):
            raise InvalidClientMetadata(f"{name} has characters that nobody can see.")
        return value

    def texts(self, name: str, longest: int = _LONGEST_TEXT) -> list[str] | None:
        """Return a list of texts, each once."""
        value = self.document.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(
            isinstance(each, str) and 0 < len(each) <= longest for each in value
        ):
            raise InvalidClientMetadata(f"{name} must be a list of texts.")
        if len(value) > _MOST_ITEMS:
            raise InvalidClientMetadata(f"{name} has more than {_MOST_ITEMS} items.")
        return [*dict.fromkeys(value)]

    def one_of(self, name: str, known: Mapping[str, Any] | tuple[str, ...]) -> Any:
        """Return a text that is one of *known*."""
        value = self.text(name)
        if value is not None and value not in known:
            listed = ", ".join(known)
            raise InvalidClientMetadata(
                f"{name} {quote(value)} is not supported; there is {listed}."
            )
        return value

    def page(self, name: str) -> str | None:
        """Return an address that may be fetched."""
        value = self.document.get(name)
        if value is None or value == "":
            return None
        allowed = isinstance(value, str) and len(value) <= LONGEST_URI
        if not allowed or not may_be_fetched(value, insecure=self.insecure):
            raise InvalidClientMetadata(f"{name} must be an https address.")
        return str(value)

    def exact(self, name: str, kind: type[T], check: Callable[[T], bool]) -> T | None:
        """Return a *kind* that *check* is content with."""
        value = self.document.get(name)
        if value is None:
            return None
        if type(value) is not kind or not check(value):
            raise InvalidClientMetadata(f"{name} has no meaning like this.")
        return value


def check_redirect_uri(
    uri: str, application_type: str | None, schemes: tuple[str, ...]
) -> None:
    """Raise ``InvalidRedirectURI`` for what nobody should be sent to.

    RFC 6749 section 3.1.2, RFC 8252 section 7, RFC 9700 section 4.1.
    """
    try:
        parts = urlsplit(uri)
        host, user, _ = parts.hostname, parts.username, parts.port
    except ValueError:
        parts, host, user = urlsplit(""), None, None
    scheme = parts.scheme
    strange = any(not "!" <= character <= "~" for character in uri) or any(
        character in uri for character in '\\"<>^`{|}#*'
    )
    if strange or not scheme or not uri.startswith(f"{scheme}:") or user is not None:
        raise InvalidRedirectURI(f"{quote(uri)} is no redirect URI.")
    if is_unusable(uri) or scheme not in schemes:
        listed = ", ".join(schemes)
        raise InvalidRedirectURI(
            f"Redirect URIs must not begin with {quote(scheme)}; there is {listed}."
        )
    if scheme == "https" and not host:
        raise InvalidRedirectURI(f"{quote(uri)} is no redirect URI.")
    if scheme == "http" and not is_loopback(uri):
        raise InvalidRedirectURI("http is for 127.0.0.1, [::1] and localhost only.")
    # OpenID Connect Dynamic Client Registration section 2.
    if application_type == "web" and scheme != "https":
        raise InvalidRedirectURI("The redirect URIs of a web application need https.")
