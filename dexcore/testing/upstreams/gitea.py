"""A double of Gitea: its login page, and its API.

::

    with Gitea() as gitea:
        gitea.add("jane", id=7, teams=[("acme", "Owners")])
        config = {"baseURL": gitea.url, …}

What it answers is what https://docs.gitea.com/api and
https://docs.gitea.com/development/oauth2-provider describe, as far as logins need it:
tokens that live an hour, refresh tokens that are good once, pages that end with an
empty one.

``python -m dexcore.testing.upstreams.gitea`` serves one to click through.
"""

from __future__ import annotations

import sys

from collections.abc import Iterable
from typing import Any

import attrs

from aiohttp import web

from .oauth2 import PASSWORD, OAuth2Provider, Refused
from .serve import serve

__all__ = ["Gitea", "User"]


@attrs.define
class User:
    """An account.  ``teams``: pairs of an organization and a team; no organization is
    an empty one.
    """

    login: str
    id: int
    full_name: str = ""
    email: str = ""
    teams: list[tuple[str, str]] = attrs.field(factory=list)
    password: str = attrs.field(default=PASSWORD, repr=False)
    more: dict[str, Any] = attrs.field(factory=dict)
    prohibited: bool = False


class Gitea(OAuth2Provider):
    """A Gitea with one application; see :class:`.oauth2.OAuth2Provider`.

    ``per_page``: how many entries a page has at most.
    """

    title = "Tea House"
    authorize_path = "/login/oauth/authorize"
    token_path = "/login/oauth/access_token"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.per_page = 50

    def add(
        self, login: str, *, id: int, teams: Iterable[tuple[str, str]] = (), **more: Any
    ) -> User:
        """Add an account; without ``email`` it gets one."""
        more = {"email": f"{login}@example.com", **more}
        user = self.users[login] = User(login, id, teams=list(teams), **more)
        return user

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Return the login page, the token endpoint and the API."""
        return [
            *self.oauth2_routes(),
            web.get("/api/v1/user", self._user),
            web.get("/api/v1/user/teams", self._teams),
        ]

    def _refreshed(self, value: str) -> dict[str, Any]:
        try:
            return super()._refreshed(value)
        except Refused:
            raise Refused("unauthorized_client", "token was already used") from None

    async def _user(self, request: web.Request) -> web.StreamResponse:
        user = self._known(request)
        if isinstance(user, web.Response):
            return user
        return web.json_response(
            {
                "id": user.id,
                "login": user.login,
                "username": user.login,
                "full_name": user.full_name,
                "email": user.email,
                **user.more,
            }
        )

    async def _teams(self, request: web.Request) -> web.StreamResponse:
        user = self._known(request)
        if isinstance(user, web.Response):
            return user
        size = min(int(request.query.get("limit", "30")), self.per_page)
        first = (int(request.query.get("page", "1")) - 1) * size
        found = [
            {"name": name, "organization": {"username": org} if org else None}
            for org, name in user.teams
        ]
        return web.json_response(found[first : first + size])

    def _known(self, request: web.Request) -> User | web.Response:
        """Return who asks, or what they hear."""
        token = self.bearer(request)
        user: User | None = self.users.get(token.login) if token else None
        if user is None:
            said = "user does not exist [uid: 0, name: ]"
            return web.json_response({"message": said}, status=401)
        if user.prohibited:
            said = "This account is prohibited from signing in."
            return web.json_response({"message": said}, status=403)
        return user


def example(port: int) -> Gitea:
    """Return a Gitea with somebody in it, to click through."""
    gitea = Gitea(port=port, host="127.0.0.1")
    gitea.asks = True
    teams = [("acme", "Owners"), ("acme", "Writers")]
    gitea.add("jane", id=12345678, full_name="Jane Example", teams=teams)
    gitea.add("john", id=23456789, full_name="John Example")
    return gitea


if __name__ == "__main__":
    sys.exit(serve(example, "A Gitea", port=5563))
