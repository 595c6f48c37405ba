"""Trading codes and refresh tokens for tokens (RFC 6749 sections 4.1.3, 5 and 6)."""

from __future__ import annotations

import base64

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qsl, quote_plus

import attrs

from ..errors import UpstreamError, UpstreamUnavailable
from ..http import Answer, HttpClient
from ..oauth2.times import utcnow
from ..storage.records import ZERO_TIME
from .authorization import said_by
from .tokens import Tokens

__all__ = ["TokenEndpoint", "TokenRefused"]

#: How a client proves who it is: HTTP Basic, or in the form (RFC 6749 section 2.3.1).
Way = Literal["basic", "post"]

_NOT_NOW = 429
_MOST_FIELDS = 200


class TokenRefused(UpstreamError):
    """The token endpoint said no, in these words (RFC 6749 section 5.2)."""

    def __init__(self, message: str, error: str, description: str) -> None:
        super().__init__(message)
        self.error = error
        self.description = description


@attrs.define(eq=False)
class TokenEndpoint:
    """Trades codes and refresh tokens for tokens.

    The client proves who it is in the first of ``ways``; a provider that does not take
    that is asked once more in the next one, and from then on in the one it took.
    """

    http: HttpClient
    url: str
    client_id: str
    client_secret: str = attrs.field(repr=False)
    ways: tuple[Way, ...] = ("basic", "post")
    now: Callable[[], datetime] = utcnow

    async def exchange(
        self, code: str, redirect_uri: str, verifier: str = ""
    ) -> Tokens:
        """Return what *code* is good for (RFC 6749 section 4.1.3).

        Raises :class:`TokenRefused`, and what :class:`~dexcore.http.HttpClient` does.
        """
        form = {"code": code, "redirect_uri": redirect_uri}
        if verifier:
            form["code_verifier"] = verifier
        return await self._ask({"grant_type": "authorization_code", **form})

    async def refresh(self, refresh_token: str) -> Tokens:
        """Return new tokens (RFC 6749 section 6); the old refresh token may stay.

        Raises as :meth:`exchange` does.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        tokens = await self._ask(form)
        if tokens.refresh_token:
            return tokens
        return attrs.evolve(tokens, refresh_token=refresh_token)

    async def _ask(self, form: Mapping[str, str]) -> Tokens:
        # Who has no secret can only say its name.
        ways = self.ways if self.client_secret else ("post",)
        for way in ways:
            answer = await self.http.post(self.url, **self._request(form, way))
            try:
                tokens = _tokens(answer, self.now())
            except UpstreamError as error:
                if way == ways[-1] or not _asks_for_another_proof(answer, error):
                    raise
            else:
                if way != self.ways[0] and self.client_secret:
                    self.ways = (way, *(other for other in ways if other != way))
                return tokens
        raise AssertionError("There is always a way.")

    def _request(self, form: Mapping[str, str], way: str) -> dict[str, Any]:
        if way == "basic":
            # RFC 6749 section 2.3.1: encoded as in a form, then as Basic wants it.
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
            proof = base64.b64encode(pair.encode("ascii")).decode("ascii")
            return {"form": form, "headers": {"Authorization": f"Basic {proof}"}}
        proof_fields = {"client_id": self.client_id}
        if self.client_secret:
            proof_fields["client_secret"] = self.client_secret
        return {"form": {**form, **proof_fields}}


def _asks_for_another_proof(answer: Answer, error: UpstreamError) -> bool:
    """Say whether the provider may only not have taken how the client proves itself.

    Not all say ``invalid_client`` then; but ``invalid_grant`` says who knows us.
    """
    if isinstance(error, TokenRefused):
        return error.error != "invalid_grant"
    return answer.status >= 400 and not isinstance(error, UpstreamUnavailable)


def _tokens(answer: Answer, now: datetime) -> Tokens:
    """Return the tokens of *answer*; some providers answer errors with 200."""
    if answer.status >= 500 or answer.status == _NOT_NOW:
        answer.check()
    fields = _fields(answer)
    error = fields.get("error")
    if error:
        description = str(fields.get("error_description") or "")
        said = f"{answer.call} refused: {said_by(error, description)}."
        raise TokenRefused(said, str(error), description)
    answer.check()
    access_token = fields.get("access_token")
    if not isinstance(access_token, str) or not access_token:
        raise UpstreamError(f"{answer.call} answered without an access token.")
    refresh_token = fields.get("refresh_token")
    return Tokens(
        access_token=access_token,
        refresh_token=refresh_token if isinstance(refresh_token, str) else "",
        expiry=_expiry(fields.get("expires_in"), now),
        token_type=_token_type(fields.get("token_type")),
        fields=fields,
    )


def _fields(answer: Answer) -> Mapping[str, Any]:
    """Return the answer's fields: JSON, or a form as providers before RFC 6749 sent."""
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    forms = kind in ("application/x-www-form-urlencoded", "text/plain")
    if forms and not answer.body.lstrip().startswith(b"{"):
        try:
            return dict(parse_qsl(answer.text(), max_num_fields=_MOST_FIELDS))
        except ValueError as error:
            raise UpstreamError(f"{answer.call} answered no form: {error}.") from error
    if answer.status >= 300:
        try:
            return answer.object()
        except UpstreamError:
            return {}  # its status says enough
    return answer.object()


def _expiry(expires_in: Any, now: datetime) -> datetime:
    """Return when; *expires_in* is a number of seconds, or one in quotation marks."""
    try:
        seconds = float(expires_in)
        return now + timedelta(seconds=seconds) if seconds > 0 else ZERO_TIME
    except (TypeError, ValueError, OverflowError):
        return ZERO_TIME


def _token_type(said: Any) -> str:
    if not isinstance(said, str) or said.lower() in ("", "bearer"):
        return "Bearer"  # RFC 6749 section 5.1: case does not matter
    return said
