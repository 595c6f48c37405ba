"""The outgoing HTTP client, against servers that behave and servers that do not."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl

import pytest
import trustme

from aiohttp import web
from aiohttp.test_utils import TestServer

from dexcore.errors import ConfigError, UpstreamError, UpstreamUnavailable
from dexcore.http import TLS, HttpClient

SECRET = "a-secret-in-the-query"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@contextlib.asynccontextmanager
async def serving(handler):
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app, host="127.0.0.1") as server:
        yield server


@contextlib.asynccontextmanager
async def serving_tls(handler, authority, *, names=("localhost",), context=None):
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(context)
    server = TestServer(app, host="127.0.0.1", scheme="https")
    await server.start_server(ssl=context)
    try:
        yield f"https://localhost:{server.port}/"
    finally:
        await server.close()


@contextlib.asynccontextmanager
async def client(*args, **settings):
    opened = HttpClient(*args, **settings)
    try:
        yield opened
    finally:
        await opened.close()


async def hello(request):
    return web.json_response({"name": "jane", "at": request.path})


async def echo(request):
    return web.json_response(
        {
            "method": request.method,
            "path": request.path,
            "query": dict(request.query),
            "form": dict(await request.post()),
            "headers": dict(request.headers),
            "body": (await request.text())[:1000],
        }
    )


# — what is asked, and what comes back -------------------------------------------------


async def test_an_answer_is_read_whole():
    async with serving(hello) as server, client() as http:
        answer = await http.get(str(server.make_url("/user")))
    assert (answer.status, answer.object()) == (200, {"name": "jane", "at": "/user"})
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.check() is answer


async def test_parameters_are_added_to_the_query_that_is_there():
    async with serving(echo) as server, client() as http:
        url = str(server.make_url("/x?a=1"))
        seen = (await http.get(url, params={"b": "ä &"})).object()
    assert seen["query"] == {"a": "1", "b": "ä &"}


async def test_a_form_and_json_are_posted():
    async with serving(echo) as server, client() as http:
        url = str(server.make_url("/token"))
        form = (await http.post(url, form={"code": "a b&c"})).object()
        json = (await http.post(url, json={"code": "ä"})).object()
    assert form["form"] == {"code": "a b&c"}
    assert json["body"] == '{"code":"ä"}'
    assert json["headers"]["Content-Type"] == "application/json"
    assert json["headers"]["User-Agent"] == "dexcore"


async def test_no_cookie_is_kept():
    async def set_cookie(request):
        answer = web.json_response(dict(request.cookies))
        answer.set_cookie("session", "1")
        return answer

    async with serving(set_cookie) as server, client() as http:
        url = str(server.make_url("/"))
        await http.get(url)
        assert (await http.get(url)).object() == {}


# — what is wrong with an answer -------------------------------------------------------


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404])
async def test_a_status_that_is_a_no_is_an_upstream_error(status):
    async def refuse(request):
        return web.Response(status=status)

    async with serving(refuse) as server, client() as http:
        answer = await http.get(str(server.make_url(f"/user?token={SECRET}")))
    with pytest.raises(UpstreamError, match=f"/user answered {status}") as caught:
        answer.check()
    assert not isinstance(caught.value, UpstreamUnavailable)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_status_that_means_not_now_is_unavailable(status):
    async def refuse(request):
        return web.Response(status=status)

    async with serving(refuse) as server, client() as http:
        answer = await http.get(str(server.make_url("/")))
    with pytest.raises(UpstreamUnavailable):
        answer.check()


async def test_html_instead_of_json_is_said_to_be_html():
    async def page(request):
        return web.Response(text="<html>", content_type="text/html")

    async with serving(page) as server, client() as http:
        answer = await http.get(str(server.make_url("/")))
    with pytest.raises(UpstreamError, match=r"text/html.* not JSON"):
        answer.json()


async def test_json_that_is_a_list_is_no_object():
    async def page(request):
        return web.json_response([1])

    async with serving(page) as server, client() as http:
        answer = await http.get(str(server.make_url("/")))
    assert answer.json() == [1]
    with pytest.raises(UpstreamError, match="not an object"):
        answer.object()


async def test_no_more_is_read_than_the_limit():
    sent = 0

    async def endless(request):
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(10_000):
                await response.write(b"x" * 10_000)
                sent += 10_000
        return response

    async with serving(endless) as server, client(limit=100_000) as http:
        with pytest.raises(UpstreamError, match="more than 100000 bytes"):
            await http.get(str(server.make_url("/")))
    assert sent < 50_000_000


async def test_a_compressed_answer_counts_by_what_it_becomes():
    async def bomb(request):
        answer = web.Response(body=b"0" * 5_000_000)
        answer.enable_compression(web.ContentCoding.gzip)
        return answer

    async with serving(bomb) as server, client(limit=100_000) as http:
        with pytest.raises(UpstreamError, match="more than 100000 bytes"):
            await http.get(str(server.make_url("/")))


async def test_a_server_that_says_nothing_is_unavailable_after_the_timeout():
    async def wait(request):
        await asyncio.sleep(60)

    async with serving(wait) as server, client(timeout=0.05) as http:
        with pytest.raises(UpstreamUnavailable, match=r"within 0\.05 seconds"):
            await http.get(str(server.make_url(f"/?token={SECRET}")))


async def test_a_server_that_drips_does_not_outlast_the_timeout():
    async def drip(request):
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                await response.write(b"x")
                await asyncio.sleep(0.01)
        return response

    async with serving(drip) as server, client(timeout=0.2) as http:
        with pytest.raises(UpstreamUnavailable, match=r"within 0\.2 seconds"):
            await http.get(str(server.make_url("/")))


async def test_nobody_listening_is_unavailable(unused_tcp_port):
    async with client() as http:
        with pytest.raises(UpstreamUnavailable, match="Connect call failed") as caught:
            await http.get(f"http://127.0.0.1:{unused_tcp_port}/keys?token={SECRET}")
    assert SECRET not in str(caught.value)
    assert f"GET http://127.0.0.1:{unused_tcp_port}/keys" in str(caught.value)


async def test_a_connection_that_breaks_is_unavailable():
    async def hang_up(reader, writer):
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, client() as http:
        with pytest.raises(UpstreamUnavailable):
            await http.get(f"http://127.0.0.1:{port}/")


async def test_what_is_not_http_is_an_upstream_error():
    async def babble(reader, writer):
        await reader.readline()
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, client() as http:
        with pytest.raises(UpstreamError):
            await http.get(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "url",
    ["", "/keys", "ftp://host/x", "http://", "file:///etc/passwd", "http://[::1/"],
)
async def test_an_address_that_is_none_is_an_upstream_error(url):
    async with client() as http:
        with pytest.raises(UpstreamError, match="no http or https address"):
            await http.get(url)


# — redirects --------------------------------------------------------------------------


async def bounce(request):
    if request.path == "/end":
        return web.json_response(dict(request.headers))
    raise web.HTTPFound(request.query.get("to", "/"))


async def test_a_redirect_is_an_answer_unless_it_may_be_followed():
    async with serving(bounce) as server, client() as http:
        url = str(server.make_url("/?to=/end"))
        assert (await http.get(url)).status == 302
        assert (await http.get(url, redirects=1)).status == 200


async def test_redirects_in_a_circle_end():
    async with serving(bounce) as server, client() as http:
        with pytest.raises(UpstreamError, match="more than 5 redirects"):
            await http.get(str(server.make_url("/")), redirects=5)


async def test_another_origin_does_not_get_the_authorization():
    headers = {"authorization": "Bearer x", "X-Version": "1"}
    async with serving(bounce) as here, serving(bounce) as there, client() as http:
        near = await http.get(
            str(here.make_url("/?to=/end")), headers=headers, redirects=1
        )
        to = there.make_url("/end")
        far = await http.get(
            str(here.make_url("/").with_query(to=str(to))), headers=headers, redirects=1
        )
    assert near.object()["Authorization"] == "Bearer x"
    assert "Authorization" not in far.object()
    assert far.object()["X-Version"] == "1"


async def test_https_is_never_left_for_http(authority):
    async def leave(request):
        raise web.HTTPFound("http://127.0.0.1:1/")

    tls = TLS(root_cas=[authority.cert_pem.bytes().decode()])
    async with serving_tls(leave, authority) as url, client(tls) as http:
        with pytest.raises(UpstreamError, match="redirects to http"):
            await http.get(url, redirects=3)


# — certificates -----------------------------------------------------------------------


@pytest.mark.parametrize("form", ["file", "text", "base64"])
async def test_a_certificate_of_the_file_is_trusted(authority, tmp_path, form):
    pem = authority.cert_pem.bytes()
    (tmp_path / "ca.pem").write_bytes(pem)
    entry = {
        "file": str(tmp_path / "ca.pem"),
        "text": pem.decode(),
        "base64": base64.b64encode(pem).decode(),
    }[form]
    tls = TLS(root_cas=["", entry])
    async with serving_tls(hello, authority) as url, client(tls) as http:
        assert (await http.get(url)).status == 200


async def test_a_certificate_of_a_stranger_is_refused(authority):
    async with serving_tls(hello, authority) as url, client() as http:
        with pytest.raises(UpstreamError, match="certificate verify failed") as caught:
            await http.get(url)
    assert not isinstance(caught.value, UpstreamUnavailable)


async def test_a_certificate_for_another_name_is_refused(authority):
    tls = TLS(root_cas=[authority.cert_pem.bytes().decode()])
    async with (
        serving_tls(hello, authority, names=("other.example",)) as url,
        client(tls) as http,
    ):
        with pytest.raises(UpstreamError, match="localhost"):
            await http.get(url)


async def test_verification_can_be_switched_off(authority):
    async with (
        serving_tls(hello, authority, names=("other.example",)) as url,
        client(TLS(insecure_skip_verify=True)) as http,
    ):
        assert (await http.get(url)).status == 200


async def test_a_client_certificate_is_shown(authority, tmp_path):
    mine = authority.issue_cert("client.example")
    mine.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "me.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    roots = [authority.cert_pem.bytes().decode()]
    shown = TLS(root_cas=roots, client_cert=str(tmp_path / "me.pem"))
    async with serving_tls(hello, authority, context=context) as url:
        async with client(shown) as http:
            assert (await http.get(url)).status == 200
        async with client(TLS(root_cas=roots)) as http:
            with pytest.raises(UpstreamError):
                await http.get(url)


@pytest.mark.parametrize(
    "entry",
    [
        "/nowhere/ca.pem",
        "-----BEGIN CERTIFICATE-----\nbm90\n-----END CERTIFICATE-----\n",
        "bm90IGEgY2VydGlmaWNhdGU=",
    ],
)
async def test_what_is_no_certificate_is_named_by_its_number(entry):
    with pytest.raises(ConfigError, match="root certificate 1 must be"):
        HttpClient(TLS(root_cas=["", entry]))


async def test_a_client_certificate_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"'/nowhere/me\.pem' cannot be used"):
        HttpClient(TLS(client_cert="/nowhere/me.pem"))


# — proxies ----------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def proxying():
    """A proxy that answers itself, and says what it was asked for."""

    async def answer(reader, writer):
        asked = (await reader.readline()).decode().split()[1]
        await reader.readuntil(b"\r\n\r\n")
        body = asked.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["http://", ""])
async def test_the_proxy_of_the_environment_is_used(monkeypatch, scheme):
    async with proxying() as proxy, client() as http:
        monkeypatch.setenv("http_proxy", scheme + proxy)
        answer = await http.get("http://idp.example/keys")
    assert answer.text() == "http://idp.example/keys"


async def test_the_machine_itself_is_asked_without_a_proxy(monkeypatch):
    async with proxying() as proxy, serving(hello) as server, client() as http:
        monkeypatch.setenv("http_proxy", f"http://{proxy}")
        assert (await http.get(str(server.make_url("/x")))).object()["at"] == "/x"


async def test_hosts_of_no_proxy_are_asked_directly(monkeypatch):
    async with proxying() as proxy, client() as http:
        monkeypatch.setenv("http_proxy", f"http://{proxy}")
        monkeypatch.setenv("no_proxy", "idp.invalid")
        with pytest.raises(UpstreamUnavailable):
            await http.get("http://idp.invalid/")


async def test_a_header_of_a_stranger_names_no_proxy(monkeypatch):
    async with proxying() as proxy, client() as http:
        monkeypatch.setenv("REQUEST_METHOD", "GET")
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy}")
        with pytest.raises(UpstreamUnavailable):
            await http.get("http://idp.invalid/")


# — secrets ----------------------------------------------------------------------------


async def test_neither_body_nor_headers_nor_keys_are_in_what_is_shown():
    async def secretive(request):
        return web.Response(text=SECRET, headers={"X-Token": SECRET})

    async with serving(secretive) as server, client() as http:
        address = server.make_url("/").with_user("me").with_password(SECRET)
        answer = await http.get(str(address))
    assert SECRET not in repr(answer)
    assert "key.pem" not in repr(TLS(client_cert="c.pem", client_key="key.pem"))


# — addresses inside -------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_client_for_public_addresses_knocks_nowhere_inside(host):
    """It is the address that counts, however it is written."""
    knocked = []

    async def note(request):
        knocked.append(request.path)
        return web.Response()

    async with serving(note) as server, client(public_only=True) as careful:
        with pytest.raises(UpstreamUnavailable, match="is not a public address"):
            await careful.get(f"http://{host}:{server.port}/secret")
    assert knocked == []


async def test_a_proxy_decides_for_itself_where_it_goes(monkeypatch):
    async with serving(hello) as proxy, client(public_only=True) as careful:
        monkeypatch.setenv("http_proxy", str(proxy.make_url("/")))
        answer = await careful.get("http://somewhere.example/")
        assert answer.status == 200
