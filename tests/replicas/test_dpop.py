"""A proof of a key is good once, whichever replicas it is shown to."""

import asyncio
import time

from collections import Counter

from dexcore.testing.dpop import ProofKey

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
TV = {"client_id": "tv"}


async def test_of_all_replicas_one_takes_a_proof(house, http):
    one = house.strict[0]
    form = TV | {"scope": "openid"}
    begun = await one.send(http, "POST", "/dex/device/code", data=form)
    poll = TV | {"grant_type": GRANT, "device_code": begun.json["device_code"]}
    proof = ProofKey().proof("POST", f"{one.issuer}/token", iat=time.time())
    answers = await asyncio.gather(
        *(
            each.send(http, "POST", "/dex/token", data=poll, headers={"DPoP": proof})
            for _ in range(3)
            for each in house.all
        )
    )
    errors = Counter(answer.json["error"] for answer in answers)
    refused = {"invalid_dpop_proof": 3 * len(house.all) - 1}
    assert errors == refused | {"authorization_pending": 1}
