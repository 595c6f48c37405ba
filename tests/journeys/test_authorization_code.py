"""A browser logs in, and a client trades the code for tokens."""

import asyncio
import hashlib
import json

from urllib.parse import quote

import pytest

from dexcore.jose import b64encode, left_half_hash
from dexcore.oauth2.subjects import encode_subject

CALLBACK = "http://127.0.0.1:5555/callback"
VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123"
# The S256 challenge of the verifier above.
CHALLENGE = "v70ixSDfoBEDrDZV-0YABusoh_Ajp_a66XlJlwBHynw"


async def test_a_correct_password_answers_with_the_redirect_that_carries_the_code(
    world,
):
    landed = await world.log_in()
    assert landed.status == 303
    assert landed.location.startswith(CALLBACK)
    assert landed.params["state"] == "xyz"
    assert len(landed.params["code"]) >= 32


async def test_the_state_comes_back_as_it_was_sent(world):
    """T-AZ-12."""
    odd = "a/b c&d=é\U0001f511+%2F"
    landed = await world.log_in(state=odd)
    assert landed.params["state"] == odd


async def test_the_query_of_a_registered_redirect_uri_is_kept(world):
    landed = await world.log_in(redirect_uri="https://app.example/cb?keep=1")
    assert landed.location.startswith("https://app.example/cb?keep=1&")
    assert landed.params["keep"] == "1"


async def test_a_code_becomes_tokens_with_the_claims_of_the_scopes(world):
    """T-IDT-01."""
    tokens = await world.tokens()
    assert tokens["token_type"] == "bearer"
    assert tokens["expires_in"] == 86399
    claims = await world.claims(tokens["id_token"])
    assert claims["iss"] == world.issuer
    assert claims["aud"] == "example-app"
    assert claims["sub"] == encode_subject("0-385-28089-0", "pw")
    assert claims["nonce"] == "n-0S6"
    assert claims["email"] == "kilgore@kilgore.trout"
    assert claims["email_verified"] is True
    assert claims["name"] == "Kilgore Trout"
    assert claims["exp"] - claims["iat"] == 86400
    assert claims["at_hash"] == left_half_hash("ES256", tokens["access_token"])
    assert {"c_hash", "jti", "auth_time"} <= claims.keys()
    assert len(claims["sub"]) <= 255
    assert claims["sub"].isascii()


async def test_claims_stay_out_that_no_scope_asks_for(world):
    tokens = await world.tokens(scope="openid")
    claims = await world.claims(tokens["id_token"])
    assert not {"email", "email_verified", "groups", "name"} & claims.keys()
    assert "refresh_token" not in tokens


async def test_the_token_answer_must_not_be_kept(world):
    """T-TOK-01."""
    answer = await world.exchange(await world.code())
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert answer.headers["Content-Type"] == "application/json"


async def test_a_code_works_once(world):
    """T-TOK-02."""
    code = await world.code()
    first, second = await world.exchange(code), await world.exchange(code)
    assert (first.status, second.status) == (200, 400)
    assert json.loads(second.text)["error"] == "invalid_grant"


async def test_of_many_that_bring_one_code_one_gets_tokens(world):
    """T-TOK-02."""
    code = await world.code(code_challenge=CHALLENGE, code_challenge_method="S256")
    answers = await asyncio.gather(
        *(world.exchange(code, code_verifier=VERIFIER) for _ in range(50))
    )
    statuses = [answer.status for answer in answers]
    assert sorted(statuses) == [200] + [400] * 49


async def test_a_code_used_twice_revokes_what_the_first_use_got(world):
    """T-TOK-02."""
    code = await world.code()
    tokens = json.loads((await world.exchange(code)).text)
    assert (await world.introspect(tokens["access_token"]))["active"]
    await world.exchange(code)
    assert await world.introspect(tokens["access_token"]) == {"active": False}
    assert await world.introspect(tokens["refresh_token"]) == {"active": False}
    assert (await world.userinfo(tokens["access_token"])).status == 401
    assert (await world.refresh(tokens["refresh_token"])).status == 400


async def test_a_code_without_refresh_token_used_twice_revokes_the_access_token(world):
    code = await world.code(scope="openid")
    tokens = json.loads((await world.exchange(code)).text)
    await world.exchange(code)
    assert (await world.userinfo(tokens["access_token"])).status == 401


async def test_a_client_that_proves_its_verifier_twice_keeps_its_tokens(world):
    code = await world.code(code_challenge=CHALLENGE, code_challenge_method="S256")
    tokens = json.loads((await world.exchange(code, code_verifier=VERIFIER)).text)
    again = await world.exchange(code, code_verifier=VERIFIER)
    assert again.status == 400
    assert (await world.userinfo(tokens["access_token"])).status == 200
    stolen = await world.exchange(code, code_verifier="x" * 50)
    assert stolen.status == 400
    assert (await world.userinfo(tokens["access_token"])).status == 401


