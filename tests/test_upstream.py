"""The client's side of OAuth 2.0, as connectors use it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import attrs
import pytest

from aiohttp import web
from dexcore_storage_memory.storage import MemoryStorage
from multidict import MultiDict

from dexcore.connector import Callback, ConnectorContext, Identity
from dexcore.errors import AccessDenied, UpstreamError, UpstreamUnavailable
from dexcore.http import HttpClient
from dexcore.storage import ZERO_TIME, OfflineSessions, RefreshTokenRef
from dexcore.testing.upstreams.oauth2 import OAuth2Provider, User
from dexcore.upstream import (
    TokenEndpoint,
    TokenRefused,
    Tokens,
    TokensRevoked,
    authorization_url,
    challenge,
    code_of,
    new_verifier,
    redirect_uri_of,
    refresh_with_newest,
)

NOW = datetime(2026, 8, 6, 12, 30, 45, 123456, tzinfo=UTC)
CALLBACK = "https://dex.example/callback"


@pytest.fixture
def provider():
    with OAuth2Provider() as provider:
        provider.users["jane"] = User()
        yield provider


@pytest.fixture
async def endpoint(provider):
    http = HttpClient()
    yield TokenEndpoint(
        http,
        f"{provider.url}/token",
        provider.client_id,
        provider.client_secret,
        now=lambda: NOW,
    )
    await http.close()


def code(provider, **query):
    url = authorization_url(f"{provider.url}/authorize", {"redirect_uri": "u", **query})
    return provider.visit(url, "jane")["code"]


# — tokens -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "data"),
    [
        (Tokens("a"), b'{"accessToken":"a","expiry":"0001-01-01T00:00:00Z"}'),
        (
            Tokens("a<", "r", NOW),
            rb'{"accessToken":"a\u003c","refreshToken":"r",'
            rb'"expiry":"2026-08-06T12:30:45.123456Z"}',
        ),
        (
            Tokens("a", "r", NOW.replace(microsecond=0)),
            b'{"accessToken":"a","refreshToken":"r","expiry":"2026-08-06T12:30:45Z"}',
        ),
    ],
)
def test_tokens_are_kept_as_dex_keeps_them(tokens, data):
    assert tokens.dump() == data
    assert Tokens.load(data) == tokens


def test_what_a_dex_in_another_time_zone_has_kept_is_read():
    data = b'{"accessToken":"a","refreshToken":"","expiry":"2026-08-06T14:30:45+02:00"}'

    assert Tokens.load(data) == Tokens("a", "", NOW.replace(microsecond=0))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"accessToken":5}'])
def test_what_is_no_token_is_none(data):
    assert Tokens.load(data) is None


def test_a_token_is_not_used_in_its_last_ten_seconds():
    tokens = Tokens("a", expiry=NOW)

    assert not tokens.expired(NOW - timedelta(seconds=10.1))
    assert tokens.expired(NOW - timedelta(seconds=10))
    assert not Tokens("a").expired(NOW)


def test_tokens_are_never_shown():
    assert "secret" not in repr(
        Tokens("secret", "secret", fields={"id_token": "secret"})
    )


# — there and back ---------------------------------------------------------------------


def test_a_challenge_is_the_hash_of_its_verifier():
    verifier = new_verifier()
    digest = hashlib.sha256(verifier.encode()).digest()

    assert len(verifier) == 43
    assert new_verifier() != verifier
    assert challenge(verifier) == {
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }


def test_the_address_is_written_as_go_writes_it():
    url = authorization_url("https://x/a?t=1", {"b": "~ä*", "a": "x y", "c": ""})

    assert url == "https://x/a?t=1&a=x+y&b=~%C3%A4%2A&c="


@pytest.mark.parametrize("uri", ["", CALLBACK, f"{CALLBACK}/a%2Fb"])
def test_browsers_come_back_to_the_common_place_or_to_the_connectors_own(uri):
    assert redirect_uri_of(uri, CALLBACK, "a/b") == (uri or CALLBACK)


@pytest.mark.parametrize("uri", [f"{CALLBACK}/", f"{CALLBACK}/other", "http://x"])
def test_they_do_not_come_back_elsewhere(uri):
    with pytest.raises(UpstreamError, match="come back to 'https://dex"):
        redirect_uri_of(uri, CALLBACK, "a/b")


def test_what_is_said_upstream_is_shortened_and_printable():
    query = MultiDict(error="x" * 99, error_description='\n"<ä>')
    empty = MultiDict()
    with pytest.raises(UpstreamError) as refused:
        code_of(Callback(query, empty, empty, CALLBACK))

    assert f'"{"x" * 60}..." "??<?>"' in str(refused.value)


# — the token endpoint -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expiry"),
    [
        (60, NOW + timedelta(minutes=1)),
        ("60", NOW + timedelta(minutes=1)),
        (1.5, NOW + timedelta(seconds=1.5)),
        (0, ZERO_TIME),
        (-1, ZERO_TIME),
        (None, ZERO_TIME),
        ("soon", ZERO_TIME),
        ([], ZERO_TIME),
        (1e300, ZERO_TIME),
    ],
)
async def test_it_says_how_long_a_token_lives(provider, endpoint, said, expiry):
    provider.token_fields = {"expires_in": said}

    assert (await endpoint.exchange(code(provider), "u")).expiry == expiry


@pytest.mark.parametrize("rotates", [True, False])
async def test_a_refresh_token_that_is_not_replaced_stays(provider, endpoint, rotates):
    provider.rotates = rotates
    before = await endpoint.exchange(code(provider), "u")
    after = await endpoint.refresh(before.refresh_token)

    assert after.access_token != before.access_token
    assert (after.refresh_token != before.refresh_token) is rotates
    assert after.refresh_token in provider.refresh_tokens
    assert after.fields["token_type"] == "bearer"


async def test_a_refusal_says_which(provider, endpoint):
    with pytest.raises(TokenRefused) as refused:
        await endpoint.refresh("a secret")

    assert refused.value.error == "invalid_grant"
    assert "secret" not in str(refused.value)
    assert len(provider.requests) == 1


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_provider_that_cannot_answer_now_is_asked_once(
    provider, endpoint, status
):
    with provider.status(status), pytest.raises(UpstreamUnavailable):
        await endpoint.refresh("r")

    assert len(provider.requests) == 1


@pytest.mark.parametrize("status", [503, 429])
async def test_nor_does_it_refuse_if_it_says_that_as_an_error(
    provider, endpoint, status
):
    said = web.json_response({"error": "invalid_grant"}, status=status)
    provider.answers["/busy"] = said
    endpoint.url = f"{provider.url}/busy"
    with pytest.raises(UpstreamUnavailable, match=f"answered {status}"):
        await endpoint.refresh("r")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
async def test_json_that_is_called_something_else_is_read(provider, endpoint, kind):
    answer = web.Response(text='{"access_token": "a&b"}', content_type=kind)
    provider.answers["/odd"] = answer
    endpoint.url = f"{provider.url}/odd"

    assert (await endpoint.exchange("c", "u")).access_token == "a&b"


async def test_a_form_of_thousands_of_fields_is_none(provider, endpoint):
    provider.form_answers = True
    provider.token_fields = {f"f{number}": "" for number in range(300)}
    with pytest.raises(UpstreamError, match="answered no form"):
        await endpoint.exchange(code(provider), "u")


async def test_an_authorization_request_of_ours_is_answered(provider, endpoint):
    verifier = new_verifier()
    sent = parse_qs(authorization_url("", challenge(verifier)).lstrip("?"))
    found = code(provider, **{name: value for name, (value,) in sent.items()})

    tokens = await endpoint.exchange(found, "u", verifier)
    assert tokens.authorization == f"Bearer {tokens.access_token}"


# — refreshing with the newest ---------------------------------------------------------

JANE = Identity("7", connector_data=b"old")


def good(*right):
    """Return what takes only some data, and what it was given."""
    given = []

    async def attempt(data):
        given.append(data)
        if data not in right:
            raise TokensRevoked("The provider said no.")
        return attrs.evolve(JANE, connector_data=data)

    return attempt, given


async def test_what_is_good_is_used_once():
    attempt, given = good(b"old")
    async with _context() as context:
        assert await refresh_with_newest(context, JANE, attempt) == JANE
    assert given == [b"old"]


async def test_what_another_refresh_has_replaced_meanwhile_is_used_instead():
    attempt, given = good(b"new")
    async with _context() as context:
        refreshing = asyncio.create_task(refresh_with_newest(context, JANE, attempt))
        await asyncio.sleep(0)
        await context.keep(JANE, b"new")
        assert (await refreshing).connector_data == b"new"
    assert given == [b"old", b"new"]


@pytest.mark.parametrize("kept", [b"", b"old", b"revoked, too"])
async def test_who_has_nothing_better_must_log_in_again(kept):
    attempt, given = good()
    async with _context() as context:
        if kept:
            await context.keep(JANE, kept)
        with pytest.raises(AccessDenied, match="log in again"):
            await refresh_with_newest(context, JANE, attempt)
    again = [] if kept in (b"", b"old") else [kept]
    assert given == [b"old", *again]


async def test_an_upstream_that_is_down_is_no_reason_to_wait():
    async def attempt(data):
        raise UpstreamUnavailable("Down.")

    async with _context() as context:
        with pytest.raises(UpstreamUnavailable):
            await refresh_with_newest(context, JANE, attempt)


# — keeping what has been replaced -----------------------------------------------------


async def test_new_connector_data_is_kept_at_once_and_nothing_else_changes():
    async with _context() as context:
        reference = RefreshTokenRef("id", "app", NOW)
        session = OfflineSessions("7", "x", {"app": reference}, b"old")
        await context.storage.offline_sessions.create(session)
        assert await context.kept(Identity("7")) == b"old"
        await context.keep(Identity("7"), b"new")

        assert await context.kept(Identity("7")) == b"new"
        assert await context.storage.offline_sessions.get("7", "x") == attrs.evolve(
            session, connector_data=b"new"
        )


async def test_it_is_kept_for_who_has_lost_their_session_too():
    async with _context() as context:
        assert await context.kept(Identity("7")) == b""
        await context.keep(Identity("7"), b"new")

        assert await context.kept(Identity("7")) == b"new"
        assert await context.kept(Identity("8")) == b""


@asynccontextmanager
async def _context():
    storage = MemoryStorage()
    yield ConnectorContext("x", storage, logging.getLogger("test"))
    await storage.close()
