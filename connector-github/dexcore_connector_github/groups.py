"""What groups somebody's organizations and teams are."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from .config import Org, TeamNameField


@attrs.frozen
class Team:
    """A team of an organization; ``org`` is the organization's login."""

    org: str
    name: str
    slug: str


def names_of(
    teams: Iterable[Team], org: str, field: TeamNameField = ""
) -> tuple[str, ...]:
    """Return what the teams of *org* are called, in their order."""
    return tuple(
        name for team in teams if team.org == org for name in _names(team, field)
    )


def of_org(
    org: Org, teams: Iterable[Team], field: TeamNameField = ""
) -> tuple[str, ...] | None:
    """Return the groups of a member of *org*; ``None`` if they are in no right team."""
    names = names_of(teams, org.name, field)
    if org.teams:
        names = tuple(name for name in names if name in org.teams)
        if not names:
            return None
    return tuple(f"{org.name}:{name}" for name in names)


def of_all(
    orgs: Iterable[str], teams: Iterable[Team], field: TeamNameField = ""
) -> tuple[str, ...]:
    """Return every organization, each followed by its teams."""
    teams = tuple(teams)
    found: list[str] = []
    for org in orgs:
        found.append(org)
        found += (f"{org}:{name}" for name in names_of(teams, org, field))
    return tuple(found)


def _names(team: Team, field: TeamNameField) -> tuple[str, ...]:
    if field == "both":
        return team.name, team.slug
    return (team.slug if field == "slug" else team.name,)
