"""What clients say about themselves: from JSON to metadata we stand by.

RFC 7591 section 2, OpenID Connect Dynamic Client Registration 1.0 section 2.  Each
member has an effect, or is refused because it asks for what we do not do, or is left
out of what is registered: from the answer the client learns what that is.
"""

from __future__ import annotations

import unicodedata

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import attrs

from ..errors import (
    InvalidClientMetadata,
    InvalidRedirectURI,
    UnapprovedSoftwareStatement,
)
from ..jose import ALGORITHMS
from . import scopes
from .client_metadata import (
    AUTH_METHODS,
    PRIVATE_KEY_JWT,
    ClientMetadata,
    check_jwks,
    may_be_fetched,
)
from .grant_types import AUTHORIZATION_CODE, IMPLICIT
from .redirect_uris import is_loopback
from .subject_types import PAIRWISE, REGISTERED, sector_of
from .words import quote

__all__ = ["FORBIDDEN_SCHEMES", "Rules", "registered", "typed"]

#: What runs in the browser that is sent there, or reads the end user's files.
FORBIDDEN_SCHEMES = frozenset(
    ("javascript", "data", "vbscript", "file", "blob", "about", "view-source", "ws")
)

_MOST_URIS, _LONGEST_URI, _LONGEST_TEXT = 20, 2000, 200

# They ask for more safety than we provide: to leave them out would be a trap.
_REFUSED = frozenset(
    (
        "authorization_encrypted_response_alg",
        "authorization_encrypted_response_enc",
        "authorization_signed_response_alg",
        "backchannel_token_delivery_mode",
        "id_token_encrypted_response_alg",
        "id_token_encrypted_response_enc",
        "introspection_encrypted_response_alg",
        "introspection_encrypted_response_enc",
        "introspection_signed_response_alg",
        "request_object_encryption_alg",
        "request_object_encryption_enc",
        "tls_client_certificate_bound_access_tokens",
        "userinfo_encrypted_response_alg",
        "userinfo_encrypted_response_enc",
        "userinfo_signed_response_alg",
    )
)

Document = Mapping[str, Any]
T = TypeVar("T")


@attrs.frozen
class Rules:
    """What clients may register.

    ``signing_algorithm`` is what ID tokens are signed with; ``secrets``: they are given
    secrets; ``sectors``: they may name a sector, which the caller looks at; ``logout``:
    we tell them of logouts; ``insecure``: they may be at home on our own machine, over
    plain http.
    """

    grant_types: tuple[str, ...]
    response_types: tuple[str, ...]
    scopes: tuple[str, ...]
    schemes: tuple[str, ...]
    signing_algorithm: str
    secrets: bool = True
    sectors: bool = False
    logout: bool = False
    insecure: bool = False


def registered(document: Document, rules: Rules) -> dict[str, Any]:
    """Return what of *document* is registered, defaults filled in.

    Raises ``InvalidRedirectURI``, ``InvalidClientMetadata`` and
    ``UnapprovedSoftwareStatement`` (RFC 7591 section 3.2.2).
    """
    if document.get("software_statement") is not None:
        raise UnapprovedSoftwareStatement("Software statements are not accepted.")
    for name in sorted(_REFUSED & document.keys()):
        if document[name] not in (None, False):
            raise InvalidClientMetadata(f"{name} is not supported.")
    read = _Reader(document, rules)
    found = {
        **_flow(read),
        **_authentication(read),
        **_requests(read),
        **_tokens(read),
        **_description(read),
        **(_logout(read) if rules.logout else {}),
    }
    return {name: value for name, value in found.items() if value is not None}


def typed(document: Document) -> ClientMetadata:
    """Return what has an effect of a document that :func:`registered` returned."""
    known = {
        each.name: document[each.name]
        for each in attrs.fields(ClientMetadata)
        if each.name in document
    }
    for name in ("grant_types", "response_types"):
        known[name] = tuple(known.get(name, ()))
    return ClientMetadata(**known)


