"""Two users, two clients, two browsers: nothing of one is of use to another.

Every case takes a good run apart at one step and puts in one thing of another run.  It
must be refused, and both runs must still come to their good end with their own things.
"""

import base64
import hashlib
import itertools

import attrs
import pytest

from .two_people import USERS, Plugin

CLIENTS, BROWSERS = ("one", "two"), ("left", "right")


@attrs.define
class Run:
    """One way to tokens, and what was picked up on it."""

    house: object
    user: str
    client: str
    cookies: dict  # of the browser
    verifier: str
    state: str = ""  # the id of the flow
    req: str = ""
    hmac: str = ""
    code: str = ""
    redirect_uri: str = ""
    refresh_token: str = ""
    access_token: str = ""

    @property
    def cookie(self):
        return self.cookies.get(self.cookie_name, "")

    @property
    def cookie_name(self):
        return f"dexcore_flow_{self.state}"

    async def send(self, method, path, cookies=None, **kwargs):
        sent = self.cookies if cookies is None else cookies
        line = "; ".join(f"{name}={value}" for name, value in sent.items())
        answer = await self.house.send(
            method, path, headers={"Cookie": line} if line else {}, **kwargs
        )
        for cookie in answer.headers.getall("Set-Cookie", ()):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    # — the steps; what is given replaces what is ours ---------------------------------

    async def begin(self):
        digest = hashlib.sha256(self.verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        url = self.house.auth_url(
            self.client, code_challenge=challenge, code_challenge_method="S256"
        )
        answer = await self.send("GET", url)
        self.state = answer.headers["Location"].rpartition("state=")[2]

    def swapped_cookies(self, cookie):
        if cookie is None:
            return None
        return self.cookies | {self.cookie_name: cookie}

    async def login(self, state=None, cookie=None, cookies=None):
        path = f"/dex/auth/people/login?state={state or self.state}"
        answer = await self.send(
            "POST",
            path,
            cookies=cookies if cookies is not None else self.swapped_cookies(cookie),
            data={"login": self.user, "password": self.user},
        )
        if answer.status == 303:
            self.req, self.hmac = answer.params["req"], answer.params["hmac"]
        return answer

    async def approval(self, req=None, hmac=None, cookie=None, cookies=None):
        path = f"/dex/approval?req={req or self.req}&hmac={hmac or self.hmac}"
        answer = await self.send(
            "POST",
            path,
            cookies=cookies if cookies is not None else self.swapped_cookies(cookie),
            data={"approval": "approve"},
        )
        if answer.status == 303:
            self.code = answer.params["code"]
        return answer

    async def exchange(self, code=None, verifier=None, redirect_uri=None, client=None):
        answer = await self.house.exchange(
            code or self.code,
            client or self.client,
            code_verifier=verifier or self.verifier,
            redirect_uri=redirect_uri or self.redirect_uri,
        )
        if answer.status == 200:
            self.refresh_token = answer.json["refresh_token"]
            self.access_token = answer.json["access_token"]
        return answer

    async def refresh(self, refresh_token=None, client=None):
        answer = await self.house.refresh(
            refresh_token or self.refresh_token, client or self.client
        )
        if answer.status == 200:
            self.refresh_token = answer.json["refresh_token"]
        return answer

    async def end(self, example):
        """All is ours: user, client, nonce."""
        house = self.house
        answer = await self.refresh()
        assert answer.status == 200, answer.text
        claims = example.claims(await house.keys(), answer.json["id_token"])
        assert claims["aud"] == self.client
        assert claims["name"] == self.user


STEPS = ("begin", "login", "approval", "exchange", "refresh")

#: The step, what is swapped, and in what the two runs must differ for it to matter.
SWAPS = [
    ("login", "state", "browser"),
    ("login", "cookie", ""),
    ("login", "cookies", "browser"),
    ("approval", "req", ""),
    ("approval", "hmac", ""),
    ("approval", "cookie", ""),
    ("approval", "cookies", "browser"),
    ("approval", "req hmac", "browser"),
    ("exchange", "code", ""),
    ("exchange", "verifier", ""),
    ("exchange", "code verifier", "client"),
    ("exchange", "code verifier redirect_uri", "client"),
    ("exchange", "redirect_uri", "client"),
    ("exchange", "client", "client"),
    ("exchange", "client redirect_uri", "client"),
    ("refresh", "client", "client"),
    ("refresh", "refresh_token", "client"),
]
OTHERS = [
    (user, client, browser)
    for user, client, browser in itertools.product(USERS, CLIENTS, BROWSERS)
    if (user, client, browser) != (USERS[0], CLIENTS[0], BROWSERS[0])
]
CASES = [
    pytest.param(step, swapped.split(), other, id=f"{step}-{swapped}-{'-'.join(other)}")
    for step, swapped, must in SWAPS
    for other in OTHERS
    if (must != "browser" or other[2] != BROWSERS[0])
    and (must != "client" or other[1] != CLIENTS[0])
    # Two flows of one user with one client: the later login replaces the token.
    and (step != "refresh" or other[:2] != (USERS[0], CLIENTS[0]))
]


@pytest.fixture
async def house(open_house):
    return await open_house(
        Plugin(),
        storage={"type": "memory"},
        oauth2={},
        enablePasswordDB=False,
        enableSignup=False,
        staticPasswords=[],
        connectors=[{"type": "people", "id": "people", "name": "People"}],
    )


@pytest.fixture
def runs(house, example):
    browsers = {name: {} for name in BROWSERS}

    def make(user, client, browser):
        verifier = f"{user}-{client}-{browser}-" + "v" * 43
        uri, _ = example.clients[client]
        run = Run(house, user, client, browsers[browser], verifier)
        run.redirect_uri = uri
        return run

    return make


@pytest.mark.parametrize(("step", "swapped", "other"), CASES)
async def test_what_belongs_to_another_is_refused_and_still_good(
    runs, example, step, swapped, other
):
    """T-FLOW-01."""
    mine, others = runs(USERS[0], CLIENTS[0], BROWSERS[0]), runs(*other)
    before = STEPS[: STEPS.index(step)]
    for run in (mine, others):
        for name in before:
            await getattr(run, name)()

    taken = {name: getattr(others, name) for name in swapped}
    assert any(taken[name] != getattr(mine, name) for name in swapped)
    answer = await getattr(mine, step)(**taken)
    assert 400 <= answer.status < 500, (answer.status, answer.text)
    assert "Location" not in answer.headers
    assert "access_token" not in answer.text

    for run in (mine, others):
        for name in STEPS[STEPS.index(step) :]:
            answer = await getattr(run, name)()
            assert answer.status in (200, 303), (name, answer.text)
        await run.end(example)


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
async def test_another_client_learns_nothing_of_a_token_and_cannot_revoke_it(
    house, runs, kind
):
    mine, others = runs("ann", "one", "left"), runs("bob", "two", "right")
    for run in (mine, others):
        for name in STEPS[:4]:
            await getattr(run, name)()
    token = getattr(mine, kind)
    assert await house.introspect(token, "two") == {"active": False}
    assert (await house.revoke(token, "two")).status == 200
    assert (await house.introspect(token, "one"))["active"] is True
    assert (await mine.refresh()).status == 200


@pytest.mark.parametrize("swapped", ["token", "cookie", "both"])
async def test_a_sign_up_form_is_of_use_in_its_own_browser_only(open_house, swapped):
    house = await open_house()
    left, right = house.browser(), house.browser()
    pages = [await house.get("/dex/signup", session=each) for each in (left, right)]
    tokens = [page.fields["csrf_token"] for page in pages]
    cookies = [page.headers["Set-Cookie"].partition(";")[0] for page in pages]
    sent = {"email": "x@example.com", "username": "x", "password": "password1"}
    cookie = {"token": cookies[0], "cookie": cookies[1], "both": ""}[swapped]
    answer = await house.post(
        "/dex/signup",
        data=sent | {"csrf_token": tokens[1 if swapped == "token" else 0]},
        headers={"Cookie": cookie} if cookie else {},
    )
    assert answer.status == 403
    for number, session in enumerate((left, right)):
        own = {"csrf_token": tokens[number], "email": f"x{number}@example.com"}
        answer = await house.post("/dex/signup", session=session, data=sent | own)
        assert answer.status == 201
