"""The REST API of the double of GitHub; see :mod:`.github`."""

from __future__ import annotations

import re
import time

from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import attrs

from aiohttp import web

from . import pages
from .oauth2 import PASSWORD, OAuth2Provider, Token

__all__ = ["ACTIVE", "PENDING", "Organization", "Rest", "User", "address", "error"]

#: What a membership of an organization can be.
ACTIVE, PENDING = "active", "pending"

VERSIONS = ("2022-11-28",)
_DOCS = "https://docs.github.com/rest"
_LIMIT = 5000

Answer = Callable[[web.Request, "User", Token], web.StreamResponse]


@attrs.define
class User:
    """An account.  ``email`` is the public address, ``emails`` what the API lists.

    ``orgs``: the state of each membership by the organization's login; ``teams``: pairs
    of an organization's login and a team's name; ``more``: what else the API says.
    """

    login: str
    id: int
    name: str | None = None
    email: str | None = None
    emails: list[dict[str, Any]] = attrs.field(factory=list)
    orgs: dict[str, str] = attrs.field(factory=dict)
    teams: list[tuple[str, str]] = attrs.field(factory=list)
    password: str = attrs.field(default=PASSWORD, repr=False)
    more: dict[str, Any] = attrs.field(factory=dict)
    suspended: bool = False


@attrs.define
class Organization:
    """``sso``: it wants a single sign-on first; ``closed``: to apps it does not know.

    ``public``: the logins of members who show that they are.
    """

    login: str
    sso: bool = False
    closed: bool = False
    public: set[str] = attrs.field(factory=set)


