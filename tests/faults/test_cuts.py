"""The process dies, or the database fails, between any two things it does.

``photographed`` copies the database file at every point of an act: what is in a copy is
what a process killed there leaves behind.  ``broken_everywhere`` repeats the act with
the database failing at one point after the other, and once more as a client would.
"""

import sqlite3

from datetime import timedelta

import pytest

from dexcore.errors import StorageUnavailable
from dexcore.oauth2.ids import new_id
from dexcore.oauth2.times import utcnow
from dexcore.server.tokens.devices import APPROVED, text_of
from dexcore.storage import AuthCode, Claims, DeviceToken
from dexcore.testing.client_key import ClientKey
from dexcore.testing.dpop import ProofKey

REUSE = {"refreshTokens": {"reuseInterval": "30s"}}


@pytest.fixture
def photographed(points, tmp_path):
    """``await photographed(act)``: the answer, and copies as (points, file) pairs."""

    async def run(act):
        files, reached = {}, {}

        def shoot(point):
            found = tuple(
                file.read_bytes() if file.exists() else b""
                for file in (tmp_path / "dex.db", tmp_path / "dex.db-wal")
            )
            reached.setdefault(found, []).append(point)

        points.then = shoot
        answer = await act()
        shoot("answered")
        points.then = None
        for number, found in enumerate(reached):
            file = tmp_path / f"photo{number}-{len(list(tmp_path.iterdir()))}.db"
            for suffix, content in zip(("", "-wal"), found, strict=True):
                file.with_name(file.name + suffix).write_bytes(content)
            files[file] = reached[found]
        return answer, [(names, file) for file, names in files.items()]

    return run


@pytest.fixture
def restarted(open_house, clock):
    """``await restarted(house, file)``: the same provider on another file."""

    async def start(house, file):
        with sqlite3.connect(file) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        return await open_house(
            database=file, issuer=house.base, expiry=REUSE, now=clock
        )

    return start


@pytest.fixture
def broken_everywhere(points):
    """``await broken_everywhere(prepare, act)``: what each point left, by point."""

    async def run(prepare, act):
        left = []
        while True:
            prepared = await prepare()
            points.passed.clear()
            at = len(left)

            def fail(point, at=at):
                if len(points.passed) == at + 1:
                    raise StorageUnavailable(point)

            points.then = fail
            first = await act(prepared)
            points.then = None
            if len(points.passed) <= at:
                assert at > 1
                return left
            again = await act(prepared)
            left.append((points.passed[at], prepared, first, again))

    return run


@pytest.fixture
async def house(open_house, points, clock):
    return await open_house(reached=points, expiry=REUSE, now=clock)


def durable(names):
    """Whether the transaction had been committed."""
    return {"unit:after", "answered"} & {*names}


async def test_a_code_gives_one_token_set_wherever_its_exchange_is_killed(
    house, photographed, restarted
):
    code = await house.code()
    answer, photos = await photographed(lambda: house.exchange(code))
    assert answer.status == 200
    assert len(photos) > 1
    for names, file in photos:
        later = await restarted(house, file)
        again = await later.exchange(code)
        assert again.status == (400 if durable(names) else 200), names
        if durable(names):
            assert again.json["error"] == "invalid_grant"
        else:
            assert (await later.exchange(code)).status == 400
            assert (await later.storage.refresh_tokens.list())[1:] == []


async def test_tokens_that_were_answered_are_kept(
    house, photographed, restarted, example
):
    code = await house.code()
    answer, photos = await photographed(lambda: house.exchange(code))
    names, file = photos[-1]
    assert "answered" in names
    later = await restarted(house, file)
    tokens = answer.json
    example.claims(await later.keys(), tokens["id_token"])
    assert (await later.userinfo(tokens["access_token"])).status == 200
    assert (await later.refresh(tokens["refresh_token"])).status == 200


async def test_a_refresh_token_has_one_successor_wherever_it_is_killed(
    house, clock, photographed, restarted
):
    old = (await house.tokens())["refresh_token"]
    clock.move(minutes=1)
    answer, photos = await photographed(lambda: house.refresh(old))
    assert answer.status == 200
    assert len(photos) > 1
    new = answer.json["refresh_token"]
    for names, file in photos:
        later = await restarted(house, file)
        if durable(names):
            assert (await later.introspect(new))["active"], names
        once, twice = await later.refresh(old), await later.refresh(old)
        assert once.status == twice.status == 200, names
        assert once.json["refresh_token"] == twice.json["refresh_token"]
        if durable(names):
            assert once.json["refresh_token"] == new
        assert len(await later.storage.refresh_tokens.list()) == 1


