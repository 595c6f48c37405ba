"""Who logs in through an OAuth 2.0 provider, and as whom."""

from __future__ import annotations

import asyncio

from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from dexcore.connector import RefreshConnector, Scopes
from dexcore.errors import AccessDenied, UpstreamError, UpstreamUnavailable
from dexcore.jose import b64encode
from dexcore.testing.upstreams.oauth2 import User

CALLBACK = "https://dex.example/callback"


def jwt(**claims):
    return f"e30.{b64encode(orjson.dumps(claims))}.c2ln"


# — who --------------------------------------------------------------------------------


async def test_somebody_is_who_the_user_info_says(login):
    found = await login.says(
        user_name="Jane Example",
        preferred_username="jane",
        email="jane@example.com",
        email_verified=True,
        groups=["admins", "authors"],
    )

    assert found.user_id == "1"
    assert found.username == "Jane Example"
    assert found.preferred_username == "jane"
    assert (found.email, found.email_verified) == ("jane@example.com", True)
    assert found.groups == ("admins", "authors")
    assert found.connector_data == b""


async def test_further_claims_have_their_standard_names_or_others(open_login):
    mapped = {"given_name": "first", "address.locality": "city", "nickname": "nick"}
    login = await open_login(claimMapping={"further": mapped})
    found = await login.says(
        first="Jane",
        given_name="Somebody",
        city="Bern",
        locale="de-CH",
        phone_number_verified=True,
        shoe_size=44,
    )
    assert found.claims == {
        "given_name": "Jane",
        "address": {"locality": "Bern"},
        "locale": "de-CH",
        "phone_number_verified": True,
    }


async def test_the_file_says_what_the_provider_calls_things(open_login):
    login = await open_login(
        userIDKey="https://example.com/uid",
        claimMapping={
            "userNameKey": "display.name",
            "preferredUsernameKey": "nick",
            "groupsKey": "https://example.com/roles",
            "emailKey": "mail",
            "emailVerifiedKey": "mail_ok",
        },
    )
    found = await login.says(
        **{
            "https://example.com/uid": "u-1",
            # A dot is part of a name, and leads nowhere.
            "display.name": "Jane Example",
            "display": {"name": "Somebody"},
            "nick": "jane",
            "https://example.com/roles": ["admins"],
            "mail": "jane@example.com",
            "mail_ok": True,
            "groups": ["no"],
            "email": "no@example.com",
        }
    )

    assert (found.user_id, found.username) == ("u-1", "Jane Example")
    assert (found.preferred_username, found.groups) == ("jane", ("admins",))
    assert (found.email, found.email_verified) == ("jane@example.com", True)


async def test_keys_left_empty_are_the_usual_ones(open_login):
    login = await open_login(
        userIDKey="", claimMapping={"userNameKey": "", "groupsKey": "", "emailKey": ""}
    )
    found = await login.says(user_name="Jane", groups=["a"], email="j@example.com")

    assert (found.user_id, found.username, found.groups) == ("1", "Jane", ("a",))


@pytest.mark.parametrize("value", [None, 7, True, ["jane"], {"name": "jane"}])
async def test_what_is_no_text_is_left_out(login, value):
    found = await login.says(
        user_name=value, preferred_username=value, email=value, email_verified=value
    )

    assert (found.username, found.preferred_username, found.email) == ("", "", "")
    assert found.email_verified is (value is True)


@pytest.mark.parametrize(
    ("info", "skips", "verified"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"email_verified": "true"}, False, False),
        ({"email_verified": "true"}, True, True),
        ({"email_verified": False}, True, False),
        ({"email_verified": True}, False, True),
    ],
)
async def test_an_address_is_verified_if_the_provider_or_the_file_says_so(
    open_login, info, skips, verified
):
    login = await open_login(insecureSkipEmailVerified=skips)
    found = await login.says(email="jane@example.com", **info)

    assert found.email_verified is verified


