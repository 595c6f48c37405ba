"""Clients with pairwise subjects cannot tell their users by the session either."""

import asyncio
import json

from urllib.parse import parse_qs, urlsplit

import pytest

from aiohttp import web
from aiohttp.test_utils import TestServer

SECRET = "a-secret-that-all-of-the-clients-share"
CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: {type: %(storage)s}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
sessions:
  ssoSharedWithDefault: all
  frontchannelLogoutURIs: {one: 'https://one.example/frame'}
subjects: {salt: a-salt-that-nobody-else-knows}
oauth2: {skipApprovalScreen: true}
connectors:
- {type: mockPassword, id: pw, name: Passwords, config: {username: jane, password: fox}}
staticClients:
"""
CLIENT = """
- id: %(id)s
  name: The App
  secret: a-secret-that-all-of-the-clients-share
  redirectURIs: ['https://%(id)s.example/cb']
  backchannelLogoutURI: '%(hook)s/%(id)s'
  refreshTokenLifetime: session
  metadata: {%(metadata)s}
"""
PAIRWISE = "subject_type: pairwise"
ALL = {"one": PAIRWISE, "two": PAIRWISE, "open": "", "plain": "subject: plain"}


@pytest.fixture
async def told():
    """What apps are told of logouts, by the client's id."""
    heard = asyncio.Queue()

    async def hear(request):
        form = parse_qs(await request.text())
        await heard.put((request.match_info["client"], form["logout_token"][0]))
        return web.Response()

    app = web.Application()
    app.router.add_post("/{client}", hear)
    server = TestServer(app)
    await server.start_server()
    heard.url = str(server.make_url("")).rstrip("/")
    yield heard
    await server.close()


@pytest.fixture
async def make(make_world, told):
    async def make(clients=ALL, storage="memory"):
        text = CONFIG % {"storage": storage} + "".join(
            CLIENT % {"id": id, "metadata": metadata, "hook": told.url}
            for id, metadata in clients.items()
        )
        return await make_world(text)

    return make


@pytest.fixture
async def op(make):
    return await make()


def at(client_id):
    uri = f"https://{client_id}.example/cb"
    return {"client_id": client_id, "redirect_uri": uri}


async def begin(op, client_id, browser=None):
    """Log Jane in, or let her session do it; return her browser and the tokens."""
    browser = browser or op.browser()
    landed = await browser.follow(
        await op.ask(browser, scope="openid offline_access", **at(client_id))
    )
    if "Location" not in landed.headers:
        typed = {"login": "jane", "password": "fox"}
        landed = await browser.post(landed.url, data=typed)
    answer = await op.exchange(
        landed.params["code"],
        redirect_uri=at(client_id)["redirect_uri"],
        auth=(client_id, SECRET),
    )
    assert answer.status == 200, answer.text
    return browser, json.loads(answer.text)


async def sid(op, tokens, name="id_token"):
    return (await op.claims(tokens[name]))["sid"]


async def log_out(browser, tokens, **params):
    hint = {"id_token_hint": tokens["id_token"]}
    page = await browser.get("/dex/logout", params=hint | params)
    return "logged out" in page.text or "frame" in page.text, page


async def test_clients_of_one_session_do_not_know_it_by_one_name(op):
    browser, _ = await begin(op, "one")
    names = {
        client_id: await sid(op, (await begin(op, client_id, browser))[1])
        for client_id in ALL
    }
    [session] = await op.storage.auth_sessions.list()
    assert names["open"] == names["plain"] == session.id
    assert len({names["one"], names["two"], session.id}) == 3


async def test_all_tokens_of_a_client_say_the_same_name(op):
    browser, tokens = await begin(op, "one")
    _, again = await begin(op, "one", browser)
    got = await op.refresh(again["refresh_token"], auth=("one", SECRET))
    fresh = json.loads(got.text)
    told = await op.introspect(fresh["access_token"], auth=("one", SECRET))
    names = [
        await sid(op, each, name)
        for each in (tokens, again, fresh)
        for name in ("id_token", "access_token")
    ]
    assert len({*names, told["ext"]["sid"]}) == 1


@pytest.mark.parametrize("client_id", ALL)
async def test_a_client_ends_its_session_and_hears_of_it_by_its_name(
    op, told, client_id
):
    browser, tokens = await begin(op, client_id)
    named = await sid(op, tokens)
    ended, _ = await log_out(browser, tokens, logout_hint=named)
    assert ended
    heard, token = await told.get()
    assert (heard, (await op.claims(token))["sid"]) == (client_id, named)
    assert await op.storage.auth_sessions.list() == []


async def test_a_token_of_another_session_ends_none(op):
    browser, _ = await begin(op, "one")
    _, elsewhere = await begin(op, "one")
    await log_out(browser, elsewhere)
    assert len(await op.storage.auth_sessions.list()) == 2


async def test_the_name_that_another_client_has_is_no_logout_hint(op):
    browser, mine = await begin(op, "one")
    _, others = await begin(op, "two", browser)
    await log_out(browser, mine, logout_hint=await sid(op, others))
    assert len(await op.storage.auth_sessions.list()) == 1


async def test_a_frame_hears_of_the_logout_by_the_name_its_client_knows(op):
    browser, tokens = await begin(op, "one")
    _, page = await log_out(browser, tokens)
    [frame] = [
        part.partition('"')[0].replace("&amp;", "&")
        for part in page.text.split('src="')[1:]
        if part.startswith("https://one.example/frame")
    ]
    assert parse_qs(urlsplit(frame).query) == {
        "iss": [op.issuer],
        "sid": [await sid(op, tokens)],
    }


@pytest.mark.parametrize("client_id", ALL)
async def test_tokens_that_end_with_the_session_do(op, client_id):
    """Introspection finds the session by the name in the token."""
    browser, tokens = await begin(op, client_id)
    auth = (client_id, SECRET)
    for active in (True, False):
        for name in ("access_token", "refresh_token"):
            told = await op.introspect(tokens[name], auth=auth)
            assert told["active"] is active
        await log_out(browser, tokens)


CHANGES = [("dex", "pairwise"), ("pairwise", "hashed"), ("pairwise", "dex")]


@pytest.mark.parametrize(("old", "new"), CHANGES)
async def test_while_subjects_change_the_session_keeps_its_name(
    make, tmp_path, told, old, new
):
    storage = json.dumps({"file": str(tmp_path / "dex.db")})
    storage = f"sqlite3, config: {storage}"
    before, during, after = [
        await make(
            {"app": f"subject: {kind}, previous_subjects: [{previous}]"}, storage
        )
        for kind, previous in ((old, ""), (new, old), (new, ""))
    ]
    browser, tokens = await begin(before, "app")
    named = await sid(before, tokens)
    for op, same in ((during, True), (after, False)):
        browser.base = op.base
        _, again = await begin(op, "app", browser)
        assert (await sid(op, again) == named) is same
    # A token that names it as before still finds it.
    browser.base = during.base
    ended, _ = await log_out(browser, tokens)
    assert ended
    assert (await during.claims((await told.get())[1]))["sid"] == named
