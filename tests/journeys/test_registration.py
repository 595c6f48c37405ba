"""Clients register themselves, and are no more than they have registered."""

import json
import string

import attrs
import pytest

from dexcore.oauth2.ids import new_id
from dexcore.server.registering import registered_clients
from dexcore.storage import Client, RegisteredClient
from dexcore.testing.client_key import ClientKey
from dexcore.testing.upstreams import Upstream

TOKEN = "an-initial-access-token"
OTHER_TOKEN = "another-initial-access-token"
CALLBACK = "https://app.example/callback"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ISSUER = "http://127.0.0.1:5556/dex"
VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123"

CONFIG = string.Template("""
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2:
  skipApprovalScreen: true
  passwordConnector: pw
  grantTypes: [authorization_code, refresh_token, client_credentials, password,
    'urn:ietf:params:oauth:grant-type:device_code',
    'urn:ietf:params:oauth:grant-type:token-exchange']
sessions: {}
registration:
  enabled: true
  initialAccessTokens: [an-initial-access-token, another-initial-access-token]
  $more
connectors:
- {type: mockPassword, id: pw, name: Passwords, config: {username: jane, password: fox}}
staticClients:
- {id: resource, name: Resource, secret: a-secret-of-the-resource}
""")


def told(answer):
    return json.loads(answer.text)


@pytest.fixture
def make_provider(make_world):
    async def make(more=""):
        return await make_world(CONFIG.substitute(more=more))

    return make


@pytest.fixture
async def provider(make_provider):
    return await make_provider()


def bearer(token):
    return {"Authorization": f"Bearer {token}"} if token else {}


async def ask(provider, document, token=TOKEN, **headers):
    return await provider.browser().post(
        "/dex/register", json=document, headers=bearer(token) | headers
    )


async def register(provider, token=TOKEN, **document):
    """Register a client, and return what was answered."""
    answer = await ask(provider, {"redirect_uris": [CALLBACK]} | document, token)
    assert answer.status == 201, answer.text
    return told(answer)


async def manage(provider, known, method, document=None, token=None):
    url = known["registration_client_uri"].removeprefix("http://127.0.0.1:5556")
    given = known["registration_access_token"] if token is None else token
    options = {} if document is None else {"json": document}
    return await provider.browser()._send(method, url, headers=bearer(given), **options)


def auth_of(known):
    return known["client_id"], known["client_secret"]


CHALLENGE = "yvLoDE7wB4hNaQYo3CT0fWhJtFfyXlYhjVvhPf1oGdw"


async def log_in(provider, known, **changes):
    """Log Jane in and let her agree; return the redirect to the client."""
    browser = provider.browser()
    asked = {"client_id": known["client_id"], "redirect_uri": CALLBACK} | changes
    landed = await provider.log_in(browser, **asked)
    page = await browser.follow(landed)
    if page.forms:
        yes = page.forms[0]
        landed = await browser.post(yes["action"], data=yes["fields"])
    return landed


async def trade(provider, known, **changes):
    landed = await log_in(provider, known, **changes)
    answer = await provider.exchange(
        landed.params["code"], auth=auth_of(known), redirect_uri=CALLBACK
    )
    assert answer.status == 200, answer.text
    return told(answer)


# — registering ------------------------------------------------------------------------


async def test_a_client_registers_and_logs_somebody_in(provider):
    known = await register(provider, client_name="Shop")
    assert known["client_secret_expires_at"] == 0
    assert known["client_id_issued_at"] == int(provider.clock().timestamp())
    assert known["grant_types"] == ["authorization_code"]
    assert known["response_types"] == ["code"]
    assert known["token_endpoint_auth_method"] == "client_secret_basic"
    assert known["id_token_signed_response_alg"] == "ES256"
    assert known["scope"] == "openid email profile groups offline_access"
    tokens = await trade(provider, known)
    claims = await provider.claims(tokens["id_token"])
    assert claims["aud"] == known["client_id"]
    assert "auth_time" in claims


async def test_dex_knows_the_client_too(provider):
    known = await register(provider, client_name="Shop")
    row = await provider.storage.clients.get(known["client_id"])
    assert (row.name, row.redirect_uris) == ("Shop", (CALLBACK,))
    assert row.secret == known["client_secret"]
    (record,) = await provider.storage.registered_clients.list()
    assert record.id == known["client_id"]
    assert known["registration_access_token"] not in str(record)
    assert TOKEN not in str(record)