async def test_a_second_login_leaves_one_refresh_token_wherever_it_is_killed(
    house, photographed, restarted
):
    old = (await house.tokens())["refresh_token"]
    code = await house.code()
    _, photos = await photographed(lambda: house.exchange(code))
    for _, file in photos:
        later = await restarted(house, file)
        [record] = await later.storage.refresh_tokens.list()
        [session] = await later.storage.offline_sessions.list()
        assert session.refresh["one"].id == record.id
        fresh = await later.exchange(code)
        assert (await later.refresh(old)).status == 400 or fresh.status == 400


async def test_a_killed_revocation_is_whole_or_can_be_repeated(
    house, photographed, restarted
):
    tokens = await house.tokens()
    answer, photos = await photographed(lambda: house.revoke(tokens["refresh_token"]))
    assert answer.status == 200
    assert len(photos) > 1
    for names, file in photos:
        later = await restarted(house, file)
        if "answered" not in names:
            assert (await later.revoke(tokens["refresh_token"])).status == 200
        assert (await later.refresh(tokens["refresh_token"])).status == 400, names
        assert (await later.userinfo(tokens["access_token"])).status == 401, names


async def test_a_killed_sign_up_is_whole_or_can_be_repeated(
    house, photographed, restarted
):
    answer, photos = await photographed(lambda: house.sign_up("new@example.com"))
    assert answer.status == 201
    assert len(photos) > 1
    for names, file in photos:
        later = await restarted(house, file)
        if "answered" not in names:
            assert (await later.sign_up("new@example.com")).status in (201, 409)
        assert (await later.log_in("new@example.com")).status == 303, names


async def test_consent_gives_one_code_wherever_it_is_killed(
    open_house, points, clock, photographed, restarted
):
    house = await open_house(reached=points, now=clock, expiry=REUSE, oauth2={})
    browser = house.browser()
    link = (await house.log_in(session=browser)).headers["Location"]
    agree = {"approval": "approve"}
    answer, photos = await photographed(
        lambda: house.post(link, session=browser, data=agree)
    )
    assert answer.status == 303
    assert len(photos) > 1
    for names, file in photos:
        later = await restarted(house, file)
        if "answered" in names:
            assert (await later.exchange(answer.params["code"])).status == 200
            assert await later.storage.auth_requests.list() == []
        else:
            assert len(await later.storage.auth_requests.list()) == 1, names
            assert await later.storage.auth_codes.list() == []


async def test_a_killed_key_rotation_invalidates_no_token(
    house, points, clock, photographed, restarted, example
):
    before = await house.tokens()
    signer = house.server.parts.signer
    await signer.refresh()
    clock.move(hours=7)
    points.beside = ("revocations.list", "ping", "sweep")
    _, photos = await photographed(signer.rotate)
    after = await house.tokens()
    assert kid(after) != kid(before)
    assert len(photos) > 2
    for names, file in photos:
        later = await restarted(house, file)
        keys = await later.keys()
        example.claims(keys, before["id_token"])
        # Who had rotated had published the key long before.
        example.claims(keys, after["id_token"])
        again = await later.tokens()
        example.claims(await later.keys(), again["id_token"])
        userinfo = await later.userinfo(before["access_token"])
        assert userinfo.status == 200, names


def kid(tokens):
    """The head of the ID token, which names the key."""
    return tokens["id_token"].partition(".")[0]


async def test_a_killed_first_start_can_be_repeated(
    open_house, points, photographed, restarted, tmp_path
):
    points.beside = ()
    house, photos = await photographed(lambda: open_house(reached=points, expiry=REUSE))
    assert len(photos) > 2
    for _, file in photos:
        later = await restarted(house, file)
        tokens = await later.tokens()
        assert (await later.userinfo(tokens["access_token"])).status == 200


# — the database fails, and the process goes on ----------------------------------------


async def test_a_code_works_at_most_once_wherever_the_database_fails(
    house, broken_everywhere
):
    left = await broken_everywhere(house.code, house.exchange)
    for point, code, first, again in left:
        assert first.status == 503, point
        assert first.json["error"] == "temporarily_unavailable"
        assert first.headers["Retry-After"]
        assert again.status in (200, 400), point
        assert (await house.exchange(code)).status == 400


