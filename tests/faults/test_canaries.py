"""Everything is said at DEBUG, and no secret with it."""

import re
import resource
import time

from urllib.parse import urlencode

import aiohttp
import pytest

from dexcore.server.listen import free_address
from dexcore.testing.client_key import ClientKey
from dexcore.testing.dpop import ProofKey


@pytest.fixture
async def talkative(spawn, tmp_path):
    """A server that says all it can, and its metrics."""
    telemetry = free_address("127.0.0.1:0", "telemetry.http")
    app = await spawn(
        tmp_path / "dex.db",
        logger={"level": "DEBUG", "format": "json"},
        telemetry={"http": telemetry},
        oauth2={},
        sessions={},
    )
    app.metrics = f"http://{telemetry}/metrics"
    return app


KEY = ClientKey()


@pytest.fixture
async def proving(spawn, tmp_path):
    """A server that says all it can, whose clients sign, push and register."""
    key = {"jwks": KEY.jwks, "token_endpoint_auth_method": "private_key_jwt"}
    signs = {"redirectURIs": ["http://127.0.0.1:1/signs"], "metadata": key}
    issuer = {"issuer": "https://idp.example", "connectorID": "local", "jwks": KEY.jwks}
    return await spawn(
        tmp_path / "dex.db",
        logger={"level": "DEBUG", "format": "json"},
        staticClients=[{"id": "signs", "name": "signs", **signs}],
        oauth2={"jwtBearer": {"trustedIssuers": [issuer | {"assertions": ["jwt"]}]}},
        registration={"enabled": True, "initialAccessTokens": ["canary-of-initial"]},
    )


async def test_no_proof_or_signed_request_is_in_the_log(proving):
    """Right ones and wrong ones, in forms, in headers and in the query."""
    app, secrets = proving, {"initial access token": "canary-of-initial"}
    token, par = f"{app.base}/token", f"{app.base}/par"
    asked = {
        "response_type": "code",
        "redirect_uri": "http://127.0.0.1:1/signs",
        "scope": "openid",
    }

    def signed(what, **claims):
        said = {"iss": "signs", "aud": app.base, "exp": int(time.time()) + 60, **claims}
        secrets[what] = KEY.sign(said)
        return secrets[what]

    def proved(what):
        found = KEY.proof("signs", app.base)
        secrets[what] = found["client_assertion"]
        return found

    def dpop(what, url):
        found = ProofKey().proof("POST", url, iat=time.time())
        secrets[what] = found
        return {"DPoP": found}

    form = asked | proved("client assertion") | {"request": signed("request", **asked)}
    answer = await app.post("/dex/par", data=form, headers=dpop("DPoP proof", par))
    assert answer.status == 201, answer.text
    assert (await app.post("/dex/par", data=form)).status == 401  # used before
    pushed = secrets["request URI"] = answer.json["request_uri"]
    query = urlencode({"client_id": "signs", "request_uri": pushed})
    assert (await app.get(f"/dex/auth?{query}")).status == 302
    for what, wrong in (
        ("signed for others", {"aud": "x"}),
        ("signed late", {"exp": 1}),
    ):
        query = urlencode(
            asked | {"client_id": "signs", "request": signed(what, **wrong)}
        )
        assert (await app.get(f"/dex/auth?{query}")).status == 303
    user = {"iss": "https://idp.example", "sub": "ann", "jti": "canary-of-the-jti"}
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    for number, status in enumerate((200, 400)):
        form = grant | proved(f"assertion of the client {number}")
        form["assertion"] = secrets.get("assertion") or signed("assertion", **user)
        answer = await app.post(
            "/dex/token", data=form, headers=dpop(f"{number}", token)
        )
        assert answer.status == status, answer.text
        if status == 200:
            secrets["access token"] = answer.json["access_token"]
    bearer = {"Authorization": "Bearer canary-of-initial"}
    known = await app.post(
        "/dex/register", json={"redirect_uris": ["https://x.example/"]}, headers=bearer
    )
    assert known.status == 201, known.text
    secrets["registered secret"] = known.json["client_secret"]
    own = secrets["registration access token"] = known.json["registration_access_token"]
    headers = {"Authorization": f"Bearer {own}"}
    at = known.json["registration_client_uri"]
    assert (await app.get(at, headers=headers)).status == 200
    headers["Authorization"] += "x"
    assert (await app.get(at, headers=headers)).status == 401
    app.signal(15)
    await app.process.wait()
    await app.end()
    said = "".join(app.said)
    assert "client registered" in said
    assert "token issued" in said
    for what, secret in secrets.items():
        assert len(secret) > 10, what
        assert secret not in said, what
        assert secret.rpartition(".")[2] not in said, what


async def test_no_secret_is_in_the_log_in_metrics_or_on_a_page(talkative, example):
    app, pages = talkative, []
    secrets = {"right password": "password"}
    await good_run(app, secrets, example)
    await bad_run(app, secrets, pages)
    await broken_requests(app, secrets, pages)
    await full_disk(app, secrets, pages)
    metrics = (await app.get(app.metrics)).text
    assert "dexcore" in metrics or "http" in metrics
    app.signal(15)
    await app.process.wait()
    await app.end()
    said = "".join(app.said)
    assert said.count("\n") > 40
    assert "login successful" in said
    # This one is a word of our own too.
    said = re.sub(r"password (DB|database)|passwords|enablePassword\w+", "", said)
    del secrets["right password"]
    assert len(secrets) > 20
    for what, secret in secrets.items():
        assert len(secret) > 5, what
        assert secret not in said, what
        assert secret not in metrics, what
        for page in pages:
            assert secret not in page, what