async def test_discovery_says_where(provider, make_world):
    url = "/dex/.well-known/openid-configuration"
    document = told(await provider.browser().get(url))
    assert document["registration_endpoint"] == f"{ISSUER}/register"
    assert "client_id_metadata_document_supported" not in document
    without = await make_world()
    document = told(await without.browser().get(url))
    assert "registration_endpoint" not in document
    assert (await ask(without, {"redirect_uris": [CALLBACK]})).status == 404


@pytest.mark.parametrize("token", ["", "wrong", OTHER_TOKEN[:-1], f"{TOKEN}x"])
async def test_who_has_no_initial_access_token_registers_nothing(provider, token):
    answer = await ask(provider, {"redirect_uris": [CALLBACK]}, token)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert await provider.storage.registered_clients.list() == []


async def test_where_it_is_open_nobody_needs_a_token_but_a_wrong_one_is_wrong(
    make_provider,
):
    provider = await make_provider("open: true")
    assert (await ask(provider, {"redirect_uris": [CALLBACK]}, "")).status == 201
    answer = await ask(provider, {"redirect_uris": [CALLBACK]}, "wrong")
    assert answer.status == 401


async def test_one_address_registers_only_so_many(make_provider):
    provider = await make_provider("open: true")
    for _ in range(30):
        await register(provider, token="")
    answer = await ask(provider, {"redirect_uris": [CALLBACK]}, "")
    assert answer.status == 429
    assert "Retry-After" in answer.headers
    await register(provider)  # whoever has a token is no stranger


async def test_initial_access_tokens_cannot_be_guessed_for_long(provider):
    for _ in range(30):
        assert (await ask(provider, {}, "wrong")).status == 401
    assert (await ask(provider, {}, "wrong")).status == 429


async def test_one_token_registers_only_so_many(make_provider):
    provider = await make_provider("clientsPerToken: 2")
    first = await register(provider)
    await register(provider)
    answer = await ask(provider, {"redirect_uris": [CALLBACK]})
    assert answer.status == 429
    await register(provider, OTHER_TOKEN)
    assert (await manage(provider, first, "DELETE")).status == 204
    await register(provider)


async def test_all_together_there_are_only_so_many(make_provider):
    provider = await make_provider("maxClients: 2")
    await register(provider)
    await register(provider, OTHER_TOKEN)
    answer = await ask(provider, {"redirect_uris": [CALLBACK]})
    assert answer.status == 429
    assert len(await provider.storage.clients.list()) == 3  # one is of the file


async def test_it_is_json_that_is_posted(provider):
    browser, url = provider.browser(), "/dex/register"
    assert (await browser.get(url)).status == 405
    form = await browser.post(url, data={"a": "b"}, headers=bearer(TOKEN))
    assert form.status == 415
    json_type = {"Content-Type": "application/json"} | bearer(TOKEN)
    for body in (b"", b"[]", b"{", b'{"a":1,"a":2}', b"[" * 9999, b"\xff"):
        answer = await browser.post(url, data=body, headers=json_type)
        assert answer.status == 400
        assert told(answer)["error"] == "invalid_client_metadata"
    large = await browser.post(url, data=b" " * 70_000, headers=json_type)
    assert large.status == 413


# — what may be registered -------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/cb#fragment",
        "https://app.example/cb#",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://app.example/x",
        "http://app.example/cb",
        "http://localhost.evil.example/cb",
        "http://127.0.0.1@evil.example/cb",
        "http://0.0.0.0/cb",
        "https://user:pw@app.example/cb",
        "https://app.example\\@evil.example/cb",
        "https:///cb",
        "https:app.example/cb",
        "https://app.example/*",
        "https://*.app.example/cb",
        "https://app.example/a b",
        "https://app.example/\n",
        "https://äpp.example/cb",
        "https://[::1/cb",
        "https://app.example:port/cb",
        "HTTPS://app.example/cb",
        "com.example.app:/cb",
        "//app.example/cb",
        "/dex/device/callback",
        "urn:ietf:wg:oauth:2.0:oob",
        "about:blank",
        "x",
    ],
)
async def test_a_redirect_uri_nobody_should_be_sent_to(provider, uri):
    """T-REDIR-06."""
    answer = await ask(provider, {"redirect_uris": [CALLBACK, uri]})
    assert answer.status == 400
    assert told(answer)["error"] == "invalid_redirect_uri"
    assert await provider.storage.registered_clients.list() == []


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:7000/cb", "http://localhost/cb", "http://[::1]/cb?x=1"]
)
async def test_a_program_on_the_users_machine_may_register(provider, uri):
    known = await register(provider, redirect_uris=[uri])
    assert known["redirect_uris"] == [uri]
    web = {"redirect_uris": [uri], "application_type": "web"}
    assert told(await ask(provider, web))["error"] == "invalid_redirect_uri"


