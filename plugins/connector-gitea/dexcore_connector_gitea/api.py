"""Gitea's API, as far as a login needs it: https://docs.gitea.com/api."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from dexcore.errors import UpstreamError
from dexcore.http import Answer, HttpClient
from dexcore.oauth2 import words
from dexcore.upstream import TokensRevoked

from .groups import Team

#: How many pages of teams are read.
MOST_PAGES = 100

_A_PAGE = 50  # what Gitea gives at most, unless it is told otherwise


class Forbidden(UpstreamError):
    """Gitea says no; ``prohibited``: to the account altogether."""

    def __init__(self, message: str, *, prohibited: bool) -> None:
        super().__init__(message)
        self.prohibited = prohibited


#: Standard claims, and what the API calls them.
_CLAIMS = {
    "profile": "html_url",
    "picture": "avatar_url",
    "website": "website",
}


@attrs.frozen
class User:
    """Who a token belongs to."""

    id: int
    login: str
    name: str
    email: str
    claims: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Api:
    """The API as one end user may use it.  ``base`` has no slash at its end.

    Every method raises ``TokensRevoked``, :class:`Forbidden`, ``UpstreamUnavailable``
    also for rate limits, and ``UpstreamError``.
    """

    http: HttpClient
    base: str
    authorization: str = attrs.field(repr=False)

    async def user(self) -> User:
        """Return whose token it is."""
        answer = _checked(await self._get("/api/v1/user"))
        found = answer.object()
        id, login = found.get("id"), _text(found, "login")
        if type(id) is not int or id < 1 or not login:
            raise UpstreamError(f"{answer.call} answered no user.")
        claims = {name: _text(found, key) for name, key in _CLAIMS.items()}
        return User(id, login, _text(found, "full_name"), _text(found, "email"), claims)

    async def teams(self) -> list[Team]:
        """Return the teams they are in, of all organizations."""
        found: list[Team] = []
        for page in range(1, MOST_PAGES + 1):
            path = f"/api/v1/user/teams?page={page}&limit={_A_PAGE}"
            answer = _checked(await self._get(path))
            entries = answer.json()
            if not isinstance(entries, list):
                raise UpstreamError(f"{answer.call} answered no list.")
            # A page may be shorter than we have asked for; the last one is empty.
            if not entries:
                return found
            found += (team for each in entries if (team := _team(each)))
        raise UpstreamError(f"{answer.call} has more than {MOST_PAGES} pages.")

    async def _get(self, path: str) -> Answer:
        headers = {"Authorization": self.authorization}
        return await self.http.get(self.base + path, headers=headers)


def _team(entry: Any) -> Team | None:
    found = entry if isinstance(entry, dict) else {}
    org = found.get("organization")
    if not isinstance(org, dict):
        return None  # a team of none, as Gitea sometimes has
    name, team = _text(org, "username") or _text(org, "name"), _text(found, "name")
    return Team(name, team) if name and team else None


def _checked(answer: Answer) -> Answer:
    """Return *answer* if it is a good one; else raise what it means."""
    if answer.status not in (401, 403):
        return answer.check()
    message = _message(answer)
    said = f"{answer.call} answered {answer.status} {words.quote(message)}."
    if answer.status == 401:
        raise TokensRevoked(said)
    raise Forbidden(said, prohibited="prohibited" in message)


def _message(answer: Answer) -> str:
    try:
        return _text(answer.object(), "message")
    except UpstreamError:
        return ""


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""