@pytest.mark.parametrize("error", [ConnectionRefusedError, TimeoutError, MemoryError])
async def test_a_storage_that_breaks_its_word_is_answered_for(house, points, error):
    """It may raise ``StorageUnavailable`` only; other errors are no client's."""
    code = await house.code()

    def fail(point):
        raise error("a secret of ours")

    points.then = fail
    answer = await house.exchange(code)
    page = await house.get(house.auth_url(client_id="another"))
    points.then = None
    for each in (answer, page):
        assert each.status == 500
        assert "secret" not in each.text
    assert answer.json["error"] == "server_error"
    assert (await house.exchange(code)).status == 200


async def test_a_refresh_can_be_repeated_wherever_the_database_fails(
    house, clock, broken_everywhere
):
    """T-REF-06."""

    async def prepare():
        token = (await house.tokens())["refresh_token"]
        clock.move(minutes=1)
        return token

    for point, _, first, again in await broken_everywhere(prepare, house.refresh):
        assert first.status == 503, point
        assert again.status == 200, point


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
async def test_a_repeated_revocation_counts_wherever_the_database_failed(
    house, broken_everywhere, restarted, tmp_path, kind
):
    left = await broken_everywhere(
        house.tokens, lambda tokens: house.revoke(tokens[kind])
    )
    copied = tmp_path / "copied.db"
    with sqlite3.connect(tmp_path / "dex.db") as now:
        now.execute("VACUUM INTO ?", (str(copied),))
    now.close()
    later = await restarted(house, copied)
    for point, tokens, first, again in left:
        assert first.status == 503, point
        assert again.status == 200, point
        for provider in (house, later):
            answer = await provider.userinfo(tokens["access_token"])
            assert answer.status == 401, point
            if kind == "refresh_token":
                assert (await provider.refresh(tokens[kind])).status == 400, point


async def test_a_login_can_be_repeated_wherever_the_database_fails(
    house, broken_everywhere
):
    browsers = {}

    async def prepare():
        browser = house.browser()
        form = await house.form(browser)
        browsers[form] = browser
        return form

    async def act(form):
        typed = {"login": "ann@example.com", "password": "password"}
        return await house.post(form, session=browsers[form], data=typed)

    for point, _, first, again in await broken_everywhere(prepare, act):
        assert first.status == 503, point
        assert first.headers["Retry-After"]
        assert again.status == 303, point
        assert (await house.exchange(again.params["code"])).status == 200


async def test_a_consent_is_taken_once_wherever_the_database_fails(
    open_house, points, clock, broken_everywhere
):
    house = await open_house(reached=points, now=clock, oauth2={})

    async def prepare():
        browser = house.browser()
        landed = await house.log_in(session=browser)
        return browser, landed.headers["Location"]

    async def act(asked):
        browser, link = asked
        return await house.post(link, session=browser, data={"approval": "approve"})

    for point, asked, first, again in await broken_everywhere(prepare, act):
        assert first.status == 503, point
        # Committed, and the answer lost: the browser has to start again.
        assert again.status == (400 if point == "unit:after" else 303), point
        assert (await act(asked)).status == 400
        if again.status == 303:
            assert (await house.exchange(again.params["code"])).status == 200


async def test_a_hybrid_answer_comes_once_wherever_the_database_fails(
    open_house, points, clock, broken_everywhere
):
    """Posted, too: how is kept beside the request, and forgotten with it."""
    types = {"responseTypes": ["code", "id_token", "token"]}
    house = await open_house(reached=points, now=clock, oauth2=types)
    asked_for = {"response_type": "code token", "response_mode": "form_post"}

    async def prepare():
        browser = house.browser()
        landed = await house.log_in(session=browser, **asked_for)
        return browser, landed.headers["Location"]

    async def act(asked):
        browser, link = asked
        return await house.post(link, session=browser, data={"approval": "approve"})

    for point, asked, first, again in await broken_everywhere(prepare, act):
        assert first.status == 503, point
        assert "access_token" not in first.fields
        # Committed, and the answer lost: the browser has to start again.
        assert again.status == (400 if point == "unit:after" else 200), point
        assert (await act(asked)).status == 400
        if again.status == 200:
            tokens = again.fields
            assert (await house.exchange(tokens["code"])).status == 200
            assert (await house.userinfo(tokens["access_token"])).status == 200
            assert (await house.exchange(tokens["code"])).status == 400
            assert (await house.userinfo(tokens["access_token"])).status == 401
    assert await house.storage.supplements.list() == []


