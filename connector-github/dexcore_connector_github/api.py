"""GitHub's REST API, as far as a login needs it.

https://docs.github.com/en/rest, version 2022-11-28.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import attrs

from dexcore.errors import UpstreamError, UpstreamUnavailable
from dexcore.http import Answer, HttpClient
from dexcore.oauth2 import words
from dexcore.upstream import TokensRevoked

from .emails import Email
from .groups import Team

VERSION = "2022-11-28"

#: How many pages of a list are read, a hundred entries each.
MOST_PAGES = 100

_NO_CONTENT, _FOUND, _NOT_FOUND, _TOO_MANY = 204, 302, 404, 429


_PORTS = {"https": 443, "http": 80}


class NotAllowed(UpstreamError):
    """GitHub knows who we are, and says no.

    ``sso``: because the organization wants a single sign-on first; ``suspended``:
    because the account is.
    """

    def __init__(self, message: str, *, sso: bool, suspended: bool) -> None:
        super().__init__(message)
        self.sso = sso
        self.suspended = suspended


#: Standard claims, and what the API calls them.
_CLAIMS = {
    "profile": "html_url",
    "picture": "avatar_url",
    "website": "blog",
}


@attrs.frozen
class User:
    """Who a token belongs to; ``email`` is the public one, if there is any."""

    id: int
    login: str
    name: str
    email: str
    claims: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Api:
    """The API as one end user may use it.  ``base`` has no slash at its end.

    Every method raises ``TokensRevoked``, :class:`NotAllowed`,
    ``UpstreamUnavailable`` also for rate limits, and ``UpstreamError``.
    """

    http: HttpClient
    base: str
    authorization: str = attrs.field(repr=False)

    async def user(self) -> User:
        """Return whose token it is."""
        answer = _checked(await self._get(f"{self.base}/user"))
        found = answer.object()
        id, login = found.get("id"), found.get("login")
        if type(id) is not int or not isinstance(login, str) or not login:
            raise UpstreamError(f"{answer.call} answered no user.")
        claims = {name: _text(found, key) for name, key in _CLAIMS.items()}
        return User(id, login, _text(found, "name"), _text(found, "email"), claims)

    async def emails(self) -> list[Email]:
        """Return all their addresses."""
        return [
            Email(
                address=_text(each, "email"),
                verified=each.get("verified") is True,
                primary=each.get("primary") is True,
            )
            for each in await self._list("/user/emails")
        ]

    async def orgs(self) -> list[str]:
        """Return the logins of the organizations they are in."""
        return [_text(each, "login") for each in await self._list("/user/orgs")]

    async def teams(self) -> list[Team]:
        """Return the teams they are in, of all organizations."""
        found = []
        for each in await self._list("/user/teams"):
            org = each.get("organization")
            if isinstance(org, dict):
                name, slug = _text(each, "name"), _text(each, "slug")
                found.append(Team(_text(org, "login"), name, slug))
        return found

    async def is_member(self, org: str, login: str) -> bool:
        """Say whether they, who are called *login*, are a member of *org*.

        Who has been invited and has not answered is none.
        """
        path = f"/orgs/{quote(org, safe='')}/members/{quote(login, safe='')}"
        answer = await self._get(self.base + path)
        if answer.status == _NO_CONTENT:
            return True
        # Who is no member is sent on to the public members; a proxy to anywhere.
        elsewhere = "/public_members/" in answer.headers.get("Location", "")
        if answer.status == _NOT_FOUND or (answer.status == _FOUND and elsewhere):
            return False
        _checked(answer)
        raise UpstreamError(f"{answer.call} answered {answer.status}.")

    async def _list(self, path: str) -> list[dict[str, Any]]:
        """Return the entries of all pages of a list."""
        found: list[dict[str, Any]] = []
        url, seen = f"{self.base}{path}?per_page=100", set[str]()
        while url and url not in seen:
            if len(seen) == MOST_PAGES:
                raise UpstreamError(
                    f"{self.base}{path} has more than {len(seen)} pages."
                )
            seen.add(url)
            answer = _checked(await self._get(url))
            entries = answer.json()
            if not isinstance(entries, list):
                raise UpstreamError(f"{answer.call} answered no list.")
            found += (entry for entry in entries if isinstance(entry, dict))
            url = self._next(url, answer)
        return found

    def _next(self, url: str, answer: Answer) -> str:
        """Return the address of the next page, if there is one (RFC 8288)."""
        link = next_link(answer.headers.get("Link", ""))
        if not link:
            return ""
        following = urljoin(url, link)
        if _origin(following) != _origin(self.base):
            # The token would go with it.
            raise UpstreamError(f"{answer.call} continues on another host.")
        return following

    async def _get(self, url: str) -> Answer:
        return await self.http.get(
            url,
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": self.authorization,
                "X-GitHub-Api-Version": VERSION,
            },
        )


def next_link(header: str) -> str:
    """Return the target of ``rel="next"`` in a ``Link`` header, or ``""``.

    >>> next_link('<https://a.example?page=2>; rel="next", <https://a.example>; rel=up')
    'https://a.example?page=2'
    """
    for link in header.split("<")[1:]:
        target, _, parameters = link.partition(">")
        for parameter in parameters.split(";"):
            name, _, value = parameter.strip(", ").partition("=")
            relations = value.strip('" ').lower().split()
            if name.strip().lower() == "rel" and "next" in relations:
                return target
    return ""


def _checked(answer: Answer) -> Answer:
    """Return *answer* if it is a good one; else raise what it means."""
    if answer.status < 400:
        return answer.check()
    message = _message(answer)
    said = f"{answer.call} answered {answer.status} {words.quote(message)}."
    if answer.status == 401:
        raise TokensRevoked(said)
    if answer.status in (403, _TOO_MANY) and _is_limit(answer, message.lower()):
        raise UpstreamUnavailable(f"Over the rate limit: {said}")
    if answer.status in (403, 451):
        sso = "X-GitHub-SSO" in answer.headers
        raise NotAllowed(said, sso=sso, suspended="suspended" in message)
    answer.check()
    raise UpstreamError(said)


def _is_limit(answer: Answer, message: str) -> bool:
    """Say whether GitHub wants us to wait: its primary, or a secondary rate limit."""
    return (
        answer.status == _TOO_MANY
        or answer.headers.get("X-RateLimit-Remaining") == "0"
        or "Retry-After" in answer.headers
        or "rate limit" in message
        or "abuse detection" in message
    )


def _message(answer: Answer) -> str:
    try:
        return _text(answer.object(), "message")
    except UpstreamError:
        return ""


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    try:
        return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return parts.scheme, None, None
