"""What groups somebody's teams are."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from .config import Org


@attrs.frozen
class Team:
    """A team of an organization."""

    org: str
    name: str

    @property
    def group(self) -> str:
        """The team as a group."""
        return f"{self.org}:{self.name}"


def of_all(teams: Iterable[Team]) -> tuple[str, ...]:
    """Return every organization and every team, each once."""
    found = (name for team in teams for name in (team.org, team.group))
    return tuple(dict.fromkeys(found))


def of_orgs(orgs: Iterable[Org], teams: Iterable[Team]) -> tuple[str, ...]:
    """Return those that *orgs* name; empty if they let nobody in.

    Of an organization that names teams, who is in none of them is no member.
    """
    teams = tuple(teams)
    wanted: set[str] = set()
    for org in orgs:
        named = {f"{org.name}:{name}" for name in org.teams}
        if not named or any(team.group in named for team in teams):
            wanted |= {org.name, *named}
    return tuple(group for group in of_all(teams) if group in wanted)
