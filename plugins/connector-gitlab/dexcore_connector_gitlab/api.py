"""GitLab's REST API, as far as a login needs it: https://docs.gitlab.com/api/rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from dexcore.errors import UpstreamError
from dexcore.http import Answer, HttpClient
from dexcore.oauth2 import words
from dexcore.upstream import TokensRevoked

from .groups import LEVELS, UserInfo

#: How many pages of groups are read, a hundred each.
MOST_PAGES = 100

_A_PAGE = 100


class Forbidden(UpstreamError):
    """GitLab says no; ``blocked``: because the account is."""

    def __init__(self, message: str, *, blocked: bool) -> None:
        super().__init__(message)
        self.blocked = blocked


#: Standard claims, and what the API calls them.
_CLAIMS = {
    "profile": "web_url",
    "picture": "avatar_url",
    "website": "website_url",
}


@attrs.frozen
class User:
    """Who a token belongs to."""

    id: int
    username: str
    name: str
    email: str
    claims: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Group:
    """A group, by its whole path."""

    id: int
    path: str


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
        answer = _checked(await self._get("/api/v4/user"))
        found = answer.object()
        id, username = found.get("id"), _text(found, "username")
        if type(id) is not int or id < 1 or not username:
            raise UpstreamError(f"{answer.call} answered no user.")
        claims = {name: _text(found, key) for name, key in _CLAIMS.items()}
        return User(id, username, _text(found, "name"), _text(found, "email"), claims)

    async def user_info(self) -> UserInfo:
        """Return what the OpenID Connect side knows of their groups."""
        return UserInfo.of(_checked(await self._get("/oauth/userinfo")).object())

    async def groups(self) -> list[Group]:
        """Return their groups, and those they inherit."""
        found: list[Group] = []
        for page in range(1, MOST_PAGES + 1):
            query = f"all_available=false&page={page}&per_page={_A_PAGE}"
            answer = _checked(await self._get(f"/api/v4/groups?{query}"))
            entries = answer.json()
            if not isinstance(entries, list):
                raise UpstreamError(f"{answer.call} answered no list.")
            found += (_group(each, answer) for each in entries)
            if len(entries) < _A_PAGE:
                return found
        raise UpstreamError(f"{answer.call} has more than {MOST_PAGES} pages.")

    async def role(self, group: Group, user: User) -> str:
        """Return what *user* is in *group*; ``""`` if GitLab does not tell us."""
        path = f"/api/v4/groups/{group.id}/members/all/{user.id}"
        answer = await self._get(path)
        if answer.status in (403, 404):
            return ""
        level = _checked(answer).object().get("access_level")
        return LEVELS.get(level, "") if isinstance(level, int) else ""

    async def _get(self, path: str) -> Answer:
        headers = {"Authorization": self.authorization}
        return await self.http.get(self.base + path, headers=headers)


def _group(entry: Any, answer: Answer) -> Group:
    found = entry if isinstance(entry, dict) else {}
    id, path = found.get("id"), _text(found, "full_path") or _text(found, "path")
    if type(id) is not int or id < 1 or not path:
        raise UpstreamError(f"{answer.call} answered a group without id or path.")
    return Group(id, path)


def _checked(answer: Answer) -> Answer:
    """Return *answer* if it is a good one; else raise what it means."""
    if answer.status not in (401, 403):
        return answer.check()
    error, message = _said(answer)
    said = f"{answer.call} answered {answer.status} {words.quote(error or message)}."
    # A token of a login for an app that wanted no groups lacks a scope for them: only
    # another login brings one.
    if answer.status == 401 or error == "insufficient_scope":
        raise TokensRevoked(said)
    raise Forbidden(said, blocked="blocked" in message or "deactivated" in message)


def _said(answer: Answer) -> tuple[str, str]:
    """Return the error of OAuth 2.0 and the API's message, of which one is empty."""
    try:
        found = answer.object()
    except UpstreamError:
        return "", ""
    return _text(found, "error"), _text(found, "message")


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""
