"""Whatever bytes come: a well-formed answer below 500, or the end of the connection."""

import asyncio
import gzip
import json

from urllib.parse import quote, urlsplit

import pytest

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PATHS = [
    "/dex",
    "/dex/.well-known/openid-configuration",
    "/dex/.well-known/oauth-authorization-server",
    "/dex/keys",
    "/dex/token",
    "/dex/token/introspect",
    "/dex/token/revoke",
    "/dex/userinfo",
    "/dex/healthz",
    "/dex/auth",
    "/dex/auth/local",
    "/dex/auth/local/login",
    "/dex/callback",
    "/dex/callback/local",
    "/dex/approval",
    "/dex/signup",
    "/dex/static/main.css",
    "/dex/theme/styles.css",
    "/nowhere",
]
GOOD_AUTH = (
    "client_id=one&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fone"
    "&response_type=code&scope=openid"
)


def check(answer, registered=("http://127.0.0.1:1/one", "http://127.0.0.1:1/two")):
    """No 5xx, no trace, no redirect to a stranger; JSON is JSON."""
    if answer is None:
        return
    server = answer.headers.get("Server") or answer.headers.get("server")
    assert server == "dexcore"
    assert answer.status < 500, answer.text
    for word in ("Traceback", 'File "', "Error:", "Exception"):
        assert word not in answer.text, answer.text
    location = answer.headers.get("Location") or answer.headers.get("location")
    if location is not None:
        target = urlsplit(location)
        if target.netloc:
            assert location.partition("?")[0] in registered, location
        else:
            assert location.startswith("/dex/"), location
            assert not location.startswith("//")
    kind = answer.headers.get("Content-Type") or answer.headers.get("content-type", "")
    if kind.startswith("application/json") and answer.text:
        found = json.loads(answer.text)
        if answer.status >= 400:
            assert isinstance(found["error"], str)


@pytest.fixture
async def house(open_house):
    return await open_house(storage={"type": "memory"})


@pytest.mark.parametrize("path", PATHS)
async def test_every_method_on_every_endpoint(house, path):
    for method in (
        *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"),
        *("PROPFIND", "FOO", "CONNECT"),
    ):
        for body in (b"", b"x=1"):
            if method == "CONNECT":
                break
            check(await house.send(method, path, data=body))
    raw = f"CONNECT {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    check(await house.raw(raw))


@pytest.mark.parametrize("path", PATHS)
async def test_a_head_request_is_answered_as_get_is_but_without_a_body(house, path):
    for query in ("", f"?{GOOD_AUTH}"):
        head = await house.send("HEAD", path + query)
        get = await house.get(path + query)
        assert head.status == get.status
        assert head.text == ""
        assert head.headers.get("Content-Type") == get.headers.get("Content-Type")
        raw = f"HEAD {path}{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert await exactly(house, raw.encode()) == b""


async def exactly(house, data):
    """Return what comes after the head of the answer."""
    host, port = house.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    try:
        async with asyncio.timeout(10):
            return (await reader.read()).partition(b"\r\n\r\n")[2]
    finally:
        writer.close()


@pytest.mark.parametrize("path", PATHS)
async def test_options_without_cors_says_nothing_about_origins(house, path):
    answer = await house.send(
        "OPTIONS",
        path,
        headers={
            "Origin": "https://evil.example",
            "Access-Control-Request-Method": "POST",
        },
    )
    check(answer)
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