async def test_schemes_of_apps_are_the_operators_to_allow(make_provider):
    provider = await make_provider("redirectURISchemes: [https, com.example.app]")
    await register(provider, redirect_uris=["com.example.app:/cb"])
    for uri in ("http://127.0.0.1/cb", "com.example.other:/cb"):
        answer = await ask(provider, {"redirect_uris": [uri]})
        assert told(answer)["error"] == "invalid_redirect_uri"


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"redirect_uris": []},
        {"redirect_uris": None},
        {"redirect_uris": [], "grant_types": ["authorization_code", "refresh_token"]},
    ],
)
async def test_who_is_sent_codes_says_where(provider, document):
    answer = await ask(provider, document)
    assert told(answer)["error"] == "invalid_redirect_uri"


JWKS = ClientKey("ES256").jwks


@pytest.mark.parametrize(
    "document",
    [
        {"redirect_uris": CALLBACK},
        {"redirect_uris": [CALLBACK, 7]},
        {"redirect_uris": [f"{CALLBACK}/{n}" for n in range(21)]},
        {"redirect_uris": [f"{CALLBACK}/{'x' * 2000}"]},
        {"token_endpoint_auth_method": "client_secret_jwt"},
        {"token_endpoint_auth_method": "tls_client_auth"},
        {"token_endpoint_auth_method": ["none"]},
        {"token_endpoint_auth_method": "private_key_jwt"},
        {"token_endpoint_auth_signing_alg": "HS256"},
        {"token_endpoint_auth_signing_alg": "none"},
        {"jwks": JWKS, "jwks_uri": "https://app.example/jwks"},
        {"jwks": {"keys": []}},
        {"jwks": {"keys": [ClientKey("ES256").jwk]}},
        {"jwks": "keys"},
        {"jwks_uri": "http://app.example/jwks"},
        {"jwks_uri": "http://127.0.0.1/jwks"},
        {"jwks_uri": 7},
        {"grant_types": ["implicit"]},
        {"grant_types": ["client_credentials"]},
        {"grant_types": "authorization_code"},
        {"response_types": ["token"]},
        {"response_types": ["code"], "grant_types": ["refresh_token"]},
        {"scope": "everything"},
        {"scope": "federated:id"},
        {"scope": ["openid"]},
        {"client_name": ""},
        {"client_name": "x" * 201},
        {"client_name": "Shop\u202e"},
        {"client_name": "Shop\nof horrors"},
        {"client_name": 7},
        {"client_uri": "http://app.example/"},
        {"logo_uri": "javascript:alert(1)"},
        {"tos_uri": "data:text/html,x"},
        {"policy_uri": "https://user@app.example/"},
        {"application_type": "toy"},
        {"subject_type": "secret"},
        {"subject_type": "pairwise", "redirect_uris": [CALLBACK, "https://b.example/"]},
        {"require_signed_request_object": True},
        {"require_signed_request_object": "true"},
        {"request_object_signing_alg": "HS256"},
        {"dpop_bound_access_tokens": 1},
        {"sector_identifier_uri": "http://app.example/sector"},
        {"sector_identifier_uri": "https://127.0.0.1:1/sector"},
        {"id_token_signed_response_alg": "none"},
        {"id_token_signed_response_alg": "HS256"},
        {"id_token_encrypted_response_alg": "RSA-OAEP"},
        {"userinfo_signed_response_alg": "ES256"},
        {"request_object_encryption_alg": "RSA-OAEP"},
        {"tls_client_certificate_bound_access_tokens": True},
        {"default_max_age": -1},
        {"default_max_age": "60"},
        {"default_max_age": True},
        {"contacts": "a@app.example"},
        {"backchannel_logout_uri": "http://app.example/bye"},
        {"post_logout_redirect_uris": "https://app.example/"},
    ],
    # Keys are new in each process; the names of tests must not be.
)
async def test_metadata_that_cannot_be(provider, document):
    answer = await ask(provider, {"redirect_uris": [CALLBACK]} | document)
    assert answer.status == 400
    assert told(answer)["error"] == "invalid_client_metadata"
    assert told(answer)["error_description"].isascii()
    assert await provider.storage.registered_clients.list() == []


