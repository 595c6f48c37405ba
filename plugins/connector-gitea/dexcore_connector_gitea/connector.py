"""Logging in with Gitea, and noticing later that somebody has left."""

from __future__ import annotations

from functools import partial

import attrs

from dexcore.connector import (
    Callback,
    CallbackConnector,
    ConnectorContext,
    Identity,
    Redirect,
    RefreshConnector,
    Scopes,
)
from dexcore.errors import AccessDenied, NotInRequiredGroups
from dexcore.http import TLS, HttpClient
from dexcore.upstream import (
    CodeFlow,
    TokenEndpoint,
    TokenRefused,
    Tokens,
    TokensRevoked,
    refresh_with_newest,
)

from . import groups as groups_
from .api import Api, Forbidden, User
from .config import Config


async def open_gitea(config: Config, context: ConnectorContext) -> Gitea:
    """Open ``gitea``.  Gitea is not asked until somebody logs in."""
    http = HttpClient(TLS(config.root_cas), timeout=context.timeout)
    base = (config.base_url or "https://gitea.com").rstrip("/")
    url = f"{base}/login/oauth/access_token"
    endpoint = TokenEndpoint(http, url, config.client_id, config.client_secret)
    flow = CodeFlow(
        context,
        endpoint,
        f"{base}/login/oauth/authorize",
        config.redirect_uri,
        _is_about_the_token,
    )
    return Gitea(config, context, http, flow, base)


@attrs.frozen(eq=False)
class Gitea(CallbackConnector, RefreshConnector):
    """The Gitea, or Forgejo, at ``base``."""

    config: Config
    context: ConnectorContext = attrs.field(repr=False)
    http: HttpClient
    flow: CodeFlow
    base: str

    async def close(self) -> None:
        """Close connections."""
        await self.http.close()

    # — login --------------------------------------------------------------------------

    async def begin(self, scopes: Scopes, callback_url: str, state: str) -> Redirect:
        """Return where the end user logs in."""
        return self.flow.begin(callback_url, state)

    async def finish(self, scopes: Scopes, callback: Callback) -> Identity:
        """Return who came back."""
        tokens = await self.flow.finish(callback)
        identity = await self._identity(tokens)
        if not scopes.offline_access:
            return identity
        return attrs.evolve(identity, connector_data=tokens.dump())

    # — refresh ------------------------------------------------------------------------

    async def refresh(self, scopes: Scopes, identity: Identity) -> Identity:
        """Return the end user as they are now."""
        return await refresh_with_newest(
            self.context, identity, partial(self._refreshed, identity)
        )

    async def _refreshed(self, identity: Identity, connector_data: bytes) -> Identity:
        tokens, connector_data = await self.flow.current(identity, connector_data)
        found = await self._identity(tokens)
        numbered = identity.user_id.isdecimal() and not self.config.use_login_as_id
        if numbered and identity.user_id != found.user_id:
            raise TokensRevoked("The token belongs to somebody else.")
        groups = found.groups if self._needs_groups() else identity.groups
        return attrs.evolve(found, groups=groups, connector_data=connector_data)

    # — who it is ----------------------------------------------------------------------

    async def _identity(self, tokens: Tokens) -> Identity:
        api = Api(self.http, self.base, tokens.authorization)
        try:
            user = await api.user()
        except Forbidden as error:
            if not error.prohibited:
                raise
            raise AccessDenied("This account may not sign in at Gitea.") from None
        return Identity(
            user_id=self._user_id(user),
            username=user.name or user.email,
            preferred_username=user.login,
            email=user.email,
            email_verified=True,
            groups=await self._groups(api, user) if self._needs_groups() else (),
            claims=user.claims,
        )

    def _needs_groups(self) -> bool:
        return bool(self.config.orgs) or self.config.load_all_groups

    async def _groups(self, api: Api, user: User) -> tuple[str, ...]:
        """Return the groups to tell of; raise ``NotInRequiredGroups``."""
        orgs, teams = self.config.orgs, await api.teams()
        if not orgs:
            return groups_.of_all(teams)
        found = groups_.of_orgs(orgs, teams)
        if not found:
            raise NotInRequiredGroups(
                "You are not a member of any of the required organizations or teams.",
                user_id=self._user_id(user),
                groups=tuple(org.name for org in orgs),
            )
        return found

    def _user_id(self, user: User) -> str:
        return user.login if self.config.use_login_as_id else str(user.id)


def _is_about_the_token(error: TokenRefused) -> bool:
    """Say whether it is the refresh token that is refused, and not our client.

    Gitea calls one that was used before ``unauthorized_client``, too.
    """
    if error.error == "unauthorized_client":
        return "token" in error.description
    return error.error == "invalid_grant"