HEADERS = {
    "a huge header": [("X-Huge", "x" * 20_000)],
    "a huge cookie": [("Cookie", "a=" + "x" * 20_000)],
    "a cookie as large as it may be": [("Cookie", "a=" + "x" * 15_000)],
    "many headers": [(f"X-{number}", "x") for number in range(200)],
    "fifty cookies of one name": [("Cookie", "dexcore_csrf=x; " * 50)],
    "two cookie lines": [("Cookie", "dexcore_csrf=x"), ("Cookie", "dexcore_csrf=y")],
    "odd cookies": [("Cookie", '=; ;;a; "=";\xe4=\xff; $Version=1; dexcore_flow_=;=')],
    "an unknown type": [("Content-Type", "application/x-nothing")],
    "a broken type": [("Content-Type", ";;;=;charset=")],
    "an unknown charset": [
        ("Content-Type", "application/x-www-form-urlencoded; charset=klingon")
    ],
    "multipart": [("Content-Type", "multipart/form-data")],
    "no UTF-8": [("X-Odd", "\xff\xfe")],
    "host twice": [("Host", "evil.example")],
    "an absurd length": [("Content-Length", "99999999999999999999")],
    "a negative length": [("Content-Length", "-1")],
    "two lengths": [("Content-Length", "1"), ("Content-Length", "2")],
    "an unknown transfer": [("Transfer-Encoding", "xchunked")],
    "length and chunks": [("Content-Length", "3"), ("Transfer-Encoding", "chunked")],
    "expectation": [("Expect", "200-fine")],
    "upgrade": [("Connection", "Upgrade"), ("Upgrade", "websocket")],
    "range": [("Range", "bytes=9-1,-")],
    "a broken date": [("If-Modified-Since", "yesterday"), ("If-None-Match", "*")],
    "forwarded": [("X-Forwarded-For", "a, b, ::1%lo, 999.1.1.1"), ("Forwarded", ";")],
    "basic that is none": [("Authorization", "Basic =\xe9=")],
    "a bearer that is none": [("Authorization", "Bearer \xe9.\xe9.\xe9")],
    "origin": [("Origin", "\x01://"), ("Sec-Fetch-Site", "moon")],
    "accept nothing": [("Accept-Encoding", ";q=x"), ("Accept", "\xff")],
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
async def test_headers_nobody_should_send(house, headers):
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    for path in PATHS:
        raw = f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\nx=1"
        check(await house.raw(raw.encode("latin-1")))
        check(
            await house.raw(
                f"POST {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode("latin-1")
            )
        )


TARGETS = [
    "/dex/../dex/auth",
    "/dex/%2e%2e/dex/keys",
    "/dex/./keys",
    "//dex/auth",
    "//evil.example/dex/auth",
    "/dex//auth",
    "/dex/auth//evil.example",
    "/dex%2fauth",
    "/dex/auth%2flocal",
    "/dex/auth;x=1",
    "/dex;x/auth",
    "/dex/auth/local;x/login",
    "/dex/auth/",
    "/dex/auth.",
    "/DEX/AUTH",
    "/dex/auth/%00",
    "/dex/auth/%ff",
    "/dex/auth/%252e%252e",
    "/dex/auth/%0d%0aSet-Cookie:x",
    "/dex/auth/%",
    "/dex/auth/%zz",
    "/dex/auth/" + "a" * 5000,
    "/dex/callback/%2f%2f",
    "/dex/static/%2e%2e/%2e%2e/app.py",
    "/dex/static/..%2f..%2fapp.py",
    "/dex/static//etc/passwd",
    "/dex/theme/%00",
    "/dex/keys?" + "x" * 30_000,
    "/dex/keys?" + "x" * 60_000,
    "http://evil.example/dex/auth",
    "http://evil.example/dex/keys",
    "http://evil.example:99999/dex/keys",
    "http://[::1/dex/keys",
    "ftp://x/dex/keys",
    "*",
    "dex/auth",
    "/dex/\\evil",
    "/dex/auth#fragment",
    "/dex/auth?" + GOOD_AUTH + "#x",
]


@pytest.mark.parametrize("target", TARGETS, ids=range(len(TARGETS)))
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_targets_nobody_should_ask_for(house, target, method):
    for query in ("", "?" + GOOD_AUTH):
        sent = target + (query if "?" not in target else "")
        raw = f"{method} {sent} HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        answer = await house.raw(raw.encode())
        check(answer)
        if answer is not None:
            assert "evil.example" not in answer.headers.get("location", "")
            assert "root:" not in answer.text
            assert "import " not in answer.text


async def test_host_twice_is_refused(house):
    raw = b"GET /dex/keys HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
    answer = await house.raw(raw)
    assert answer.status == 400


async def test_an_absolute_target_never_becomes_an_address_on_a_page(house):
    session = house.browser()
    form = await house.form(session)
    cookie = "; ".join(f"{c.key}={c.value}" for c in session.cookie_jar)
    raw = (
        f"GET http://evil.example{form} HTTP/1.1\r\nHost: evil.example\r\n"
        f"Cookie: {cookie}\r\n\r\n"
    )
    answer = await house.raw(raw.encode())
    check(answer)
    assert "evil.example" not in answer.text


STARTS = [
    b"\x00" * 100,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 200,  # TLS
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /dex/keys\r\n\r\n",
    b"GET /dex/keys HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /dex/keys HTTP/1.0\r\n\r\n",
    b"GET /dex/keys HTTP/1.1\r\n\r\n",
    b"GET /dex/keys HTTP/1.1\nHost: x\n\n",
    b"GET /dex/keys HTTP/1.1\r\nHost : x\r\n\r\n",
    b"GET /dex/keys HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
    b"GET /dex/keys HTTP/1.1\r\n: x\r\nHost: x\r\n\r\n",
    b"GET  /dex/keys  HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /dex/k\x00eys HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /dex/k\xffeys HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /dex/keys?\xff=\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /dex/auth?client_id=\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /dex/keys HTTP/1.1\r\nHost: \xff\r\n\r\n",
    b"GET /dex/keys HTTP/1.1\r\nHost: x@y:z/\r\n\r\n",
    b"GET /dex/signup HTTP/1.1\r\nHost: [\r\n\r\n",
    b"G\xcbT /dex/keys HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET " + b"/" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
]


@pytest.mark.parametrize("start", STARTS, ids=range(len(STARTS)))
async def test_what_is_hardly_http(house, start):
    check(await house.raw(start))
    assert (await house.get("/dex/keys")).status == 200


FORM = "application/x-www-form-urlencoded"
BODIES = {
    "gzip": (FORM, gzip.compress(b"grant_type=x" * 10_000), "Content-Encoding: gzip"),
    "deflate": (FORM, b"\x00\x01", "Content-Encoding: deflate"),
    "an unknown encoding": (FORM, b"a=b", "Content-Encoding: zstd, br, x"),
    "NUL": (FORM, b"grant_type=a%00b&client_id=\x00", ""),
    "no UTF-8": (FORM, b"grant_type=%ff&x=\xff", ""),
    "CRLF": (FORM, b"grant_type=a%0d%0aX-Evil:%20y&client_id=a%0d%0a", ""),
    "odd encoding": (FORM, b"grant_type=%&client_id=%zz&%=%", ""),
    "a field twice": (FORM, b"grant_type=a&grant_type=b", ""),
    "many fields": (FORM, b"&".join(b"a%d=b" % n for n in range(1000)), ""),
    "large": (FORM, b"a=" + b"x" * 100_000, ""),
    "larger": (FORM, b"a=" + b"x" * 1_500_000, ""),
    "JSON for a form": (FORM, b'{"grant_type": "x"}', ""),
    "JSON": ("application/json", b'{"email": "a", "username": 1}', ""),
    "deep JSON": ("application/json", b"[" * 100_000, ""),
    "JSON with NaN": ("application/json", b'{"email": NaN}', ""),
    "a surrogate": ("application/json", b'{"email": "\\ud800@x.y"}', ""),
    "a huge number": ("application/json", b'{"a": ' + b"9" * 50_000 + b"}", ""),
    "multipart": ("multipart/form-data; boundary=x", b"--x\r\n\r\n--x--", ""),
    "no boundary": ("multipart/form-data", b"--x", ""),
    "XML": ("application/xml", b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', ""),
    "text": ("text/plain", b'{"email": "a@b.c"}', ""),
    "none": ("", b"", ""),
}


@pytest.mark.parametrize(("kind", "body", "header"), BODIES.values(), ids=BODIES)
async def test_bodies_nobody_should_send(house, kind, body, header):
    for path in PATHS:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        head += f"Content-Type: {kind}\r\n" if kind else ""
        head += f"{header}\r\n" if header else ""
        answer = await house.raw(head.encode() + b"\r\n" + body)
        check(answer)
        if answer is not None:
            assert "x-evil" not in answer.headers


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_without_end_is_cut_off(house, path):
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        f"Content-Type: {FORM}\r\n\r\n"
    )
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    answer = await house.raw(head.encode() + chunk * 40)
    check(answer)


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\nabc\r\n",
        b"5;x=y\r\nab",
        b"-1\r\n",
        b"5\r\nabcdefgh\r\n0\r\n\r\n",
        b"\r\n",
    ],
)
async def test_broken_chunks(house, chunks):
    for path in ("/dex/token", "/dex/signup", "/dex/keys"):
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            f"Content-Type: {FORM}\r\nConnection: close\r\n\r\n"
        )
        data = head.encode() + chunks
        try:
            check(await house.raw(data, patience=0.3))
        except TimeoutError:
            assert chunks.startswith(b"5;")  # it may still come


