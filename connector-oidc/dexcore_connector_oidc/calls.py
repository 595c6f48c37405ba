"""What we ask of the upstream provider's endpoints, other than its documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import orjson

from dexcore.errors import UpstreamError
from dexcore.http import Answer, HttpClient
from dexcore.oauth2.words import quote

from .authentication import ClientAuthentication
from .provider import Provider

__all__ = ["Calls", "Refused", "TokenAnswer", "UserInfoRefused"]

# RFC 6749 section 5.2: what a provider says that did not see, or like, our proof.
_DID_NOT_KNOW_US = ("invalid_client", "invalid_request", "unauthorized_client", "")


class Refused(UpstreamError):
    """The token endpoint said no; ``error`` is its word for it, if it has one."""

    def __init__(self, message: str, error: str) -> None:
        super().__init__(message)
        self.error = error


class UserInfoRefused(UpstreamError):
    """The UserInfo endpoint does not take this access token; ``status`` is why.

    401 is for one that is no good any more, 403 for one that is not enough (RFC 6750
    section 3.1).
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@attrs.frozen
class TokenAnswer:
    """What the token endpoint gave; the last two are empty if it did not."""

    access_token: str = attrs.field(repr=False)
    id_token: str = attrs.field(default="", repr=False)
    refresh_token: str = attrs.field(default="", repr=False)


@attrs.define(eq=False)
class Calls:
    """Calls the provider as the client that we are to it.

    ``_method`` is the way to authenticate that it took last time.
    """

    http: HttpClient
    authentication: ClientAuthentication
    _method: str = attrs.field(default="", init=False)

    async def exchange(
        self, provider: Provider, code: str, redirect_uri: str, verifier: str
    ) -> TokenAnswer:
        """Trade an authorization code (RFC 6749 section 4.1.3); raise ``Refused``."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
        }
        if verifier:
            form["code_verifier"] = verifier
        return await self._tokens(provider, form)

    async def refresh(self, provider: Provider, refresh_token: str) -> TokenAnswer:
        """Trade a refresh token (section 6); raise ``Refused``."""
        return await self._tokens(
            provider,
            {"grant_type": "refresh_token", "refresh_token": refresh_token},
        )

    async def introspect(self, provider: Provider, token: str) -> dict[str, Any]:
        """Return what an access token is good for (RFC 7662); raise ``Refused``."""
        return await self._asked(
            provider,
            "introspection_endpoint",
            {"token": token, "token_type_hint": "access_token"},
        )

    async def userinfo(self, provider: Provider, access_token: str) -> Answer:
        """Return the answer of the UserInfo endpoint (Core section 5.3).

        Raises ``UserInfoRefused`` if the token is no good there.
        """
        answer = await self.http.get(
            provider.endpoint("userinfo_endpoint"),
            headers={
                "Authorization": f"Bearer {access_token}",
                "Accept": "application/json, application/jwt",
            },
        )
        if answer.status in (401, 403):
            raise UserInfoRefused(
                f"{answer.call} answered {answer.status}.", answer.status
            )
        return answer.check()

    async def _tokens(self, provider: Provider, form: dict[str, str]) -> TokenAnswer:
        document = await self._asked(provider, "token_endpoint", form)
        found = TokenAnswer(
            *(
                text if isinstance(text := document.get(name), str) else ""
                for name in ("access_token", "id_token", "refresh_token")
            )
        )
        if not found.access_token:
            raise UpstreamError("The token endpoint gave no access token.")
        return found

    async def _asked(
        self, provider: Provider, endpoint: str, form: Mapping[str, str]
    ) -> dict[str, Any]:
        """Post *form*, with proof of who we are; find out which proof is taken."""
        methods = self.authentication.methods(provider)
        if self._method in methods:
            return await self._post(provider, endpoint, form, self._method)
        for method in methods[:-1]:
            try:
                return await self._post(provider, endpoint, form, method)
            except Refused as refused:
                # Whoever looked at the code knew us: it must not be sent again.
                if refused.error not in _DID_NOT_KNOW_US:
                    raise
        return await self._post(provider, endpoint, form, methods[-1])

    async def _post(
        self, provider: Provider, endpoint: str, form: Mapping[str, str], method: str
    ) -> dict[str, Any]:
        proof = self.authentication.prove(method, provider)
        answer = await self.http.post(
            provider.endpoint(endpoint),
            form={**form, **proof.form},
            headers=proof.headers,
        )
        error, words = _error_of(answer)
        if error or (400 <= answer.status < 500 and answer.status != 429):
            raise Refused(
                f"{answer.call} answered {answer.status} {quote(error)}{words}.", error
            )
        document = answer.check().object()
        self._method = method
        return document


def _error_of(answer: Answer) -> tuple[str, str]:
    """Return the error code, and the description as it may stand in a log.

    Some providers say 200 and mean an error.
    """
    try:
        document = orjson.loads(answer.body)
    except ValueError:
        return "", ""
    if not isinstance(document, dict) or answer.status >= 500:
        return "", ""
    error, words = document.get("error"), document.get("error_description")
    return (
        error if isinstance(error, str) else "",
        f": {quote(words)}" if isinstance(words, str) else "",
    )
