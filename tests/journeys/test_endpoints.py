"""What a client finds out: discovery, keys, userinfo, introspection, revocation."""

import asyncio
import json

import pytest

from dexcore.errors import ConfigError
from dexcore.oauth2 import subjects
from dexcore.server.tokens.revocations import Revocations

STRICT = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556, allowedOrigins: ['https://spa.example']}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2: {skipApprovalScreen: true}
compat: strict
connectors:
- {type: mockPassword, id: pw, name: Passwords, config: {username: jane, password: fox}}
staticClients:
- id: example-app
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Example App
  secret: a-secret-of-the-example-app
- id: other-app
  redirectURIs: ['http://127.0.0.1:5555/other']
  name: Other App
  secret: a-secret-of-the-other-app
- {id: native, public: true, name: Native App}
"""


def parsed(answer):
    assert answer.status == 200, answer.text
    return json.loads(answer.text)


@pytest.mark.parametrize(
    "path",
    [
        "/dex/.well-known/openid-configuration",
        "/dex/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/dex",
    ],
)
async def test_discovery_names_endpoints_that_are_there(world, path):
    """T-ROPC-01."""
    document = parsed(await world.browser().get(path))
    assert document["issuer"] == "http://127.0.0.1:5556/dex"
    assert document["grant_types_supported"] == [
        "authorization_code",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    ]
    assert document["response_types_supported"] == ["code"]
    # The one that signs comes first; the others may yet.
    algorithms = document["id_token_signing_alg_values_supported"]
    assert algorithms == ["ES256", "RS256", "EdDSA"]
    assert document["code_challenge_methods_supported"] == ["S256", "plain"]
    for name, url in document.items():
        if name.endswith(("_endpoint", "_uri")):
            there = await world.browser().get(
                url.replace("http://127.0.0.1:5556", world.base)
            )
            assert there.status != 404, name


async def test_an_issuer_without_a_path_serves_at_the_root(make_world):
    text = STRICT.replace("5556/dex", "5556").replace("compat: strict", "")
    world = await make_world(text)
    browser = world.browser()
    document = parsed(await browser.get("/.well-known/openid-configuration"))
    assert document["token_endpoint"] == "http://127.0.0.1:5556/token"
    assert (await browser.get("/")).status == 200
    landed = await browser.follow(
        await browser.get("/auth", params=world.auth_params())
    )
    landed = await browser.post(landed.url, data={"login": "jane", "password": "fox"})
    assert landed.params["code"]


async def test_a_trailing_slash_of_the_issuer_stays_in_iss(make_world):
    text = STRICT.replace("5556/dex", "5556/dex/").replace("compat: strict", "")
    world = await make_world(text)
    document = parsed(
        await world.browser().get("/dex/.well-known/openid-configuration")
    )
    assert document["issuer"] == "http://127.0.0.1:5556/dex/"
    assert document["jwks_uri"] == "http://127.0.0.1:5556/dex/keys"


async def test_keys_may_be_kept_for_ten_minutes(world):
    """T-DISC-05."""
    await world.server.start()
    answer = await world.browser().get("/dex/keys")
    while len(parsed(answer)["keys"]) < 2:  # the next key is made in the background
        await asyncio.sleep(0.01)
        answer = await world.browser().get("/dex/keys")
    assert answer.headers["Cache-Control"] == "max-age=600, must-revalidate"
    [current, upcoming] = parsed(answer)["keys"]
    for key in (current, upcoming):
        assert {"kid", "kty", "alg", "use", "crv", "x", "y"} == key.keys()


async def test_health_and_home_and_robots_answer(world):
    browser = world.browser()
    assert (await browser.get("/dex/healthz")).text == "Health check passed"
    assert "openid-configuration" in (await browser.get("/dex")).text
    assert "Disallow" in (await browser.get("/dex/robots.txt")).text


async def test_userinfo_tells_what_the_token_says(world):
    """T-UI-01."""
    tokens = await world.tokens()
    claims = parsed(await world.userinfo(tokens["access_token"]))
    assert claims["email"] == "kilgore@kilgore.trout"
    assert claims["sub"] == (await world.claims(tokens["id_token"]))["sub"]
    posted = await world.post(
        "/dex/userinfo", auth=None, access_token=tokens["access_token"]
    )
    assert parsed(posted) == claims


async def test_userinfo_takes_no_token_from_the_query(world):
    """T-UI-01."""
    token = (await world.tokens())["access_token"]
    answer = await world.browser().get("/dex/userinfo", params={"access_token": token})
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_userinfo_refuses_an_expired_token(world):
    """T-UI-01."""
    token = (await world.tokens())["access_token"]
    world.clock.advance(hours=24, seconds=1)
    answer = await world.userinfo(token)
    assert answer.status == 401
    assert json.loads(answer.text)["error"] == "invalid_token"
    assert "invalid_token" in answer.headers["WWW-Authenticate"]


async def test_an_id_token_is_accepted_as_clients_of_dex_may_rely_on(world):
    tokens = await world.tokens()
    assert (await world.userinfo(tokens["id_token"])).status == 200


async def test_strictly_only_an_access_token_is_one(make_world):
    """T-JWT-11, T-JWT-09."""
    world = await make_world(STRICT)
    tokens = await world.tokens()
    assert (await world.userinfo(tokens["id_token"])).status == 401
    claims = parsed(await world.userinfo(tokens["access_token"]))
    assert not {"iss", "aud", "exp", "jti", "nonce", "at_hash"} & claims.keys()
    assert not {"client_id", "scope"} & claims.keys()
    assert {"sub", "email", "name"} <= claims.keys()


async def test_strictly_an_access_token_says_whose_it_is_and_what_for(make_world):
    """T-JWT-11: RFC 9068 sections 2.2 and 2.2.3."""
    world = await make_world(STRICT)
    tokens = await world.tokens()
    claims = await world.claims(tokens["access_token"])
    assert {"iss", "exp", "aud", "sub", "iat", "jti"} <= claims.keys()
    assert claims["client_id"] == "example-app"
    assert claims["scope"] == tokens["scope"]
    assert {"openid", "email"} <= set(tokens["scope"].split())
    assert not {"client_id", "scope"} & (await world.claims(tokens["id_token"])).keys()


async def test_an_answer_with_tokens_has_no_more_than_that_of_dex(world):
    tokens = await world.tokens()
    assert "scope" not in tokens
    claims = await world.claims(tokens["access_token"])
    assert not {"client_id", "scope"} & claims.keys()


async def test_introspection_describes_an_access_token(world):
    tokens = await world.tokens()
    found = await world.introspect(tokens["access_token"])
    assert found["active"] is True
    assert found["client_id"] == found["aud"] == "example-app"
    assert found["token_type"] == "Bearer"
    assert found["token_use"] == "access_token"
    assert found["iss"] == world.issuer
    assert found["exp"] - found["iat"] == 86400
    assert found["ext"]["email"] == "kilgore@kilgore.trout"


async def test_introspection_describes_a_refresh_token(world):
    tokens = await world.tokens()
    found = await world.introspect(tokens["refresh_token"])
    assert found["active"] is True
    assert found["token_use"] == "refresh_token"
    assert found["ext"] == {}
    assert "exp" not in found
    rotated = json.loads((await world.refresh(tokens["refresh_token"])).text)
    assert await world.introspect(tokens["refresh_token"]) == {"active": False}
    assert (await world.introspect(rotated["refresh_token"]))["active"]


@pytest.mark.parametrize(
    "token", ["x", "a.b.c", "", "ChlseHp6c3Zhc3hobzVleHZ3a2ZhNXpoZWZs", "é" * 9]
)
async def test_introspection_of_what_is_no_token(world, token):
    answer = await world.post("/dex/token/introspect", token=token)
    if token:
        assert parsed(answer) == {"active": False}
    else:
        assert answer.status == 400


async def test_introspection_needs_a_client_that_proves_who_it_is(world):
    """T-CA-04, T-INT-01."""
    token = (await world.tokens())["access_token"]
    for auth in (None, ("example-app", "wrong"), ("native", "")):
        answer = await world.post("/dex/token/introspect", auth=auth, token=token)
        assert answer.status == 401
        assert json.loads(answer.text)["error"] == "invalid_client"


async def test_introspection_tells_a_client_nothing_of_others_tokens(world):
    """T-INT-02."""
    tokens = await world.tokens()
    for token in (tokens["access_token"], tokens["refresh_token"]):
        found = await world.introspect(
            token, auth=("other-app", "a-secret-of-the-other-app")
        )
        assert found == {"active": False}


async def test_introspection_tells_an_audience(world):
    """T-INT-02."""
    scope = "openid audience:server:client_id:other-app"
    token = (await world.tokens(scope=scope))["access_token"]
    found = await world.introspect(
        token, auth=("other-app", "a-secret-of-the-other-app")
    )
    assert found["active"] is True
    assert found["client_id"] == "example-app"


async def test_a_revoked_access_token_is_dead_and_nothing_else(world):
    tokens = await world.tokens()
    answer = await world.post("/dex/token/revoke", token=tokens["access_token"])
    assert (answer.status, answer.text) == (200, "")
    assert (await world.userinfo(tokens["access_token"])).status == 401
    assert await world.introspect(tokens["access_token"]) == {"active": False}
    assert (await world.refresh(tokens["refresh_token"])).status == 200


async def test_a_revoked_refresh_token_takes_its_access_tokens_along(world):
    """T-REF-11, T-REV-01."""
    tokens = await world.tokens()
    answer = await world.post(
        "/dex/token/revoke",
        token=tokens["refresh_token"],
        token_type_hint="access_token",
    )
    assert answer.status == 200
    assert (await world.refresh(tokens["refresh_token"])).status == 400
    assert (await world.userinfo(tokens["access_token"])).status == 401
    [session] = await world.storage.offline_sessions.list()
    assert dict(session.refresh) == {}


async def test_revoking_what_is_unknown_or_somebody_elses_does_nothing(world):
    """T-REV-01."""
    tokens = await world.tokens()
    other = ("other-app", "a-secret-of-the-other-app")
    for token in (tokens["access_token"], tokens["refresh_token"], "x", "a.b.c"):
        answer = await world.post("/dex/token/revoke", auth=other, token=token)
        assert answer.status == 200
    refresh_id, _ = subjects.decode_refresh(tokens["refresh_token"])
    made_up = subjects.encode_refresh(refresh_id, "a" * 56)
    assert (await world.post("/dex/token/revoke", token=made_up)).status == 200
    assert (await world.userinfo(tokens["access_token"])).status == 200
    assert (await world.refresh(tokens["refresh_token"])).status == 200


async def test_revocation_needs_a_client(world):
    """T-REV-01."""
    token = (await world.tokens())["access_token"]
    answer = await world.post(
        "/dex/token/revoke", auth=("example-app", "x"), token=token
    )
    assert answer.status == 401
    assert (await world.userinfo(token)).status == 200


async def test_a_revocation_reaches_another_replica(make_world, world):
    tokens = await world.tokens()
    await world.post("/dex/token/revoke", token=tokens["access_token"])
    replica = Revocations(world.storage, world.clock)
    claims = await world.claims(tokens["access_token"])
    assert not replica.covers(claims["jti"])
    await replica.load()
    assert replica.covers(claims["jti"])


async def test_scripts_of_allowed_origins_may_read_answers(make_world):
    world = await make_world(STRICT)
    origin = {"Origin": "https://spa.example"}
    for path in ("/dex/keys", "/dex/.well-known/openid-configuration", "/dex/userinfo"):
        answer = await world.browser().get(path, headers=origin)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://spa.example"
        stranger = await world.browser().get(
            path, headers={"Origin": "https://x.example"}
        )
        assert "Access-Control-Allow-Origin" not in stranger.headers
    preflight = await world.browser()._send(
        "OPTIONS",
        "/dex/token",
        headers=origin | {"Access-Control-Request-Method": "POST"},
    )
    assert preflight.status == 200
    login = await world.browser().get("/dex/auth", headers=origin)
    assert "Access-Control-Allow-Origin" not in login.headers


async def test_pages_cannot_be_framed_sniffed_or_scripted(world):
    """T-AZ-13."""
    for page in (await world.form(world.browser()), await world.browser().get("/dex")):
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert "no-store" in page.headers["Cache-Control"]


async def test_configured_headers_replace_ours(make_world):
    text = STRICT.replace("web: {", "web: {headers: {X-Frame-Options: SAMEORIGIN}, ")
    world = await make_world(text)
    page = await world.form(world.browser())
    assert page.headers["X-Frame-Options"] == "SAMEORIGIN"


async def test_pkce_can_be_demanded(make_world):
    """T-PKCE-01."""
    world = await make_world(
        STRICT.replace("oauth2: {", "oauth2: {pkce: {enforce: true}, ")
    )
    answer = await world.ask(world.browser())
    assert answer.params["error"] == "invalid_request"
    assert "PKCE" in answer.params["error_description"]


async def test_grants_can_be_switched_off(make_world):
    text = STRICT.replace("oauth2: {", "oauth2: {grantTypes: [authorization_code], ")
    world = await make_world(text)
    tokens = await world.tokens()
    answer = await world.refresh(tokens.get("refresh_token", "x"))
    assert json.loads(answer.text)["error"] == "unsupported_grant_type"


async def test_a_file_that_asks_for_a_second_factor_is_not_served(make_world):
    text = STRICT.replace("redirectURIs: [", "mfaChain: [totp]\n  redirectURIs: [", 1)
    mfa = "mfa: {authenticators: [{id: totp, type: TOTP, config: {issuer: me}}]}\n"
    with pytest.raises(ConfigError, match=r"[Ss]econd factors"):
        await make_world(text + mfa, environ={"DEX_SESSIONS_ENABLED": "true"})


async def test_a_file_that_asks_for_what_is_missing_says_so(make_world, caplog):
    await make_world(STRICT + "grpc: {addr: 127.0.0.1:5557}\n")
    [record] = [r for r in caplog.records if "not served" in r.getMessage()]
    assert record.fields == {"key": "grpc"}


async def test_strictly_pkce_is_s256_and_public_clients_must(make_world):
    """T-PKCE-01, T-PKCE-04."""
    world = await make_world(STRICT)
    path = "/dex/.well-known/openid-configuration"
    document = parsed(await world.browser().get(path))
    assert document["code_challenge_methods_supported"] == ["S256"]
    plain = await world.ask(world.browser(), code_challenge="c" * 43)
    assert plain.params["error"] == "invalid_request"
    native = {"client_id": "native", "redirect_uri": "http://127.0.0.1:9/cb"}
    without = await world.ask(world.browser(), **native)
    assert without.params["error"] == "invalid_request"
    challenge = {"code_challenge": "c" * 43, "code_challenge_method": "S256"}
    assert (await world.form(world.browser(), **native, **challenge)).status == 200
    assert (await world.form(world.browser())).status == 200