@attrs.frozen
class _Reader:
    """Takes members out of a document, each as what it must be."""

    document: Document
    rules: Rules

    def text(self, name: str) -> str | None:
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
        value = self.document.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(
            isinstance(each, str) and 0 < len(each) <= longest for each in value
        ):
            raise InvalidClientMetadata(f"{name} must be a list of texts.")
        if len(value) > _MOST_URIS:
            raise InvalidClientMetadata(f"{name} has more than {_MOST_URIS} items.")
        return [*dict.fromkeys(value)]

    def one_of(self, name: str, known: Mapping[str, Any] | tuple[str, ...]) -> Any:
        value = self.text(name)
        if value is not None and value not in known:
            listed = ", ".join(known)
            raise InvalidClientMetadata(
                f"{name} {quote(value)} is not supported; there is {listed}."
            )
        return value

    def page(self, name: str) -> str | None:
        value = self.document.get(name)
        if value is None or value == "":
            return None
        allowed = isinstance(value, str) and len(value) <= _LONGEST_URI
        if not allowed or not may_be_fetched(value, insecure=self.rules.insecure):
            raise InvalidClientMetadata(f"{name} must be an https address.")
        return str(value)

    def exact(self, name: str, kind: type[T], check: Callable[[T], bool]) -> T | None:
        value = self.document.get(name)
        if value is None:
            return None
        if type(value) is not kind or not check(value):
            raise InvalidClientMetadata(f"{name} has no meaning like this.")
        return value


# — how tokens are asked for -----------------------------------------------------------


def _flow(read: _Reader) -> Document:
    rules = read.rules
    grants = _kept(read, "grant_types", rules.grant_types, [AUTHORIZATION_CODE])
    default = ["code"] if AUTHORIZATION_CODE in grants else []
    types = _kept(read, "response_types", rules.response_types, default)
    for response_type in types:
        words = response_type.split()
        # RFC 7591 section 2.1.
        needed = {AUTHORIZATION_CODE} if "code" in words else set()
        needed |= {IMPLICIT} if {"token", "id_token"}.intersection(words) else set()
        for grant_type in sorted(needed.difference(grants)):
            raise InvalidClientMetadata(
                f"The response type {quote(response_type)} needs the grant type "
                f"{quote(grant_type)}."
            )
    kind = read.one_of("application_type", ("web", "native"))
    uris = read.texts("redirect_uris", _LONGEST_URI) or []
    for uri in uris:
        _check_redirect_uri(uri, kind, rules.schemes)
    if not uris and {AUTHORIZATION_CODE, IMPLICIT}.intersection(grants):
        raise InvalidRedirectURI("redirect_uris must name at least one.")
    return {
        "redirect_uris": uris,
        "grant_types": grants,
        "response_types": types,
        "application_type": kind,
    }


def _kept(
    read: _Reader, name: str, allowed: tuple[str, ...], default: list[str]
) -> list[str]:
    """Return what is allowed of a list; RFC 7591 section 2 lets us drop the rest."""
    asked = read.texts(name)
    if asked is None:
        asked = default
    spelled = {frozenset(each.split()): each for each in allowed}
    kept = [found for each in asked if (found := spelled.get(frozenset(each.split())))]
    if asked and not kept:
        raise InvalidClientMetadata(
            f"{name} has nothing that is allowed here; there is {', '.join(allowed)}."
        )
    return [*dict.fromkeys(kept)]


def _check_redirect_uri(uri: str, kind: str | None, schemes: tuple[str, ...]) -> None:
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
    if scheme in FORBIDDEN_SCHEMES or scheme not in schemes:
        listed = ", ".join(schemes)
        raise InvalidRedirectURI(
            f"Redirect URIs must not begin with {quote(scheme)}; there is {listed}."
        )
    if scheme == "https" and not host:
        raise InvalidRedirectURI(f"{quote(uri)} is no redirect URI.")
    if scheme == "http" and not is_loopback(uri):
        raise InvalidRedirectURI("http is for 127.0.0.1, [::1] and localhost only.")
    # OpenID Connect Dynamic Client Registration section 2.
    if kind == "web" and scheme != "https":
        raise InvalidRedirectURI("The redirect URIs of a web application need https.")


# — how the client proves itself -------------------------------------------------------


