"""What clients say about themselves: from JSON to metadata we stand by.

RFC 7591 section 2, OpenID Connect Dynamic Client Registration 1.0 section 2.  Each
member has an effect, or is refused because it asks for what we do not do, or is left
out of what is registered: from the answer the client learns what that is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ..errors import (
    InvalidClientMetadata,
    InvalidRedirectURI,
    UnapprovedSoftwareStatement,
)
from ..jose import ALGORITHMS
from . import scopes
from .client_members import LONGEST_URI, Reader, check_redirect_uri
from .client_metadata import (
    AUTH_METHODS,
    PRIVATE_KEY_JWT,
    ClientMetadata,
    check_jwks,
)
from .grant_types import AUTHORIZATION_CODE, IMPLICIT
from .subject_types import PAIRWISE, REGISTERED, sector_of
from .words import quote

__all__ = ["Rules", "registered", "typed"]

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
    read = Reader(document, rules.insecure)
    found = {
        **_flow(read, rules),
        **_authentication(read, rules),
        **_requests(read),
        **_tokens(read, rules),
        **_description(read),
        **(_logout(read, rules) if rules.logout else {}),
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


# — how tokens are asked for -----------------------------------------------------------


def _flow(read: Reader, rules: Rules) -> Document:
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
    uris = read.texts("redirect_uris", LONGEST_URI) or []
    for uri in uris:
        check_redirect_uri(uri, kind, rules.schemes)
    if not uris and {AUTHORIZATION_CODE, IMPLICIT}.intersection(grants):
        raise InvalidRedirectURI("redirect_uris must name at least one.")
    return {
        "redirect_uris": uris,
        "grant_types": grants,
        "response_types": types,
        "application_type": kind,
    }


def _kept(
    read: Reader, name: str, allowed: tuple[str, ...], default: list[str]
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


# — how the client proves itself -------------------------------------------------------


def _authentication(read: Reader, rules: Rules) -> Document:
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


def _requests(read: Reader) -> Document:
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


def _tokens(read: Reader, rules: Rules) -> Document:
    scope = read.exact("scope", str, lambda text: len(text) <= LONGEST_URI)
    asked = rules.scopes if scope is None else scopes.parse(scope)
    kept = [each for each in asked if each in rules.scopes]
    if not kept:
        raise InvalidClientMetadata("scope has nothing that is allowed here.")
    read.one_of("id_token_signed_response_alg", (rules.signing_algorithm,))
    return {
        "scope": " ".join(kept),
        **_subjects(read, rules),
        "id_token_signed_response_alg": rules.signing_algorithm,
        "default_max_age": read.exact(
            "default_max_age", int, lambda seconds: 0 <= seconds < 2**31
        ),
    }


def _subjects(read: Reader, rules: Rules) -> Document:
    """OpenID Connect Core section 8.1: pairwise ones need a sector, which is a host."""
    subject_type = read.one_of("subject_type", REGISTERED)
    sector = read.page("sector_identifier_uri")
    if sector and not rules.sectors:
        raise InvalidClientMetadata("sector_identifier_uri is not supported.")
    if subject_type == PAIRWISE:
        try:
            sector_of(read.texts("redirect_uris", LONGEST_URI) or (), sector or "")
        except ValueError as error:
            raise InvalidClientMetadata(f"subject_type: {error}.") from None
    return {"subject_type": subject_type, "sector_identifier_uri": sector}


# — what end users are shown -----------------------------------------------------------


def _description(read: Reader) -> Document:
    pages = ("client_uri", "logo_uri", "policy_uri", "tos_uri")
    return {
        "client_name": read.text("client_name"),
        **{name: read.page(name) for name in pages},
        "contacts": read.texts("contacts"),
        "software_id": read.text("software_id"),
        "software_version": read.text("software_version"),
    }


def _logout(read: Reader, rules: Rules) -> Document:
    """RP-Initiated Logout section 3.1, Back-Channel Logout section 2.2."""
    uris = read.texts("post_logout_redirect_uris", LONGEST_URI)
    for uri in uris or ():
        check_redirect_uri(uri, None, rules.schemes)
    announced = read.page("backchannel_logout_uri")
    return {
        "post_logout_redirect_uris": uris,
        "backchannel_logout_uri": announced,
        # Every logout token of ours has a sid.
        "backchannel_logout_session_required": True if announced else None,
    }