async def test_tokens_by_the_browser_can_be_asked_for_again_where_the_database_fails(
    open_house, points, clock, broken_everywhere, example
):
    house = await open_house(
        reached=points,
        now=clock,
        oauth2={"responseTypes": ["id_token", "token"], "skipApprovalScreen": True},
        sessions={"ssoSharedWithDefault": "all"},
    )
    asked_for = {"response_type": "id_token token"}
    browsers = {}

    async def prepare():
        browser = house.browser()
        form = await house.form(browser, **asked_for)
        browsers[form] = browser
        return form

    async def act(form):
        typed = {"login": "ann@example.com", "password": "password"}
        return await house.post(form, session=browsers[form], data=typed)

    for point, form, first, again in await broken_everywhere(prepare, act):
        assert first.status == 503, point
        assert again.status == 303, point
        assert (await house.userinfo(again.params["access_token"])).status == 200
        url = house.auth_url(prompt="none", **asked_for)
        silent = await house.get(url, session=browsers[form])
        told = example.claims(await house.keys(), silent.params["id_token"])
        assert told["sid"], point
    assert await house.storage.auth_codes.list() == []


async def test_a_sign_up_can_be_repeated_wherever_the_database_fails(
    house, broken_everywhere
):
    numbers = iter(range(100))

    async def prepare():
        return f"user{next(numbers)}@example.com"

    for point, email, first, again in await broken_everywhere(prepare, house.sign_up):
        assert first.status == 503, point
        stored = point == "passwords.create:after"
        assert again.status == (409 if stored else 201), point
        assert (await house.log_in(email)).status == 303, point


async def test_a_device_gets_one_token_set_wherever_its_poll_is_killed(
    house, photographed, restarted
):
    login = AuthCode(
        "a-login",
        "one",
        scopes=("openid", "offline_access"),
        connector_id="local",
        claims=Claims("ann", "ann", email="ann@example.com"),
    )
    soon = utcnow() + timedelta(minutes=5)
    await house.storage.device_tokens.create(
        DeviceToken("a-device", APPROVED, text_of(login), soon)
    )

    async def poll(house):
        grant = "urn:ietf:params:oauth:grant-type:device_code"
        return await house.client("/token", grant_type=grant, device_code="a-device")

    answer, photos = await photographed(lambda: poll(house))
    assert answer.status == 200, answer.text
    assert len(photos) > 1
    for names, file in photos:
        later = await restarted(house, file)
        again = await poll(later)
        assert again.status == (400 if durable(names) else 200), names
        assert (await poll(later)).status == 400
        assert len(await later.storage.refresh_tokens.list()) == 1


# — with sessions ----------------------------------------------------------------------


@pytest.fixture
async def sessions(open_house, points, clock):
    """Both clients have refresh tokens that end with the session."""
    clients = [
        {
            "id": id,
            "name": id,
            "secret": f"the secret of client {id}",
            "redirectURIs": [f"http://127.0.0.1:1/{id}"],
            "refreshTokenLifetime": "session",
        }
        for id in ("one", "two")
    ]
    return await open_house(
        reached=points,
        now=clock,
        expiry=REUSE,
        sessions={"ssoSharedWithDefault": "all"},
        staticClients=clients,
    )


async def in_a_session(house):
    """Log in; return the browser and the tokens."""
    browser = house.browser()
    landed = await house.log_in(session=browser)
    return browser, (await house.exchange(landed.params["code"])).json


async def silently(house, browser, client="one"):
    return await house.get(house.auth_url(client, prompt="none"), session=browser)


async def log_out(house, browser, tokens):
    hint = f"/dex/logout?id_token_hint={tokens['id_token']}"
    return await house.get(hint, session=browser)


async def test_a_login_that_begins_a_session_can_be_repeated(
    sessions, broken_everywhere
):
    browsers = {}

    async def prepare():
        browser = sessions.browser()
        form = await sessions.form(browser)
        browsers[form] = browser
        return form

    async def act(form):
        typed = {"login": "ann@example.com", "password": "password"}
        return await sessions.post(form, session=browsers[form], data=typed)

    for point, form, first, again in await broken_everywhere(prepare, act):
        assert first.status == 503, point
        assert again.status == 303, point
        assert (await sessions.exchange(again.params["code"])).status == 200
        assert "code" in (await silently(sessions, browsers[form])).params, point