async def test_a_sector_must_know_the_client(make_provider):
    uris = [CALLBACK, "https://b.example/cb"]
    said = {"subject_type": "pairwise", "redirect_uris": uris}
    with Upstream({"/good": [*uris, "https://c.example/"], "/bad": uris[:1]}) as app:
        provider = await make_provider("privateAddresses: true")
        for path in ("/bad", "/nothing"):
            document = said | {"sector_identifier_uri": f"{app.url}{path}"}
            answer = await ask(provider, document)
            assert told(answer)["error"] == "invalid_client_metadata"
        good = {"sector_identifier_uri": f"{app.url}/good"}
        known = await register(provider, **said, **good)
        assert known["sector_identifier_uri"] == good["sector_identifier_uri"]
        document = said | good | {"client_id": known["client_id"]}
        document["redirect_uris"] = [*uris, "https://d.example/"]
        answer = await manage(provider, known, "PUT", document)
        assert told(answer)["error"] == "invalid_client_metadata"
    tokens = await trade(provider, known)
    other = await trade(provider, await register(provider))
    subject = (await provider.claims(tokens["id_token"]))["sub"]
    assert subject != (await provider.claims(other["id_token"]))["sub"]


async def test_a_software_statement_is_not_believed(provider):
    document = {"redirect_uris": [CALLBACK], "software_statement": "a.b.c"}
    answer = await ask(provider, document)
    assert told(answer)["error"] == "unapproved_software_statement"


async def test_the_answer_says_what_was_registered_and_what_was_not(provider):
    known = await register(
        provider,
        client_name="Shop",
        client_uri="https://app.example/",
        grant_types=["authorization_code", "refresh_token", "implicit", "unheard"],
        response_types=["code", "code token"],
        scope="openid email everything",
        contacts=["ops@app.example"],
        software_id="shop",
        software_version="1",
        application_type="web",
        subject_type="public",
        id_token_signed_response_alg="ES256",
        dpop_bound_access_tokens=False,
        initiate_login_uri="https://app.example/login",
        unheard_of="x",
        client_secret="my own",
        client_id="my own",
    )
    assert known["grant_types"] == ["authorization_code", "refresh_token"]
    assert known["response_types"] == ["code"]
    assert known["scope"] == "openid email"
    assert known["contacts"] == ["ops@app.example"]
    assert (known["software_id"], known["software_version"]) == ("shop", "1")
    assert known["client_uri"] == "https://app.example/"
    assert "my own" not in (known["client_id"], known["client_secret"])
    assert not {"unheard_of", "initiate_login_uri"} & known.keys()


async def test_what_has_no_effect_without_sessions_is_not_registered(make_world):
    text = CONFIG.substitute(more="").replace("sessions: {}\n", "")
    provider = await make_world(text)
    known = await register(
        provider,
        post_logout_redirect_uris=["https://app.example/"],
        backchannel_logout_uri="https://app.example/bye",
    )
    assert not {"post_logout_redirect_uris", "backchannel_logout_uri"} & known.keys()


async def test_with_sessions_a_client_hears_of_logouts(provider):
    known = await register(
        provider,
        post_logout_redirect_uris=["https://app.example/"],
        backchannel_logout_uri="https://app.example/bye",
    )
    assert known["backchannel_logout_session_required"] is True
    row = await provider.storage.clients.get(known["client_id"])
    assert row.backchannel_logout_uri == "https://app.example/bye"
    answer = await provider.browser().get(
        "/dex/logout",
        params={
            "client_id": known["client_id"],
            "post_logout_redirect_uri": "https://app.example/",
        },
    )
    assert answer.status == 302, answer.text
    assert answer.headers["Location"].startswith("https://app.example/")


async def test_a_client_hears_of_a_logout_by_the_name_it_knows(provider):
    with Upstream({"/bye": {}}) as app:
        sessions = provider.server.sessions
        known = await register(
            provider,
            subject_type="pairwise",
            scope="openid email",
        )
        # As an operator may write it: the double has no certificate.
        await provider.storage.clients.update(
            known["client_id"],
            change=lambda old: attrs.evolve(
                old, backchannel_logout_uri=f"{app.url}/bye"
            ),
        )
        sessions.notices.trusted = frozenset([known["client_id"]])
        tokens = await trade(provider, known, scope="openid email")
        claims = await provider.claims(tokens["id_token"])
        (session,) = await provider.storage.auth_sessions.list()
        await sessions.logout.ending.end(session.id, "a test")
        await sessions.notices.close()
    (seen,) = app.asked("/bye")
    told_so = await provider.claims(seen.form["logout_token"])
    assert told_so["sub"] == claims["sub"]
    assert told_so["aud"] == known["client_id"]


# — what it may then do ----------------------------------------------------------------