@pytest.mark.parametrize(
    ("value", "exact", "dex"),
    [
        ("u-1", "u-1", "u-1"),
        ("12345678", "12345678", "12345678"),
        (0, "0", "0"),
        (1000, "1000", "1000"),
        (999999, "999999", "999999"),
        (1000000, "1000000", "1e+06"),
        (12345678, "12345678", "1.2345678e+07"),
        (-12345678, "-12345678", "-1.2345678e+07"),
        (9007199254740993, "9007199254740993", "9.007199254740992e+15"),
        (18446744073709551615, "18446744073709551615", "1.8446744073709552e+19"),
        (1000.0, "1000", "1000"),
        (1e6, "1000000", "1e+06"),
    ],
)
async def test_a_number_is_an_id_without_loss_or_as_dex_writes_it(
    open_login, value, exact, dex
):
    by_format = {
        format: await (await open_login(userIDFormat=format)).says(id=value)
        for format in ("exact", "dex")
    }

    assert by_format["exact"].user_id == exact
    assert by_format["dex"].user_id == dex
    assert (await (await open_login()).says(id=value)).user_id == exact


@pytest.mark.parametrize("value", [1.5, 123456789012345678901.0, 1e300])
async def test_a_number_that_is_not_exact_is_no_id(login, value):
    with pytest.raises(UpstreamError, match="is not exact"):
        await login.says(id=value)


@pytest.mark.parametrize("value", [None, "", True, False, [], ["1"], {"id": 1}])
@pytest.mark.parametrize("format", ["exact", "dex"])
async def test_nobody_logs_in_without_an_id(open_login, value, format):
    login = await open_login(userIDFormat=format)
    with pytest.raises(UpstreamError, match="no text or number 'id'"):
        await login.says(id=value)


# — groups -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        (["a", "b"], ("a", "b")),
        ([{"name": "a", "id": 1}, {"name": "b"}], ("a", "b")),
        (["b", {"name": "a"}, "b", {"name": "b"}], ("b", "a")),
        ([None, 1, ["c"], {"title": "d"}, {"name": 5}, "e"], ("e",)),
        ("admins", ()),
        ({"name": "admins"}, ()),
        (None, ()),
        ([], ()),
    ],
)
async def test_groups_are_names_or_objects_that_have_a_name(login, groups, found):
    assert (await login.says(groups=groups)).groups == found


async def test_groups_may_be_in_the_access_token(provider, login):
    token = jwt(groups=["from token", "a"], email="token@example.com")
    provider.tokens[token] = await _grant(provider, "jane")
    provider.token_fields = {"access_token": token}
    found = await login.says(groups=["a", "b"])

    assert found.groups == ("a", "b", "from token")
    assert found.email == ""


@pytest.mark.parametrize(
    "token",
    ["opaque", "a.b", "a.!!!.c", "a..c", ".", jwt()[:-6], f"e30.{b64encode(b'[1]')}.c"],
)
async def test_a_token_that_is_no_jwt_has_none(provider, login, token):
    provider.tokens[token] = await _grant(provider, "jane")
    provider.token_fields = {"access_token": token}

    assert (await login.says(groups=["a"])).groups == ("a",)


async def _grant(provider, login):
    provider.users[login] = User()
    return provider.tokens[provider.token(login)["access_token"]]


async def test_groups_come_only_if_the_app_asks_for_them(login):
    assert (await login.says(Scopes(), groups=["a"])).groups == ()


# — there and back ---------------------------------------------------------------------


async def test_the_browser_is_sent_with_everything_in_its_order(open_login, provider):
    login = await open_login(
        authorizationURL=f"{provider.url}/authorize?tenant=a%20b",
        scopes=["openid", "read user"],
    )
    begun = await login.connector.begin(Scopes(), CALLBACK, "s t")
    query = parse_qs(urlsplit(begun.url).query)
    (challenge,) = query["code_challenge"]

    assert begun.url == (
        f"{provider.url}/authorize?tenant=a%20b&client_id=dexcore"
        f"&code_challenge={challenge}&code_challenge_method=S256"
        "&redirect_uri=https%3A%2F%2Fdex.example%2Fcallback&response_type=code"
        "&scope=openid+read+user&state=s+t"
    )
    assert challenge != begun.connector_data.decode()


async def test_without_scopes_none_are_sent_and_pkce_can_be_left_out(
    open_login, provider
):
    login = await open_login(pkceChallenge="")
    begun = await login.connector.begin(Scopes(), CALLBACK, "s")

    assert begun.url == (
        f"{provider.url}/authorize?client_id=dexcore"
        "&redirect_uri=https%3A%2F%2Fdex.example%2Fcallback&response_type=code&state=s"
    )
    assert (await login.says()).user_id == "1"
    assert "code_verifier" not in provider.asked("/token")[0].form


