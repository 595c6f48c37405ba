"""A double of GitLab: its login page, its user info, and its REST API.

::

    with GitLab() as gitlab:
        gitlab.add_groups("ops", "ops/project")
        gitlab.add("jane", id=7, groups={"ops": 50})
        config = {"baseURL": gitlab.url, …}

What it answers is what https://docs.gitlab.com/api and
https://docs.gitlab.com/integration/openid_connect_provider describe, as far as logins
need it: refresh tokens that are good once, scopes, inherited groups, access levels.

``python -m dexcore.testing.upstreams.gitlab`` serves one to click through.
"""

from __future__ import annotations

import sys

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from aiohttp import web

from .oauth2 import PASSWORD, OAuth2Provider, Token
from .serve import serve

__all__ = ["DEVELOPER", "GUEST", "MAINTAINER", "OWNER", "REPORTER", "GitLab", "User"]

#: https://docs.gitlab.com/api/access_requests/#valid-access-levels
GUEST, REPORTER, DEVELOPER, MAINTAINER, OWNER = 10, 20, 30, 40, 50

_CLAIM = "https://gitlab.org/claims/groups/"
_ROLES = {"owner": OWNER, "maintainer": MAINTAINER, "developer": DEVELOPER}


@attrs.define
class User:
    """An account.  ``groups``: the access level of each membership, by path.

    ``more``: what else the API says.
    """

    username: str
    id: int
    name: str = ""
    email: str = ""
    groups: dict[str, int] = attrs.field(factory=dict)
    password: str = attrs.field(default=PASSWORD, repr=False)
    more: dict[str, Any] = attrs.field(factory=dict)
    blocked: bool = False

    def level(self, group: str) -> int:
        """Return the access level in the group at path *group*, inherited or not."""
        found = [level for path, level in self.groups.items() if _within(group, path)]
        return max(found, default=0)


class GitLab(OAuth2Provider):
    """A GitLab with one application; see :class:`.oauth2.OAuth2Provider`.

    ``groups``: the id of each group by its path; ``hidden``: paths whose members nobody
    may list.
    """

    title = "Fox Lab"
    authorize_path, token_path = "/oauth/authorize", "/oauth/token"
    info_path = "/oauth/userinfo"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.groups: dict[str, int] = {}
        self.hidden: set[str] = set()
        self.expires_in = 7200

    # — who there is -------------------------------------------------------------------

    def add(
        self, username: str, *, id: int, groups: Mapping[str, int], **more: Any
    ) -> User:
        """Add an account; without ``email`` it gets one."""
        more = {"email": f"{username}@example.com", **more}
        user = User(username, id, groups=dict(groups), **more)
        self.add_groups(*groups)
        self.users[username] = user
        return user

    def add_groups(self, *paths: str) -> None:
        """Add groups, those above them first."""
        for path in paths:
            self.groups.setdefault(path, 100 + len(self.groups))

    # — what it answers ----------------------------------------------------------------

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Return the login page, the token endpoint, user info and the API."""
        members = "/api/v4/groups/{group}/members/all/{user}"
        return [
            *super().routes(),
            web.get("/api/v4/user", self._user),
            web.get("/api/v4/groups", self._groups),
            web.get(members, self._member),
        ]

    async def _info(self, request: web.Request) -> web.StreamResponse:
        user = self._known(request, "openid")
        if isinstance(user, web.Response):
            return user
        paths = [path for path in self.groups if user.level(path)]
        found: dict[str, Any] = {
            "sub": str(user.id),
            "nickname": user.username,
            "groups": paths,
        }
        for role, level in _ROLES.items():
            of_role = [path for path, its in user.groups.items() if its == level]
            if of_role:
                found[_CLAIM + role] = of_role
        return web.json_response(found)

    async def _user(self, request: web.Request) -> web.StreamResponse:
        user = self._known(request, "read_user", "read_api", "api")
        if isinstance(user, web.Response):
            return user
        return web.json_response(
            {
                "id": user.id,
                "username": user.username,
                "name": user.name,
                "state": "active",
                "email": user.email,
                **user.more,
            }
        )

    async def _groups(self, request: web.Request) -> web.StreamResponse:
        user = self._known(request, "read_api", "api")
        if isinstance(user, web.Response):
            return user
        everything = request.query.get("all_available") == "true"
        found = [
            {"id": id, "path": path.rpartition("/")[2], "full_path": path}
            for path, id in self.groups.items()
            if everything or user.level(path)
        ]
        size = min(int(request.query.get("per_page", "20")), 100)
        first = (int(request.query.get("page", "1")) - 1) * size
        return web.json_response(found[first : first + size])

    async def _member(self, request: web.Request) -> web.StreamResponse:
        user = self._known(request, "read_api", "api")
        if isinstance(user, web.Response):
            return user
        wanted = request.match_info["group"], request.match_info["user"]
        paths = [path for path, id in self.groups.items() if str(id) == wanted[0]]
        if not paths or not user.level(paths[0]) or wanted[1] != str(user.id):
            return web.json_response({"message": "404 Not found"}, status=404)
        if paths[0] in self.hidden:
            return web.json_response({"message": "403 Forbidden"}, status=403)
        level = user.level(paths[0])
        return web.json_response({"id": user.id, "access_level": level})

    def _known(self, request: web.Request, *scopes: str) -> User | web.Response:
        """Return who asks, if their token has one of *scopes*, or what they hear."""
        token: Token | None = self.bearer(request)
        user: User | None = self.users.get(token.login) if token else None
        if token is None or user is None:
            said = {
                "error": "invalid_token",
                "error_description": "Token was revoked. You have to re-authorize.",
            }
            return web.json_response(said, status=401)
        if user.blocked:
            blocked = "403 Forbidden - Your account has been blocked."
            return web.json_response({"message": blocked}, status=403)
        if not set(scopes) & set(token.scope.split()):
            said = {"error": "insufficient_scope", "scope": " ".join(scopes)}
            return web.json_response(said, status=403)
        return user


def _within(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}/")


def example(port: int) -> GitLab:
    """Return a GitLab with somebody in it, to click through."""
    gitlab = GitLab(port=port, host="127.0.0.1")
    gitlab.asks = True
    gitlab.add_groups("acme", "acme/site")
    gitlab.add("jane", id=12345678, name="Jane Example", groups={"acme": OWNER})
    gitlab.add("john", id=23456789, name="John Example", groups={})
    return gitlab


if __name__ == "__main__":
    sys.exit(serve(example, "A GitLab", port=5562))
