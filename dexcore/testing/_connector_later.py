"""What a connector does without a form: refresh, exchange, log out."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import attrs
import pytest

from multidict import CIMultiDict, MultiDict

from ..connector import (
    Callback,
    Identity,
    LogoutConnector,
    RefreshConnector,
    Scopes,
    TokenIdentityConnector,
)
from ..errors import AccessDenied, UpstreamError
from ..server.identity import claims_of, identity_of
from ._connector_base import (
    EVERYTHING,
    ConnectorContract,
    Open,
    Ready,
)
from ._connector_demands import answered, check_identity, must
from .journey import Journey
from .tokens import TokenError
from .upstreams import Upstream


class RefreshContract(ConnectorContract):
    """A ``RefreshConnector``, whether it asks its upstream or not."""

    calls: ClassVar[tuple[str, ...]] = ("refresh",)

    async def refresh(
        self, connector: Any, known: Identity, scopes: Scopes = EVERYTHING
    ) -> Identity:
        """Refresh *known* as the server does; return what it then knows."""
        __tracebackhide__ = True
        found = await answered(connector.refresh(scopes, remembered(known)))
        check_identity(found)
        assert isinstance(found, Identity)
        # What is empty replaces nothing: upstream often says a secret only once.
        data = found.connector_data or known.connector_data
        return attrs.evolve(found, connector_data=data)

    async def ready_refresh(self, connector: Any) -> Ready:
        """Log in; return the call that refreshes."""
        known = remembered(await self.log_in(connector))
        return partial(connector.refresh, EVERYTHING, known)

    async def test_a_refresh_knows_the_same_user(self, connector: Any) -> None:
        """For whoever asked for ``offline_access``."""
        must(
            isinstance(connector, RefreshConnector),
            "A connector that can refresh inherits from RefreshConnector: without it "
            "there are no refresh tokens.",
            connector,
        )
        known = await self.log_in(connector)
        found = await self.refresh(connector, known)
        must(
            found.user_id == known.user_id,
            f"refresh() returns the same user_id as the login, {known.user_id!r}.",
            found.user_id,
        )

    async def test_another_replica_refreshes_years_later(
        self, open_connector: Open
    ) -> None:
        """All it has are the claims and connector_data."""
        known = await self.log_in(await open_connector())
        for _ in range(3):
            known = await self.refresh(await open_connector(), known)

    async def test_a_refresh_for_less_loses_nothing(self, open_connector: Open) -> None:
        """A client may ask for fewer scopes now, and for all the next time."""
        connector = await open_connector()
        known = await self.log_in(connector)
        before = await self.refresh(connector, known)
        less = await self.refresh(connector, before, Scopes(offline_access=True))
        again = await self.refresh(connector, less)
        must(
            again.groups == before.groups,
            "A refresh without groups must not spoil the next one with them: keep what "
            f"it needs in connector_data. Groups were {before.groups!r}.",
            again.groups,
        )


class LiveRefreshContract(RefreshContract):
    """A ``RefreshConnector`` that asks its upstream who the user is now."""

    async def change(self, upstream: Any) -> None:
        """Let something about the user be different upstream: override this."""
        raise NotImplementedError("Override change().")

    async def remove(self, upstream: Any) -> None:
        """Let the upstream know the user no longer: override this."""
        raise NotImplementedError("Override remove().")

    async def test_a_refresh_tells_who_the_user_is_now(
        self, connector: Any, upstream: Any
    ) -> None:
        """Somebody has left a group, and an app must hear of it."""
        known = await self.refresh(connector, await self.log_in(connector))
        await self.change(upstream)
        found = await self.refresh(connector, known)
        must(
            claims_of(found) != claims_of(known),
            "refresh() returns the user as they are upstream now, not as at login.",
            found,
        )
        must(found.user_id == known.user_id, "The user_id stays.", found.user_id)

    async def test_who_is_gone_is_denied(self, connector: Any, upstream: Any) -> None:
        """Only AccessDenied ends it; after any other error the client tries again."""
        known = remembered(await self.log_in(connector))
        await self.remove(upstream)
        found = await answered(connector.refresh(EVERYTHING, known))
        must(
            isinstance(found, AccessDenied),
            "refresh() raises AccessDenied for a user who is gone: an UpstreamError "
            "would let their client try for ever.",
            found,
        )

    async def test_the_app_of_who_is_gone_gets_no_tokens(
        self, journey: Journey, upstream: Any
    ) -> None:
        """RFC 6749 section 5.2: ``invalid_grant``."""
        tokens = journey.refresh(await self.log_in_at(journey))
        await self.remove(upstream)
        with pytest.raises(TokenError, match="invalid_grant"):
            journey.refresh(tokens)

    async def test_a_refresh_that_failed_can_be_tried_again(
        self, journey: Journey, upstream: Any
    ) -> None:
        """Whatever was asked for last, what upstream replaced before is kept."""
        paths = await self._asked_paths(journey, upstream)
        tokens = await self.log_in_at(journey)
        for path in paths:
            trouble = upstream.status(500, path=path) if path else upstream.down()
            with trouble, pytest.raises(TokenError, match=r"50[023] "):
                journey.refresh(tokens)
            try:
                tokens = journey.refresh(tokens)
            except TokenError as error:
                must(
                    False,
                    f"After a refresh that failed at {path or 'the upstream'} the next "
                    "one works. If upstream replaces its refresh token each time, keep "
                    "the new one before you ask for anything else.",
                    error,
                )

    async def _asked_paths(self, journey: Journey, upstream: Any) -> list[str]:
        """Return the paths a refresh asks for, in their order."""
        if not isinstance(upstream, Upstream):
            return [""]
        tokens = await self.log_in_at(journey)
        before = len(upstream.requests)
        journey.refresh(tokens)
        asked = dict.fromkeys(seen.path for seen in upstream.requests[before:])
        must(bool(asked), "refresh() asks the upstream.")
        return list(asked)


class TokenIdentityContract(ConnectorContract):
    """A ``TokenIdentityConnector``: knows the user by a token of the upstream."""

    calls: ClassVar[tuple[str, ...]] = ("token_identity",)
    token_type: ClassVar[str] = "urn:ietf:params:oauth:token-type:access_token"

    async def token(self, upstream: Any) -> str:
        """Return a token of the upstream for the user: override this."""
        raise NotImplementedError("Override token().")

    async def ready_token_identity(self, connector: Any, upstream: Any) -> Ready:
        """Return the call with a good token."""
        token = await self.token(upstream)
        return partial(connector.token_identity, self.token_type, token)

    async def test_a_token_tells_who_it_is(self, connector: Any, upstream: Any) -> None:
        """The same person as by a login."""
        must(
            isinstance(connector, TokenIdentityConnector),
            "A connector that exchanges tokens inherits from TokenIdentityConnector.",
            connector,
        )
        found = await answered((await self.ready_token_identity(connector, upstream))())
        check_identity(found)
        assert isinstance(found, Identity)
        known = await self.log_in(connector)
        must(
            found.user_id == known.user_id,
            f"A token tells of the same user as the login, {known.user_id!r}.",
            found.user_id,
        )

    @pytest.mark.parametrize(
        "token",
        [
            "",
            "x",
            "a.b.c",
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
            "a b",
            "\r\nX-Admin: 1",
            "\N{PILE OF POO}",
            "x" * 100_000,
        ],
        ids=lambda token: repr(token[:12]),
    )
    async def test_garbage_tells_of_nobody(self, connector: Any, token: str) -> None:
        """Clients hand in what they got from anywhere."""
        found = await answered(connector.token_identity(self.token_type, token))
        must(
            isinstance(found, (AccessDenied, UpstreamError)),
            "token_identity() raises AccessDenied for a token that is none.",
            found,
        )

    async def test_a_token_of_another_type_is_denied(
        self, connector: Any, upstream: Any
    ) -> None:
        """RFC 8693 section 3."""
        token = await self.token(upstream)
        kind = "urn:ietf:params:oauth:token-type:saml2"
        found = await answered(connector.token_identity(kind, token))
        must(
            isinstance(found, AccessDenied),
            "token_identity() raises AccessDenied for a type of token it cannot read.",
            found,
        )


class LogoutContract(ConnectorContract):
    """A ``LogoutConnector``: the session upstream can be ended, too."""

    async def test_the_way_out_leads_back(self, connector: Any, options: Any) -> None:
        """And has no secret in it."""
        must(
            isinstance(connector, LogoutConnector),
            "A connector that logs out upstream inherits from LogoutConnector.",
            connector,
        )
        back = self.issuer + "/logout/callback"
        url = await answered(connector.logout_url(back))
        must(
            url is None or isinstance(url, str),
            "logout_url() returns a URL, or None if there is nowhere to go.",
            url,
        )
        if isinstance(url, str):
            must(
                url.startswith(("https://", "http://")),
                "logout_url() returns an absolute URL.",
                url,
            )
            for secret in self._secrets(options):
                must(secret not in url, "No secret goes through the browser.", url)

    async def test_whatever_comes_back_from_there_is_answered(
        self, connector: Any
    ) -> None:
        """The server only logs it: the user is logged out here anyway."""
        back = self.issuer + "/logout/callback"
        for query in ({}, {"state": "x"}, {"error": "x", "error_description": "\0"}):
            callback = Callback(MultiDict(query), MultiDict(), CIMultiDict(), back)
            found = await answered(connector.finish_logout(callback))
            must(
                found is None or isinstance(found, Exception),
                "finish_logout() returns nothing.",
                found,
            )


def remembered(identity: Identity) -> Identity:
    """Return what the server remembers of *identity*, and gives back at a refresh."""
    return identity_of(claims_of(identity), identity.connector_data)
