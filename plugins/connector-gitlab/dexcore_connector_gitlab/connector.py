"""Logging in with GitLab, and noticing later that somebody has left."""

from __future__ import annotations

import asyncio

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
    TokenIdentityConnector,
)
from dexcore.errors import AccessDenied, ConfigError, NotInRequiredGroups
from dexcore.http import TLS, HttpClient
from dexcore.options import InvalidOption
from dexcore.storage.codec import json_codec
from dexcore.upstream import (
    CodeFlow,
    TokenEndpoint,
    Tokens,
    TokensRevoked,
    refresh_with_newest,
)

from .api import Api, Forbidden, Group, User
from .config import Config
from .groups import allowed, with_role

#: How many questions about one user are under way at once.
_AT_ONCE = 8

#: RFC 8693 section 3: what a client may hand in for an access token.
_TOKEN_TYPES = (
    "urn:ietf:params:oauth:token-type:access_token",
    "urn:ietf:params:oauth:token-type:id_token",
)


@attrs.frozen
class _Kept:
    """``connector_data``, as dex writes it for GitLab: without an expiry."""

    access_token: str = attrs.field(repr=False)
    refresh_token: str = attrs.field(repr=False)


_KEPT = json_codec(
    _Kept,
    {_Kept: {"access_token": "accessToken", "refresh_token": "refreshToken"}},
)


async def open_gitlab(config: Config, context: ConnectorContext) -> GitLab:
    """Open ``gitlab``.  GitLab is not asked until somebody logs in."""
    try:
        http = HttpClient(TLS((config.root_ca_data,)), timeout=context.timeout)
    except ConfigError as error:
        raise InvalidOption(
            f"invalid rootCAData: {error}",
            key="rootCAData",
            remedy="Write the PEM file in base64: base64 -w0 ca.pem.",
        ) from error
    base = (config.base_url or "https://gitlab.com").rstrip("/")
    endpoint = TokenEndpoint(
        http, f"{base}/oauth/token", config.client_id, config.client_secret
    )
    url = f"{base}/oauth/authorize"
    flow = CodeFlow(context, endpoint, url, config.redirect_uri)
    return GitLab(config, context, http, flow, base)


@attrs.frozen(eq=False)
class GitLab(CallbackConnector, RefreshConnector, TokenIdentityConnector):
    """gitlab.com, or a server of one's own at ``base``."""

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
        wanted = ["read_user"]
        if self._needs_groups(scopes):
            wanted.append("openid")
            if self.config.inherited_groups:
                wanted.append("read_api")
        return self.flow.begin(callback_url, state, wanted)

    async def finish(self, scopes: Scopes, callback: Callback) -> Identity:
        """Return who came back."""
        tokens = await self.flow.finish(callback)
        identity = await self._identity(scopes, tokens.authorization)
        if not scopes.offline_access:
            return identity
        return attrs.evolve(identity, connector_data=_dumped(tokens))

    # — later --------------------------------------------------------------------------

    async def refresh(self, scopes: Scopes, identity: Identity) -> Identity:
        """Return the end user as they are now."""
        return await refresh_with_newest(
            self.context, identity, partial(self._refreshed, scopes, identity)
        )

    async def token_identity(self, token_type: str, token: str) -> Identity:
        """Return whose *token* of GitLab it is.

        GitLab does not say which application it was issued to.
        """
        if token_type not in _TOKEN_TYPES:
            raise AccessDenied("GitLab's tokens are access tokens.")
        if not token.isascii() or not token.isprintable() or " " in token:
            raise AccessDenied("This is no access token of GitLab.")
        try:
            return await self._identity(Scopes(groups=True), f"Bearer {token}")
        except TokensRevoked:
            raise AccessDenied("GitLab does not know this token.") from None

    async def _refreshed(
        self, scopes: Scopes, identity: Identity, connector_data: bytes
    ) -> Identity:
        try:
            kept: _Kept = _KEPT.decode(connector_data)
        except ValueError:
            raise TokensRevoked("There are no tokens of theirs to use.") from None
        if kept.refresh_token:
            tokens = await self.flow.replaced(kept.refresh_token)
            connector_data = _dumped(tokens)
            await self.context.keep(identity, connector_data)
        elif kept.access_token:
            tokens = Tokens(kept.access_token)
        else:
            raise TokensRevoked("There are no tokens of theirs to use.")
        found = await self._identity(scopes, tokens.authorization)
        numbered = identity.user_id.isdecimal() and not self.config.use_login_as_id
        if numbered and identity.user_id != found.user_id:
            raise TokensRevoked("The token belongs to somebody else.")
        return attrs.evolve(found, connector_data=connector_data)

    # — who it is ----------------------------------------------------------------------

    async def _identity(self, scopes: Scopes, authorization: str) -> Identity:
        api = Api(self.http, self.base, authorization)
        try:
            user = await api.user()
        except Forbidden as error:
            if not error.blocked:
                raise
            raise AccessDenied("This account is blocked at GitLab.") from None
        groups: tuple[str, ...] = ()
        if self._needs_groups(scopes):
            groups = await self._groups(api, user)
        return Identity(
            user_id=self._user_id(user),
            username=user.name or user.email,
            preferred_username=user.username,
            email=user.email,
            email_verified=True,
            groups=groups,
            claims=user.claims,
        )

    def _needs_groups(self, scopes: Scopes) -> bool:
        return scopes.groups or bool(self.config.groups)

    async def _groups(self, api: Api, user: User) -> tuple[str, ...]:
        """Return the groups to tell of; raise ``NotInRequiredGroups``."""
        if self.config.inherited_groups:
            found = await self._inherited(api, user)
        else:
            found = await self._direct(api)
        if not self.config.groups:
            return tuple(found)
        kept = allowed(found, self.config.groups)
        if not kept:
            raise NotInRequiredGroups(
                user_id=self._user_id(user), groups=self.config.groups
            )
        return kept

    async def _direct(self, api: Api) -> list[str]:
        info = await api.user_info()
        found = list(info.groups)
        if self.config.get_groups_permission:
            found += (
                with_role(group, role)
                for group in info.groups
                if (role := info.role_in(group))
            )
        return found

    async def _inherited(self, api: Api, user: User) -> list[str]:
        groups = await api.groups()
        found = [group.path for group in groups]
        if not self.config.get_groups_permission:
            return found
        info = await api.user_info()
        rest = []
        for group in groups:
            role = info.role_in(group.path)
            if role:
                found.append(with_role(group.path, role))
            else:
                rest.append(group)
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def ask(group: Group) -> str:
            async with at_once:
                return await api.role(group, user)

        roles = await asyncio.gather(*map(ask, rest))
        found += (
            with_role(group.path, role)
            for group, role in zip(rest, roles, strict=True)
            if role
        )
        return found

    def _user_id(self, user: User) -> str:
        return user.username if self.config.use_login_as_id else str(user.id)


def _dumped(tokens: Tokens) -> bytes:
    return _KEPT.encode(_Kept(tokens.access_token, tokens.refresh_token))