ALL = f"grantTypes: [authorization_code, refresh_token, client_credentials, password, '{DEVICE}', '{EXCHANGE}']"  # noqa: E501


async def answer_to(provider, known, grant_type):
    """Ask with a grant, as far as it takes to learn whether it may be used."""
    auth = auth_of(known)
    if grant_type == "authorization_code":
        browser = provider.browser()
        asked = {"client_id": known["client_id"], "redirect_uri": CALLBACK}
        landed = await provider.ask(browser, **asked)
        if landed.status == 302 and "error=" in landed.location:
            return landed.params["error"]
        form = {"code": "x", "redirect_uri": CALLBACK}
    elif grant_type == DEVICE:
        begun = await provider.post("/dex/device/code", auth=auth)
        if begun.status != 200:
            return told(begun)["error"]
        form = {"device_code": told(begun)["device_code"]}
    else:
        form = {
            "refresh_token": {"refresh_token": "x"},
            "password": {"username": "jane", "password": "fox", "scope": "openid"},
            "client_credentials": {"scope": "openid"},
            EXCHANGE: {"subject_token": "x", "subject_token_type": "y"},
        }[grant_type]
    answer = await provider.post("/dex/token", auth=auth, grant_type=grant_type, **form)
    return told(answer).get("error", "tokens")


GRANTS = {
    "authorization_code": "invalid_grant",
    "refresh_token": "invalid_grant",
    "client_credentials": "tokens",
    "password": "tokens",
    DEVICE: "authorization_pending",
    EXCHANGE: "invalid_request",
}


@pytest.mark.parametrize("mine", GRANTS)
async def test_a_grant_that_is_not_registered_is_refused(make_provider, mine):
    provider = await make_provider(ALL)
    known = await register(provider, grant_types=[mine])
    for grant_type, allowed in GRANTS.items():
        expected = allowed if grant_type == mine else "unauthorized_client"
        assert await answer_to(provider, known, grant_type) == expected


@pytest.mark.parametrize("mine", GRANTS)
async def test_also_the_token_endpoint_refuses_it(make_provider, mine):
    provider = await make_provider(ALL)
    known = await register(provider, grant_types=[mine])
    for grant_type in GRANTS:
        if grant_type != mine:
            answer = await provider.post(
                "/dex/token", auth=auth_of(known), grant_type=grant_type
            )
            assert told(answer)["error"] == "unauthorized_client"


async def test_a_request_that_is_not_registered_is_not_kept_either(make_provider):
    provider = await make_provider(ALL)
    known = await register(provider, grant_types=["client_credentials"])
    form = provider.auth_params(client_id=known["client_id"], redirect_uri=CALLBACK)
    answer = await provider.post("/dex/par", auth=auth_of(known), **form)
    assert told(answer)["error"] == "unauthorized_client"
    known = await register(provider)
    form = provider.auth_params(client_id=known["client_id"], redirect_uri=CALLBACK)
    answer = await provider.post("/dex/par", auth=auth_of(known), **form)
    assert answer.status == 201, answer.text


async def test_without_the_grant_there_is_no_refresh_token(provider):
    plain = await register(provider)
    assert "refresh_token" not in await trade(provider, plain)
    both = ["authorization_code", "refresh_token"]
    known = await register(provider, grant_types=both)
    tokens = await trade(provider, known)
    answer = await provider.refresh(tokens["refresh_token"], auth=auth_of(known))
    assert answer.status == 200, answer.text


async def test_a_scope_that_is_not_registered_is_refused(provider):
    known = await register(provider, scope="openid email")
    browser = provider.browser()
    asked = {"client_id": known["client_id"], "redirect_uri": CALLBACK}
    landed = await provider.ask(browser, scope="openid groups", **asked)
    assert landed.params["error"] == "invalid_scope"
    tokens = await trade(provider, known, scope="openid email")
    assert (await provider.claims(tokens["id_token"]))["email"]


async def test_what_no_registered_scope_tells_cannot_be_asked_for_one_by_one(provider):
    """The claims parameter is no way around ``scope``, nor around the operator's."""
    known = await register(provider, scope="openid email")
    asked = {"email": None, "groups": None, "name": None, "federated_claims": None}
    document = json.dumps({"id_token": asked, "userinfo": asked})
    tokens = await trade(provider, known, scope="openid", claims=document)
    for name in ("id_token", "access_token"):
        said = await provider.claims(tokens[name])
        assert said["email"] == "kilgore@kilgore.trout"
        assert not {"groups", "name", "federated_claims"} & said.keys()


