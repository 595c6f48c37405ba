"""How a client says who it is, and with what proof (RFC 6749 section 2.3)."""

from __future__ import annotations

import base64
import binascii
import hmac

from collections.abc import Mapping
from typing import Literal, Protocol

import attrs

from ..errors import InvalidClient, InvalidRequest
from ..jose import b64decode, load_strictly
from .client_metadata import PRIVATE_KEY_JWT
from .forms import decode

__all__ = ["ASSERTION_TYPE", "Credentials", "check_secret", "credentials"]

Method = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]

#: RFC 7523 section 2.2.
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@attrs.frozen
class Credentials:
    """Who a client says it is, and its proof.

    ``method`` is named as in OpenID Connect Core section 9; ``secret`` is ``None`` if
    it sent none, ``assertion`` a JWS that nobody has looked at.
    """

    client_id: str
    secret: str | None = attrs.field(repr=False)
    method: Method
    assertion: str = attrs.field(default="", repr=False)


class RegisteredClient(Protocol):
    """What we need to know of a client here."""

    @property
    def id(self) -> str: ...
    @property
    def secret(self) -> str: ...
    @property
    def public(self) -> bool: ...


def credentials(
    authorization_header: str | None, form: Mapping[str, str]
) -> Credentials:
    """Return what a request says about its client.

    HTTP Basic goes before the form, which may repeat it.  Raises ``InvalidRequest``
    where they contradict each other or cannot be read, and ``InvalidClient`` where
    there is nothing.
    """
    client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
    # RFC 6749 section 3.2: without a value it is as good as not sent.
    if form.get("client_assertion") or form.get("client_assertion_type"):
        return _asserted(authorization_header, form)
    basic = _basic(authorization_header)
    if basic is not None:
        # RFC 6749 section 2.3 allows one method in a request.  The Python client of
        # Kubernetes sends the same proof twice, and there is no doubt who that is.
        if (client_id and client_id != basic.client_id) or (
            secret and not _same(secret, basic.secret)
        ):
            raise InvalidRequest("The client authenticates in two ways at once.")
        return basic
    if not client_id:
        raise InvalidClient("Invalid client credentials.")
    if not secret:
        return Credentials(client_id, None, "none")
    return Credentials(client_id, secret, "client_secret_post")


def _asserted(header: str | None, form: Mapping[str, str]) -> Credentials:
    """Return the client an assertion is about (RFC 7521 section 4.2)."""
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise InvalidRequest(f"client_assertion_type must be {ASSERTION_TYPE}.")
    # RFC 7521 section 4.2: not with more than one method.
    if form.get("client_secret") or _basic(header) is not None:
        raise InvalidRequest("The client authenticates in two ways at once.")
    assertion = form.get("client_assertion", "")
    subject = _subject(assertion)
    if not subject or form.get("client_id", subject) != subject:
        raise InvalidClient("Invalid client credentials.")
    return Credentials(subject, None, PRIVATE_KEY_JWT, assertion)


def _subject(assertion: str) -> str:
    """Return whom *assertion* says it is about; its signature comes later."""
    parts = assertion.split(".", 3)
    try:
        subject = load_strictly(b64decode(parts[1])).get("sub")
    except (IndexError, ValueError, RecursionError):
        return ""
    return subject if isinstance(subject, str) else ""


def check_secret(client: RegisteredClient, proof: Credentials) -> bool:
    """Say whether *proof* is what *client* must send, in constant time.

    A public client without a secret has none to send.  A confidential client whose
    stored secret is empty can never prove anything.
    """
    if client.id != proof.client_id:
        return False
    if not client.secret:
        return client.public and proof.secret is None
    return _same(client.secret, proof.secret)


def _same(secret: str, other: str | None) -> bool:
    return hmac.compare_digest(secret.encode("utf-8"), (other or "").encode("utf-8"))


def _basic(header: str | None) -> Credentials | None:
    scheme, _, encoded = (header or "").strip().partition(" ")
    # Another scheme proves nothing here; dex does not look at it either.
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise InvalidRequest("The Authorization header is malformed.") from None
    name, colon, password = pair.partition(":")
    if not colon:
        raise InvalidRequest("The Authorization header is malformed.")
    client_id = _form_decoded(name, "client_id")
    secret = _form_decoded(password, "client_secret")
    if not client_id:
        raise InvalidClient("Invalid client credentials.")
    if not secret:
        return Credentials(client_id, None, "none")
    return Credentials(client_id, secret, "client_secret_basic")


def _form_decoded(text: str, name: str) -> str:
    # RFC 6749 section 2.3.1: encoded as in a form, then as Basic wants it.
    try:
        return decode(text)
    except ValueError:
        raise InvalidRequest(f"{name} improperly encoded") from None
