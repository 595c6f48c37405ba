"""Clients come for tokens without a browser: alone, with a password, with a token."""

import asyncio
import json

import attrs
import pytest

from dexcore import hookimpl
from dexcore.connector import (
    ConnectorType,
    Identity,
    PasswordConnector,
    RefreshConnector,
    TokenIdentityConnector,
)
from dexcore.errors import (
    AccessDenied,
    NotInRequiredGroups,
    UpstreamError,
    UpstreamUnavailable,
)
from dexcore.oauth2.subjects import encode_subject

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPE = "urn:ietf:params:oauth:token-type:"
CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2:
  passwordConnector: people
  grantTypes: [authorization_code, refresh_token, password, client_credentials,
    'urn:ietf:params:oauth:grant-type:token-exchange']
connectors:
- {type: people, id: people, name: People}
- {type: mockPassword, id: pw, name: Passwords, config: {username: jane, password: fox}}
staticClients:
- id: example-app
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Example App
  secret: a-secret-of-the-example-app
  clientCredentialsClaims: {groups: [robots, readers]}
- id: other-app
  redirectURIs: ['http://127.0.0.1:5555/other']
  name: Other App
  secret: a-secret-of-the-other-app
  trustedPeers: [example-app]
- {id: native, public: true, name: Native App}
"""
JANE = Identity(
    "jane-id",
    username="Jane",
    preferred_username="jane",
    email="jane@example.com",
    email_verified=True,
    groups=("staff",),
    connector_data=b"remember me",
)
# What may go wrong, by the password or the token that is brought.
TROUBLE = {
    "outsider": NotInRequiredGroups("You are not one of us."),
    "refused": AccessDenied("The account is closed."),
    "down": UpstreamUnavailable("no answer from 10.0.0.1"),
    "broken": UpstreamError("the answer was no JSON"),
    "bug": RuntimeError("a secret detail"),
}


class People(PasswordConnector, RefreshConnector, TokenIdentityConnector):
    """One user; what is brought says what happens."""

    async def login(self, scopes, username, password):
        self.scopes = scopes
        return self._who(password) if username == "jane" else None

    async def token_identity(self, token_type, token):
        identity = self._who(token)
        if identity is None:
            raise AccessDenied("This token is not from here.")
        return identity

    async def refresh(self, scopes, identity):
        assert identity.connector_data == b"remember me"
        return identity

    def _who(self, brought):
        if brought in TROUBLE:
            raise TROUBLE[brought]
        return JANE if brought == "right" else None


@attrs.frozen
class Nothing:
    """No options."""


class Plugin:
    @hookimpl
    def dex_connector_types(self):
        async def open_people(config, context):
            return People()

        return [ConnectorType("people", Nothing, open_people)]


@pytest.fixture
async def world(make_world):
    return await make_world(CONFIG, Plugin())


async def credentials(world, **form):
    return await world.post("/dex/token", grant_type="client_credentials", **form)


async def password(world, **form):
    asked = {"username": "jane", "password": "right", "scope": "openid"} | form
    return await world.post("/dex/token", grant_type="password", **asked)


async def exchange(world, **form):
    asked = {
        "connector_id": "people",
        "subject_token": "right",
        "subject_token_type": TYPE + "id_token",
    } | form
    return await world.post("/dex/token", grant_type=EXCHANGE, **asked)


def error(answer):
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.status, json.loads(answer.text)["error"]


def tokens(answer):
    assert answer.status == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return json.loads(answer.text)


# — a client as itself -----------------------------------------------------------------


async def test_a_client_gets_an_access_token_about_itself(world):
    """T-CC-01."""
    got = tokens(await credentials(world, scope="profile email groups"))
    assert got.keys() == {"access_token", "token_type", "expires_in"}
    assert got["token_type"] == "bearer"
    claims = await world.claims(got["access_token"])
    assert claims["sub"] == encode_subject("example-app", "") == "CgtleGFtcGxlLWFwcA"
    assert claims["aud"] == "example-app"
    assert claims["name"] == claims["preferred_username"] == "Example App"
    assert claims["groups"] == ["robots", "readers"]
    assert claims["email_verified"] is False
    assert not {"email", "auth_time", "sid", "federated_claims"} & claims.keys()


async def test_a_client_that_asks_for_openid_gets_an_id_token(world):
    got = tokens(await credentials(world, scope="openid", nonce="n1"))
    claims = await world.claims(got["id_token"])
    assert claims["nonce"] == "n1"
    assert "at_hash" in claims
    assert "refresh_token" not in got


async def test_a_client_without_claims_of_its_own_has_no_groups(world):
    got = tokens(
        await credentials(
            world, auth=("other-app", "a-secret-of-the-other-app"), scope="groups"
        )
    )
    assert "groups" not in await world.claims(got["access_token"])


async def test_a_client_may_ask_for_a_token_for_a_peer_that_trusts_it(world):
    scope = "audience:server:client_id:other-app"
    got = tokens(await credentials(world, scope=scope))
    claims = await world.claims(got["access_token"])
    assert claims["aud"] == ["other-app", "example-app"]
    assert claims["azp"] == "example-app"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"auth": None, "client_id": "native"}, (400, "unauthorized_client")),
        ({"auth": ("example-app", "wrong")}, (401, "invalid_client")),
        ({"scope": "openid offline_access"}, (400, "invalid_scope")),
        ({"scope": "federated:id"}, (400, "invalid_scope")),
        ({"scope": "everything"}, (400, "invalid_scope")),
        (
            {
                "auth": ("other-app", "a-secret-of-the-other-app"),
                "scope": "audience:server:client_id:example-app",
            },
            (400, "invalid_scope"),
        ),
    ],
    ids=["public", "wrong secret", "offline", "federated", "unknown", "untrusting"],
)
async def test_what_a_client_may_not_ask_for_itself(world, form, expected):
    """T-CA-04."""
    assert error(await credentials(world, **form)) == expected


async def test_it_must_be_listed_or_switched_on(make_world):
    plain = CONFIG.replace("password, client_credentials,", "password,")
    world = await make_world(plain, Plugin())
    assert error(await credentials(world)) == (400, "unsupported_grant_type")
    by_default = CONFIG.partition("  grantTypes")
    text = by_default[0] + "connectors:" + by_default[2].partition("connectors:")[2]
    flag = {"DEX_CLIENT_CREDENTIAL_GRANT_ENABLED_BY_DEFAULT": "true"}
    world = await make_world(text, Plugin(), environ=flag)
    tokens(await credentials(world))


# — a password -------------------------------------------------------------------------


async def test_a_password_becomes_tokens(world):
    scope = "openid email profile groups federated:id offline_access"
    got = tokens(await password(world, scope=scope, nonce="n1"))
    claims = await world.claims(got["id_token"])
    assert claims["sub"] == encode_subject("jane-id", "people")
    assert claims["email"] == "jane@example.com"
    assert claims["groups"] == ["staff"]
    assert claims["nonce"] == "n1"
    assert claims["federated_claims"] == {
        "connector_id": "people",
        "user_id": "jane-id",
    }
    assert "auth_time" not in claims
    again = tokens(await world.refresh(got["refresh_token"]))
    assert (await world.claims(again["id_token"]))["sub"] == claims["sub"]


async def test_without_offline_access_there_is_no_refresh_token(world):
    got = tokens(await password(world))
    assert "refresh_token" not in got
    assert await world.storage.refresh_tokens.list() == []


async def test_the_connector_hears_what_is_wanted(world):
    await password(world, scope="openid groups")
    connector = (await world.server.parts.connectors.get("people")).connector
    assert (connector.scopes.groups, connector.scopes.offline_access) == (True, False)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"password": "wrong"}, (400, "invalid_grant")),
        ({"username": "nobody"}, (400, "invalid_grant")),
        ({"password": "outsider"}, (400, "invalid_grant")),
        ({"password": "refused"}, (400, "invalid_grant")),
        ({"password": "down"}, (503, "temporarily_unavailable")),
        ({"password": "broken"}, (502, "server_error")),
        ({"password": "bug"}, (502, "server_error")),
        ({"username": ""}, (400, "invalid_request")),
        ({"password": ""}, (400, "invalid_request")),
        ({"scope": "email"}, (400, "invalid_request")),
        ({"scope": "openid everything"}, (400, "invalid_request")),
        ({"auth": ("example-app", "wrong")}, (401, "invalid_client")),
        (
            {
                "auth": ("other-app", "a-secret-of-the-other-app"),
                "scope": "openid audience:server:client_id:example-app",
            },
            (400, "invalid_request"),
        ),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_a_password_does_not_get(world, form, expected):
    answer = await password(world, **form)
    assert error(answer) == expected
    assert "10.0.0.1" not in answer.text
    assert "secret detail" not in answer.text


async def test_a_wrong_password_and_an_unknown_user_look_the_same(world):
    wrong = await password(world, password="wrong")
    unknown = await password(world, username="nobody")
    assert (wrong.status, wrong.text) == (unknown.status, unknown.text)


async def test_guesses_count_with_those_at_the_form(world):
    """T-ROPC-01."""
    for _ in range(50):
        await password(world, password="wrong")
    browser = world.browser()
    page = await world.ask(browser, "/dex/auth/people")
    form = page.location
    for _ in range(50):
        wrong = await browser.post(form, data={"login": "jane", "password": "wrong"})
        assert wrong.status == 401
    assert error(await password(world)) == (429, "temporarily_unavailable")
    late = await browser.post(form, data={"login": "Jane", "password": "right"})
    assert late.status == 429


async def test_an_upstream_that_is_down_is_no_wrong_guess(world):
    for _ in range(101):
        await password(world, password="down")
    tokens(await password(world))


async def test_who_logged_in_is_written_down_and_the_password_is_not(world, caplog):
    caplog.set_level("DEBUG")
    await password(world)
    await password(world, password="a-wrong-password-nobody-shall-read")
    events = [each.getMessage() for each in caplog.records if "audit" in each.name]
    assert events == [
        "login successful",
        "token issued",
        "login refused",
        "token refused",
    ]
    assert "a-wrong-password" not in caplog.text


async def test_parallel_passwords_leave_one_refresh_token(world):
    asked = {"scope": "openid offline_access"}
    answers = await asyncio.gather(*(password(world, **asked) for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    assert len(await world.storage.refresh_tokens.list()) == 1


@pytest.mark.parametrize(
    ("connector", "expected"),
    [
        ("nobody", (400, "invalid_request")),
        ("up", (400, "invalid_request")),
        ("''", (400, "unsupported_grant_type")),
    ],
    ids=["missing", "no passwords there", "not set"],
)
async def test_the_file_names_who_checks_passwords(make_world, connector, expected):
    """T-ROPC-01."""
    text = CONFIG.replace(
        "passwordConnector: people", f"passwordConnector: {connector}"
    )
    text = text.replace(
        "staticClients:", "- {type: mockCallback, id: up, name: Up}\nstaticClients:"
    )
    world = await make_world(text, Plugin())
    assert error(await password(world)) == expected


# — a token of an upstream provider ----------------------------------------------------


@pytest.mark.parametrize("subject", ["id_token", "access_token"])
async def test_an_upstream_token_becomes_one_of_ours(world, subject):
    got = tokens(
        await exchange(
            world, subject_token_type=TYPE + subject, scope="email groups federated:id"
        )
    )
    assert got == {
        "access_token": got["access_token"],
        "issued_token_type": TYPE + "access_token",
        "token_type": "bearer",
        "expires_in": 86399,
    }
    claims = await world.claims(got["access_token"])
    assert claims["sub"] == encode_subject("jane-id", "people")
    assert claims["aud"] == "example-app"
    assert claims["email"] == "jane@example.com"
    assert claims["groups"] == ["staff"]
    assert not {"nonce", "auth_time", "sid"} & claims.keys()
    assert (await world.userinfo(got["access_token"])).status == 200


async def test_an_id_token_may_be_asked_for(world):
    got = tokens(await exchange(world, requested_token_type=TYPE + "id_token"))
    assert got["issued_token_type"] == TYPE + "id_token"
    claims = await world.claims(got["access_token"])
    assert claims["sub"] == encode_subject("jane-id", "people")
    assert "at_hash" not in claims


async def test_an_exchange_ignores_scopes_it_does_not_know_and_never_refreshes(world):
    """T-TX-01."""
    got = tokens(await exchange(world, scope="openid everything offline_access"))
    assert "refresh_token" not in got
    # RFC 6749 section 5.1: the client is told what it has not got.
    assert got["scope"] == "openid offline_access"
    assert "scope" not in tokens(await exchange(world, scope="openid email"))
    assert await world.storage.refresh_tokens.list() == []


async def test_nobody_acts_for_the_user_of_an_exchanged_token(world):
    """T-TX-01: we know no actor_token, and what we do not know says nothing."""
    actor = {"actor_token": "forged", "actor_token_type": TYPE + "access_token"}
    got = tokens(await exchange(world, **actor))
    claims = await world.claims(got["access_token"])
    assert claims["sub"] == encode_subject("jane-id", "people")
    assert "act" not in claims


async def test_a_public_client_may_exchange(world):
    tokens(await exchange(world, auth=None, client_id="native"))


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"subject_token_type": TYPE + "saml2"}, (400, "request_not_supported")),
        ({"subject_token_type": ""}, (400, "request_not_supported")),
        ({"requested_token_type": TYPE + "jwt"}, (400, "request_not_supported")),
        ({"subject_token": ""}, (400, "invalid_request")),
        ({"connector_id": ""}, (400, "invalid_request")),
        ({"connector_id": "nobody"}, (400, "invalid_request")),
        ({"connector_id": "pw"}, (400, "invalid_request")),
        ({"subject_token": "forged"}, (401, "access_denied")),
        ({"subject_token": "outsider"}, (401, "access_denied")),
        ({"subject_token": "down"}, (503, "temporarily_unavailable")),
        ({"subject_token": "bug"}, (502, "server_error")),
        ({"auth": ("example-app", "wrong")}, (401, "invalid_client")),
        (
            {
                "auth": ("other-app", "a-secret-of-the-other-app"),
                "scope": "audience:server:client_id:example-app",
            },
            (400, "invalid_scope"),
        ),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_what_is_not_exchanged(world, form, expected):
    """T-TX-01."""
    answer = await exchange(world, **form)
    assert error(answer) == expected
    assert "secret detail" not in answer.text


async def test_strictly_a_token_that_is_not_accepted_is_an_invalid_request(make_world):
    world = await make_world(CONFIG + "compat: strict\n", Plugin())
    answer = await exchange(world, subject_token="forged")
    assert error(answer) == (400, "invalid_request")


async def test_whose_token_it_was_is_written_down_and_the_token_is_not(world, caplog):
    caplog.set_level("DEBUG")
    await exchange(world)
    await exchange(world, subject_token="a-forged-token-nobody-shall-read")
    events = [each.getMessage() for each in caplog.records if "audit" in each.name]
    assert events == [
        "login successful",
        "token issued",
        "login refused",
        "token refused",
    ]
    assert "a-forged-token" not in caplog.text