async def test_the_code_is_traded_with_the_verifier(provider, login):
    await login.says()
    (seen,) = provider.asked("/token")

    assert seen.form["grant_type"] == "authorization_code"
    assert seen.form["redirect_uri"] == CALLBACK
    assert len(seen.form["code_verifier"]) == 43


async def test_a_stolen_code_is_worth_nothing(provider, login):
    another = await login.connector.begin(Scopes(), CALLBACK, "s")
    provider.users["john"] = User({"id": "2"})
    with pytest.raises(UpstreamError, match="invalid_grant"):
        await login.log_in("john", code=provider.visit(another.url, "john")["code"])


async def test_a_redirect_uri_that_is_not_ours_is_a_mistake_of_the_file(open_login):
    login = await open_login(redirectURI="https://other.example/callback")
    with pytest.raises(UpstreamError, match="but browsers come back to"):
        await login.connector.begin(Scopes(), CALLBACK, "s")


@pytest.mark.parametrize("uri", ["", f"{CALLBACK}/oauth"])
async def test_the_redirect_uri_may_be_left_out_or_be_of_this_connector(
    provider, open_login, uri
):
    login = await open_login(redirectURI=uri)

    assert (await login.says()).user_id == "1"
    (seen,) = provider.asked("/token")
    assert seen.form["redirect_uri"] == (uri or CALLBACK)


@pytest.mark.parametrize(
    ("back", "kind", "words"),
    [
        ({"error": "access_denied"}, AccessDenied, "did not let you log in"),
        (
            {"error": "access_denied", "error_description": "<script>"},
            AccessDenied,
            "^The upstream provider did not let you log in.$",
        ),
        (
            {"error": "invalid_scope", "error_description": "No such scope.\n"},
            UpstreamError,
            '"invalid_scope" "No such scope.[?]"',
        ),
        ({"error": "server_error"}, UpstreamUnavailable, "server_error"),
        ({"error": "temporarily_unavailable"}, UpstreamUnavailable, "temporarily"),
        ({"code": ""}, UpstreamError, "without a code"),
        ({"code": "guessed"}, UpstreamError, "invalid_grant"),
    ],
)
async def test_what_comes_back_instead_of_a_code(provider, login, back, kind, words):
    provider.users["jane"] = User({"id": "1"})
    with pytest.raises(kind, match=words) as refused:
        await login.log_in(**back)

    assert type(refused.value) is kind or kind is UpstreamError
    assert provider.asked("/userinfo") == []


# — proving who we are -----------------------------------------------------------------


async def test_basic_is_tried_first_with_id_and_secret_encoded(provider, open_login):
    provider.client_id, provider.client_secret = "an id", "s:ä+%"
    await (await open_login()).says()
    (seen,) = provider.asked("/token")

    # "an+id:s%3A%C3%A4%2B%25"
    assert seen.headers["Authorization"] == "Basic YW4raWQ6cyUzQSVDMyVBNCUyQiUyNQ=="
    assert "client_secret" not in seen.form


async def test_who_does_not_take_basic_is_asked_once_more_and_then_no_more(
    provider, login
):
    provider.accepts = ("post",)
    await login.says()
    await login.says()
    ways = ["Authorization" in seen.headers for seen in provider.asked("/token")]

    assert ways == [True, False, False]
    assert provider.asked("/token")[-1].form["client_secret"] == provider.client_secret
    provider.accepts = ("basic",)
    assert (await login.says()).user_id == "1"


async def test_a_client_without_a_secret_only_says_its_name(provider, open_login):
    provider.client_secret = ""
    await (await open_login(clientSecret="")).says()
    (seen,) = provider.asked("/token")

    assert "Authorization" not in seen.headers
    assert seen.form["client_id"] == "dexcore"
    assert "client_secret" not in seen.form


async def test_a_wrong_secret_is_not_shown(provider, open_login):
    login = await open_login(clientSecret="a secret nobody may read")
    with pytest.raises(UpstreamError, match="invalid_client") as refused:
        await login.says()

    assert len(provider.asked("/token")) == 2
    assert "nobody may read" not in str(refused.value) + repr(login.connector)


