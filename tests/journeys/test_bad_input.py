"""Whatever a stranger sends: an OAuth error or a page with 4xx, never a 5xx."""

import json

from base64 import b64encode

import pytest

BASIC = "Basic " + b64encode(b"example-app:a-secret-of-the-example-app").decode()
LONG = "x" * 70_000

AUTH = [
    ({"client_id": "nobody"}, 400),
    ({"client_id": None}, 400),
    ({"client_id": ""}, 400),
    ({"redirect_uri": None}, 400),
    ({"redirect_uri": "https://evil.example/"}, 400),
    ({"redirect_uri": "http://127.0.0.1:5555/callback#x"}, 400),
    ({"redirect_uri": "http://127.0.0.1:5555/callback/"}, 400),
    ({"redirect_uri": "http://127.0.0.1:5555/CALLBACK"}, 400),
    ({"redirect_uri": "http://127.0.0.1:5555@evil.example/callback"}, 400),
    ({"redirect_uri": "javascript:alert(1)"}, 400),
    ({"redirect_uri": "http://127.0.0.1:5555/%63allback"}, 400),
    ({"redirect_uri": LONG[:5000]}, 400),
]

REDIRECTED = [
    ({"response_type": None}, "invalid_request"),
    ({"response_type": "token"}, "invalid_request|unsupported_response_type"),
    ({"response_type": "bogus"}, "invalid_request|unsupported_response_type"),
    ({"scope": None}, "invalid_scope"),
    ({"scope": "email"}, "invalid_scope"),
    ({"scope": "openid admin"}, "invalid_scope"),
    ({"request": "e30."}, "request_not_supported"),
    ({"request_uri": "https://x.example/r"}, "request_uri_not_supported"),
    ({"registration": "{}"}, "registration_not_supported"),
    ({"prompt": "none login"}, "invalid_request"),
    ({"prompt": "bogus"}, "invalid_request"),
    ({"prompt": "none"}, "login_required"),
    ({"max_age": "-1"}, "invalid_request"),
    ({"max_age": "soon"}, "invalid_request"),
    ({"code_challenge": "c" * 43, "code_challenge_method": "S512"}, "invalid_request"),
    ({"code_challenge": "short", "code_challenge_method": "S256"}, "invalid_request"),
    ({"connector_id": "bogus"}, "invalid_request"),
    ({"response_mode": "bogus"}, "invalid_request"),
]


@pytest.mark.parametrize(("changes", "status"), AUTH)
async def test_an_unknown_client_or_redirect_uri_is_never_redirected_to(
    world, changes, status
):
    """T-REDIR-01."""
    answer = await world.ask(world.browser(), **changes)
    assert answer.status == status
    assert "Location" not in answer.headers
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(("changes", "expected"), REDIRECTED)
async def test_what_is_wrong_with_a_request_goes_back_to_the_client(
    world, changes, expected
):
    """T-AZ-04, T-AZ-06."""
    for path in ("/dex/auth", "/dex/auth/pw"):
        answer = await world.ask(world.browser(), path=path, **changes)
        if "connector_id" in changes and path != "/dex/auth":
            assert answer.status in (303, 400)
            continue
        assert answer.status == 303
        # What was to carry a token goes there as the token would have gone.
        token = "token" in (changes.get("response_type") or "")
        assert answer.mode == ("fragment" if token else "query")
        assert answer.location.startswith("http://127.0.0.1:5555/callback")
        assert answer.params["error"] in expected.split("|")
        assert answer.params["state"] == "xyz"


GET_PATHS = [
    "/dex/auth?%ff=%fe",
    "/dex/auth?req=x&hmac=y",
    "/dex/auth/bogus?client_id=nobody",
    "/dex/auth/pw/login",
    "/dex/auth/pw/login?state=unknown",
    "/dex/auth/%2e%2e/login?state=x",
    "/dex/callback",
    "/dex/callback?state=unknown&code=x",
    "/dex/callback?parked=unknown",
    "/dex/callback/pw?state=" + "a" * 33,
    "/dex/approval",
    "/dex/approval?req=x&hmac=y",
    "/dex/approval?req=" + "a" * 33 + "&hmac=" + "b" * 43,
    "/dex/token",
    "/dex/userinfo",
    "/dex/token/introspect",
    "/dex/token/revoke",
    "/dex/nothing-here",
    "/",
    "/dex/static/../templates/login.html",
    "/dex/auth/pw?" + "a=b&" * 500,
]


@pytest.mark.parametrize("path", GET_PATHS)
async def test_odd_requests_are_client_errors(world, path):
    answer = await world.browser().get(path)
    assert 400 <= answer.status < 500
    assert "Traceback" not in answer.text


BODIES = [
    b"",
    b"\xff\xfe",
    b"grant_type=authorization_code&grant_type=authorization_code",
    b"grant_type=bogus",
    b"grant_type=implicit",
    b"grant_type=authorization_code",
    b"grant_type=authorization_code&code=" + b"x" * 5000,
    b"grant_type=refresh_token&refresh_token=%00",
    b"grant_type=refresh_token&refresh_token=" + b"A" * 5000,
    b"grant_type=refresh_token&refresh_token=ChlseHp6",
    b"&".join(b"p%d=1" % n for n in range(400)),
    b"{}",
    b"x" * 70_000,
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize(
    "path", ["/dex/token", "/dex/token/introspect", "/dex/token/revoke"]
)
async def test_a_broken_body_gets_a_well_formed_oauth_error(world, path, body):
    """T-TOK-01."""
    answer = await world.browser().post(
        path,
        data=body,
        headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "Authorization": BASIC,
        },
    )
    assert 400 <= answer.status < 500
    assert isinstance(json.loads(answer.text)["error"], str)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic !!!", "Basic " + "eA==", "Bearer x", "Basic //79", "Basic OmE="],
)
async def test_a_broken_authorization_header_is_refused(world, header):
    answer = await world.browser().post(
        "/dex/token",
        data={"grant_type": "authorization_code", "code": "x"},
        headers={"Authorization": header},
    )
    assert answer.status in (400, 401)
    assert json.loads(answer.text)["error"] in ("invalid_client", "invalid_request")


@pytest.mark.parametrize(
    "token", ["", "x", "a.b.c", "e30.e30.", "eyJhbGciOiJub25lIn0.e30.", "é"]
)
async def test_a_token_that_is_none_is_refused_at_userinfo(world, token):
    answer = await world.browser().get(
        "/dex/userinfo", headers={"Authorization": "Bearer " + token}
    )
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_nothing_of_all_this_was_stored(world):
    for changes, _ in AUTH + REDIRECTED:
        await world.ask(world.browser(), path="/dex/auth/pw", **changes)
    assert await world.storage.auth_requests.list() == []
    assert await world.storage.parked_forms.list() == []
