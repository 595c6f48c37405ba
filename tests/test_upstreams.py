"""A double of an upstream: what it remembers, and how it fails."""

from __future__ import annotations

import contextlib
import gc
import socket
import ssl

import aiohttp
import pytest

from aiohttp import web

from dexcore.errors import UpstreamError, UpstreamUnavailable
from dexcore.http import TLS, HttpClient
from dexcore.testing.upstreams import TROUBLES, Upstream

USER = {"id": 7, "login": "jane"}


class Toys(Upstream):
    """A double with a memory."""

    def __init__(self, **options):
        super().__init__(**options)
        self.users = {"jane": 7}

    def routes(self):
        return [web.get("/users/{name}", self.user)]

    async def user(self, request):
        return web.json_response({"id": self.users[request.match_info["name"]]})


@pytest.fixture
def upstream():
    with Upstream({"/user": USER, "/echo": lambda seen: dict(seen.form)}) as upstream:
        yield upstream


@pytest.fixture
async def client():
    client = HttpClient(timeout=0.5)
    yield client
    await client.close()


async def test_it_answers_from_its_table_and_knows_what_it_was_asked(upstream, client):
    answer = await client.get(upstream.url + "/user", params={"q": "1"})
    assert answer.check().object() == USER
    echoed = await client.post(upstream.url + "/echo", form={"a": "ä&", "b": ""})
    assert echoed.object() == {"a": "ä&", "b": ""}
    assert (await client.get(upstream.url + "/nothing")).status == 404
    [user] = upstream.asked("/user")
    assert (user.method, user.query["q"]) == ("GET", "1")
    assert user.headers["user-agent"] == "dexcore"
    assert upstream.asked("/echo")[0].form["a"] == "ä&"
    assert [seen.path for seen in upstream.requests] == ["/user", "/echo", "/nothing"]


async def test_a_subclass_has_routes_and_a_memory(client):
    with Toys() as toys:
        toys.users["joe"] = 8
        assert (await client.get(toys.url + "/users/joe")).object() == {"id": 8}


def test_it_needs_no_event_loop():
    with Upstream({"/user": USER}) as upstream, upstream.down():
        pass
    assert upstream.requests == []


async def test_it_speaks_tls_with_an_authority_of_its_own():
    with Upstream({"/user": USER}, tls=True) as upstream:
        trusting = HttpClient(TLS(root_cas=(upstream.ca,)))
        assert (await trusting.get(upstream.url + "/user")).object() == USER
        await trusting.close()
        stranger = HttpClient()
        with pytest.raises(UpstreamError, match="certificate"):
            await stranger.get(upstream.url + "/user")
        await stranger.close()


async def test_down_refuses_connections_and_up_listens_on_the_same_port(
    upstream, client
):
    url = upstream.url + "/user"
    assert (await client.get(url)).status == 200
    with upstream.down(), pytest.raises(UpstreamUnavailable):
        await client.get(url)
    assert (await client.get(url)).object() == USER
    upstream.down()
    upstream.down()
    upstream.up()
    upstream.up()
    assert (await client.get(url)).object() == USER


@pytest.mark.parametrize("name", TROUBLES)
async def test_in_every_trouble_there_is_no_answer_to_be_had(upstream, client, name):
    url = upstream.url + "/user"
    with getattr(upstream, name)(), pytest.raises(UpstreamError):
        (await client.get(url, redirects=3)).check().object()
    assert (await client.get(url)).object() == USER


@pytest.mark.parametrize("name", sorted(set(TROUBLES) - {"down"}))
async def test_trouble_can_be_confined_to_a_path(upstream, client, name):
    getattr(upstream, name)(path="/echo")
    assert (await client.get(upstream.url + "/user")).object() == USER
    upstream.heal()
    echoed = await client.post(upstream.url + "/echo", form={"a": "b"})
    assert echoed.object() == {"a": "b"}


async def test_a_huge_answer_is_right_but_for_its_size(upstream):
    with upstream.huge(1 << 20) as trouble:
        patient = HttpClient(limit=1 << 22)
        assert (await patient.get(upstream.url + "/user")).object() == USER
        await patient.close()
    assert trouble.sent > 1 << 20


async def test_it_knows_that_a_client_did_not_take_it_all(upstream, client):
    with upstream.huge() as trouble, pytest.raises(UpstreamError, match="more than"):
        await client.get(upstream.url + "/user")
    assert 0 < trouble.sent < 32 << 20


async def test_a_bomb_is_right_for_whoever_unpacks_it_all(upstream):
    with upstream.bomb(1 << 20):
        patient = HttpClient(limit=1 << 22)
        assert (await patient.get(upstream.url + "/user")).object() == USER
        await patient.close()


async def test_a_redirect_loop_comes_back_for_ever(upstream):
    async with aiohttp.ClientSession() as session:
        with upstream.redirect_loop(), pytest.raises(aiohttp.TooManyRedirects):
            await session.get(upstream.url + "/user")
    assert len(upstream.asked("/user")) > 5


async def test_two_doubles_have_two_ports_and_two_authorities():
    with Upstream(tls=True) as one, Upstream(tls=True) as other:
        assert one.port != other.port
        assert one.ca != other.ca
        assert ssl.PEM_cert_to_DER_cert(one.ca)


def test_whoever_has_just_come_is_cut_when_it_closes():
    for _ in range(20):
        upstream = Upstream().start()
        with socket.create_connection(("127.0.0.1", upstream.port), timeout=5) as come:
            upstream.close()
            with contextlib.suppress(ConnectionResetError):
                assert come.recv(1) == b""
    gc.collect()  # a connection that was lost complains when it goes