SEPARATORS = ["\r\nX-Evil: yes", "\r\n\r\n<h1>", "\n", "\r", "\0", "\u2028", "\x85"]


@pytest.mark.parametrize("odd", SEPARATORS)
async def test_no_parameter_writes_a_header(house, odd):
    for name in ("state", "nonce", "scope", "prompt", "client_id", "connector_id"):
        raw = f"{GOOD_AUTH}&{name}={quote('a' + odd)}"
        pairs = dict(pair.split("=", 1) for pair in raw.split("&"))
        query = "&".join(f"{key}={value}" for key, value in pairs.items())
        for path in ("/dex/auth", "/dex/auth/local"):
            request = f"GET {path}?{query} HTTP/1.1\r\nHost: x\r\n\r\n"
            answer = await house.raw(request.encode())
            check(answer)
            assert "x-evil" not in answer.headers
            assert not any(sign in str(answer.headers) for sign in ("<h1>", "\\r"))


# — generated --------------------------------------------------------------------------

TEXT = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            *("", "one", "two", "code", "openid", "none", "login", "S256", "plain"),
            *("http://127.0.0.1:1/one", "http://127.0.0.1:1/two", "//evil.example"),
            *("a" * 43, "0", "-1", "9" * 30, "\0", "\ud800", "local", "offline_access"),
            "openid offline_access audience:server:client_id:two",
        ]
    ),
)
AUTH_NAMES = st.sampled_from(
    [
        *("client_id", "redirect_uri", "response_type", "scope", "state", "nonce"),
        *("prompt", "max_age", "code_challenge", "code_challenge_method", "req"),
        *("response_mode", "connector_id", "approval_prompt", "hmac", "back", "ui"),
        *("id_token_hint", "claims", "login_hint", "acr_values", "request"),
    ]
)
TOKEN_NAMES = st.sampled_from(
    [
        *("grant_type", "code", "redirect_uri", "code_verifier", "client_id", "scope"),
        *("client_secret", "refresh_token", "client_assertion", "token", "username"),
        *("client_assertion_type", "token_type_hint", "password", "connector_id"),
    ]
)
BOUNDED = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def encoded(pairs):
    return "&".join(
        f"{quote(name, errors='surrogatepass')}={quote(value, errors='surrogatepass')}"
        for name, value in pairs
    )


