"""The bare issuer, with sessions: who is logged in here, where else, and at what.

Whoever is logged in can end their other sessions, and take back what applications may
do while they are away.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs

from aiohttp import web

from ..errors import MethodNotAllowed, NotFound
from ..storage import AuthSession, Storage, UserIdentity
from .channels import Handler, read_form, see_other
from .connectors import Connectors
from .pages import Pages
from .sessions import browsers
from .sessions.ending import Ending
from .sessions.forms import SessionForms
from .sessions.sessions import Found, Sessions, same_user
from .urls import Issuer

PATH = "/sessions"

_OTHERS = "others"


@attrs.frozen
class Place:
    """Another session of the user, as the page shows it."""

    id: str
    browser: str
    ip_address: str
    used_iso: str
    used_text: str


@attrs.frozen
class App:
    """A client that may act for the user while they are away."""

    id: str
    name: str
    used_iso: str
    used_text: str


@attrs.frozen(eq=False)
class AccountPage:
    """Shows the page, and does what its forms ask for."""

    sessions: Sessions
    ending: Ending
    forms: SessionForms
    connectors: Connectors
    storage: Storage
    pages: Pages
    issuer: Issuer
    signup: bool

    def routes(self) -> list[tuple[str, Handler]]:
        """Return what the forms of the page post to."""
        return [(PATH, self.change)]

    async def show(self, request: web.Request) -> web.Response:
        """Show the page."""
        found = await self.sessions.find(request, offline=True)
        values: dict[str, Any] = {
            "sessions": True,
            "discovery_url": self.issuer.path("/.well-known/openid-configuration"),
            "signup_url": self.issuer.path("/signup") if self.signup else "",
        }
        if found is not None:
            values |= await self._about(found)
        response = self.pages.render("home.html", request.path, **values)
        if found is None and self.sessions.cookie.read(request):
            self.sessions.forget(response)
        return response

    async def change(self, request: web.Request) -> web.Response:
        """End another session, all of them, or what an application may do."""
        if request.method != "POST":
            refusal = MethodNotAllowed("Use POST.")
            refusal.headers = {"Allow": "POST"}
            raise refusal
        form = await read_form(request)
        found = await self.sessions.find(request)
        if found is not None:
            self.forms.check(request, form, found.session)
            wanted = form.get("end", "")
            for session in await self._others(found.session):
                if wanted in (_OTHERS, session.id):
                    await self.ending.end(session.id, "Ended from another session.")
            if form.get("forget"):
                await self._forget(found, form["forget"])
        return see_other(self.issuer.path(""))

    async def _forget(self, found: Found, client_id: str) -> None:
        await self.ending.forget_client(found.session, client_id)

        def leave(user: UserIdentity) -> UserIdentity:
            if client_id not in user.consents:
                return user
            kept = {id: what for id, what in user.consents.items() if id != client_id}
            return attrs.evolve(user, consents=kept)

        try:
            await self.storage.user_identities.update(
                found.session.user_id, found.session.connector_id, change=leave
            )
        except NotFound:
            return

    async def _about(self, found: Found) -> dict[str, Any]:
        session, claims = found.session, found.user.claims
        idle = session.idle_expiry < session.absolute_expiry
        expiry = session.idle_expiry if idle else session.absolute_expiry
        return {
            "logged_in": True,
            "username": claims.preferred_username or claims.username,
            "email": claims.email,
            "email_verified": claims.email_verified,
            "groups": claims.groups,
            "connector_name": await self._connector_name(session.connector_id),
            "signed_in_iso": _iso(session.created_at),
            "signed_in_text": _text(session.created_at),
            "session_expires_iso": _iso(expiry),
            "session_expires_text": _text(expiry),
            "session_expiry_is_idle": idle,
            "ip_address": session.ip_address,
            "user_agent": browsers.name_of(session.user_agent),
            "logout_url": self.issuer.path("/logout"),
            "post_url": self.issuer.path(PATH),
            "hidden": self.forms.issue(session),
            "places": tuple(map(_place, await self._others(session))),
            "apps": await self._apps(found),
        }

    async def _connector_name(self, connector_id: str) -> str:
        names = {each.id: each.name for each in await self.connectors.listed()}
        return names.get(connector_id, connector_id)

    async def _others(self, mine: AuthSession) -> list[AuthSession]:
        """Return the user's other live sessions, the latest used first."""
        theirs = await self.storage.auth_sessions.matching(
            user_id=mine.user_id, connector_id=mine.connector_id
        )
        others = [
            each
            for each in theirs
            if each.id != mine.id
            and same_user(each, mine)
            and self.sessions.alive(each)
        ]
        return sorted(others, key=lambda each: each.last_activity, reverse=True)

    async def _apps(self, found: Found) -> tuple[App, ...]:
        if found.offline is None:
            return ()
        refs = sorted(found.offline.refresh.items())
        shown = []
        for client_id, ref in refs:
            client = await self.storage.clients.find(client_id)
            name = client.name if client is not None and client.name else client_id
            used = max(ref.last_used, ref.created_at)
            shown.append(App(client_id, name, _iso(used), _text(used)))
        return tuple(shown)


def _place(session: AuthSession) -> Place:
    return Place(
        session.id,
        browsers.name_of(session.user_agent),
        session.ip_address,
        _iso(session.last_activity),
        _text(session.last_activity),
    )


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(moment: datetime) -> str:
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"
