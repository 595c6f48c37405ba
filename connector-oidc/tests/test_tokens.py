"""Tokens that are wrong log nobody in."""

import time

import pytest

from dexcore.connector import Scopes
from dexcore.errors import UpstreamError
from dexcore.jose import SigningKey, generate


class Ago(int):
    """A time, so many seconds before the test."""


def at(changes):
    """Return *changes* with the times they mean now."""
    now = time.time()
    return {
        name: now - value if isinstance(value, Ago) else value
        for name, value in changes.items()
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iss": "https://attacker.example"}, "it is from"),
        ({"iss": None}, "it is from"),
        ({"aud": "another-client"}, "not for us"),
        ({"aud": ["another-client"]}, "not for us"),
        ({"aud": None}, "not for us"),
        ({"aud": {"dexcore": 1}}, "not for us"),
        ({"aud": ["dexcore", "another-client"]}, "to whom"),
        ({"aud": ["dexcore", "another-client"], "azp": "another-client"}, "given to"),
        ({"azp": "another-client"}, "given to"),
        ({"exp": Ago(120)}, "expired"),
        ({"exp": None}, "when it"),
        ({"exp": "tomorrow"}, "exp is not a time"),
        ({"iat": Ago(-1000)}, "iat is"),
        ({"iat": None}, "when it"),
        ({"nbf": Ago(-1000)}, "nbf is"),
        ({"nonce": "another-login"}, "another login"),
        ({"nonce": ["x"]}, "another login"),
        ({"at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng"}, "at_hash"),
        ({"at_hash": 1}, "at_hash"),
        ({"sub": None}, "about nobody"),
        ({"sub": 7}, "about nobody"),
        ({"sub": ""}, "about nobody"),
        ({"name": None}, '"name" is missing'),
        ({"name": 7}, '"name" is missing'),
        ({"email": None}, '"email" .email. is missing'),
        ({"email_verified": None}, '"email_verified" is missing'),
        ({"email_verified": "true"}, '"email_verified" is missing'),
    ],
    ids=str,
)
async def test_claims_that_are_wrong_log_nobody_in(way, provider, changes, words):
    provider.id_token_changes.update(at(changes))
    with pytest.raises(UpstreamError, match=words):
        await way.log_in()


@pytest.mark.parametrize(
    ("max_age", "logged_in", "good"),
    [
        (0, Ago(5), True),
        (0, Ago(3600), False),
        (300, Ago(200), True),
        (300, Ago(3600), False),
        (-1, Ago(10**9), True),
        # A provider that does not say when has been asked all the same.
        (0, None, True),
    ],
)
async def test_a_login_of_late_is_one(way, provider, max_age, logged_in, good):
    """OpenID Connect Core section 3.1.3.7, number 13."""
    provider.id_token_changes.update(at({"auth_time": logged_in}))
    late = Scopes(max_age=max_age)
    if good:
        assert (await way.log_in(scopes=late)).user_id == "id-of-jane"
    else:
        with pytest.raises(UpstreamError, match="auth_time"):
            await way.log_in(scopes=late)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["dexcore"]},
        {"aud": ["dexcore", "another-client"], "azp": "dexcore"},
        {"azp": "dexcore"},
        {"exp": Ago(20)},
        {"iat": Ago(-200)},
        {"nbf": Ago(-200)},
        {"at_hash": None},
    ],
    ids=str,
)
async def test_claims_that_are_unusual_do(way, provider, changes):
    provider.id_token_changes.update(at(changes))
    assert (await way.log_in()).user_id == "id-of-jane"


@pytest.mark.parametrize("signature", ["none", "hs256", "stranger", "broken"])
async def test_a_signature_that_is_wrong_logs_nobody_in(way, provider, signature):
    provider.signature = signature
    with pytest.raises(UpstreamError, match="token is wrong"):
        await way.log_in()


@pytest.mark.parametrize("signature", ["none", "hs256"])
async def test_that_is_so_even_if_the_provider_advertises_it(
    way_of, provider, signature
):
    provider.signature = signature
    provider.metadata_changes["id_token_signing_alg_values_supported"] = [
        "none", "HS256", "ES256",
    ]  # fmt: skip
    way = await way_of()
    with pytest.raises(UpstreamError, match="token is wrong"):
        await way.log_in()


async def test_an_algorithm_that_is_not_advertised_is_refused(way_of, provider):
    provider.metadata_changes["id_token_signing_alg_values_supported"] = ["RS256"]
    way = await way_of()
    with pytest.raises(UpstreamError, match="algorithm is not one of ours"):
        await way.log_in()


