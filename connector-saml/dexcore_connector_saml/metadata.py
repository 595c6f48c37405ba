"""Reading an identity provider's metadata (SAML metadata, section 2)."""

from __future__ import annotations

import base64
import binascii
import re

from collections.abc import Iterator
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import attrs

from cryptography import x509

from . import grammar, signatures
from .certificates import check_key
from .grammar import SIGNATURE, tag
from .messages import parse_time
from .requests import POST
from .signatures import Signers
from .xml import (
    METADATA_RULES,
    PROTOCOL,
    Element,
    Rejected,
    children,
    label,
    parse,
    text,
    walk,
)

__all__ = ["ProviderMetadata", "read_metadata"]

_ENTITY = tag("md:EntityDescriptor")
_ENTITIES = tag("md:EntitiesDescriptor")
# XML Schema part 2, section 3.2.6, without years and months: nobody caches that long.
_DURATION = re.compile(
    r"P(?:(\d{1,4})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,6})M)?(?:(\d{1,8})(?:\.\d+)?S)?)?"
)


@attrs.frozen
class ProviderMetadata:
    """What a provider says about itself.

    ``sso_url`` is empty if it does not offer the POST binding.
    ``valid_until``: do not use it afterwards.  ``cache_for``: read it again by then.
    """

    entity_id: str
    sso_url: str
    certificates: tuple[x509.Certificate, ...]
    wants_signed_requests: bool = False
    valid_until: datetime | None = None
    cache_for: timedelta | None = None


def read_metadata(
    data: bytes, *, entity_id: str, signers: Signers | None, now: datetime
) -> ProviderMetadata:
    """Return what *data* says about *entity_id*, or about the only provider in it.

    With *signers* it has to be signed by one of them, and only what they have signed is
    read.  Raises :class:`~.xml.Rejected`.
    """
    root = parse(data, METADATA_RULES)
    if root.tag not in (_ENTITY, _ENTITIES):
        raise Rejected(f"{label(root)}, which is no metadata")
    if signers is not None:
        signature = signatures.signature_of(root)
        if signature is None:
            raise Rejected("metadata without a signature")
        grammar.check(signature, SIGNATURE)
        signatures.check_form(root)
        root = signatures.verify(root, root, signers, now, METADATA_RULES)
    entity, role = _provider(root, entity_id)
    limits = [
        _moment(each)
        for each in (root, entity, role)
        if each.get("validUntil") is not None
    ]
    if limits and min(limits) < now:
        raise Rejected(f"metadata that was valid until {min(limits)}")
    certificates = tuple(_certificates(role))
    if not certificates:
        raise Rejected("metadata without a certificate to verify signatures with")
    pauses = [_cache_for(each) for each in (root, entity, role)]
    return ProviderMetadata(
        entity_id=entity.get("entityID", ""),
        sso_url=_sso_url(role),
        certificates=certificates,
        wants_signed_requests=role.get("WantAuthnRequestsSigned") in ("true", "1"),
        valid_until=min(limits, default=None),
        cache_for=min((each for each in pauses if each is not None), default=None),
    )


def _provider(root: Element, entity_id: str) -> tuple[Element, Element]:
    """Return the entity, and the role in which it logs people in."""
    found = [
        (entity, role)
        for entity in walk(root)
        if entity.tag == _ENTITY and entity_id in ("", entity.get("entityID"))
        for role in children(entity, tag("md:IDPSSODescriptor"))
        if PROTOCOL in role.get("protocolSupportEnumeration", "").split()
    ]
    if len(found) != 1:
        who = f"called {entity_id!r}" if entity_id else "(name one as ssoIssuer)"
        raise Rejected(f"metadata of {len(found)} identity providers {who}")
    return found[0]


def _sso_url(role: Element) -> str:
    """Return where requests are posted to (bindings, section 3.5)."""
    for each in children(role, tag("md:SingleSignOnService")):
        location = each.get("Location", "")
        if each.get("Binding") == POST and urlsplit(location).scheme in (
            "http",
            "https",
        ):
            return location
    return ""


def _certificates(role: Element) -> Iterator[x509.Certificate]:
    """Return the certificates that may sign (metadata, section 2.4.1.1)."""
    for key in children(role, tag("md:KeyDescriptor")):
        if key.get("use", "signing") != "signing":
            continue
        for node in walk(key):
            if node.tag != tag("ds:X509Certificate"):
                continue
            try:
                der = base64.b64decode("".join(text(node).split()), validate=True)
                certificate = x509.load_der_x509_certificate(der)
                check_key(certificate)
            except (binascii.Error, ValueError):
                continue  # others may be good, and one has to be
            yield certificate


def _moment(node: Element) -> datetime:
    try:
        return parse_time(node.get("validUntil", ""))
    except ValueError as error:
        raise Rejected(f"the validUntil of {label(node)}: {error}") from None


def _cache_for(node: Element) -> timedelta | None:
    found = _DURATION.fullmatch(node.get("cacheDuration", ""))
    if found is None or not any(found.groups()):
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
