"""Clients that prove themselves with a key, and everything that is no proof."""

import asyncio
import json

import pytest

from dexcore.testing.client_key import ASSERTION_TYPE, ClientKey
from dexcore.testing.upstreams import Upstream

ISSUER = "http://127.0.0.1:5556/dex"
CALLBACK = "http://127.0.0.1:5555/callback"
KEY, OTHER = ClientKey("ES256"), ClientKey("RS256")
METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt", "none")

CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2:
  skipApprovalScreen: true
  grantTypes: [authorization_code, refresh_token, client_credentials,
    'urn:ietf:params:oauth:grant-type:device_code']
connectors:
- {type: mockPassword, id: pw, name: Passwords, config: {username: jane, password: fox}}
staticClients:
- id: keyed
  name: Keyed
  redirectURIs: ['http://127.0.0.1:5555/callback', /dex/device/callback]
  metadata: {token_endpoint_auth_method: private_key_jwt, jwks: %s}
- id: other
  name: Other
  redirectURIs: ['http://127.0.0.1:5555/callback']
  metadata:
    token_endpoint_auth_method: private_key_jwt
    token_endpoint_auth_signing_alg: RS256
    jwks: %s
- id: basic
  name: Basic
  secret: a-secret-that-goes-into-the-header
  metadata: {token_endpoint_auth_method: client_secret_basic, jwks: %s}
- id: post
  name: Post
  secret: a-secret-that-goes-into-the-form
  metadata: {token_endpoint_auth_method: client_secret_post}
- id: plain
  name: Plain
  secret: a-secret-of-a-client-as-in-dex