# — what the token endpoint answers ----------------------------------------------------


@pytest.mark.parametrize("forms", [True, False])
@pytest.mark.parametrize("type", ["bearer", "BEARER", "Bearer", "", None])
async def test_answers_are_json_or_forms(provider, login, forms, type):
    provider.form_answers, provider.token_fields = forms, {"token_type": type or ""}
    await login.says()
    (seen,) = provider.asked("/userinfo")

    assert seen.headers["Authorization"].startswith("Bearer a-")


@pytest.mark.parametrize("forms", [True, False])
async def test_an_error_with_status_200_is_an_error(provider, login, forms):
    provider.form_answers, provider.errors_with_200 = forms, True
    provider.users["jane"] = User({"id": "1"})
    with pytest.raises(UpstreamError, match='"invalid_grant" "The code is'):
        await login.log_in(code="guessed")
    assert len(provider.asked("/token")) == 1


@pytest.mark.parametrize("token", ["", None, 7, []])
async def test_an_answer_without_a_token_is_an_error(provider, login, token):
    provider.token_fields = {"access_token": token}
    with pytest.raises(UpstreamError, match="without an access token"):
        await login.says()


async def test_a_token_of_another_type_is_used_as_that(provider, login):
    provider.token_fields = {"token_type": "MAC"}
    with pytest.raises(UpstreamError, match=r"GET .*/userinfo answered 401"):
        await login.says()
    assert provider.asked("/userinfo")[0].headers["Authorization"].startswith("MAC ")


# — what the user info answers ---------------------------------------------------------


@pytest.mark.parametrize("answer", [[], None, "jane", 7])
async def test_user_info_that_is_no_object_is_an_error(provider, login, answer):
    provider.users["jane"] = User(answer)
    with pytest.raises(UpstreamError, match="not an object"):
        await login.log_in()


@pytest.mark.parametrize("status", [201, 204, 302, 400, 401, 403])
async def test_user_info_comes_with_200(provider, login, status):
    provider.users["jane"] = User({"id": "1"})
    with (
        provider.status(status, path="/userinfo"),
        pytest.raises(UpstreamError, match=f"answered {status}") as refused,
    ):
        await login.log_in()
    assert not isinstance(refused.value, UpstreamUnavailable)


@pytest.mark.parametrize("path", ["/token", "/userinfo"])
@pytest.mark.parametrize(
    "trouble",
    ["hang_up", "status", "html", "broken_json", "empty", "huge", "bomb"],
)
async def test_whatever_is_wrong_with_the_provider_is_its_error(
    provider, login, path, trouble
):
    provider.users["jane"] = User({"id": "1"})
    with getattr(provider, trouble)(path=path), pytest.raises(UpstreamError):
        await login.log_in()

    assert (await login.log_in()).user_id == "1"


@pytest.mark.parametrize("path", ["/token", "/userinfo"])
@pytest.mark.parametrize("trouble", ["slow", "drip"])
async def test_a_provider_that_takes_too_long_is_not_waited_for(
    provider, login, path, trouble
):
    login.connector.http.timeout = 0.2
    provider.users["jane"] = User({"id": "1"})
    with (
        getattr(provider, trouble)(path=path),
        pytest.raises(UpstreamUnavailable, match="did not answer within"),
    ):
        await login.log_in()


# — many -------------------------------------------------------------------------------


async def test_two_hundred_people_at_once_are_not_mixed_up(provider, login):
    for number in range(200):
        info = {
            "id": number,
            "email": f"u{number}@example.com",
            "groups": [str(number)],
        }
        provider.users[f"u{number}"] = User(info)
    at_once = asyncio.Semaphore(20)

    async def one(number):
        async with at_once:
            found = await login.log_in(f"u{number}")
        return found.user_id, found.email, found.groups

    assert await asyncio.gather(*map(one, range(200))) == [
        (str(number), f"u{number}@example.com", (str(number),)) for number in range(200)
    ]


async def test_there_is_nothing_to_refresh_as_in_dex(login):
    assert not isinstance(login.connector, RefreshConnector)
