"""What a stranger may write into the three fields.  Pure: text in, text out.

Each function returns the value as it is stored, or raises ``InvalidField``.
"""

from __future__ import annotations

import re
import unicodedata

import idna

from dexcore.passwords import Scheme, longest_password
from dexcore.signup import InvalidField

#: RFC 5321 section 4.5.3.1: a path has 256 octets, two of them brackets.
ADDRESS_OCTETS = 254
LOCAL_OCTETS = 64
USERNAME_CHARACTERS = 64
PASSWORD_CHARACTERS = 8

# RFC 5322 section 3.2.3, dot-atom.  Quoted local parts work almost nowhere.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"{_ATOM}(\.{_ATOM})*")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# Unicode TR36 section 2.2: these make a name read as another one.
_DIRECTION = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def email(text: str) -> str:
    """Return the address *text* is, in lower case, its domain in ASCII (IDNA 2008).

    The part before the ``@`` must be ASCII: letters that only look alike would make two
    accounts of what people read as one.  ``+tag`` addresses are addresses of their own.
    """
    local, _, domain = text.strip(" ").rpartition("@")
    # Before anything looks at a megabyte; in ASCII a domain only gets longer.
    if len(local) > LOCAL_OCTETS or len(domain) > ADDRESS_OCTETS:
        raise InvalidField("email", "This email address is too long.")
    if not _LOCAL.fullmatch(local):
        raise InvalidField("email", "Enter a valid email address.")
    address = f"{local.lower()}@{_ascii_domain(domain)}"
    if len(address) > ADDRESS_OCTETS:
        raise InvalidField("email", "This email address is too long.")
    return address


def _ascii_domain(domain: str) -> str:
    try:
        found = idna.encode(domain, uts46=True, std3_rules=True).decode()
    except UnicodeError:
        raise InvalidField("email", "Enter a valid email address.") from None
    labels = found.split(".")
    well_formed = all(_LABEL.fullmatch(label) for label in labels)
    # RFC 3696 section 2: no top-level domain is a number, so this is an IP address.
    if len(labels) < 2 or not well_formed or labels[-1].isdigit():
        raise InvalidField("email", "Enter a valid email address.")
    return found


def username(text: str) -> str:
    """Return the name *text* is, trimmed and composed (NFC)."""
    name = unicodedata.normalize("NFC", text.strip())
    if not name:
        raise InvalidField("username", "Enter a user name.")
    if len(name) > USERNAME_CHARACTERS:
        raise InvalidField(
            "username", f"Use at most {USERNAME_CHARACTERS} characters for the name."
        )
    unprintable = {unicodedata.category(character) for character in name}
    if unprintable & {"Cc", "Cs", "Zl", "Zp"} or _DIRECTION.search(name):
        raise InvalidField("username", "The name contains characters nobody can read.")
    return name


def password(text: str, *, scheme: Scheme) -> str:
    """Return *text*, unchanged: what is typed at the login has to be the same.

    bcrypt looks at 72 bytes, and a password must not be cut silently.
    """
    if len(text) < PASSWORD_CHARACTERS:
        raise InvalidField(
            "password", f"Use at least {PASSWORD_CHARACTERS} characters."
        )
    if "\0" in text:
        raise InvalidField("password", "The password contains a character of no width.")
    size = len(text.encode())
    limit = longest_password(scheme)
    if size > limit:
        raise InvalidField(
            "password",
            f"This password has {size} bytes; at most {limit} can be used. "
            "Letters with accents and symbols count for more than one.",
        )
    return text
