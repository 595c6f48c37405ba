"""Two apps with keys: what one proves, or has got for it, is of no use to the other.

As in :mod:`.test_swaps`: one thing of another run is put into a good one, which must be
refused, and then both come to their good end.
"""

import time

import attrs
import pytest

from dexcore.testing.dpop import ProofKey

USERS = ("ann@example.com", "bob@example.com")
URI = "http://127.0.0.1:1/"


@attrs.define
class Run:
    """An app without a secret, its key, and what it has got."""

    house: object
    user: str
    client: str
    key: ProofKey = attrs.Factory(ProofKey)
    code: str = ""
    refresh_token: str = ""
    access_token: str = ""

    def prove(self, method, path, **more):
        url = self.house.base.removesuffix("/dex") + path
        return self.key.proof(method, url, **{"iat": time.time()} | more)

    def fresh(self, step):
        """Return the proof that the app would send at *step*."""
        if step == "userinfo":
            return self.prove("GET", "/dex/userinfo", access_token=self.access_token)
        return self.prove("POST", "/dex/token")

    async def login(self):
        landed = await self.house.log_in(
            self.user,
            client_id=self.client,
            redirect_uri=URI + self.client,
            dpop_jkt=self.key.jkt,
        )
        self.code = landed.params["code"]

    async def token(self, proof, **form):
        headers = {"DPoP": proof or self.fresh("exchange")}
        answer = await self.house.post("/dex/token", data=form, headers=headers)
        if answer.status == 200:
            self.refresh_token = answer.json["refresh_token"]
            self.access_token = answer.json["access_token"]
        return answer

    # — the steps; what is given replaces what is ours ---------------------------------

    async def exchange(self, code=None, client=None, proof=None):
        client = client or self.client
        return await self.token(
            proof,
            grant_type="authorization_code",
            client_id=client,
            redirect_uri=URI + client,
            code=code or self.code,
        )

    async def refresh(self, refresh_token=None, client=None, proof=None):
        return await self.token(
            proof,
            grant_type="refresh_token",
            client_id=client or self.client,
            refresh_token=refresh_token or self.refresh_token,
        )

    async def userinfo(self, access_token=None, proof=None, scheme="DPoP"):
        token = access_token or self.access_token
        proof = proof or self.fresh("userinfo")
        sent = {"Authorization": f"{scheme} {token}", "DPoP": proof}
        return await self.house.get("/dex/userinfo", headers=sent)


STEPS = ("login", "exchange", "refresh", "userinfo")
SWAPS = [
    ("exchange", "code"),
    ("exchange", "client"),
    ("exchange", "proof"),
    ("exchange", "code client"),
    ("refresh", "refresh_token"),
    ("refresh", "client"),
    ("refresh", "proof"),
    ("refresh", "refresh_token client"),
    ("userinfo", "access_token"),
    ("userinfo", "proof"),
]
#: What a thief may make of a proof that it has seen, or of none.
FORGED = {
    "none": lambda run, method, path: "",
    "another method": lambda run, method, path: run.prove("PUT", path),
    "another path": lambda run, method, path: run.prove(method, "/dex/token/revoke"),
    "another host": lambda run, method, path: run.key.proof(
        method, f"https://evil.example.com{path}", iat=time.time()
    ),
    "an old one": lambda run, method, path: run.prove(
        method, path, iat=time.time() - 120
    ),
    "another key": lambda run, method, path: attrs.evolve(run, key=ProofKey()).prove(
        method, path, **({"access_token": run.access_token} if "user" in path else {})
    ),
}


@pytest.fixture
async def runs(open_house):
    native = {"public": True, "name": "An app"}
    house = await open_house(
        storage={"type": "memory"},
        staticClients=[
            native | {"id": name, "redirectURIs": [URI + name]}
            for name in ("one", "two")
        ],
    )

    async def make(step):
        made = [
            Run(house, user, name)
            for user, name in zip(USERS, ("one", "two"), strict=True)
        ]
        for run in made:
            for name in STEPS[: STEPS.index(step)]:
                await getattr(run, name)()
        return made

    return make


async def end_well(runs, step):
    for run in runs:
        for name in STEPS[STEPS.index(step) :]:
            answer = await getattr(run, name)()
            assert answer.status == 200, (name, answer.text)
        assert answer.json["name"] == run.user[:3]


@pytest.mark.parametrize(("step", "swapped"), SWAPS)
async def test_what_another_app_has_is_refused_and_still_good(runs, step, swapped):
    mine, others = await runs(step)
    taken = {
        name: others.fresh(step) if name == "proof" else getattr(others, name)
        for name in swapped.split()
    }
    answer = await getattr(mine, step)(**taken)
    assert 400 <= answer.status < 500, answer.text
    assert "access_token" not in answer.text
    await end_well((mine, others), step)


@pytest.mark.parametrize("what", FORGED)
@pytest.mark.parametrize("step", STEPS[1:])
async def test_no_other_proof_is_good(runs, step, what):
    mine, others = await runs(step)
    forged = FORGED[what](mine, *_about(step)) or " "
    answer = await getattr(mine, step)(proof=forged)
    assert 400 <= answer.status < 500, answer.text
    await end_well((mine, others), step)


async def test_a_bound_token_is_nobodys_bearer_token(runs):
    mine, others = await runs("userinfo")
    answer = await mine.userinfo(scheme="Bearer")
    assert answer.status == 401
    await end_well((mine, others), "userinfo")


def _about(step):
    return ("GET", "/dex/userinfo") if step == "userinfo" else ("POST", "/dex/token")