class Rest(OAuth2Provider):
    """What a server knows, and how its API tells."""

    title = "Octo Hub"

    def __init__(self, *, prefix: str = "/api/v3", **options: Any) -> None:
        super().__init__(**{"tls": True, **options})
        self.prefix = prefix
        self.host = urlsplit(self.url).netloc
        self.organizations: dict[str, Organization] = {}
        self.limit = ""
        self.per_page, self.last, self.next_link = 100, True, ""

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Return the login page, the token endpoint and the API."""
        api = self.prefix
        return [
            web.get("/", self._home),
            *self.oauth2_routes(),
            web.get(f"{api}/user", self._api(self._user)),
            web.get(f"{api}/user/emails", self._api(self._emails)),
            web.get(f"{api}/user/orgs", self._api(self._orgs)),
            web.get(f"{api}/user/teams", self._api(self._teams)),
            web.get(f"{api}/orgs/{{org}}/members/{{login}}", self._api(self._member)),
            web.get(
                f"{api}/orgs/{{org}}/public_members/{{login}}", self._api(self._public)
            ),
        ]

    async def _home(self, request: web.Request) -> web.StreamResponse:
        return pages.sorry(self.title, "There is nothing here but a login.", 200)

    def _api(
        self, answer: Answer
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return what checks everything that all calls have in common."""

        async def handler(request: web.Request) -> web.StreamResponse:
            response = self._refused(request) or self._answer(request, answer)
            remaining = "0" if self.limit == "primary" else str(_LIMIT - 1)
            response.headers["X-RateLimit-Limit"] = str(_LIMIT)
            response.headers["X-RateLimit-Remaining"] = remaining
            response.headers["X-RateLimit-Reset"] = str(int(time.time()) + 3600)
            response.headers["X-RateLimit-Resource"] = "core"
            return response

        return handler

    def _answer(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        if "Authorization" not in request.headers:
            return error(401, "Requires authentication")
        token = self.bearer(request)
        user = self.users.get(token.login) if token else None
        if token is None or user is None:
            return error(401, "Bad credentials")
        if user.suspended:
            return error(403, "Sorry. Your account was suspended.")
        return answer(request, user, token)

    def _refused(self, request: web.Request) -> web.StreamResponse | None:
        if "User-Agent" not in request.headers:
            return error(403, "Request forbidden by administrative rules.")
        version = request.headers.get("X-GitHub-Api-Version")
        if version not in (None, *VERSIONS):
            return error(400, f"{version} is not a valid version")
        if self.limit == "primary":
            return error(403, "API rate limit exceeded for user ID 1.")
        if self.limit:
            waits = {"Retry-After": "60"} if self.limit == "retry-after" else {}
            said = "You have exceeded a secondary rate limit. Please wait a few minutes"
            return error(403 if waits else 429, said, **waits)
        return None

    def _user(
        self, request: web.Request, user: User, token: Token
    ) -> web.StreamResponse:
        return web.json_response(
            {
                "login": user.login,
                "id": user.id,
                "type": "User",
                "name": user.name,
                "email": user.email,
                "company": None,
                "site_admin": False,
                **user.more,
            }
        )

    def _emails(
        self, request: web.Request, user: User, token: Token
    ) -> web.StreamResponse:
        if not _has(token, "user", "user:email"):
            return error(404, "Not Found")
        return self._page(request, user.emails)

    def _orgs(
        self, request: web.Request, user: User, token: Token
    ) -> web.StreamResponse:
        if not _has(token, "user", "read:org"):
            return error(403, "You need at least read:org scope or user scope.")
        shown = [org for org in self._active(user) if not (org.sso or org.closed)]
        response = self._page(request, [_organization(org) for org in shown])
        if any(org.sso for org in self._active(user)):
            response.headers["X-GitHub-SSO"] = "partial-results; organizations=1"
        return response

    def _teams(
        self, request: web.Request, user: User, token: Token
    ) -> web.StreamResponse:
        if not _has(token, "user", "read:org"):
            return error(404, "Not Found")
        return self._page(
            request,
            [
                {
                    "name": name,
                    "slug": re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"),
                    "organization": _organization(self.organizations[org]),
                }
                for org, name in user.teams
                if user.orgs.get(org) == ACTIVE and not self.organizations[org].sso
            ],
        )

    def _member(
        self, request: web.Request, user: User, token: Token
    ) -> web.StreamResponse:
        org = self._organization(request)
        login = request.match_info["login"]
        if org is None:
            return error(404, "Not Found")
        if org.closed:
            return error(
                403,
                "Although you appear to have the correct authorization credentials, "
                f"the `{org.login}` organization has enabled OAuth App access "
                "restrictions, meaning that data access to third-parties is limited.",
            )
        if org.sso:
            where = f"{self.url}/orgs/{org.login}/sso?authorization_request=A"
            return error(
                403,
                "Resource protected by organization SAML enforcement. You must grant "
                "your OAuth token access to this organization.",
                **{"X-GitHub-SSO": f"required; url={where}"},
            )
        if user.orgs.get(org.login) != ACTIVE or not _has(token, "user", "read:org"):
            public = f"{self.url}{self.prefix}/orgs/{org.login}/public_members/{login}"
            return web.Response(status=302, headers={"Location": public})
        asked = self.users.get(login)
        if asked is None or asked.orgs.get(org.login) != ACTIVE:
            return error(404, "User does not exist or is not a member")
        return web.Response(status=204)

    def _public(
        self, request: web.Request, user: User, token: Token
    ) -> web.StreamResponse:
        org = self._organization(request)
        if org is None or request.match_info["login"] not in org.public:
            return error(404, "Not Found")
        return web.Response(status=204)

    # — how ----------------------------------------------------------------------------

    def _organization(self, request: web.Request) -> Organization | None:
        # Logins are found in any case.
        wanted = request.match_info["org"].lower()
        found = (org for org in self.organizations.values())
        return next((org for org in found if org.login.lower() == wanted), None)

    def _active(self, user: User) -> list[Organization]:
        return [
            self.organizations[login]
            for login, state in user.orgs.items()
            if state == ACTIVE
        ]

    def _page(
        self, request: web.Request, entries: list[dict[str, Any]]
    ) -> web.StreamResponse:
        """Return one page of *entries*, and say where the others are (RFC 8288)."""
        number = int(request.query.get("page", "1"))
        size = min(int(request.query.get("per_page", "30")), self.per_page)
        pages_ = max(1, -(-len(entries) // size))
        numbers = {"prev": number - 1, "next": number + 1, "last": pages_, "first": 1}
        links = {
            relation: str(request.url.update_query(page=str(target)))
            for relation, target in numbers.items()
            if 1 <= target <= pages_ and target != number
        }
        if not self.last:
            links.pop("last", None)
        if self.next_link:
            links["next"] = self.next_link
        header = ", ".join(f'<{url}>; rel="{name}"' for name, url in links.items())
        return web.json_response(
            entries[(number - 1) * size : number * size],
            headers={"Link": header} if header else {},
        )


def address(
    email: str, *, primary: bool = False, verified: bool = True
) -> dict[str, Any]:
    """Return an entry of ``/user/emails``."""
    visibility = "private" if primary else None
    return {
        "email": email,
        "primary": primary,
        "verified": verified,
        "visibility": visibility,
    }


def error(status: int, message: str, **headers: str) -> web.Response:
    """Return an error as the API answers it."""
    body = {"message": message, "documentation_url": _DOCS, "status": str(status)}
    return web.json_response(body, status=status, headers=headers)


def _organization(org: Organization) -> dict[str, Any]:
    return {"login": org.login, "id": 1, "description": ""}


def _has(token: Token, *scopes: str) -> bool:
    return any(scope in token.scope.split() for scope in scopes)
