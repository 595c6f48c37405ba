"""Tickets of Kerberos, as browsers send them (SPNEGO, RFC 4178 and RFC 4559).

The only module that imports gssapi.
"""

from __future__ import annotations

import base64
import binascii
import importlib

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from .config import Kerberos

#: What a browser is asked with, and what it is told when its ticket is no good (RFC
#: 4178 section 4.2.2: a NegTokenResp whose negState is reject).
ASK = "Negotiate"
REJECT = "Negotiate oQcwBaADCgEC"

_KERBEROS = "1.2.840.113554.1.2.2"
_SCHEME = "negotiate"


class NoKerberos(Exception):
    """Kerberos cannot be used here; the text says why and what to do."""


class Rejected(Exception):
    """A ticket proves nothing; the text is for the log."""


@attrs.frozen
class Principal:
    """Whom a ticket is about."""

    name: str
    realm: str

    def __str__(self) -> str:
        return f"{self.name}@{self.realm}" if self.realm else self.name


class Acceptor:
    """Checks tickets with the key of the service.  Blocking: for threads only."""

    def __init__(self, gssapi: Any, credentials: Any) -> None:
        self._gssapi = gssapi
        self._credentials = credentials

    @classmethod
    def open(cls, config: Kerberos) -> Acceptor:
        """Read the keytab.  Raises `NoKerberos`."""
        if not config.keytab_path:
            raise NoKerberos("kerberos.keytabPath is empty")
        try:
            gssapi: Any = importlib.import_module("gssapi")
        except ImportError as error:
            raise NoKerberos(
                f"gssapi cannot be imported ({error}):"
                ' pip install "dexcore-connector-ldap[kerberos]"'
            ) from None
        _check_keytab(config.keytab_path)
        owner = config.keytab_principal or config.spn
        kind = gssapi.NameType.kerberos_principal
        try:
            credentials = gssapi.Credentials(
                usage="accept",
                name=gssapi.Name(owner, kind) if owner else None,
                store={"keytab": config.keytab_path},
            )
        except gssapi.exceptions.GSSError as error:
            whose = f" for {owner!r}" if owner else ""
            raise NoKerberos(
                f"keytabPath {config.keytab_path!r}{whose}: {_why(error)}"
            ) from None
        return cls(gssapi, credentials)

    def accept(self, token: bytes) -> Principal:
        """Return whom *token* is about.  Raises `Rejected`."""
        gssapi = self._gssapi
        try:
            context = gssapi.SecurityContext(creds=self._credentials, usage="accept")
            context.step(token)
            if not context.complete:
                # A second leg would need the same replica, and Kerberos has none.
                raise Rejected("it is no Kerberos ticket by itself")
            if context.mech.dotted_form != _KERBEROS:
                raise Rejected(f"it is of another kind: {context.mech.dotted_form}")
            return parse_principal(str(context.initiator_name))
        except gssapi.exceptions.GSSError as error:
            raise Rejected(_why(error)) from None


def token_of(headers: Mapping[str, str]) -> bytes | None:
    """Return the token the browser sent, ``None`` if it sent none.

    Raises `Rejected` if what it sent is no token.
    """
    scheme, _, text = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != _SCHEME:
        return None
    try:
        token = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        token = b""
    if not token:
        raise Rejected("it is not base64")
    return token


def parse_principal(text: str) -> Principal:
    r"""Return the principal written as *text*: ``jane@EXAMPLE.ORG``.

    What is behind an ``@`` within the name (``jane\@example.org@REALM``) is dropped.
    """
    at = text.rfind("@")
    while at > 0 and text[at - 1] == "\\":
        at = text.rfind("@", 0, at)
    name, realm = (text, "") if at < 0 else (text[:at], text[at + 1 :])
    return Principal(name.replace("\\", "").partition("@")[0], realm)


def is_expected(principal: Principal, config: Kerberos) -> bool:
    """Return whether *principal* is of the realm that is let in."""
    expected = config.expected_realm
    return not expected or expected.casefold() == principal.realm.casefold()


def username_of(principal: Principal, config: Kerberos) -> str:
    """Return the name to look up in the directory."""
    if config.username_from_principal.lower() == "userprincipalname":
        return str(principal)
    return principal.name


def _check_keytab(path: str) -> None:
    # The library says the same of every file it cannot use.
    try:
        with Path(path).open("rb") as file:
            head = file.read(2)
    except OSError as error:
        raise NoKerberos(f"keytabPath {path!r}: {error.strerror or error}") from None
    if head not in (b"\x05\x01", b"\x05\x02"):
        raise NoKerberos(f"keytabPath {path!r} is not a keytab")


def _why(error: Any) -> str:
    return " ".join(str(error).split())