- {id: none, name: None, public: true, metadata: {token_endpoint_auth_method: none}}
- {id: native, name: Native, public: true}
""" % tuple(json.dumps(key.jwks) for key in (KEY, OTHER, KEY))  # noqa: UP031
SECRETS = {
    "basic": "a-secret-that-goes-into-the-header",
    "post": "a-secret-that-goes-into-the-form",
    "plain": "a-secret-of-a-client-as-in-dex",
}


def told(answer):
    return json.loads(answer.text)


@pytest.fixture
def make_provider(make_world):
    async def make(text=CONFIG, more=""):
        return await make_world(text + more)

    return make


@pytest.fixture
async def provider(make_provider):
    return await make_provider()


async def as_itself(provider, *, auth=None, **proof):
    form = {"grant_type": "client_credentials", "scope": "openid"} | proof
    return await provider.post("/dex/token", auth=auth, **form)


def proof(provider, key=KEY, client_id="keyed", audience=ISSUER, **changes):
    now = provider.clock().timestamp()
    return key.proof(client_id, audience, now=now, **changes)


# — it works ---------------------------------------------------------------------------


async def test_a_client_with_a_key_trades_a_code_refreshes_and_asks(provider):
    code = await provider.code(client_id="keyed")
    answer = await provider.exchange(code, auth=None, **proof(provider))
    assert answer.status == 200, answer.text
    tokens = told(answer)
    claims = await provider.claims(tokens["id_token"])
    assert claims["aud"] == "keyed"
    refresh_token = tokens["refresh_token"]
    again = await provider.refresh(refresh_token, auth=None, **proof(provider))
    assert again.status == 200, again.text
    fresh = told(again)
    said = await provider.introspect(
        fresh["access_token"], auth=None, **proof(provider)
    )
    assert said["active"] is True
    revoked = await provider.post(
        "/dex/token/revoke",
        auth=None,
        token=fresh["refresh_token"],
        **proof(provider),
    )
    assert revoked.status == 200
    dead = await provider.refresh(fresh["refresh_token"], auth=None, **proof(provider))
    assert told(dead)["error"] == "invalid_grant"


async def test_a_device_proves_itself_with_its_key(provider):
    begun = await provider.post("/dex/device/code", auth=None, **proof(provider))
    assert begun.status == 200, begun.text
    waiting = await provider.post(
        "/dex/token",
        auth=None,
        grant_type="urn:ietf:params:oauth:grant-type:device_code",
        device_code=told(begun)["device_code"],
        **proof(provider),
    )
    assert told(waiting)["error"] == "authorization_pending"


@pytest.mark.parametrize("client_id", [{}, {"client_id": "keyed"}], ids=["no", "same"])
async def test_the_form_may_name_the_client_or_not(provider, client_id):
    answer = await as_itself(provider, **proof(provider), **client_id)
    assert answer.status == 200, answer.text


async def test_keys_may_be_published(make_provider):
    fresh = ClientKey("ES256")
    with Upstream({"/jwks": KEY.jwks}) as published:
        provider = await make_provider(
            more=f"- {{id: far, name: Far, metadata: {{token_endpoint_auth_method: "
            f"private_key_jwt, jwks_uri: '{published.url}/jwks'}}}}\n"
        )
        good = await as_itself(provider, **proof(provider, client_id="far"))
        assert good.status == 200, good.text
        unknown = await as_itself(provider, **proof(provider, fresh, "far"))
        assert unknown.status == 401
    assert len(published.asked("/jwks")) == 1


async def test_keys_that_cannot_be_fetched_are_for_another_time(make_provider):
    with Upstream({}) as published:
        provider = await make_provider(
            more=f"- {{id: far, name: Far, metadata: {{token_endpoint_auth_method: "
            f"private_key_jwt, jwks_uri: '{published.url}/jwks'}}}}\n"
        )
        answer = await as_itself(provider, **proof(provider, client_id="far"))
    assert answer.status == 503
    assert told(answer)["error"] == "temporarily_unavailable"
    assert "Retry-After" in answer.headers


# — assertions that prove nothing ------------------------------------------------------

WRONG = {"error": "invalid_client", "error_description": "Invalid client credentials."}


async def test_an_unknown_client_a_wrong_key_and_a_wrong_secret_look_the_same(
    provider,
):
    """T-CA-02."""
    unknown = await as_itself(provider, **proof(provider, client_id="nobody"))
    wrong = await as_itself(provider, **proof(provider, ClientKey("ES256")))
    secret = await as_itself(provider, auth=("plain", "wrong"))
    for answer in (unknown, wrong, secret):
        assert answer.status == 401
        assert told(answer) == WRONG


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"iss": "other"}, "iss and sub"),
        ({"iss": None}, "iss and sub"),
        ({"aud": None}, "aud"),
        ({"aud": [ISSUER]}, "aud"),
        ({"aud": [ISSUER, "https://other.example"]}, "aud"),
        ({"aud": f"{ISSUER}/"}, "aud"),
        ({"aud": f"{ISSUER}/token/introspect"}, "aud"),
        ({"aud": "https://other.example"}, "aud"),
        ({"jti": None}, "jti"),
        ({"jti": ""}, "jti"),
        ({"jti": 7}, "jti"),
        ({"jti": "j" * 257}, "jti"),
        ({"exp": None}, "exp"),
    ],
    ids=str,
)
async def test_a_claim_that_is_not_what_it_must_be(provider, changes, why):
    """T-CA-03."""
    answer = await as_itself(provider, **proof(provider, **changes))
    assert answer.status == 401
    assert told(answer)["error"] == "invalid_client"
    assert why in told(answer)["error_description"]


@pytest.mark.parametrize(
    ("claim", "seconds", "why"),
    [
        ("exp", 0, "expired"),
        ("exp", -3600, "expired"),
        ("exp", 3600 + 120, "60 minutes"),
        ("exp", 10**12, "60 minutes"),
        ("nbf", 120, "future"),
        ("iat", 120, "future"),
    ],
)
async def test_a_time_that_is_not_now(provider, claim, seconds, why):
    """T-CA-03."""
    moment = int(provider.clock().timestamp()) + seconds
    answer = await as_itself(provider, **proof(provider, **{claim: moment}))
    assert answer.status == 401
    assert why in told(answer)["error_description"]


async def test_the_token_endpoint_is_an_audience_unless_strict(make_provider):
    """T-CA-03."""
    old = {"audience": f"{ISSUER}/token"}
    provider = await make_provider()
    assert (await as_itself(provider, **proof(provider, **old))).status == 200
    strict = await make_provider(more="compat: strict\n")
    answer = await as_itself(strict, **proof(strict, **old))
    assert answer.status == 401
    assert (await as_itself(strict, **proof(strict))).status == 200


async def test_strict_assertions_are_short_lived(make_provider):
    """T-CA-03."""
    strict = await make_provider(more="compat: strict\n")
    late = int(strict.clock().timestamp()) + 600
    answer = await as_itself(strict, **proof(strict, exp=late))
    assert "5 minutes" in told(answer)["error_description"]


async def test_an_assertion_counts_once(provider):
    """T-CA-03."""
    once = proof(provider)
    assert (await as_itself(provider, **once)).status == 200
    for path in ("/dex/token", "/dex/token/introspect", "/dex/token/revoke"):
        form = {"grant_type": "client_credentials", "token": "x"} | once
        answer = await provider.post(path, auth=None, **form)
        assert answer.status == 401
        assert "used before" in told(answer)["error_description"]


async def test_the_id_of_an_assertion_is_the_clients_own(provider):
    mine = proof(provider, jti="one")
    theirs = proof(provider, OTHER, "other", jti="one")
    assert (await as_itself(provider, **mine)).status == 200
    assert (await as_itself(provider, **theirs)).status == 200


async def test_an_assertion_is_remembered_no_longer_than_it_counts(provider, clock):
    once = proof(provider)
    await as_itself(provider, **once)
    (replay,) = await provider.storage.replays.list()
    assert "keyed" not in replay.id
    clock.advance(minutes=10)
    assert "expired" in (await as_itself(provider, **once)).text
    swept = await provider.storage.sweep(clock())
    assert swept["replay"] == 1


async def test_of_many_that_use_one_assertion_at_two_replicas_one_succeeds(
    make_world, tmp_path
):
    """T-CA-03."""
    storage = f"{{type: sqlite3, config: {{file: '{tmp_path}/dex.db'}}}}"
    text = CONFIG.replace("{type: memory}", storage)
    replicas = [await make_world(text), await make_world(text)]
    once = proof(replicas[0])
    answers = await asyncio.gather(
        *(as_itself(replicas[number % 2], **once) for number in range(16))
    )
    statuses = sorted(answer.status for answer in answers)
    assert statuses == [200] + [401] * 15


async def test_a_refused_assertion_is_written_nowhere(provider):
    for changes in ({"aud": "x"}, {"exp": 1}, {"jti": ""}):
        await as_itself(provider, **proof(provider, **changes))
    await as_itself(provider, **proof(provider, ClientKey("ES256")))
    assert await provider.storage.replays.list() == []


async def test_the_assertion_of_one_client_is_of_no_use_for_another(provider):
    mine = proof(provider)
    answer = await as_itself(provider, client_id="other", **mine)
    assert answer.status == 401
    assert told(answer) == WRONG
    theirs = KEY.proof("other", ISSUER)  # whose key this is not
    assert told(await as_itself(provider, **theirs)) == WRONG
    assert (await as_itself(provider, **mine)).status == 200


async def test_a_client_has_one_algorithm_if_it_says_so(provider):
    """T-CA-03."""
    right = proof(provider, OTHER, "other")
    assert (await as_itself(provider, **right)).status == 200
    now = int(provider.clock().timestamp())
    key = ClientKey("PS256", OTHER.jwk)
    wrong = key.proof("other", ISSUER, now=now)
    assert told(await as_itself(provider, **wrong)) == WRONG


async def test_our_own_tokens_are_no_assertions(provider):
    code = await provider.code(client_id="keyed")
    tokens = told(await provider.exchange(code, auth=None, **proof(provider)))
    for name in ("access_token", "id_token"):
        answer = await as_itself(
            provider,
            client_assertion=tokens[name],
            client_assertion_type=ASSERTION_TYPE,
        )
        assert told(answer) == WRONG


async def test_an_assertion_is_none_of_our_tokens(provider):
    assertion = KEY.assertion("keyed", ISSUER)
    assert (await provider.userinfo(assertion)).status == 401
    said = await provider.introspect(assertion, auth=None, **proof(provider))
    assert said == {"active": False}


# — one method, and the right one ------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    ["", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", "jwt-bearer"],
)
async def test_an_assertion_of_another_type_is_refused(provider, kind):
    sent = proof(provider) | {"client_assertion_type": kind}
    answer = await as_itself(provider, **sent)
    assert answer.status == 400
    assert told(answer)["error"] == "invalid_request"
    assert ASSERTION_TYPE in told(answer)["error_description"]


@pytest.mark.parametrize("assertion", ["", "x", "a.b.c", "..", "." * 9000])
async def test_what_is_no_assertion_is_refused(provider, assertion):
    answer = await as_itself(
        provider, client_assertion=assertion, client_assertion_type=ASSERTION_TYPE
    )
    assert answer.status == 401
    assert told(answer) == WRONG


@pytest.mark.parametrize("where", ["header", "form"])
async def test_two_methods_at_once_are_refused(provider, where):
    """T-CA-01."""
    secret = SECRETS["plain"]
    if where == "header":
        answer = await as_itself(provider, auth=("plain", secret), **proof(provider))
    else:
        answer = await as_itself(provider, client_secret=secret, **proof(provider))
    assert answer.status == 400
    assert told(answer)["error"] == "invalid_request"
    assert "two ways" in told(answer)["error_description"]


async def sent_by(provider, client_id, method):
    """Ask as *client_id*, proving it by *method* as well as it can."""
    secret = SECRETS.get(client_id, "a secret it never had")
    if method == "client_secret_basic":
        return await as_itself(provider, auth=(client_id, secret))
    if method == "client_secret_post":
        return await as_itself(provider, client_id=client_id, client_secret=secret)
    if method == "private_key_jwt":
        return await as_itself(provider, **proof(provider, client_id=client_id))
    return await as_itself(provider, client_id=client_id)


USES = {
    "keyed": {"private_key_jwt"},
    "basic": {"client_secret_basic"},
    "post": {"client_secret_post"},
    "plain": {"client_secret_basic", "client_secret_post"},
    "none": {"none"},
    "native": {"none"},
}


@pytest.mark.parametrize("client_id", USES)
@pytest.mark.parametrize("method", METHODS)
async def test_a_client_proves_itself_as_it_is_registered_and_not_otherwise(
    provider, client_id, method
):
    """T-CA-04."""
    answer = await sent_by(provider, client_id, method)
    if method not in USES[client_id]:
        assert answer.status == 401
        assert told(answer) == WRONG
    elif method == "none":
        # Who it is was believed; a public client just may not do this.
        assert told(answer)["error"] == "unauthorized_client"
    else:
        assert answer.status == 200, answer.text
