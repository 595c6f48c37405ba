"""A double of a GitHub Enterprise Server: its login page, and its REST API.

::

    with GitHub() as github:
        github.add("jane", id=7, orgs=["acme"], teams=[("acme", "Core Team")])
        config = {"hostName": github.host, "rootCA": github.ca, …}

What it answers is what https://docs.github.com/en/rest (version 2022-11-28) and
https://docs.github.com/en/apps describe: pages with ``Link`` headers, errors with a
``message``, rate limits, tokens that expire (``expires_in``), a token endpoint that
answers errors with 200.

``python -m dexcore.testing.upstreams.github`` serves one to click through.
"""

from __future__ import annotations

import sys

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from ._github_api import ACTIVE, PENDING, Organization, Rest, User, address, error
from .oauth2 import Refused
from .serve import serve

__all__ = ["ACTIVE", "PENDING", "GitHub", "Organization", "User", "address", "error"]


class GitHub(Rest):
    """A GitHub Enterprise Server with one app; see :class:`.oauth2.OAuth2Provider`.

    * ``organizations`` by login; those of :meth:`add` are made as they are;
    * ``limit``: ``primary``, ``retry-after`` or ``secondary``: over a rate limit;
    * ``per_page``: how many entries a page has at most; ``last``: whether links name
      the last page; ``next_link``: in place of the link to the next page, always.
    """

    authorize_path = "/login/oauth/authorize"
    token_path = "/login/oauth/access_token"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.accepts = ("post",)
        # An OAuth app's tokens do not expire; a GitHub App's do, after eight hours.
        self.expires_in, self.refreshable = None, False
        self.errors_with_200 = True

    # — who there is -------------------------------------------------------------------

    def add(
        self,
        login: str,
        *,
        id: int,
        orgs: Iterable[str] = (),
        **more: Any,
    ) -> User:
        """Add an account; without ``emails`` it has a verified, primary one."""
        user = User(login, id, orgs=dict.fromkeys(orgs, ACTIVE), **more)
        if not user.emails:
            user.emails.append(address(f"{login}@example.com", primary=True))
        for org in (*user.orgs, *(org for org, _ in user.teams)):
            self.organizations.setdefault(org, Organization(org))
        self.users[login] = user
        return user

    def as_app(self) -> None:
        """Be a GitHub App: tokens live eight hours, and refresh tokens are good once.

        https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens
        """
        self.expires_in, self.refreshable, self.rotates = 28800, True, True

    # — OAuth --------------------------------------------------------------------------

    def _new(self, kind: str) -> str:
        return super()._new({"a": "gho", "r": "ghr"}.get(kind, kind)).replace("-", "_")

    def _wrong_client(self) -> Refused:
        return Refused(
            "incorrect_client_credentials",
            "The client_id and/or client_secret passed are incorrect.",
        )

    def _granted(self, form: Mapping[str, str]) -> dict[str, Any]:
        grant_type = form.get("grant_type", "authorization_code")
        try:
            return super()._granted(form)
        except Refused as refused:
            if refused.error != "invalid_grant":
                raise
            if grant_type == "refresh_token":
                raise Refused(
                    "bad_refresh_token",
                    "The refresh token passed is incorrect or expired.",
                ) from None
            raise Refused(
                "bad_verification_code",
                "The code passed is incorrect or expired.",
            ) from None

    def _said(
        self, answer: Mapping[str, Any], status: int, request: web.Request
    ) -> web.StreamResponse:
        # "By default, the response takes the following form": a form.
        if "application/json" in request.headers.get("Accept", ""):
            return web.json_response(answer, status=status)
        return web.Response(
            status=status,
            text=urlencode(answer),
            content_type="application/x-www-form-urlencoded",
        )


def example(port: int) -> GitHub:
    """Return a server with somebody on it, to click through."""
    github = GitHub(port=port)
    github.asks = True
    teams = [("acme", "Core Team"), ("acme", "Writers")]
    github.add("jane", id=12345678, name="Jane Example", orgs=["acme"], teams=teams)
    github.add("john", id=23456789, name="John Example")
    return github


if __name__ == "__main__":
    sys.exit(serve(example, "A GitHub Enterprise Server", port=5561))