async def test_a_client_may_not_act_for_others(provider):
    known = await register(provider)
    asked = {"client_id": known["client_id"], "redirect_uri": CALLBACK}
    scope = "openid audience:server:client_id:resource"
    landed = await provider.ask(provider.browser(), scope=scope, **asked)
    assert landed.params["error"] == "invalid_scope"


async def test_only_what_is_registered_is_redirected_to(provider):
    known = await register(provider)
    answer = await provider.ask(
        provider.browser(),
        client_id=known["client_id"],
        redirect_uri=f"{CALLBACK}/other",
    )
    assert answer.status == 400
    assert "Unregistered" in answer.text


async def test_a_device_of_a_registered_client_is_connected(make_provider):
    provider = await make_provider(ALL)
    known = await register(provider, redirect_uris=[], grant_types=[DEVICE])
    begun = await provider.post("/dex/device/code", auth=auth_of(known))
    assert begun.status == 200, begun.text
    codes = told(begun)
    browser = provider.browser()
    page = (await browser.get("/dex/device")).forms[0]
    entered = page["fields"] | {"user_code": codes["user_code"]}
    form = await browser.follow(await browser.post(page["action"], data=entered))
    jane = {"login": "jane", "password": "fox"}
    asked = await browser.follow(await browser.post(form.url, data=jane))
    yes = asked.forms[0]
    await browser.follow(await browser.post(yes["action"], data=yes["fields"]))
    answer = await provider.post(
        "/dex/token",
        auth=auth_of(known),
        grant_type=DEVICE,
        device_code=codes["device_code"],
    )
    assert answer.status == 200, answer.text
    assert "refresh_token" not in told(answer)


async def test_a_login_may_not_be_older_than_the_client_says(provider):
    known = await register(provider, default_max_age=60, scope="openid email")
    browser = provider.browser()
    asked = {
        "client_id": known["client_id"],
        "redirect_uri": CALLBACK,
        "scope": "openid email",
    }
    first = await provider.log_in(browser, **asked)
    page = await browser.follow(first)
    yes = page.forms[0]
    await browser.post(yes["action"], data=yes["fields"])
    silent = await provider.ask(browser, prompt="none", **asked)
    assert "code" in silent.params
    provider.clock.advance(minutes=2)
    silent = await provider.ask(browser, prompt="none", **asked)
    assert silent.params["error"] == "login_required"
    older = await provider.ask(browser, prompt="none", max_age="600", **asked)
    assert "code" in older.params


async def test_a_client_with_a_key_registers_and_proves_itself(provider):
    key = ClientKey("ES256")
    known = await register(
        provider,
        token_endpoint_auth_method="private_key_jwt",
        token_endpoint_auth_signing_alg="ES256",
        jwks=key.jwks,
    )
    assert "client_secret" not in known
    landed = await log_in(provider, known)
    now = provider.clock().timestamp()
    proof = key.proof(known["client_id"], ISSUER, now=now)
    answer = await provider.exchange(
        landed.params["code"], auth=None, redirect_uri=CALLBACK, **proof
    )
    assert answer.status == 200, answer.text
    # What dex keeps as its secret, and anybody could read there, proves nothing.
    row = await provider.storage.clients.get(known["client_id"])
    assert row.secret
    secret = (known["client_id"], row.secret)
    answer = await provider.post("/dex/token", auth=secret, grant_type="refresh_token")
    assert told(answer)["error"] == "invalid_client"


async def test_a_public_client_has_no_secret_and_must_use_pkce(provider):
    known = await register(provider, token_endpoint_auth_method="none")
    assert "client_secret" not in known
    asked = {"client_id": known["client_id"], "redirect_uri": CALLBACK}
    landed = await provider.ask(provider.browser(), **asked)
    assert landed.params["error"] == "invalid_request"
    assert "PKCE" in landed.params["error_description"]


async def test_the_end_user_is_asked_even_if_the_operator_skips_that(provider):
    known = await register(
        provider,
        client_name="Shop",
        policy_uri="https://app.example/privacy",
        scope="openid",
    )
    asked = {
        "client_id": known["client_id"],
        "redirect_uri": CALLBACK,
        "scope": "openid",
    }
    browser = provider.browser()
    page = await browser.follow(await provider.log_in(browser, **asked))
    assert "Nobody here has checked who <strong>Shop</strong> is" in page.text
    assert "<strong>app.example</strong>" in page.text
    assert "https://app.example/privacy" in page.text
    yes = page.forms[0]
    landed = await browser.post(yes["action"], data=yes["fields"])
    assert "code" in landed.params
    silent = await provider.ask(browser, prompt="none", **asked)
    assert "code" in silent.params  # she has agreed


