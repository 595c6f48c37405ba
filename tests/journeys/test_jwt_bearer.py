"""Assertions of trusted issuers become tokens (RFC 7523 section 2.1, ID-JAG)."""

import asyncio
import hmac
import json

import orjson
import pytest

from aiohttp import web
from aiohttp.test_utils import TestServer

from dexcore.jose import b64encode, public, thumbprint
from dexcore.oauth2.subjects import encode_subject
from dexcore.testing.client_key import ClientKey
from dexcore.testing.dpop import ProofKey

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
IDP, PARTNER = "https://idp.example.com", "https://partner.example.com"
ISSUER = "http://127.0.0.1:5556/dex"
TYP = "oauth-id-jag+jwt"
KEY, PARTNER_KEY, STRANGER = ClientKey(), ClientKey("EdDSA"), ClientKey()
RSA = ClientKey("RS256")
OTHER = ("other-app", "a-secret-of-the-other-app")
CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2:
  jwtBearer:
    trustedIssuers:
    - {issuer: 'https://idp.example.com', connectorID: idp, jwks: %(jwks)s}
    - issuer: https://partner.example.com
      connectorID: partner
      jwks: %(partner)s
      algorithms: [EdDSA]
      assertions: [jwt]
      clients: [example-app]
      allowedGroups: [staff]
      maxLifetime: 1m
connectors:
- {type: mockCallback, id: idp, name: IdP}
- {type: mockCallback, id: partner, name: Partner}
staticClients:
- id: example-app
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Example App
  secret: a-secret-of-the-example-app
- id: other-app
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Other App
  secret: a-secret-of-the-other-app
- {id: native, public: true, name: Native App}
- id: bound
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Bound App
  secret: a-secret-of-the-bound-app
  metadata: {dpop_bound_access_tokens: true}