async def test_a_silent_login_can_be_repeated_wherever_the_database_fails(
    sessions, broken_everywhere
):
    async def prepare():
        return (await in_a_session(sessions))[0]

    async def act(browser):
        return await silently(sessions, browser, "two")

    for point, _, first, again in await broken_everywhere(prepare, act):
        assert first.status == 503, point
        answer = await sessions.exchange(again.params["code"], "two")
        assert answer.status == 200, point


async def test_a_logout_counts_at_the_latest_when_it_is_repeated(
    sessions, broken_everywhere
):
    async def prepare():
        return await in_a_session(sessions)

    async def act(logged_in):
        return await log_out(sessions, *logged_in)

    for point, logged_in, first, again in await broken_everywhere(prepare, act):
        browser, tokens = logged_in
        assert first.status in (200, 503), point
        assert again.status == 200, point
        answer = await silently(sessions, browser)
        assert answer.params["error"] == "login_required", point
        assert (await sessions.refresh(tokens["refresh_token"])).status == 400, point


async def test_a_killed_logout_is_whole_or_can_be_repeated(
    sessions, photographed, open_house, clock
):
    browser, tokens = await in_a_session(sessions)
    clock.move(minutes=1)
    answer, photos = await photographed(lambda: log_out(sessions, browser, tokens))
    assert answer.status == 200
    assert len(photos) > 2
    refresh_token = tokens["refresh_token"]
    for names, file in photos:
        later = await open_house(
            database=file,
            issuer=sessions.base,
            now=clock,
            expiry=REUSE,
            sessions={},
            staticClients=[
                {
                    "id": "one",
                    "name": "one",
                    "secret": "the secret of client one",
                    "redirectURIs": ["http://127.0.0.1:1/one"],
                    "refreshTokenLifetime": "session",
                }
            ],
        )
        alive = await later.storage.auth_sessions.list()
        refreshed = await later.refresh(refresh_token)
        # No refresh token outlives its session, however little of the logout was done.
        assert (refreshed.status == 200) == bool(alive), names
        if "answered" in names:
            assert not alive


# — what is stored beside dex's records ------------------------------------------------

KNOWN = {"phone_number": "+1 518 555 0100"}
ASKED = {"scope": "openid phone offline_access", "claims": '{"id_token":{"amr":null}}'}


@pytest.fixture
async def knowing(open_house, points, clock):
    """A provider with sessions, whose users have something to tell."""
    ann = {"username": "ann@example.com", "password": "password", "claims": KNOWN}
    return await open_house(
        reached=points,
        now=clock,
        sessions={},
        enablePasswordDB=False,
        enableSignup=False,
        staticPasswords=[],
        connectors=[{"type": "mockPassword", "id": "pw", "name": "P", "config": ann}],
    )


async def check_told(house, example, answer, point):
    assert answer.status == 200, (point, answer.text)
    claims = example.claims(await house.keys(), answer.json["id_token"])
    assert claims["phone_number"] == KNOWN["phone_number"], point
    assert claims["amr"] == ["pwd"], point


async def test_a_token_tells_all_of_it_wherever_the_database_failed(
    knowing, example, broken_everywhere
):
    async def prepare():
        return await knowing.code(**ASKED)

    for point, code, first, again in await broken_everywhere(prepare, knowing.exchange):
        assert first.status == 503, point
        if again.status == 200:
            await check_told(knowing, example, again, point)
        assert (await knowing.exchange(code)).status == 400


async def test_a_refresh_tells_all_of_it_wherever_the_database_failed(
    knowing, example, clock, broken_everywhere
):
    async def prepare():
        answer = await knowing.exchange(await knowing.code(**ASKED))
        clock.move(minutes=1)
        return answer.json["refresh_token"]

    async def act(token):
        answer = await knowing.refresh(token)
        if answer.status == 200:
            await check_told(knowing, example, answer, token)
        return answer

    for point, _, first, again in await broken_everywhere(prepare, act):
        assert first.status == 503, point
        # Committed, and the answer lost: there is no interval here to ask again in.
        assert again.status == (400 if point == "unit:after" else 200), point