async def good_run(app, secrets, example):
    browser = app.browser()
    secrets["state"] = state = "canary-of-the-state"
    secrets["nonce"] = nonce = "canary-of-the-nonce"
    form = await app.form(browser, state=state, nonce=nonce)
    typed = {"login": "ann@example.com", "password": "password"}
    answer = await app.post(form, session=browser, data=typed)
    secrets["approval MAC"] = answer.params["hmac"]
    link = answer.headers["Location"]
    for number, cookie in enumerate(browser.cookie_jar):
        secrets[f"cookie {number}"] = cookie.value
    await app.get(link, session=browser)
    agree = {"approval": "approve"}
    answer = await app.post(link, session=browser, data=agree)
    secrets["code"] = code = answer.params["code"]
    tokens = (await app.exchange(code)).json
    secrets["client secret"] = example.clients["one"][1]
    for name in ("access_token", "id_token", "refresh_token"):
        secrets[name] = tokens[name]
    secrets["signature"] = tokens["id_token"].rpartition(".")[2]
    assert (await app.userinfo(tokens["access_token"])).status == 200
    assert (await app.introspect(tokens["access_token"]))["active"]
    for cookie in browser.cookie_jar:
        secrets[f"session cookie {cookie.key}"] = cookie.value
    page = await app.get("/dex", session=browser)
    secrets["session form token"] = page.fields["csrf_token"]
    page = await app.get("/dex/logout", session=browser)
    secrets["sealed target of a logout"] = page.fields["asked"]
    hint = f"/dex/logout?id_token_hint={tokens['id_token']}"
    assert "You are logged out" in (await app.get(hint, session=browser)).text
    answer = await app.refresh(tokens["refresh_token"])
    secrets["second refresh token"] = answer.json["refresh_token"]
    secrets["second access token"] = answer.json["access_token"]
    assert (await app.revoke(answer.json["access_token"])).status == 200
    assert (await app.exchange(code)).status == 400
    secrets["password of a new user"] = "canary-of-a-new-user"
    answer = await app.sign_up("new@example.com", secrets["password of a new user"])
    assert answer.status == 201
    page = await app.get("/dex/signup", session=browser)
    secrets["csrf token"] = page.fields["csrf_token"]


async def bad_run(app, secrets, pages):
    browser = app.browser()
    secrets["wrong password"] = wrong = "canary-of-a-wrong-password"
    form = await app.form(browser)
    typed = {"login": "ann@example.com", "password": wrong}
    pages.append((await app.post(form, session=browser, data=typed)).text)
    secrets["short password"] = short = "canary"[:6] + "7"
    pages.append((await app.sign_up("x@example.com", short)).text)
    for what in ("code", "code_verifier", "refresh_token", "client_secret", "token"):
        secrets[f"wrong {what}"] = canary = f"canary-of-a-wrong-{what}"
        for path in ("token", "token/introspect", "token/revoke"):
            for grant in ("authorization_code", "refresh_token"):
                sent = {"grant_type": grant, "client_id": "one", what: canary}
                answer = await app.post(f"/dex/{path}", data=sent)
                pages.append(answer.text)
    secrets["wrong bearer"] = canary = "canary.of.a-bearer"
    pages.append((await app.userinfo(canary)).text)
    secrets["wrong Basic"] = canary = "canary-of-basic"
    header = {"Authorization": aiohttp.encode_basic_auth("one", canary)}
    secrets["wrong Basic, encoded"] = header["Authorization"].partition(" ")[2]
    answer = await app.post("/dex/token", data={"grant_type": "x"}, headers=header)
    pages.append(answer.text)
    secrets["query"] = canary = "canary-of-the-query"
    for path in ("/dex/callback", "/dex/approval", "/dex/auth", "/dex/x", "/dex/token"):
        query = f"?code={canary}&hmac={canary}&req={canary}&id_token_hint={canary}"
        pages.append((await app.get(path + query)).text)
    secrets["foreign cookie"] = canary = "canary-of-a-cookie"
    flow = "a" * 33
    cookie = {"Cookie": f"dexcore_flow_{flow}={canary}; dexcore_csrf={canary}"}
    path = f"/dex/auth/local/login?state={flow}"
    pages.append((await app.post(path, data={}, headers=cookie)).text)


async def broken_requests(app, secrets, pages):
    """What is not HTTP is not repeated either."""
    import asyncio

    host, port = app.origin.removeprefix("http://").split(":")
    secrets["broken header"] = canary = "canary-of-a-broken-header"
    for line in (
        f"Authorization: Bearer {canary}\x00",
        f"Cookie: a={canary}\x01b",
        f"Authorization : {canary}",
        f"Cookie\x00: {canary}",
        f"X: {canary}" + "x" * 20_000,
        f"Content-Length: {canary}",
    ):
        for target in ("/dex/keys", f"/dex/callback?code={canary}\x00"):
            reader, writer = await asyncio.open_connection(host, int(port))
            head = f"GET {target} HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n"
            writer.write(head.encode())
            writer.write_eof()
            pages.append((await reader.read()).decode())
            writer.close()


async def full_disk(app, secrets, pages):
    """Errors of the database do not say what should have been written."""
    pid = app.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    secrets["unstored password"] = canary = "canary-of-an-unstored-user"
    answer = await app.sign_up("later@example.com", canary)
    assert answer.status == 503
    pages.append(answer.text)
    pages.append((await app.log_in()).text)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
