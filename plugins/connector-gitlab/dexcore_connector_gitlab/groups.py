"""What people are in their groups, as more groups: ``ops:owner``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from dexcore.errors import UpstreamError

#: The roles userinfo tells of, the highest first.
ROLES = ("owner", "maintainer", "developer")

#: https://docs.gitlab.com/api/access_requests/#valid-access-levels
LEVELS = {
    5: "minimal_access",
    10: "guest",
    15: "planner",
    20: "reporter",
    25: "security_manager",
    30: "developer",
    40: "maintainer",
    50: "owner",
    60: "admin",
}

_CLAIM = "https://gitlab.org/claims/groups/"


@attrs.frozen
class UserInfo:
    """The groups of ``/oauth/userinfo``, and those the user has each role in."""

    groups: tuple[str, ...]
    roles: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> UserInfo:
        """Return what *found* tells; raise ``UpstreamError`` if it is no such thing."""
        roles = {role: _texts(found, _CLAIM + role) for role in ROLES}
        return cls(_texts(found, "groups"), roles)

    def role_in(self, group: str) -> str:
        """Return the highest role in *group*, or in one above it; ``""`` if none."""
        for role in ROLES:
            if any(_is_within(group, above) for above in self.roles[role]):
                return role
        return ""


def with_role(group: str, role: str) -> str:
    """Return the group of those who have *role* in *group*."""
    return f"{group}:{role}"


def allowed(groups: Iterable[str], required: Iterable[str]) -> tuple[str, ...]:
    """Return those of *groups* that are *required*, in their order."""
    wanted = frozenset(required)
    return tuple(group for group in groups if group in wanted)


def _is_within(group: str, above: str) -> bool:
    return group == above or group.startswith(f"{above}/")


def _texts(found: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = found.get(key)
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise UpstreamError(f"{key!r} of GitLab's user info is no list of texts.")
    return tuple(values)
