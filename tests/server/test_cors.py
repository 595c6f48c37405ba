"""Which scripts may read our answers: dex's table, row by row."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from aiohttp import ClientResponse, ClientSession, web
from aiohttp.test_utils import TestServer

from dexcore.server.cors import Cors

APP = "https://app.example.com"
OTHER = "https://other.example.com"
ALLOW = "Access-Control-Allow-Origin"

Ask = Callable[..., Coroutine[Any, Any, ClientResponse]]
Serve = Callable[..., Coroutine[Any, Any, Ask]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[TestServer] = []
    async with ClientSession() as session:

        async def start(cors: Cors, told: tuple[str, ...] = ()) -> Ask:
            async def handler(request: web.Request) -> web.Response:
                return web.Response(
                    text=request.method, headers=dict.fromkeys(told, "1")
                )

            app = web.Application()
            app.router.add_route("*", "/keys", cors.wrap(handler))
            server = TestServer(app)
            servers.append(server)
            await server.start_server()

            async def ask(method: str = "GET", **headers: str) -> ClientResponse:
                named = {name.replace("_", "-"): v for name, v in headers.items()}
                async with session.request(
                    method, server.make_url("/keys"), headers=named
                ) as response:
                    await response.read()
                    return response

            return ask

        yield start
        for server in servers:
            await server.close()


async def test_without_origins_the_handler_gets_everything(serve: Serve) -> None:
    ask = await serve(Cors())
    response = await ask("OPTIONS", Origin=APP, Access_Control_Request_Method="GET")
    assert await response.text() == "OPTIONS"
    assert ALLOW not in response.headers


@pytest.mark.parametrize("origin", [None, OTHER, "null", APP.upper()])
async def test_another_origin_gets_the_answer_unmarked_and_an_empty_preflight(
    serve: Serve, origin: str | None
) -> None:
    ask = await serve(Cors((APP,)))
    headers = {"Origin": origin} if origin else {}
    got = await ask("GET", **headers)
    preflight = await ask("OPTIONS", Access_Control_Request_Method="GET", **headers)
    assert await got.text() == "GET"
    assert (preflight.status, await preflight.text()) == (200, "")
    assert ALLOW not in got.headers
    assert ALLOW not in preflight.headers


async def test_the_null_origin_is_nobody_even_where_everybody_may(serve: Serve) -> None:
    ask = await serve(Cors(("*",)))
    assert ALLOW not in (await ask("GET", Origin="null")).headers


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 400),
        ({"Access_Control_Request_Method": "DELETE"}, 405),
        (
            {
                "Access_Control_Request_Method": "POST",
                "Access_Control_Request_Headers": "X-Other",
            },
            403,
        ),
    ],
)
async def test_a_preflight_for_what_is_not_allowed_is_refused(
    serve: Serve, asked: dict[str, str], status: int
) -> None:
    ask = await serve(Cors((APP,)))
    response = await ask("OPTIONS", Origin=APP, **asked)
    assert (response.status, await response.text()) == (status, "")
    assert ALLOW not in response.headers


async def test_a_preflight_names_the_special_headers_that_were_asked_for(
    serve: Serve,
) -> None:
    ask = await serve(Cors((APP,), ("authorization", "x-request-id")))
    response = await ask(
        "OPTIONS",
        Origin=APP,
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="accept, authorization,X-REQUEST-ID",
    )
    assert (response.status, await response.text()) == (200, "")
    assert response.headers["Access-Control-Allow-Headers"] == (
        "Authorization,X-Request-Id"
    )
    assert response.headers[ALLOW] == APP
    assert "Access-Control-Allow-Methods" not in response.headers
    assert "Access-Control-Max-Age" not in response.headers


async def test_a_preflight_for_simple_headers_names_none(serve: Serve) -> None:
    ask = await serve(Cors((APP,)))
    response = await ask("OPTIONS", Origin=APP, Access_Control_Request_Method="GET")
    assert response.status == 200
    assert "Access-Control-Allow-Headers" not in response.headers


@pytest.mark.parametrize(
    ("origins", "allowed", "vary"),
    [((APP,), APP, None), ((APP, OTHER), APP, "Origin"), (("*",), "*", None)],
)
async def test_an_allowed_origin_is_told_so_and_never_gets_credentials(
    serve: Serve, origins: tuple[str, ...], allowed: str, vary: str | None
) -> None:
    ask = await serve(Cors(origins))
    response = await ask("GET", Origin=APP)
    assert await response.text() == "GET"
    assert response.headers[ALLOW] == allowed
    assert response.headers.get("Vary") == vary
    assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize(
    "told", [(), ("WWW-Authenticate",), ("DPoP-Nonce", "Retry-After")], ids=len
)
async def test_a_script_reads_what_a_refusal_says_in_headers(
    serve: Serve, told: tuple[str, ...]
) -> None:
    ask = await serve(Cors((APP,)), told)
    exposed = "Access-Control-Expose-Headers"
    answer = await ask("GET", Origin=APP)
    assert answer.headers.get(exposed, "") == ", ".join(told)
    assert exposed not in (await ask("GET", Origin=OTHER)).headers
