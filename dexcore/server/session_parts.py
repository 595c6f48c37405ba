"""What sessions, single sign-on and logout are made of, if they are on."""

from __future__ import annotations

import attrs

from .account import AccountPage
from .authorize.session import BeginSession, ReuseSession
from .channels import Handler
from .check_session import CheckSession
from .csrf import Csrf
from .guard import Guard
from .hints import IdTokenHints
from .logout.endpoint import LogoutEndpoint
from .logout.upstream import UpstreamLogout
from .parking import Parking
from .parts import Parts
from .policy import Policy
from .sealing import Sealer, derive
from .sessions.backchannel import BackChannel
from .sessions.bound import TokenSessions
from .sessions.cookie import SessionCookie, named
from .sessions.ending import Ending
from .sessions.forms import SessionForms
from .sessions.sessions import Sessions
from .sessions.sharing import Sharing
from .sessions.states import BrowserStates
from .tokens.refresh import RefreshTokens


@attrs.frozen(eq=False)
class SessionParts:
    """Everything that is there only because ``sessions`` is."""

    sessions: Sessions
    tokens: TokenSessions
    notices: BackChannel
    sharing: Sharing
    begin: BeginSession
    account: AccountPage
    logout: LogoutEndpoint
    check: CheckSession

    def reuse(self, parts: Parts, policy: Policy) -> ReuseSession:
        """Return the step that spares the login."""
        return ReuseSession(
            self.sessions,
            self.sharing,
            parts.connectors,
            policy,
            parts.subjects,
            parts.config.oauth2.always_show_login_screen,
            parts.audit,
            parts.now,
        )

    def routes(self) -> list[tuple[str, Handler]]:
        """Return the pages below the issuer."""
        return [
            *self.logout.routes(),
            *self.account.routes(),
            *self.check.routes(),
        ]


def session_parts(
    parts: Parts, refresh_tokens: RefreshTokens, strangers: Guard
) -> SessionParts | None:
    """Compose them, or return ``None`` if sessions are off."""
    options = parts.config.sessions
    if options is None:
        return None
    cookie = SessionCookie(
        named(options.cookie_name, parts.issuer, strict=parts.strict),
        options.cookie_encryption_key.encode(),
        parts.issuer,
        options.absolute_lifetime,
    )
    states = BrowserStates(
        named(f"{options.cookie_name}_state", parts.issuer, strict=parts.strict),
        derive(parts.secret, "browser states"),
        parts.issuer,
        options.absolute_lifetime,
    )
    sessions = Sessions(
        parts.storage,
        cookie,
        states,
        options.absolute_lifetime,
        options.valid_if_not_used_for,
        parts.now,
    )
    notices = BackChannel(
        parts.issuer.url,
        parts.signer,
        parts.session_names,
        frozenset(client.id for client in parts.config.static_clients),
        options.private_backchannel,
        parts.now,
    )
    ending = Ending(
        parts.storage,
        parts.clients,
        refresh_tokens,
        parts.subjects,
        notices,
        parts.audit,
    )
    forms = SessionForms(
        derive(parts.secret, "session forms"),
        Csrf(derive(parts.secret, "forms"), parts.issuer),
    )
    sealer = Sealer(derive(parts.secret, "logout"))
    return SessionParts(
        sessions=sessions,
        tokens=TokenSessions(
            parts.storage, sessions, parts.session_names, refresh_tokens
        ),
        notices=notices,
        sharing=Sharing(parts.storage, options.sso_shared_with_default == "all"),
        begin=BeginSession(sessions, parts.connectors, ending),
        account=AccountPage(
            sessions,
            ending,
            forms,
            parts.connectors,
            parts.storage,
            parts.pages,
            parts.issuer,
            bool(parts.signups),
        ),
        logout=LogoutEndpoint(
            sessions,
            ending,
            forms,
            hints_of(parts),
            parts.subjects,
            parts.session_names,
            parts.clients,
            UpstreamLogout(parts.connectors, sealer, parts.issuer, parts.now),
            Parking(parts.storage, strangers, parts.now),
            parts.pages,
            sealer,
            parts.issuer,
            options.frontchannel_logout_uris,
        ),
        check=CheckSession(parts.pages, states),
    )


def hints_of(parts: Parts) -> IdTokenHints:
    """Return what reads ``id_token_hint``, with sessions and without."""
    return IdTokenHints(
        parts.issuer.url, parts.signer, Sealer(derive(parts.secret, "hints"))
    )