@BOUNDED
@given(pairs=st.lists(st.tuples(AUTH_NAMES, TEXT), max_size=8), known=st.booleans())
async def test_any_authorization_request(house, pairs, known):
    query = encoded(pairs)
    if known:
        query = f"{GOOD_AUTH}&{query}"
    for path in ("/dex/auth", "/dex/auth/local"):
        raw = f"GET {path}?{query} HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = await house.raw(raw.encode())
        check(answer)
        # Nobody has logged in.
        assert "code=" not in answer.headers.get("location", "")


@BOUNDED
@given(
    pairs=st.lists(st.tuples(TOKEN_NAMES, TEXT), max_size=8),
    grant=st.sampled_from(["authorization_code", "refresh_token", ""]),
    path=st.sampled_from(["token", "token/introspect", "token/revoke", "userinfo"]),
    basic=st.booleans(),
)
async def test_any_token_request(house, pairs, grant, path, basic):
    body = encoded([*pairs, ("grant_type", grant)] if grant else pairs).encode()
    proof = "Authorization: Basic b25lOnRoZStzZWNyZXQrb2YrY2xpZW50K29uZQ==\r\n"
    head = (
        f"POST /dex/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\n"
        f"{proof if basic else ''}Content-Length: {len(body)}\r\n\r\n"
    )
    answer = await house.raw(head.encode() + body)
    check(answer)
    assert "access_token" not in answer.text
    if answer.status == 200:
        assert path != "token"


@BOUNDED
@given(data=st.binary(max_size=200))
async def test_any_bytes(house, data):
    for start in (b"", b"GET /dex/auth?", b"POST /dex/token HTTP/1.1\r\n"):
        try:
            check(await house.raw(start + data + b"\r\n\r\n", patience=0.2))
        except TimeoutError:
            continue  # they promised more than they sent
