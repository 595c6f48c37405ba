"""Where the end user may be sent, and how parameters get there.

RFC 6749 sections 3.1.2 and 4.1.2; RFC 8252 section 7.3.
"""

from __future__ import annotations

import re

from collections.abc import Collection, Mapping
from urllib.parse import unquote_plus, urlencode

__all__ = [
    "DEVICE_CALLBACK",
    "OOB",
    "add_fragment",
    "add_parameters",
    "is_loopback",
    "is_registered",
    "is_unusable",
]

#: The code is shown on a page, for the end user to copy.
OOB = "urn:ietf:wg:oauth:2.0:oob"

#: Where our own device pages take the code, below the issuer.
DEVICE_CALLBACK = "/device/callback"

# RFC 8252 section 7.3, read strictly: no user, no fragment, one spelling of a host.
_LOOPBACK = re.compile(
    r"http://(?P<host>127\.0\.0\.1|\[::1\]|localhost)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>(?:/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*)?"
    r"(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?)"
)


# Browsers would run or open what stands there.
_SCHEMES = ("javascript", "data", "vbscript", "file", "blob", "about")


def is_unusable(uri: str) -> bool:
    """Say whether nobody may ever be sent to *uri*, registered or not.

    RFC 6749 section 3.1.2: it has a fragment; or its scheme does something else than to
    call an application.
    """
    scheme = uri.partition(":")[0]
    return "#" in uri or scheme.lower() in _SCHEMES


def is_registered(
    registered: Collection[str],
    public: bool,
    uri: str,
    *,
    device_callback: str = DEVICE_CALLBACK,
) -> bool:
    """Say whether a client may use the redirect URI *uri*.

    It may use what it has *registered*, character by character (RFC 9700 section 2.1).
    A *public* client that has registered nothing may also have the code shown, use our
    device pages (*device_callback* is where they are), or any URI on the loopback
    interface.  A public client that has registered a loopback address may use it with
    any port (RFC 8252 section 7.3).
    """
    if uri in registered:
        return bool(uri) and not is_unusable(uri)
    if not public:
        return False
    if registered:
        return any(_differ_in_port(uri, one) for one in registered)
    return uri in (OOB, DEVICE_CALLBACK, device_callback) or _loopback(uri) is not None


def is_loopback(uri: str) -> bool:
    """Say whether *uri* leads to a program on the end user's own machine."""
    return _loopback(uri) is not None


def add_parameters(uri: str, parameters: Mapping[str, str]) -> str:
    """Return *uri* with *parameters* in its query, form-encoded.

    What its query has already stays as it is written, but for the names we set.
    """
    base, hash_, fragment = uri.partition("#")
    path, _, query = base.partition("?")
    kept = [
        pair
        for pair in query.split("&")
        if pair and unquote_plus(pair.partition("=")[0]) not in parameters
    ]
    return f"{path}?{'&'.join([*kept, urlencode(parameters)])}{hash_}{fragment}"


def add_fragment(uri: str, parameters: Mapping[str, str]) -> str:
    """Return *uri* with *parameters* as its fragment, form-encoded once.

    OAuth 2.0 Multiple Response Type Encoding Practices section 5.
    """
    return f"{uri.partition('#')[0]}#{urlencode(parameters)}"


def _loopback(uri: str) -> re.Match[str] | None:
    found = _LOOPBACK.fullmatch(uri)
    if found is None or not 0 < int(found["port"] or 80) < 65536:
        return None
    return found


def _differ_in_port(uri: str, registered: str) -> bool:
    one, other = _loopback(uri), _loopback(registered)
    if one is None or other is None or one["host"] == "localhost":
        return False
    return one["host"] == other["host"] and one["rest"] == other["rest"]