async def test_another_client_can_neither_use_nor_burn_a_code(world):
    """T-TOK-02."""
    code = await world.code()
    thief = await world.exchange(code, auth=("other-app", "a-secret-of-the-other-app"))
    assert json.loads(thief.text)["error"] == "invalid_grant"
    assert (await world.exchange(code)).status == 200


async def test_a_code_expires(world):
    """T-TOK-02."""
    code = await world.code()
    world.clock.advance(minutes=10, seconds=1)
    answer = await world.exchange(code)
    assert json.loads(answer.text)["error"] == "invalid_grant"


async def test_the_redirect_uri_must_be_the_one_the_code_was_sent_to(world):
    """T-TOK-03."""
    code = await world.code()
    answer = await world.exchange(code, redirect_uri="https://app.example/cb?keep=1")
    assert json.loads(answer.text)["error"] == "invalid_grant"
    assert (await world.exchange(code)).status == 200


@pytest.mark.parametrize(
    ("asked", "brought"),
    [
        ({"code_challenge": CHALLENGE, "code_challenge_method": "S256"}, {}),
        (
            {"code_challenge": CHALLENGE, "code_challenge_method": "S256"},
            {"code_verifier": "y" * 50},
        ),
        ({}, {"code_verifier": VERIFIER}),
    ],
    ids=["no verifier", "wrong verifier", "verifier without challenge"],
)
async def test_the_verifier_must_match_the_challenge(world, asked, brought):
    """T-PKCE-02, T-PKCE-03."""
    answer = await world.exchange(await world.code(**asked), **brought)
    assert answer.status == 400
    assert json.loads(answer.text)["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "verifier",
    ["v" * 42, "v" * 129, "v" * 42 + "+", "v" * 42 + "/", "v" * 42 + "=", "é" * 43],
)
@pytest.mark.parametrize("method", ["plain", "S256"])
async def test_a_verifier_is_43_to_128_unreserved_characters(world, method, verifier):
    """T-PKCE-05: also if it would answer the challenge."""
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = verifier if method == "plain" else b64encode(digest)
    asked = {"code_challenge": challenge, "code_challenge_method": method}
    answer = await world.ask(world.browser(), **asked)
    if method == "plain":
        assert answer.params["error"] == "invalid_request"
        return
    code = await world.code(**asked)
    refused = await world.exchange(code, code_verifier=verifier)
    assert json.loads(refused.text)["error"] == "invalid_grant"


async def test_a_public_client_proves_itself_by_its_verifier(world):
    code = await world.code(
        client_id="native",
        redirect_uri="http://127.0.0.1:49152/cb",
        code_challenge=CHALLENGE,
        code_challenge_method="S256",
    )
    answer = await world.exchange(
        code,
        auth=None,
        client_id="native",
        redirect_uri="http://127.0.0.1:49152/cb",
        code_verifier=VERIFIER,
    )
    assert answer.status == 200


async def test_a_public_client_may_have_the_code_shown(world):
    oob = "urn:ietf:wg:oauth:2.0:oob"
    page = await world.log_in(client_id="native", redirect_uri=oob)
    assert page.status == 200
    codes = [code async for code in _codes(world)]
    assert codes[0].id in page.text


async def _codes(world):
    for code in await world.storage.auth_codes.list():
        yield code


async def test_a_trusted_peer_is_an_audience(world):
    """T-IDT-01."""
    scope = "openid audience:server:client_id:other-app"
    tokens = await world.tokens(scope=scope)
    claims = await world.claims(tokens["id_token"])
    assert claims["aud"] == ["other-app", "example-app"]
    assert claims["azp"] == "example-app"


async def test_an_untrusting_peer_is_none(world):
    """T-XC-01."""
    answer = await world.ask(
        world.browser(),
        client_id="other-app",
        redirect_uri="http://127.0.0.1:5555/other",
        scope="openid audience:server:client_id:example-app",
    )
    assert answer.params["error"] == "invalid_scope"


async def test_credentials_are_form_decoded(world):
    """T-CA-01."""
    code = await world.code()
    answer = await world.exchange(
        code, auth=(quote("example-app"), "a%2Dsecret%2Dof%2Dthe%2Dexample%2Dapp")
    )
    assert answer.status == 200


async def test_credentials_may_come_in_the_form(world):
    answer = await world.exchange(
        await world.code(),
        auth=None,
        client_id="example-app",
        client_secret="a-secret-of-the-example-app",
    )
    assert answer.status == 200


async def test_an_unknown_client_and_a_wrong_secret_look_the_same(world):
    """T-CA-02."""
    code = await world.code()
    unknown = await world.exchange(code, auth=("nobody", "x"))
    wrong = await world.exchange(code, auth=("example-app", "x"))
    assert unknown.status == wrong.status == 401
    assert unknown.text == wrong.text
    assert wrong.headers["WWW-Authenticate"].startswith("Basic")
    assert (await world.exchange(code)).status == 200