# — looking after it (RFC 7592) --------------------------------------------------------


async def test_a_client_reads_what_it_is(provider):
    known = await register(provider, client_name="Shop")
    answer = await manage(provider, known, "GET")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert told(answer) == known


async def test_a_client_changes_and_gets_another_secret(provider):
    known = await register(provider, client_name="Shop", scope="openid email")
    moved = f"{CALLBACK}/moved"
    document = {
        "client_id": known["client_id"],
        "client_secret": known["client_secret"],
        "redirect_uris": [moved],
        "client_name": "Store",
    }
    answer = await manage(provider, known, "PUT", document)
    assert answer.status == 200, answer.text
    changed = told(answer)
    assert changed["client_id"] == known["client_id"]
    assert changed["client_name"] == "Store"
    assert changed["redirect_uris"] == [moved]
    assert changed["scope"] != known["scope"]  # what is left out is as if never said
    assert changed["client_secret"] != known["client_secret"]
    form = {"grant_type": "authorization_code", "code": "x"}
    before = await provider.post("/dex/token", auth=auth_of(known), **form)
    assert told(before)["error"] == "invalid_client"
    after = await provider.post("/dex/token", auth=auth_of(changed), **form)
    assert told(after)["error"] == "invalid_grant"
    assert told(await manage(provider, known, "GET")) == changed


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "other"},
        {"client_id": None},
        {"client_secret": "chosen"},
        {"registration_access_token": "chosen"},
        {"registration_client_uri": "https://x.example"},
        {"client_secret_expires_at": 0},
        {"client_id_issued_at": 1},
        {"redirect_uris": ["javascript:x"]},
        {"grant_types": ["implicit"]},
        {"software_statement": "a.b.c"},
    ],
    ids=str,
)
async def test_a_change_that_cannot_be_changes_nothing(provider, change):
    known = await register(provider)
    document = {"client_id": known["client_id"], "redirect_uris": [CALLBACK]}
    answer = await manage(provider, known, "PUT", document | change)
    assert answer.status == 400
    assert told(await manage(provider, known, "GET")) == known


async def test_narrowing_ends_what_was_allowed_before(provider):
    both = ["authorization_code", "refresh_token"]
    known = await register(provider, grant_types=both)
    tokens = await trade(provider, known)
    document = {"client_id": known["client_id"], "redirect_uris": [CALLBACK]}
    changed = told(await manage(provider, known, "PUT", document))
    answer = await provider.refresh(tokens["refresh_token"], auth=auth_of(changed))
    assert told(answer)["error"] == "unauthorized_client"


async def test_a_client_that_is_removed_is_gone_with_all_it_had(provider):
    both = ["authorization_code", "refresh_token"]
    known = await register(provider, grant_types=both)
    tokens = await trade(provider, known)
    spare = (await log_in(provider, known)).params["code"]
    assert (await provider.userinfo(tokens["access_token"])).status == 200
    answer = await manage(provider, known, "DELETE")
    assert (answer.status, answer.text) == (204, "")
    storage = provider.storage
    assert await storage.registered_clients.list() == []
    assert await storage.refresh_tokens.list() == []
    assert [each.id for each in await storage.clients.list()] == ["resource"]
    (offline,) = await storage.offline_sessions.list()
    assert offline.refresh == {}
    assert (await provider.userinfo(tokens["access_token"])).status == 401
    refused = [
        await provider.exchange(spare, auth=auth_of(known), redirect_uri=CALLBACK),
        await provider.refresh(tokens["refresh_token"], auth=auth_of(known)),
    ]
    assert {told(each)["error"] for each in refused} == {"invalid_client"}
    page = await provider.ask(
        provider.browser(), client_id=known["client_id"], redirect_uri=CALLBACK
    )
    assert page.status == 400
    for method in ("GET", "PUT", "DELETE"):
        again = await manage(provider, known, method, {})
        assert again.status == 401


async def test_other_clients_keep_what_they_have(provider):
    both = ["authorization_code", "refresh_token"]
    gone = await register(provider, grant_types=both)
    stays = await register(provider, grant_types=both)
    await trade(provider, gone)
    tokens = await trade(provider, stays)
    assert (await manage(provider, gone, "DELETE")).status == 204
    assert (await provider.userinfo(tokens["access_token"])).status == 200
    answer = await provider.refresh(tokens["refresh_token"], auth=auth_of(stays))
    assert answer.status == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_the_token_of_another_client_is_of_no_use(provider, method):
    mine, theirs = await register(provider), await register(provider)
    foreign = theirs["registration_access_token"]
    for token in (foreign, "", TOKEN, "wrong", mine["client_secret"]):
        document = {"client_id": mine["client_id"], "redirect_uris": [CALLBACK]}
        answer = await manage(provider, mine, method, document, token)
        assert answer.status == 401
    assert told(await manage(provider, mine, "GET")) == mine