async def test_a_session_tells_all_of_it_wherever_the_database_failed(
    knowing, example, broken_everywhere
):
    browsers = {}

    async def prepare():
        browser = knowing.browser()
        form = await knowing.form(browser, scope="openid")
        browsers[form] = browser
        return form

    async def act(form):
        typed = {"login": "ann@example.com", "password": "password"}
        return await knowing.post(form, session=browsers[form], data=typed)

    for point, form, first, again in await broken_everywhere(prepare, act):
        assert first.status == 503, point
        assert again.status == 303, point
        silent = await knowing.get(
            knowing.auth_url(prompt="none", **ASKED), session=browsers[form]
        )
        answer = await knowing.exchange(silent.params["code"])
        await check_told(knowing, example, answer, point)


async def test_nothing_of_it_is_left_behind(knowing):
    browser = knowing.browser()
    landed = await knowing.log_in(session=browser, **ASKED)
    tokens = (await knowing.exchange(landed.params["code"])).json
    assert len(await knowing.storage.supplements.list()) == 2
    await knowing.revoke(tokens["refresh_token"])
    await log_out(knowing, browser, tokens)
    assert await knowing.storage.supplements.list() == []


# — With a key, and on somebody's word -------------------------------------------------


IDP = ClientKey()
NATIVE_URI = "http://127.0.0.1:1/native"


@pytest.fixture
async def keyed(open_house, points, clock):
    native = {"id": "native", "name": "Native", "public": True}
    app = {"id": "app", "name": "App", "secret": "secret", "redirectURIs": []}
    trusted = {"issuer": "urn:idp", "connectorID": "local", "jwks": IDP.jwks}
    return await open_house(
        reached=points,
        now=clock,
        staticClients=[native | {"redirectURIs": [NATIVE_URI]}, app],
        oauth2={
            "skipApprovalScreen": True,
            "jwtBearer": {"trustedIssuers": [trusted]},
        },
    )


async def prove(house, key, clock, **form):
    now = clock().timestamp()
    headers = {"DPoP": key.proof("POST", f"{house.base}/token", iat=now)}
    form |= {"client_id": "native"}
    return await house.post("/dex/token", data=form, headers=headers)


async def test_a_code_for_a_key_gives_tokens_for_it_wherever_the_database_fails(
    keyed, example, clock, broken_everywhere
):
    async def prepare():
        key = ProofKey()
        code = await keyed.code(client_id="native", redirect_uri=NATIVE_URI)
        return key, code

    async def act(prepared):
        key, code = prepared
        form = {"grant_type": "authorization_code", "redirect_uri": NATIVE_URI}
        answer = await prove(keyed, key, clock, code=code, **form)
        # Whatever is left is of use to this key alone.
        for record in await keyed.storage.refresh_tokens.list():
            kept = await keyed.storage.supplements.get(record.id)
            assert len(kept.extras.dpop_jkt) == 43
        return answer

    for point, (key, code), first, again in await broken_everywhere(prepare, act):
        good = [answer for answer in (first, again) if answer.status == 200]
        assert len(good) <= 1, point
        for answer in good:
            said = example.claims(await keyed.keys(), answer.json["access_token"])
            assert said["cnf"] == {"jkt": key.jkt}
        assert (await act((key, code))).status == 400


async def test_a_proof_is_good_once_wherever_the_database_fails(
    keyed, clock, broken_everywhere
):
    async def prepare():
        return ProofKey().proof("POST", f"{keyed.base}/token", iat=clock().timestamp())

    async def act(proof):
        form = {"grant_type": "refresh_token", "refresh_token": "x"}
        return await keyed.post(
            "/dex/token",
            data=form | {"client_id": "native"},
            headers={"DPoP": proof},
        )

    for point, _, first, again in await broken_everywhere(prepare, act):
        accepted = [
            answer
            for answer in (first, again)
            if answer.json["error"] == "invalid_grant"
        ]
        assert len(accepted) <= 1, point


async def test_an_assertion_is_good_once_wherever_the_database_fails(
    keyed, clock, broken_everywhere
):
    async def prepare():
        now = int(clock().timestamp())
        said = {"iss": "urn:idp", "sub": "jane", "aud": keyed.base}
        said |= {"jti": new_id(), "iat": now, "exp": now + 60, "client_id": "app"}
        return IDP.sign(said, typ="oauth-id-jag+jwt")

    async def act(assertion):
        form = {"client_id": "app", "client_secret": "secret", "assertion": assertion}
        form |= {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
        return await keyed.post("/dex/token", data=form)

    left = await broken_everywhere(prepare, act)
    for point, _, first, again in left:
        assert [first.status, again.status].count(200) <= 1, point
    assert any(again.status == 200 for _, _, _, again in left)