resources:
- {id: 'urn:api'}
- {id: 'urn:mail', clients: [other-app]}
- {id: 'urn:box'}
"""


def text(**more):
    keys = {"keys": KEY.jwks["keys"] + RSA.jwks["keys"]}
    jwks = {"jwks": keys, "partner": PARTNER_KEY.jwks} | more
    return CONFIG % {name: json.dumps(value) for name, value in jwks.items()}


@pytest.fixture
async def world(make_world):
    return await make_world(text())


def said(world, **changes):
    """Return the claims of a good assertion with some *changes*."""
    now = int(world.clock().timestamp())
    claims = {
        "iss": IDP,
        "sub": "jane-id",
        "aud": ISSUER,
        "client_id": "example-app",
        "jti": f"id-{len(world.browsers)}",
        "iat": now,
        "exp": now + 300,
        "email": "jane@example.com",
        "email_verified": True,
        "name": "Jane",
        "groups": ["staff"],
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


def id_jag(world, key=KEY, typ=TYP, **changes):
    return key.sign(said(world, **changes), typ=typ)


def partner(world, key=PARTNER_KEY, typ=None, **changes):
    now = int(world.clock().timestamp())
    own = {"iss": PARTNER, "client_id": None, "exp": now + 60} | changes
    return key.sign(said(world, **own), typ=typ)


async def bring(world, assertion, **more):
    return await world.post("/dex/token", grant_type=GRANT, assertion=assertion, **more)


def parsed(answer):
    assert answer.status == 200, answer.text
    return json.loads(answer.text)


def error(answer):
    return answer.status, json.loads(answer.text)["error"]


INVALID = (400, "invalid_grant")


# — what it is good for ----------------------------------------------------------------


async def test_an_assertion_becomes_an_access_token_for_its_user(world):
    got = parsed(await bring(world, id_jag(world), scope="openid email groups"))
    assert got.keys() == {"access_token", "token_type", "expires_in"}
    claims = await world.claims(got["access_token"])
    assert claims["sub"] == encode_subject("jane-id", "idp")
    assert claims["aud"] == "example-app"
    assert claims["email"] == "jane@example.com"
    assert claims["groups"] == ["staff"]
    assert "name" not in claims
    assert (await world.userinfo(got["access_token"])).status == 200


async def test_the_same_sub_of_two_issuers_is_two_users(world):
    one = parsed(await bring(world, id_jag(world)))
    other = parsed(await bring(world, partner(world)))
    subjects = {
        (await world.claims(each["access_token"]))["sub"] for each in (one, other)
    }
    assert len(subjects) == 2


async def test_there_is_never_a_refresh_token_nor_an_id_token(world):
    scope = "openid offline_access email"
    got = parsed(await bring(world, id_jag(world, scope=scope), scope=scope))
    assert not {"refresh_token", "id_token"} & got.keys()
    assert await world.storage.refresh_tokens.list() == []


async def test_the_assertion_says_what_the_token_is_for(world):
    now = int(world.clock().timestamp())
    assertion = id_jag(
        world,
        scope="email calendar.read",
        resource=["urn:api", "urn:box"],
        auth_time=now - 60,
        acr="gold",
        amr=["pwd", "otp"],
    )
    got = parsed(await bring(world, assertion))
    claims = await world.claims(got["access_token"])
    assert (claims["aud"], claims["scope"]) == (["urn:api", "urn:box"], "email")
    assert claims["client_id"] == "example-app"
    assert (claims["auth_time"], claims["acr"]) == (now - 60, "gold")
    assert claims["amr"] == ["pwd", "otp"]
    less = id_jag(world, scope="email groups", resource=["urn:api", "urn:box"])
    got = parsed(await bring(world, less, resource="urn:box", scope="groups"))
    claims = await world.claims(got["access_token"])
    assert (claims["aud"], claims["scope"]) == ("urn:box", "groups")


async def test_the_client_may_ask_for_a_resource_where_the_assertion_names_none(world):
    got = parsed(await bring(world, id_jag(world), resource="urn:api"))
    assert (await world.claims(got["access_token"]))["aud"] == "urn:api"


@pytest.mark.parametrize(
    ("claims", "form", "expected"),
    [
        ({"scope": "email"}, {"scope": "email groups"}, "invalid_scope"),
        ({"scope": ""}, {"scope": "email"}, "invalid_scope"),
        ({"resource": "urn:api"}, {"resource": "urn:box"}, "invalid_target"),
        ({"resource": "urn:unknown"}, {}, "invalid_target"),
        ({"resource": "urn:mail"}, {}, "invalid_target"),
        ({"resource": []}, {}, "invalid_target"),
        ({"resource": 1}, {}, "invalid_target"),
        ({"resource": ["urn:api", {}]}, {}, "invalid_target"),
        ({}, {"resource": "urn:mail"}, "invalid_target"),
    ],
)
async def test_nobody_gets_more_than_the_assertion_allows(
    world, claims, form, expected
):
    assertion = id_jag(world, **claims)
    assert error(await bring(world, assertion, **form)) == (400, expected)
    assert await world.storage.replays.list() == []


async def test_a_resource_that_nobody_here_knows_is_no_resource(make_world):
    world = await make_world(text().partition("resources:")[0])
    answer = await bring(world, id_jag(world, resource="urn:api"))
    assert error(answer) == (400, "invalid_target")
    assert (await bring(world, id_jag(world), resource="urn:api")).status == 200


async def test_the_token_can_be_bound_to_a_key(world):
    key, now = ProofKey(), int(world.clock().timestamp())
    proof = key.proof("POST", f"{ISSUER}/token", iat=now)
    form = {"grant_type": GRANT, "assertion": id_jag(world, client_id="bound")}
    form |= {"client_id": "bound", "client_secret": "a-secret-of-the-bound-app"}
    browser = world.browser()
    answer = await browser.post("/dex/token", data=form)
    assert error(answer) == (400, "invalid_dpop_proof")
    answer = await browser.post("/dex/token", data=form, headers={"DPoP": proof})
    got = parsed(answer)
    assert (await world.claims(got["access_token"]))["cnf"] == {"jkt": key.jkt}


# — once -------------------------------------------------------------------------------


async def test_an_assertion_is_good_once(world):
    assertion = id_jag(world)
    answers = await asyncio.gather(*(bring(world, assertion) for _ in range(6)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 5
    again = await bring(world, assertion)
    assert error(again) == INVALID
    assert "used before" in again.text
    # Another issuer may have had the same idea.
    assert (await bring(world, partner(world, jti=said_jti(assertion)))).status == 200


def said_jti(token):
    from dexcore.jose import b64decode

    return json.loads(b64decode(token.split(".")[1]))["jti"]


async def test_what_is_refused_for_another_reason_is_not_used_up(world):
    assertion = id_jag(world, scope="email")
    refused = await bring(world, assertion, scope="groups")
    assert error(refused) == (400, "invalid_scope")
    assert (await bring(world, assertion)).status == 200


async def test_it_is_remembered_for_as_long_as_it_would_be_good(world):
    now = int(world.clock().timestamp())
    assertion = id_jag(world, exp=now + 300)
    assert (await bring(world, assertion)).status == 200
    world.clock.advance(seconds=299)
    await world.storage.sweep(world.clock())
    assert "used before" in (await bring(world, assertion)).text
    world.clock.advance(seconds=200)
    await world.storage.sweep(world.clock())
    assert await world.storage.replays.list() == []
    assert error(await bring(world, assertion)) == INVALID


# — whose it is, for whom, until when --------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": None},
        {"iss": f"{IDP}/"},
        {"iss": PARTNER},
        {"iss": ISSUER},
        {"iss": [IDP]},
        {"aud": None},
        {"aud": f"{ISSUER}/"},
        {"aud": f"{ISSUER}/token"},
        {"aud": [ISSUER, "https://other.example.com"]},
        {"aud": "https://other.example.com"},
        {"aud": {"0": ISSUER}},
        {"sub": None},
        {"sub": ""},
        {"sub": 1},
        {"sub": "s" * 256},
        {"sub": "jane\0id"},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": "j" * 257},
        {"client_id": None},
        {"client_id": "other-app"},
        {"client_id": ["example-app"]},
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"iat": None},
        {"iat": -1},
        {"groups": "staff"},
        {"groups": [1]},
        {"email": ["jane@example.com"]},
        {"name": {}},
        {"scope": ["email"]},
        {"amr": "pwd"},
        {"acr": 1},
    ],
    ids=repr,
)
async def test_claims_that_are_missing_or_something_else_are_refused(world, claims):
    assert error(await bring(world, id_jag(world, **claims))) == INVALID
    assert await world.storage.replays.list() == []


@pytest.mark.parametrize(
    ("times", "good"),
    [
        ({"exp": 1}, True),
        ({"exp": 0}, False),
        ({"exp": 360}, True),
        ({"exp": 361}, False),
        ({"iat": 60, "exp": 300}, True),
        ({"iat": 61, "exp": 300}, False),
        ({"iat": -360, "exp": 1}, True),
        ({"iat": -361, "exp": 1}, False),
        ({"nbf": 60}, True),
        ({"nbf": 61}, False),
        ({"auth_time": 61}, False),
        ({"auth_time": 1e300}, False),
    ],
    ids=repr,
)
async def test_an_assertion_is_for_now(world, times, good):
    now = int(world.clock().timestamp())
    world.clock.moment = world.clock.moment.replace(microsecond=0)
    assertion = id_jag(world, **{name: now + value for name, value in times.items()})
    assert (await bring(world, assertion)).status == (200 if good else 400)


@pytest.mark.parametrize("audience", [ISSUER, [ISSUER]])
async def test_our_issuer_is_the_only_audience(world, audience):
    assert (await bring(world, id_jag(world, aud=audience))).status == 200


async def test_another_client_cannot_use_it(world):
    assertion = id_jag(world)
    assert error(await bring(world, assertion, auth=OTHER)) == INVALID
    assert (await bring(world, assertion)).status == 200


async def test_a_public_client_brings_none(world):
    assertion = id_jag(world, client_id="native")
    answer = await bring(world, assertion, auth=None, client_id="native")
    assert error(answer) == (400, "unauthorized_client")


async def test_an_issuer_may_be_for_some_clients_and_some_groups(world):
    answer = await bring(world, partner(world), auth=OTHER)
    assert error(answer) == (400, "unauthorized_client")
    for groups in (["visitors"], [], None):
        assert error(await bring(world, partner(world, groups=groups))) == INVALID
    assert (await bring(world, partner(world, groups=["x", "staff"]))).status == 200
    elsewhere = partner(world, client_id="other-app")
    assert error(await bring(world, elsewhere)) == INVALID
    # A minute, and a minute that clocks may differ by.
    now = int(world.clock().timestamp())
    assert error(await bring(world, partner(world, exp=now + 122))) == INVALID


# — what it is made of -----------------------------------------------------------------


@pytest.mark.parametrize("typ", [None, "JWT", "at+jwt", "logout+jwt", "dpop+jwt", ""])
async def test_another_type_of_token_is_no_id_jag(world, typ):
    assert error(await bring(world, id_jag(world, typ=typ))) == INVALID


@pytest.mark.parametrize("typ", [TYP.upper(), f"application/{TYP}"])
async def test_a_type_may_be_written_in_two_ways(world, typ):
    assert (await bring(world, id_jag(world, typ=typ))).status == 200


@pytest.mark.parametrize("typ", [TYP, "at+jwt", "dpop+jwt"])
async def test_an_issuer_of_plain_assertions_makes_no_others(world, typ):
    assert error(await bring(world, partner(world, typ=typ))) == INVALID


async def test_our_own_tokens_are_no_assertions(world):
    robot = await world.post("/dex/token", grant_type=GRANT, assertion="")
    assert error(robot) == (400, "invalid_request")
    got = parsed(await bring(world, id_jag(world)))
    assert error(await bring(world, got["access_token"])) == INVALID


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t.rpartition(".")[0] + ".",
        lambda t: t.rpartition(".")[0],
        lambda t: t + ".",
        lambda t: t + "=",
        lambda t: t.replace(".", "..", 1),
        lambda t: t + "A" * 60000,
        lambda t: "a.b.c",
        lambda t: "ä.ö.ü",
        lambda t: b64encode(b'{"alg":"none"}') + "." + t.split(".")[1] + ".",
        lambda t: b64encode(b'{"alg":"NONE"}') + "." + t.split(".")[1] + ".x",
        lambda t: t.split(".")[0] + "." + b64encode(b"[]") + "." + t.split(".")[2],
        lambda t: t.split(".")[0] + "." + b64encode(b"{" * 9000) + ".x",
    ],
)
async def test_what_is_no_signed_jwt_is_refused(world, spoil):
    assert error(await bring(world, spoil(id_jag(world)))) == INVALID


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "RS256"},
        {"alg": ["ES256"]},
        {"alg": None},
        {"kid": "../../etc/passwd"},
        {"kid": "' OR 1=1 --"},
        {"kid": 7},
        {"crit": ["x"], "x": 1},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"enc": "A256GCM"},
    ],
    ids=repr,
)
async def test_a_header_that_asks_for_something_else_is_refused(world, header):
    assertion = KEY.sign(said(world), **{"typ": TYP} | header)
    assert error(await bring(world, assertion)) == INVALID


async def test_a_key_the_assertion_brings_is_not_looked_at(world):
    jwk = public(STRANGER.jwk)
    for brought in ({"jwk": jwk}, {"jku": "http://127.0.0.1:1/"}, {"x5c": ["MIIB"]}):
        assertion = STRANGER.sign(said(world), typ=TYP, kid=None, **brought)
        assert error(await bring(world, assertion)) == INVALID
    assert error(await bring(world, id_jag(world, STRANGER))) == INVALID
    stolen_kid = STRANGER.sign(said(world), typ=TYP, kid=KEY.jwk["kid"])
    assert error(await bring(world, stolen_kid)) == INVALID


async def test_a_public_key_is_no_shared_secret(world):
    head = b64encode(orjson.dumps({"alg": "HS256", "typ": TYP}))
    body = b64encode(orjson.dumps(said(world)))
    for secret in (b"", orjson.dumps(RSA.jwks["keys"][0]), thumbprint(KEY.jwk)):
        raw = secret.encode() if isinstance(secret, str) else secret
        mac = b64encode(hmac.digest(raw, f"{head}.{body}".encode(), "sha256"))
        assert error(await bring(world, f"{head}.{body}.{mac}")) == INVALID


@pytest.mark.parametrize(
    "payload",
    [
        b'{"iss":"%s","iss":"x"}' % IDP.encode(),
        b'{"iss":"%s","exp":NaN}' % IDP.encode(),
        b'{"iss":"%s","exp":1e400}' % IDP.encode(),
        b'{"iss":"%s"' % IDP.encode(),
    ],
)
async def test_a_payload_that_can_be_read_in_two_ways_is_refused(world, payload):
    assert error(await bring(world, KEY.sign(payload, typ=TYP))) == INVALID


async def test_every_key_of_the_issuer_counts_and_no_algorithm_beside(world):
    assert (await bring(world, id_jag(world, RSA))).status == 200
    es256 = ClientKey()
    answer = await bring(world, partner(world, es256))
    assert "algorithm" in answer.text


# — where its keys are -----------------------------------------------------------------


class Idp:
    """A provider that publishes its keys, until it does not."""

    def __init__(self):
        self.key, self.asked, self.status = ClientKey(), [], 200
        self.server, self.issuer, self.document = None, "", {}

    async def start(self):
        app = web.Application()
        app.router.add_get("/{path:.*}", self.answer)
        self.server = TestServer(app)
        await self.server.start_server()
        self.issuer = str(self.server.make_url("/")).rstrip("/")
        self.document = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}

    async def answer(self, request):
        self.asked.append(request.path)
        body = self.key.jwks if request.path == "/keys" else self.document
        return web.json_response(body, status=self.status)


@pytest.fixture
async def idp():
    idp = Idp()
    await idp.start()
    yield idp
    await idp.server.close()


def at(idp, where=""):
    """Return a configuration that finds the keys of *idp* itself."""
    entry = f"{{issuer: '{idp.issuer}', connectorID: idp{where}}}"
    before, _, rest = text().partition("    - {issuer:")
    return before + "    - " + entry + "\n" + rest.partition("\n")[2]


async def test_keys_are_found_by_discovery_and_kept(make_world, idp):
    world = await make_world(at(idp))
    for _ in range(3):
        answer = await bring(world, id_jag(world, idp.key, iss=idp.issuer))
        assert answer.status == 200, answer.text
    assert idp.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_keys_are_found_where_the_file_says(make_world, idp):
    world = await make_world(at(idp, f", jwksURI: '{idp.issuer}/keys'"))
    answer = await bring(world, id_jag(world, idp.key, iss=idp.issuer))
    assert answer.status == 200, answer.text
    assert idp.asked == ["/keys"]


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"issuer": "https://other.example.com"}, 200),
        ({"jwks_uri": None}, 200),
        ({"jwks_uri": "file:///etc/passwd"}, 200),
        ({}, 500),
    ],
)
async def test_an_issuer_that_cannot_be_asked_is_asked_again_later(
    make_world, idp, document, status
):
    world = await make_world(at(idp))
    right = idp.document
    idp.document, idp.status = right | document, status
    answers = [
        await bring(world, id_jag(world, idp.key, iss=idp.issuer)) for _ in range(3)
    ]
    assert {error(answer) for answer in answers} == {(503, "temporarily_unavailable")}
    assert len(idp.asked) == 1
    assert await world.storage.replays.list() == []


async def test_nobody_is_asked_for_the_keys_of_somebody_unknown(make_world, idp):
    world = await make_world(text())
    assert error(await bring(world, id_jag(world, idp.key, iss=idp.issuer))) == INVALID
    assert idp.asked == []


# — whether it is on -------------------------------------------------------------------


async def discovery(world):
    path = "/dex/.well-known/openid-configuration"
    return parsed(await world.browser().get(path))


async def test_discovery_says_whether_it_is_on(make_world, world):
    document = await discovery(world)
    assert GRANT in document["grant_types_supported"]
    assert document["authorization_grant_profiles_supported"] == [
        "urn:ietf:params:oauth:grant-profile:id-jag"
    ]
    plain = text().replace("jwks: {", "assertions: [jwt], jwks: {", 1)
    document = await discovery(await make_world(plain))
    assert GRANT in document["grant_types_supported"]
    assert "authorization_grant_profiles_supported" not in document


async def test_it_is_off_where_nobody_is_trusted(make_world):
    world = await make_world()
    document = await discovery(world)
    assert GRANT not in document["grant_types_supported"]
    assert "authorization_grant_profiles_supported" not in document
    answer = await bring(world, id_jag(world))
    assert error(answer) == (400, "unsupported_grant_type")
