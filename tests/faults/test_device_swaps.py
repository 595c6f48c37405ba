"""Two devices, users, clients, browsers: nothing of one is of use to another.

As in :mod:`.test_swaps`: one thing of another run is put into a good one, which must be
refused, and then both come to their good end.
"""

import itertools

import attrs
import pytest

from .two_people import USERS, Plugin

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
CLIENTS, BROWSERS = ("tv", "radio"), ("left", "right")


@attrs.define
class Run:
    """A device, its user, and what was picked up on the way."""

    house: object
    user: str
    client: str
    cookies: dict  # of the browser
    device_code: str = ""
    user_code: str = ""
    csrf: str = ""
    state: str = ""  # of the device page
    flow: str = ""
    req: str = ""
    hmac: str = ""
    code: str = ""

    async def send(self, method, path, cookies=None, **kwargs):
        sent = self.cookies if cookies is None else cookies
        line = "; ".join(f"{name}={value}" for name, value in sent.items())
        answer = await self.house.send(
            method, path, headers={"Cookie": line} if line else {}, **kwargs
        )
        for cookie in answer.headers.getall("Set-Cookie", ()):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
        return answer

    # — the steps; what is given replaces what is ours ---------------------------------

    async def begin(self):
        form = {"client_id": self.client, "scope": "openid profile"}
        answer = await self.house.post("/dex/device/code", data=form)
        self.device_code = answer.json["device_code"]
        self.user_code = self.state = answer.json["user_code"]
        page = await self.send("GET", "/dex/device")
        self.csrf = page.fields["csrf_token"]
        return page

    async def enter(self, csrf=None, cookies=None):
        typed = {"csrf_token": csrf or self.csrf, "user_code": self.user_code}
        answer = await self.send(
            "POST", "/dex/device/auth/verify_code", cookies=cookies, data=typed
        )
        if answer.status == 302:
            form = await self.send("GET", answer.headers["Location"])
            self.flow = form.headers["Location"].rpartition("state=")[2]
        return answer

    async def login(self, flow=None, cookies=None):
        path = f"/dex/auth/people/login?state={flow or self.flow}"
        typed = {"login": self.user, "password": self.user}
        answer = await self.send("POST", path, cookies=cookies, data=typed)
        if answer.status == 303:
            self.req, self.hmac = answer.params["req"], answer.params["hmac"]
        return answer

    async def approval(self, req=None, hmac=None, cookies=None):
        path = f"/dex/approval?req={req or self.req}&hmac={hmac or self.hmac}"
        agree = {"approval": "approve"}
        answer = await self.send("POST", path, cookies=cookies, data=agree)
        if answer.status == 303:
            self.code = answer.params["code"]
        return answer

    async def connect(self, code=None, state=None, cookies=None):
        path = (
            f"/dex/device/callback?code={code or self.code}&state={state or self.state}"
        )
        return await self.send("GET", path, cookies=cookies)

    async def poll(self, device_code=None, client=None):
        form = {
            "grant_type": GRANT,
            "client_id": client or self.client,
            "device_code": device_code or self.device_code,
        }
        return await self.house.post("/dex/token", data=form)


STEPS = ("begin", "enter", "login", "approval", "connect", "poll")

#: The step, what is swapped, and in what the two runs must differ for it to matter.
SWAPS = [
    ("enter", "csrf", "browser"),
    ("enter", "cookies", "browser"),
    ("login", "flow", "browser"),
    ("login", "cookies", "browser"),
    ("approval", "req", ""),
    ("approval", "hmac", ""),
    ("approval", "cookies", "browser"),
    ("connect", "code", ""),
    ("connect", "state", ""),
    ("connect", "cookies", "browser"),
    ("connect", "code state", "browser"),
    ("poll", "device_code", "client"),
    ("poll", "client", "client"),
]
OTHERS = [
    each
    for each in itertools.product(USERS, CLIENTS, BROWSERS)
    if each != (USERS[0], CLIENTS[0], BROWSERS[0])
]
CASES = [
    pytest.param(step, swapped.split(), other, id=f"{step}-{swapped}-{'-'.join(other)}")
    for step, swapped, must in SWAPS
    for other in OTHERS
    if (must != "browser" or other[2] != BROWSERS[0])
    and (must != "client" or other[1] != CLIENTS[0])
]


@pytest.fixture
async def house(open_house):
    return await open_house(
        Plugin(),
        storage={"type": "memory"},
        enablePasswordDB=False,
        enableSignup=False,
        staticPasswords=[],
        staticClients=[{"id": id, "name": id, "public": True} for id in CLIENTS],
        connectors=[{"type": "people", "id": "people", "name": "People"}],
    )


@pytest.fixture
def runs(house):
    browsers = {name: {} for name in BROWSERS}

    def make(user, client, browser):
        return Run(house, user, client, browsers[browser])

    return make


@pytest.mark.parametrize(("step", "swapped", "other"), CASES)
async def test_what_belongs_to_another_device_is_refused_and_still_good(
    house, runs, example, step, swapped, other
):
    mine, others = runs(USERS[0], CLIENTS[0], BROWSERS[0]), runs(*other)
    for run in (mine, others):
        for name in STEPS[: STEPS.index(step)]:
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
            assert answer.status in (200, 302, 303), (name, answer.text)
        claims = example.claims(await house.keys(), answer.json["id_token"])
        assert (claims["aud"], claims["name"]) == (run.client, run.user)