async def test_one_who_advertises_nothing_signs_with_rs256(way_of, provider):
    # OpenID Connect Core section 2.
    provider.metadata_changes["id_token_signing_alg_values_supported"] = None
    way = await way_of()
    with pytest.raises(UpstreamError, match="algorithm is not one of ours"):
        await way.log_in()


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "another"},
        {"jwk": dict(SigningKey.load(generate("ES256")).public)},
        {"jku": "https://attacker.example/jwks"},
        {"crit": ["exp"]},
        {"alg": "ES384"},
    ],
    ids=lambda header: next(iter(header)),
)
async def test_a_header_that_asks_for_more_logs_nobody_in(way, provider, header):
    provider.header_changes.update(header)
    if header.keys() & {"jwk", "jku"}:
        provider.signature = "stranger"
    with pytest.raises(UpstreamError, match="token is wrong"):
        await way.log_in()


@pytest.mark.parametrize("token", [None, "", "x", "a.b.c", "...", 7, "ä.ö.ü"])
async def test_what_is_no_token_logs_nobody_in(way, provider, token):
    provider.token_changes["id_token"] = token
    with pytest.raises(UpstreamError, match=r"ID token|token is wrong"):
        await way.log_in()


@pytest.mark.parametrize("token", [None, "", 7])
async def test_without_an_access_token_nobody_logs_in(way, provider, token):
    provider.token_changes["access_token"] = token
    with pytest.raises(UpstreamError, match="no access token"):
        await way.log_in()


async def test_an_access_token_of_odd_letters_is_not_the_one_of_the_id_token(
    way, provider
):
    provider.token_changes["access_token"] = "ä"
    with pytest.raises(UpstreamError, match="at_hash"):
        await way.log_in()


@pytest.mark.parametrize("document", [[], "x", 7, None], ids=str)
async def test_an_answer_that_is_no_object_logs_nobody_in(way_of, provider, document):
    provider.answers["/broken"] = document
    provider.metadata_changes["token_endpoint"] = f"{provider.url}/broken"
    way = await way_of()
    with pytest.raises(UpstreamError, match="not an object"):
        await way.log_in()


async def test_googles_tokens_may_leave_the_scheme_out(way_of, provider):
    google = "https://accounts.google.com"
    way = await way_of(issuerAlias=google)
    for said in (google, "accounts.google.com"):
        provider.id_token_changes["iss"] = said
        assert (await way.log_in()).user_id == "id-of-jane"
    provider.id_token_changes["iss"] = "accounts.google.com.attacker.example"
    with pytest.raises(UpstreamError, match="it is from"):
        await way.log_in()


async def test_userinfo_does_not_say_for_an_id_token_whom_it_is_about(way_of, provider):
    provider.id_token_changes["sub"] = None
    way = await way_of(getUserInfo=True)
    with pytest.raises(UpstreamError, match="about nobody"):
        await way.log_in()


# — UserInfo ---------------------------------------------------------------------------


@pytest.mark.parametrize("sub", ["id-of-mallory", None, 7])
async def test_userinfo_about_somebody_else_is_not_used(way_of, provider, sub):
    provider.userinfo_changes["sub"] = sub
    way = await way_of(getUserInfo=True)
    with pytest.raises(UpstreamError, match="somebody else"):
        await way.log_in()


async def test_signed_userinfo_is_verified(way_of, provider):
    provider.signs_userinfo = True
    provider.userinfo_changes["email"] = "new@example.com"
    way = await way_of(getUserInfo=True)
    assert (await way.log_in()).email == "new@example.com"


@pytest.mark.parametrize(
    "changes", [{"iss": "https://attacker.example"}, {"aud": "another-client"}]
)
async def test_signed_userinfo_for_somebody_else_is_not_used(way_of, provider, changes):
    provider.signs_userinfo = True
    provider.userinfo_changes.update(changes)
    way = await way_of(getUserInfo=True)
    with pytest.raises(UpstreamError, match="it is f"):
        await way.log_in()


async def test_userinfo_signed_by_a_stranger_is_not_used(way_of, provider):
    provider.signs_userinfo = True
    way = await way_of(getUserInfo=True)
    begun = await way.begin()
    await way.log_in()
    provider.rotate_keys()
    with (
        provider.status(500, path="/jwks"),
        pytest.raises(UpstreamError, match="No key"),
    ):
        await way.finish(await way.go(begun))


@pytest.mark.parametrize("status", [401, 403, 404, 500])
async def test_userinfo_that_is_refused_logs_nobody_in(way_of, provider, status):
    way = await way_of(getUserInfo=True)
    with (
        provider.status(status, path="/userinfo"),
        pytest.raises(UpstreamError, match=str(status)),
    ):
        await way.log_in()


async def test_a_provider_without_userinfo_is_not_asked_for_it(way_of, provider):
    provider.metadata_changes["userinfo_endpoint"] = None
    way = await way_of(getUserInfo=True)
    with pytest.raises(UpstreamError, match="has no userinfo_endpoint"):
        await way.log_in()
