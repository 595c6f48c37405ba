"""Which of somebody's addresses to take."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from dexcore.errors import AccessDenied


@attrs.frozen
class Email:
    """An address as GitHub lists it."""

    address: str
    verified: bool
    primary: bool


def choose(emails: Iterable[Email], preferred_domain: str = "") -> str:
    """Return the first verified address at *preferred_domain*, or the primary one.

    Raises ``AccessDenied`` if there is neither.
    """
    primary = ""
    for email in emails:
        if not email.verified:
            continue
        if preferred_domain and is_at(preferred_domain, email.address):
            return email.address
        if email.primary:
            primary = email.address
    if primary:
        return primary
    raise AccessDenied(
        "Your GitHub account has no verified, primary email or preferred-domain email."
        if preferred_domain
        else "Your GitHub account has no verified, primary email."
    )


def is_at(domain: str, address: str) -> bool:
    """Say whether *address* is at *domain*, whose label ``*`` is any one label."""
    _, at, host = address.partition("@")
    if not at or "@" in host:
        return False  # nobody can say where that is
    wanted, labels = domain.split("."), host.split(".")
    return len(wanted) == len(labels) and all(
        want in ("*", label) for want, label in zip(wanted, labels, strict=True)
    )
