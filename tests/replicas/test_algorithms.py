"""The algorithm of the signing keys is changed while replicas and clients go on."""

from __future__ import annotations

import json
import re

from datetime import timedelta

import aiohttp
import attrs
import pytest

from dexcore.oauth2.times import utcnow
from dexcore.signer import JWKS_MAX_AGE
from dexcore.testing.app import App
from dexcore.testing.lives import Lives
from dexcore.testing.tokens import Tokens
from dexcore.testing.verification import header, verified

STEP = 20  # seconds, in which a replica has polled twice
LIFETIME = 900  # seconds
SLACK = 60  # seconds a test may take, whose clock goes on by itself as well
USER = "user1@example.com"


@attrs.define
class Keeper:
    """A client that keeps a key set for as long as it is told, whatever comes."""

    began: int
    jwks: str = ""
    until: int = 0


class World:
    """Two replicas, the issuer's clock, clients, and what these were given."""

    def __init__(self, lives, http, configuration):
        self.lives, self.http, self.configuration = lives, http, configuration
        self.time = 0
        self.replicas = []
        # At any moment somebody has just fetched the keys, and somebody long ago.
        self.keepers = [Keeper(began) for began in range(0, JWKS_MAX_AGE, STEP)]
        self.issued = []  # when, and the tokens
        self.algorithms = []

    def begin(self, algorithm, number=None):
        """Start a replica, or the one of that *number* anew."""
        port = 0
        if number is not None:
            self.replicas[number].life.stop()
            port = int(self.replicas[number].origin.rpartition(":")[2])
        issuer = {"issuer": self.replicas[0].issuer} if self.replicas else {}
        life = self.lives.begin(issuer | self.configuration(algorithm), port)
        replica = App(life.issuer, life.origin)
        replica.life = life
        if number is None:
            self.replicas.append(replica)
        else:
            self.replicas[number] = replica

    async def pass_time(self, until):
        while self.time < until:
            self.lives.forward(STEP)
            self.time += STEP
            # One of them is late to see what the other has done.
            first, second = self.replicas
            first.life.look()
            for replica in self.replicas:
                await self.issue(replica)
            second.life.look()
            if self.time % (3 * STEP) == 0:
                await self.look_back()

    async def issue(self, replica):
        """Get tokens; everybody is content with them."""
        answer = await replica.refresh(self.http, self.token)
        assert answer.status == 200, answer.text
        tokens = Tokens.of(answer.status, answer.text.encode())
        self.token = tokens.refresh_token
        algorithm = header(tokens.id_token)["alg"]
        if algorithm not in self.algorithms:
            self.algorithms.append(algorithm)
        self.issued.append((self.time, tokens))
        there = [keeper for keeper in self.keepers if keeper.began <= self.time]
        for keeper in there:
            await self.fetch(keeper)
        for jwks in {keeper.jwks for keeper in there}:
            self.verify(tokens, json.loads(jwks))
        (other,) = (one for one in self.replicas if one is not replica)
        assert (await other.userinfo(self.http, tokens.access_token)).status == 200

    async def fetch(self, keeper):
        if self.time < keeper.until:
            return
        # A load balancer would choose.
        replica = self.replicas[(keeper.began // STEP) % 2]
        answer = await replica.send(self.http, "GET", "/dex/keys")
        age = re.search(r"max-age=(\d+)", answer.headers["Cache-Control"])[1]
        keeper.jwks, keeper.until = answer.text, self.time + int(age)

    async def look_back(self):
        """Whoever fetches keys now can verify what has not expired, and is told how."""
        oldest = self.time - LIFETIME + SLACK
        self.issued = [one for one in self.issued if one[0] >= oldest]
        for replica in self.replicas:
            jwks = await replica.keys(self.http)
            for place in (0, len(self.issued) // 2, -1):
                self.verify(self.issued[place][1], jwks)
            path = "/dex/.well-known/openid-configuration"
            document = (await replica.send(self.http, "GET", path)).json
            told = document["id_token_signing_alg_values_supported"]
            assert {key["alg"] for key in jwks["keys"]} <= {*told}

    def verify(self, tokens, jwks):
        now = utcnow() + timedelta(seconds=self.time)
        issuer = self.replicas[0].issuer
        verified(tokens, issuer=issuer, jwks=jwks, audience="app", now=now)


@pytest.mark.parametrize("sort", ["sqlite", "postgres"])
async def test_no_client_fails_to_verify_while_the_algorithm_changes_twice(
    request, tmp_path, example, sort
):
    """From RS256 to ES256 to EdDSA; replicas restart one after the other.

    In between they have different algorithms in their files, and each time a key begins
    to sign meanwhile.
    """
    storage = request.getfixturevalue(f"{sort}_place")()

    def configuration(algorithm):
        signer = {"algorithm": algorithm, "keysRotationPeriod": "1m"}
        return example.configuration(storage) | {
            "signer": {"type": "local", "config": signer},
            "expiry": {"idTokens": f"{LIFETIME}s"},
        }

    # Nobody waits on a connection to a replica that was there before.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as http:
        with Lives(tmp_path) as lives:
            await change(World(lives, http, configuration))


async def change(world):
    world.begin("RS256")
    world.begin("RS256")
    answer = await world.replicas[0].tokens(world.http, USER)
    world.token = answer["refresh_token"]
    await world.pass_time(200)
    world.begin("ES256", number=0)
    await world.pass_time(900)
    world.begin("ES256", number=1)
    await world.pass_time(1600)
    assert world.algorithms == ["RS256", "ES256"]
    world.begin("EdDSA", number=1)
    await world.pass_time(2300)
    world.begin("EdDSA", number=0)
    await world.pass_time(3000)
    assert world.algorithms == ["RS256", "ES256", "EdDSA"]
    assert header(world.issued[-1][1].id_token)["alg"] == "EdDSA"