@pytest.mark.parametrize(
    "client_id",
    ["resource", new_id(), new_id(supplemented=True), "..", "%00", "é"],
    ids=["a word", "an id", "a marked id", "dots", "NUL", "no ASCII"],
)
async def test_an_unknown_client_is_as_one_whose_token_is_wrong(provider, client_id):
    known = await register(provider)
    wrong = await manage(provider, known, "GET", token="wrong")
    known["registration_client_uri"] = f"{ISSUER}/register/{client_id}"
    answer = await manage(provider, known, "GET")
    if answer.status == 401:
        assert answer.text == wrong.text
    else:
        assert answer.status in (404, 405)


async def test_other_methods_are_refused(provider):
    known = await register(provider)
    assert (await manage(provider, known, "POST", {})).status == 405


# — the end ----------------------------------------------------------------------------


async def test_a_registration_lasts_as_long_as_the_operator_says(make_provider, clock):
    provider = await make_provider("clientLifetime: 24h")
    known = await register(provider)
    ends = known["client_id_issued_at"] + 24 * 3600
    assert known["client_secret_expires_at"] == ends
    clock.advance(hours=23)
    document = {"client_id": known["client_id"], "redirect_uris": [CALLBACK]}
    known = told(await manage(provider, known, "PUT", document))  # begins anew
    clock.advance(hours=23)
    await trade(provider, known)
    clock.advance(hours=2)
    answer = await provider.post("/dex/token", auth=auth_of(known), grant_type="x")
    assert answer.status == 400
    form = {"grant_type": "authorization_code", "code": "x"}
    answer = await provider.post("/dex/token", auth=auth_of(known), **form)
    assert told(answer)["error"] == "invalid_client"
    assert (await manage(provider, known, "GET")).status == 401


@pytest.mark.parametrize("swept", [True, False], ids=["swept", "not swept"])
async def test_what_has_ended_is_cleared_away(make_provider, clock, swept):
    provider = await make_provider("clientLifetime: 24h")
    both = ["authorization_code", "refresh_token"]
    await trade(provider, await register(provider, grant_types=both))
    clock.advance(hours=12)
    young = await register(provider)
    clock.advance(hours=13)
    if swept:
        await provider.storage.sweep(clock())
    assert await registered_clients(provider.server.parts).tidy() == 1
    storage = provider.storage
    assert {each.id for each in await storage.clients.list()} == {
        "resource",
        young["client_id"],
    }
    assert [each.id for each in await storage.registered_clients.list()] == [
        young["client_id"]
    ]
    assert await storage.refresh_tokens.list() == []


async def test_what_was_cut_in_the_middle_is_cleared_away_later(provider, clock):
    storage, lonely = provider.storage, new_id(supplemented=True)
    far = clock().replace(year=9999)
    cut = RegisteredClient(lonely, {}, "digest", "", clock(), far)
    await storage.registered_clients.create(cut)
    known = await register(provider)
    tidy = registered_clients(provider.server.parts).tidy
    assert await tidy() == 0  # perhaps it is about to be finished
    clock.advance(minutes=11)
    assert await tidy() == 1
    (left,) = await storage.registered_clients.list()
    assert left.id == known["client_id"]


async def test_dexs_record_alone_is_no_client(provider):
    known = await register(provider)
    await provider.storage.registered_clients.delete(known["client_id"])
    form = {"grant_type": "authorization_code", "code": "x"}
    answer = await provider.post("/dex/token", auth=auth_of(known), **form)
    assert told(answer)["error"] == "invalid_client"
    await registered_clients(provider.server.parts).tidy()
    assert [each.id for each in await provider.storage.clients.list()] == ["resource"]


async def test_other_clients_are_never_cleared_away(provider, clock):
    names = ["a-client-of-the-api", f"{'client-':0<34}"[:33] + "1", new_id()]
    for name in names:
        await provider.storage.clients.create(Client(name, "secret", name="X"))
    clock.advance(days=400)
    assert await registered_clients(provider.server.parts).tidy() == 0
    there = {each.id for each in await provider.storage.clients.list()}
    assert there == {"resource", *names}
