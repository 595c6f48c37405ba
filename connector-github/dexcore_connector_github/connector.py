"""Logging in with GitHub, and noticing later that somebody has left."""

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
    Tokens,
    TokensRevoked,
    refresh_with_newest,
)

from . import groups as groups_
from .api import Api, NotAllowed, User
from .config import GITHUB, Config
from .emails import choose

#: What the token endpoint says of a refresh token that is worth nothing.
_REVOKED = ("bad_refresh_token", "invalid_grant")


async def open_github(config: Config, context: ConnectorContext) -> GitHub:
    """Open ``github``.  GitHub is not asked until somebody logs in."""
    fields = {"fields": {"connector_id": context.id}}
    if config.org:
        context.log.warning("github: org is old; use orgs", extra=fields)
    if config.load_all_groups and config.restricted:
        context.log.warning(
            "github: loadAllGroups means nothing beside org or orgs", extra=fields
        )
    http = HttpClient(TLS(root_cas=(config.root_ca,)), timeout=context.timeout)
    host = config.host_name or GITHUB
    endpoint = TokenEndpoint(
        http,
        f"https://{host}/login/oauth/access_token",
        config.client_id,
        config.client_secret,
        ways=("post",),
    )
    base = f"https://{host}/api/v3" if config.enterprise else f"https://api.{GITHUB}"
    flow = CodeFlow(
        context,
        endpoint,
        f"https://{host}/login/oauth/authorize",
        config.redirect_uri,
        lambda refusal: refusal.error in _REVOKED,
    )
    return GitHub(config, context, http, flow, base)


@attrs.frozen(eq=False)
class GitHub(CallbackConnector, RefreshConnector):
    """github.com, or a GitHub Enterprise Server.

    ``base`` is where the API is.
    """

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
        wanted = ["user:email"]
        if self._needs_groups(scopes):
            wanted.append("read:org")
        return self.flow.begin(callback_url, state, wanted)

    async def finish(self, scopes: Scopes, callback: Callback) -> Identity:
        """Return who came back."""
        tokens = await self.flow.finish(callback)
        identity = await self._identity(scopes, tokens)
        if not scopes.offline_access:
            return identity
        return attrs.evolve(identity, connector_data=tokens.dump())

    # — refresh ------------------------------------------------------------------------

    async def refresh(self, scopes: Scopes, identity: Identity) -> Identity:
        """Return the end user as they are now."""
        return await refresh_with_newest(
            self.context, identity, partial(self._refreshed, scopes, identity)
        )

    async def _refreshed(
        self, scopes: Scopes, identity: Identity, connector_data: bytes
    ) -> Identity:
        tokens, connector_data = await self.flow.current(identity, connector_data)
        found = await self._identity(scopes, tokens)
        numbered = identity.user_id.isdecimal() and not self.config.use_login_as_id
        if numbered and identity.user_id != found.user_id:
            raise TokensRevoked("The token belongs to somebody else.")
        return attrs.evolve(
            identity,
            username=found.username,
            preferred_username=found.preferred_username,
            email=found.email,
            groups=found.groups if self._needs_groups(scopes) else identity.groups,
            connector_data=connector_data,
            claims=found.claims,
        )

    # — who it is ----------------------------------------------------------------------

    async def _identity(self, scopes: Scopes, tokens: Tokens) -> Identity:
        api = Api(self.http, self.base, tokens.authorization)
        try:
            user = await api.user()
        except NotAllowed as error:
            if not error.suspended:
                raise
            raise AccessDenied("This account is suspended at GitHub.") from None
        return Identity(
            user_id=self._user_id(user),
            username=user.name or user.login,
            preferred_username=user.login,
            email=await self._email(api, user),
            email_verified=True,
            groups=await self._groups(scopes, api, user),
            claims=user.claims,
        )

    async def _email(self, api: Api, user: User) -> str:
        domain = self.config.preferred_email_domain
        if user.email and not domain:
            return user.email
        emails = await api.emails()
        if self.config.enterprise:
            # A server may be set up without mail; then nothing is ever verified.
            emails = [attrs.evolve(email, verified=True) for email in emails]
        return choose(emails, domain)

    def _user_id(self, user: User) -> str:
        return user.login if self.config.use_login_as_id else str(user.id)

    def _needs_groups(self, scopes: Scopes) -> bool:
        return scopes.groups or self.config.restricted

    async def _groups(self, scopes: Scopes, api: Api, user: User) -> tuple[str, ...]:
        config = self.config
        if config.orgs:
            return await self._allowed(api, user)
        if config.org:
            await self._check_member(api, user, config.org)
            return groups_.names_of(
                await api.teams(), config.org, config.team_name_field
            )
        if scopes.groups and config.load_all_groups:
            return await self._everything(api)
        return ()

    async def _everything(self, api: Api) -> tuple[str, ...]:
        try:
            orgs, teams = await api.orgs(), await api.teams()
        except NotAllowed as error:
            # The token is from a login for an app that wanted no groups: only another
            # login brings one with the scope for them.
            raise TokensRevoked(str(error)) from error
        return groups_.of_all(orgs, teams, self.config.team_name_field)

    async def _allowed(self, api: Api, user: User) -> tuple[str, ...]:
        """Return the groups of the configured organizations they are in.

        Raises ``NotInRequiredGroups`` if they are in none of them.
        """
        found: list[str] = []
        admitted = False
        teams: list[groups_.Team] | None = None
        hints: list[str] = []
        for org in self.config.orgs:
            if not await self._is_member(api, user, org.name, hints):
                continue
            teams = await api.teams() if teams is None else teams
            names = groups_.of_org(org, teams, self.config.team_name_field)
            if names is not None:
                admitted = True
                found += names
        if not admitted:
            raise self._refusal(
                user, tuple(org.name for org in self.config.orgs), hints
            )
        return tuple(found)

    async def _check_member(self, api: Api, user: User, org: str) -> None:
        hints: list[str] = []
        if not await self._is_member(api, user, org, hints):
            raise self._refusal(user, (org,), hints)

    async def _is_member(
        self, api: Api, user: User, org: str, hints: list[str]
    ) -> bool:
        """Say whether *user* is in *org*; what may help them goes to *hints*."""
        try:
            return await api.is_member(org, user.login)
        except NotAllowed as error:
            # An organization may hide behind single sign-on, or from our app.
            self.context.log.warning("github: %s", error)
            if error.sso:
                hints.append(
                    f"The organization {org} wants you to sign on there and to let "
                    "this application in: see your settings at GitHub, Applications."
                )
            return False

    def _refusal(
        self, user: User, orgs: tuple[str, ...], hints: list[str]
    ) -> NotInRequiredGroups:
        refusal = "You are not a member of any of the required organizations or teams."
        return NotInRequiredGroups(
            " ".join([refusal, *hints]),
            user_id=self._user_id(user),
            groups=orgs,
        )
