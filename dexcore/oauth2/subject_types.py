"""Subject types: as whom clients know an end user (OpenID Connect Core section 8).

A type is a word of the configuration file.  The specification knows two, ``public`` and
``pairwise``; we know several public ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

import attrs

from .client_metadata import NO_METADATA, ClientMetadata

__all__ = [
    "BY_SALT",
    "CLAIM",
    "CLAIMS",
    "DEX",
    "HASHED",
    "PAIRWISE",
    "PLAIN",
    "PUBLIC",
    "REGISTERED",
    "SubjectRule",
    "check",
    "claim_of",
    "rule_of",
    "sector_of",
]

#: dex's: the user and the connector in one opaque string.
DEX: Final = "dex"
#: What the upstream provider calls the user.
PLAIN: Final = "plain"
#: What a claim of the user says; the name of the claim follows.
CLAIM: Final = "claim:"
#: Another one for every sector (section 8.1).
PAIRWISE: Final = "pairwise"
#: As opaque as a pairwise one, and the same for all clients.
HASHED: Final = "hashed"

#: The types that nobody can compute without our salt.
BY_SALT = frozenset((PAIRWISE, HASHED))

PUBLIC: Final = "public"
#: What clients may register, and discovery lists (Registration section 2).
REGISTERED = (PUBLIC, PAIRWISE)

#: The claims that a subject may be.
CLAIMS = ("email", "preferred_username", "name")

_TYPES = (DEX, PLAIN, PAIRWISE, HASHED, *(CLAIM + name for name in CLAIMS))


@attrs.frozen
class SubjectRule:
    """The type of a client's subjects, and what it was before, the oldest last.

    Subjects of the ``previous`` types are still understood, and none is issued.
    """

    current: str = DEX
    previous: tuple[str, ...] = ()

    @property
    def types(self) -> tuple[str, ...]:
        """All that is understood, the current one first."""
        return (self.current, *self.previous)


def check(text: str) -> None:
    """Raise ``ValueError``, without a full stop, unless *text* is a type."""
    if text not in _TYPES:
        raise ValueError(f'"{text}" is not a kind of subject')


def claim_of(text: str) -> str:
    """Return the claim that the type *text* names; ``""`` if it names none."""
    return text.removeprefix(CLAIM) if text.startswith(CLAIM) else ""


def rule_of(metadata: ClientMetadata, default: SubjectRule) -> SubjectRule:
    """Return what counts for a client with this *metadata*.

    Our own word, ``subject``, says more than the registered ``subject_type``; who asks
    for a public one gets the default, unless that is pairwise: then dex's.
    """
    if metadata is NO_METADATA:
        return default
    current = metadata.subject
    if not current and metadata.subject_type == PAIRWISE:
        current = PAIRWISE
    if not current and metadata.subject_type == PUBLIC and default.current == PAIRWISE:
        current = DEX
    if current:
        return SubjectRule(current, metadata.previous_subjects)
    if not metadata.previous_subjects:
        return default
    return SubjectRule(default.current, metadata.previous_subjects)


def sector_of(redirect_uris: Iterable[str], sector_identifier_uri: str = "") -> str:
    """Return the sector identifier of a client (Core section 8.1): a host.

    Raises ``ValueError``, without a full stop, if that is not certain.
    """
    if sector_identifier_uri:
        return _host(sector_identifier_uri)
    hosts = sorted({host for uri in redirect_uris if (host := _host(uri))})
    if len(hosts) == 1:
        return hosts[0]
    if hosts:
        raise ValueError(f"the redirect URIs have several hosts: {', '.join(hosts)}")
    raise ValueError("no redirect URI has a host")


def _host(uri: str) -> str:
    try:
        return urlsplit(uri).hostname or ""
    except ValueError:
        return ""