def _authentication(read: _Reader) -> Document:
    rules = read.rules
    methods = AUTH_METHODS if rules.secrets else (PRIVATE_KEY_JWT, "none")
    method = read.one_of("token_endpoint_auth_method", methods)
    algorithm = read.one_of("token_endpoint_auth_signing_alg", ALGORITHMS)
    jwks = read.exact("jwks", dict, bool)
    jwks_uri = read.page("jwks_uri")
    if jwks and jwks_uri:
        raise InvalidClientMetadata("jwks and jwks_uri exclude each other.")
    if jwks:
        try:
            check_jwks(jwks)
        except ValueError as error:
            raise InvalidClientMetadata(f"jwks: {error}.") from None
    if method == PRIVATE_KEY_JWT and not (jwks or jwks_uri):
        raise InvalidClientMetadata(f"{PRIVATE_KEY_JWT} needs jwks or jwks_uri.")
    if not rules.secrets and method is None:
        method = "none"
    return {
        "token_endpoint_auth_method": method,
        "token_endpoint_auth_signing_alg": algorithm,
        "jwks": jwks,
        "jwks_uri": jwks_uri,
    }


# — how its requests come --------------------------------------------------------------


def _requests(read: _Reader) -> Document:
    """RFC 9101 section 10.5, RFC 9126 section 6, RFC 9449 section 5.2."""
    switches = (
        "require_signed_request_object",
        "require_pushed_authorization_requests",
        "dpop_bound_access_tokens",
    )
    algorithm = read.one_of("request_object_signing_alg", ("none", *ALGORITHMS))
    has_keys = read.document.get("jwks") or read.document.get("jwks_uri")
    signed = read.document.get("require_signed_request_object")
    if signed and not has_keys and algorithm != "none":
        raise InvalidClientMetadata("Signed requests need jwks or jwks_uri.")
    return {
        "request_object_signing_alg": algorithm,
        **{name: read.exact(name, bool, lambda _: True) for name in switches},
    }


# — what it gets -----------------------------------------------------------------------


def _tokens(read: _Reader) -> Document:
    rules = read.rules
    scope = read.exact("scope", str, lambda text: len(text) <= _LONGEST_URI)
    asked = rules.scopes if scope is None else scopes.parse(scope)
    kept = [each for each in asked if each in rules.scopes]
    if not kept:
        raise InvalidClientMetadata("scope has nothing that is allowed here.")
    read.one_of("id_token_signed_response_alg", (rules.signing_algorithm,))
    return {
        "scope": " ".join(kept),
        **_subjects(read),
        "id_token_signed_response_alg": rules.signing_algorithm,
        "default_max_age": read.exact(
            "default_max_age", int, lambda seconds: 0 <= seconds < 2**31
        ),
    }


def _subjects(read: _Reader) -> Document:
    """OpenID Connect Core section 8.1: pairwise ones need a sector, which is a host."""
    subject_type = read.one_of("subject_type", REGISTERED)
    sector = read.page("sector_identifier_uri")
    if sector and not read.rules.sectors:
        raise InvalidClientMetadata("sector_identifier_uri is not supported.")
    if subject_type == PAIRWISE:
        try:
            sector_of(read.texts("redirect_uris", _LONGEST_URI) or (), sector or "")
        except ValueError as error:
            raise InvalidClientMetadata(f"subject_type: {error}.") from None
    return {"subject_type": subject_type, "sector_identifier_uri": sector}


# — what end users are shown -----------------------------------------------------------


def _description(read: _Reader) -> Document:
    pages = ("client_uri", "logo_uri", "policy_uri", "tos_uri")
    return {
        "client_name": read.text("client_name"),
        **{name: read.page(name) for name in pages},
        "contacts": read.texts("contacts"),
        "software_id": read.text("software_id"),
        "software_version": read.text("software_version"),
    }


def _logout(read: _Reader) -> Document:
    """RP-Initiated Logout section 3.1, Back-Channel Logout section 2.2."""
    uris = read.texts("post_logout_redirect_uris", _LONGEST_URI)
    for uri in uris or ():
        _check_redirect_uri(uri, None, read.rules.schemes)
    announced = read.page("backchannel_logout_uri")
    return {
        "post_logout_redirect_uris": uris,
        "backchannel_logout_uri": announced,
        # Every logout token of ours has a sid.
        "backchannel_logout_session_required": True if announced else None,
    }
