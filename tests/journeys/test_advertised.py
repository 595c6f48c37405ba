"""What discovery advertises works, and what it does not advertise is refused.

Every member of the document is a row here, with all values that somebody might hope
for.  A new member, or a new value, fails until its row says how a client uses it.
"""

import ast
import hmac
import json

from pathlib import Path
from urllib.parse import urlencode

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
from dexcore.jose import ALGORITHMS, b64decode, b64encode
from dexcore.oauth2.prompts import PROMPTS
from dexcore.oauth2.user_claims import FURTHER
from dexcore.testing import keys
from dexcore.testing.client_key import ASSERTION_TYPE, ClientKey
from dexcore.testing.upstreams import Upstream

from .conftest import CALLBACK, CHALLENGE, VERIFIER

ISSUER = "http://127.0.0.1:5556/dex"
DEVICE_CALLBACK = "/dex/device/callback"
SECRET = "a-secret-of-the-application"
URN = "urn:ietf:params:oauth:grant-type:"
RSA = json.loads(Path(keys.__file__).with_name("test-only-keys.json").read_text())
KEYS = {
    name: ClientKey(name, RSA["first"]) if kind == "RSA" else ClientKey(name)
    for name, (kind, _) in ALGORITHMS.items()
}

CONFIG = f"""
issuer: {ISSUER}
storage: {{type: memory}}
web: {{http: 127.0.0.1:5556}}
signer: {{type: local, config: {{algorithm: ES256, keysRotationPeriod: 6h}}}}
connectors:
- {{type: everybody, id: pw, name: Everybody}}
staticClients:
- id: app
  name: App
  secret: {SECRET}
  redirectURIs: ['{CALLBACK}', {DEVICE_CALLBACK}]
- {{id: other, name: Other, secret: {SECRET}, redirectURIs: ['{CALLBACK}']}}
- {{id: native, name: Native, public: true, redirectURIs: ['{CALLBACK}']}}
- id: apart
  name: Apart
  secret: {SECRET}
  redirectURIs: ['{CALLBACK}']
  metadata: {{subject_type: pairwise, sector_identifier_uri: 'https://a.example/1'}}
- id: aside
  name: Aside
  secret: {SECRET}
  redirectURIs: ['{CALLBACK}']
  metadata: {{subject_type: pairwise, sector_identifier_uri: 'https://b.example/1'}}
- id: unsigned
  name: Unsigned
  secret: {SECRET}
  redirectURIs: ['{CALLBACK}']
  metadata: {{request_object_signing_alg: none}}
""" + "".join(
    f"- {{id: {name}, name: {name}, redirectURIs: ['{CALLBACK}'], metadata: "
    f"{{token_endpoint_auth_method: private_key_jwt, jwks: {json.dumps(key.jwks)}}}}}\n"
    for name, key in KEYS.items()
)
HOUSES = {
    "as dex": """
oauth2:
  skipApprovalScreen: true
  passwordConnector: pw
  responseTypes: [code, id_token, token]
  grantTypes: [authorization_code, implicit, refresh_token, password,
    client_credentials, 'urn:ietf:params:oauth:grant-type:device_code',
    'urn:ietf:params:oauth:grant-type:jwt-bearer',
    'urn:ietf:params:oauth:grant-type:token-exchange']
  jwtBearer: {trustedIssuers: [{issuer: 'https://idp.example', connectorID: pw,
    jwks: JWKS}]}
""".replace("JWKS", json.dumps(KEYS["ES256"].jwks)),
    "little": """
oauth2:
  skipApprovalScreen: true
  responseTypes: [code]
  grantTypes: [authorization_code]
  pkce: {codeChallengeMethodsSupported: [plain]}
""",
}
HOUSES["strict"] = (
    HOUSES["as dex"]
    + """
compat: strict
sessions: {}
registration:
  enabled: true
  open: true
  privateAddresses: true
  initialAccessTokens: [a-secret-of-the-application]
  clientIDMetadataDocuments: true
  grantTypes: [authorization_code, implicit, refresh_token, client_credentials,
    'urn:ietf:params:oauth:grant-type:device_code']
"""
)

EVERYTHING = {
    **dict.fromkeys(FURTHER, "x"),
    **dict.fromkeys(("profile", "picture", "website"), "https://x.example/"),
    "birthdate": "1907",
    "updated_at": 1,
    "address": {"country": "US"},
    "phone_number_verified": True,
}


class Everybody(PasswordConnector, RefreshConnector, TokenIdentityConnector):
    """Lets everybody in, and knows everything of them."""

    async def login(self, scopes, username, password):
        return await self.token_identity("", "")

    async def token_identity(self, token_type, token):
        return Identity(
            "jane-id",
            username="Jane",
            preferred_username="jane",
            email="jane@example.com",
            email_verified=True,
            groups=("staff",),
            acr="gold",
            amr=("pwd",),
            claims=EVERYTHING,
        )

    async def refresh(self, scopes, identity):
        return identity


@attrs.frozen
class Nothing:
    """No options."""


class Plugin:
    @hookimpl
    def dex_connector_types(self):
        async def open_everybody(config, context):
            return Everybody()

        return [ConnectorType("everybody", Nothing, open_everybody)]


class House:
    """A provider and what it says of itself."""

    def __init__(self, world, document):
        self.world, self.document = world, document
        self.names = set()

    def told(self, member):
        """Return what is advertised; what is true advertises ``True``."""
        found = self.document.get(member, [])
        return [found] if isinstance(found, bool) and found else found or []

    async def ask(self, browser=None, **changes):
        defaults = {"client_id": "app", "scope": "openid"}
        browser = browser or self.world.browser()
        return await self.world.ask(browser, **defaults | changes)

    async def log_in(self, **changes):
        defaults = {"client_id": "app", "scope": "openid"}
        return await self.world.log_in(**defaults | changes)

    async def token(self, grant_type, auth=("app", SECRET), **form):
        answer = await self.world.post(
            "/dex/token", auth=auth, grant_type=grant_type, **form
        )
        return json.loads(answer.text)

    async def exchange(self, landed, auth=("app", SECRET), **form):
        return await self.token(
            "authorization_code",
            auth,
            code=landed.params["code"],
            redirect_uri=CALLBACK,
            **form,
        )


# — grants -----------------------------------------------------------------------------


async def with_a_code(house):
    return await house.exchange(await house.log_in())


async def by_the_browser(house):
    [some, *_] = {*house.told("response_types_supported")} - {"code"}
    params = (await house.log_in(response_type=some)).params
    return {"access_token": params.get("access_token") or params["id_token"]}


async def with_a_refresh_token(house):
    landed = await house.log_in(scope="openid offline_access")
    token = (await house.exchange(landed))["refresh_token"]
    return await house.token("refresh_token", refresh_token=token)


async def with_a_password(house):
    form = {"username": "jane", "password": "x", "scope": "openid"}
    return await house.token("password", **form)


async def as_itself(house):
    return await house.token("client_credentials", scope="openid")


async def with_a_device(house):
    world = house.world
    begun = await world.post("/dex/device/code", auth=("app", SECRET))
    codes = json.loads(begun.text)
    browser = world.browser()
    page = (await browser.get("/dex/device")).forms[0]
    entered = page["fields"] | {"user_code": codes["user_code"]}
    form = await browser.follow(await browser.post(page["action"], data=entered))
    asked = await browser.follow(
        await browser.post(form.url, data={"login": "jane", "password": "x"})
    )
    yes = asked.forms[0]
    await browser.follow(await browser.post(yes["action"], data=yes["fields"]))
    return await house.token(URN + "device_code", device_code=codes["device_code"])


async def with_anothers_token(house):
    return await house.token(
        URN + "token-exchange",
        connector_id="pw",
        subject_token="x",
        subject_token_type="urn:ietf:params:oauth:token-type:id_token",
    )


async def with_an_assertion(house):
    now = int(house.world.clock().timestamp())
    said = {"iss": "https://idp.example", "sub": "u", "aud": ISSUER, "iat": now}
    said |= {"exp": now + 60, "jti": f"{len(house.world.browsers)}", "client_id": "app"}
    token = KEYS["ES256"].sign(said, typ="oauth-id-jag+jwt")
    return await house.token(URN + "jwt-bearer", assertion=token)


GRANTS = {
    "authorization_code": with_a_code,
    "implicit": by_the_browser,
    "refresh_token": with_a_refresh_token,
    "password": with_a_password,
    "client_credentials": as_itself,
    URN + "device_code": with_a_device,
    URN + "jwt-bearer": with_an_assertion,
    URN + "token-exchange": with_anothers_token,
}


async def granted(house, grant_type):
    assert "access_token" in await GRANTS[grant_type](house)


async def not_granted(house, grant_type):
    assert (await house.token(grant_type))["error"] == "unsupported_grant_type"
    if grant_type == "implicit":
        for response_type in ("id_token", "id_token token"):
            answer = await house.ask(response_type=response_type)
            assert answer.params["error"] == "unsupported_response_type"
    if grant_type.endswith("device_code"):
        for path in ("/dex/device", "/dex/device/code", "/dex/device/callback"):
            assert (await house.world.browser().get(path)).status == 404


# — the authorization endpoint ---------------------------------------------------------

BROUGHT = {"code": "code", "token": "access_token", "id_token": "id_token"}


async def answered(house, response_type):
    params = (await house.log_in(response_type=response_type)).params
    expected = {BROUGHT[part] for part in response_type.split()}
    assert params.keys() & {*BROUGHT.values()} == expected


async def not_answered(house, response_type):
    answer = await house.ask(response_type=response_type)
    assert answer.params["error"] in ("unsupported_response_type", "invalid_request")


async def answered_by(house, mode):
    landed = await house.log_in(response_mode=mode)
    assert landed.mode == mode
    assert "code" in landed.params


async def not_answered_by(house, mode):
    answer = await house.ask(response_mode=mode)
    assert answer.params["error"] == "invalid_request"


async def challenged(house, method):
    challenge = {"plain": VERIFIER, "S256": CHALLENGE}[method]
    asked = {"code_challenge": challenge, "code_challenge_method": method}
    for verifier, key in (("y" * 50, "error"), (VERIFIER, "access_token")):
        landed = await house.log_in(**asked)
        assert key in await house.exchange(landed, code_verifier=verifier)


async def not_challenged(house, method):
    asked = {"code_challenge": CHALLENGE, "code_challenge_method": method}
    assert (await house.ask(**asked)).params["error"] == "invalid_request"
    if method == "plain":  # RFC 7636 section 4.3: what no method means
        answer = await house.ask(code_challenge=CHALLENGE)
        assert answer.params["error"] == "invalid_request"


async def prompted(house, prompt):
    answer = await house.ask(prompt=prompt)
    if prompt == "none":
        assert answer.params["error"] == "login_required"
    else:
        assert "error" not in answer.params
        assert answer.status == 302


async def not_prompted(house, prompt):
    answer = await house.ask(prompt=prompt)
    # Sessions or not, there are pages; without sessions nobody says so.
    assert prompt in PROMPTS or answer.params["error"] == "invalid_request"


async def in_language(house, language):
    browser = house.world.browser()
    form = await browser.follow(await house.ask(browser, ui_locales=language))
    assert f'<html lang="{language}">' in form.text


async def not_in_language(house, language):
    # OpenID Connect Core section 3.1.2.1: that is no error.
    browser = house.world.browser()
    form = await browser.follow(await house.ask(browser, ui_locales=language))
    assert form.status == 200
    assert f'<html lang="{language}">' not in form.text


def names_the_issuer(expected):
    async def check(house, value):
        for answer in (await house.log_in(), await house.ask(prompt="none")):
            assert (answer.params.get("iss") == ISSUER) is expected

    return check


async def must_push(house, value):
    assert (await house.ask()).params["error"] == "invalid_request"


async def need_not_push(house, value):
    assert "code" in (await house.log_in()).params


# — what is told -----------------------------------------------------------------------

TOLD_BY_SCOPE = {
    "openid": {"sub"},
    "email": {"email", "email_verified"},
    "profile": {"name", "preferred_username", "given_name"},
    "groups": {"groups"},
    "address": {"address"},
    "phone": {"phone_number", "phone_number_verified"},
    "federated:id": {"federated_claims"},
}


def payload(token):
    return json.loads(b64decode(token.split(".")[1]))


async def known_of(house, **changes):
    """Return the names that the ID tokens and userinfo tell, and the tokens."""
    landed = await house.log_in(**changes)
    found = {*payload(landed.params.get("id_token", ".e30."))}
    tokens = {}
    if "code" in landed.params:
        tokens = await house.exchange(landed)
        found |= {*payload(tokens["id_token"])}
    token = tokens.get("access_token") or landed.params.get("access_token")
    if token:
        found |= {*json.loads((await house.world.userinfo(token)).text)}
    return found, tokens


async def in_scope(house, scope):
    alone, _ = await known_of(house)
    found, tokens = await known_of(house, scope=f"openid {scope}")
    if scope == "offline_access":
        on = "refresh_token" in house.told("grant_types_supported")
        assert ("refresh_token" in tokens) is on
    else:
        assert TOLD_BY_SCOPE[scope] <= found
        assert scope == "openid" or not TOLD_BY_SCOPE[scope] & alone


async def not_in_scope(house, scope):
    answer = await house.ask(scope=f"openid {scope}")
    assert answer.params["error"] == "invalid_scope"


async def everything_told(house):
    """Return all names of claims that this provider ever tells."""
    if not house.names:
        asked = json.dumps({"id_token": {"acr": None, "amr": None}})
        scope = " ".join(house.told("scopes_supported"))
        for response_type in house.told("response_types_supported"):
            names, _ = await known_of(
                house, scope=scope, claims=asked, response_type=response_type
            )
            house.names |= names
    return house.names


# What is about the token, and nothing that a client would look for in discovery.
OF_THE_TOKEN = {"nonce", "azp", "jti"}


async def claimed(house, claim):
    assert claim in await everything_told(house)


async def not_claimed(house, claim):
    assert claim not in await everything_told(house)


async def heeds_the_parameter(house, value):
    asked = json.dumps({"id_token": {"nickname": None}})
    assert "nickname" in (await known_of(house, claims=asked))[0]


async def ignores_the_parameter(house, value):
    asked = json.dumps({"id_token": {"nickname": None}})
    assert "nickname" not in (await known_of(house, claims=asked))[0]


async def knows_users(house, value):
    """By one name at all clients, or by another one at each."""
    names = ("app", "other") if value == "public" else ("apart", "aside")
    tokens = [
        await house.exchange(await house.log_in(client_id=name), (name, SECRET))
        for name in names
    ]
    subjects = {payload(each["id_token"])["sub"] for each in tokens}
    assert len(subjects) == (1 if value == "public" else 2)


async def profiled(house, value):
    assert "access_token" in await with_an_assertion(house)


async def not_profiled(house, value):
    assert "error" in await with_an_assertion(house)


# — signatures -------------------------------------------------------------------------


def assertion(house, client_id, alg=None, key=None):
    """Return a client assertion, by a key or else as somebody might forge one."""
    now = int(house.world.clock().timestamp())
    if key is not None:
        return key.assertion(client_id, ISSUER, now=now)
    token = KEYS["ES256"].assertion(client_id, ISSUER, now=now)
    header = b64encode(json.dumps({"alg": alg}).encode())
    signed = f"{header}.{token.split('.')[1]}"
    if not alg.startswith("HS"):
        return f"{signed}.{'' if alg == 'none' else token.split('.')[2]}"
    mac = hmac.digest(SECRET.encode(), signed.encode(), f"sha{alg[2:]}")
    return f"{signed}.{b64encode(mac)}"


def by_assertion(token):
    form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": token}
    return None, form


def proofs(house, method):
    """Return credentials by *method*, which are right if it is known."""
    return {
        "client_secret_basic": (("app", SECRET), {}),
        "client_secret_post": (None, {"client_id": "app", "client_secret": SECRET}),
        "private_key_jwt": by_assertion(assertion(house, "ES256", key=KEYS["ES256"])),
        "client_secret_jwt": by_assertion(assertion(house, "app", alg="HS256")),
        "none": (None, {"client_id": "native"}),
        "tls_client_auth": (None, {"client_id": "app"}),
        "self_signed_tls_client_auth": (None, {"client_id": "app"}),
    }[method]


# Requests that say nothing but whether the client has proved itself.
AT = {
    "token": ("/dex/token", {"grant_type": "authorization_code", "code": "x"}),
    "introspection": ("/dex/token/introspect", {"token": "x"}),
    "revocation": ("/dex/token/revoke", {"token": "x"}),
    "pushed": ("/dex/par", {"response_type": "x", "redirect_uri": CALLBACK}),
    "device": ("/dex/device/code", {"scope": "x"}),
}


async def proved(house, endpoint, auth, form):
    path, asked = AT[endpoint]
    answer = await house.world.post(path, auth=auth, **asked, **form)
    return answer.status == 200 or json.loads(answer.text)["error"] != "invalid_client"


def others(house, endpoint):
    """RFC 9126 section 2, RFC 8628 section 3.1: as at the token endpoint."""
    yield endpoint
    if endpoint == "token":
        yield "pushed"
        if "device_authorization_endpoint" in house.document:
            yield "device"


def method_at(endpoint, expected):
    async def check(house, method):
        for each in others(house, endpoint):
            proof = proofs(house, method)
            assert await proved(house, each, *proof) is expected, each

    return check


def assertion_at(endpoint, expected):
    async def check(house, alg):
        for each in others(house, endpoint):
            token = assertion(house, "ES256", alg=alg)
            if expected:
                token = assertion(house, alg, key=KEYS[alg])
            proof = by_assertion(token)
            assert await proved(house, each, *proof) is expected, each

    return check


# Advertised is what may sign, also after a change of the file; each has a test below.
SIGNERS = ("RS256", "ES256", "EdDSA")


async def proves_a_key(house, alg):
    """Return what a token request with a proof made by *alg* is answered."""
    key = KEYS.get(alg, KEYS["ES256"])
    jwk = {name: value for name, value in key.jwks["keys"][0].items() if name in PUBLIC}
    now = int(house.world.clock().timestamp())
    said = {"htm": "POST", "htu": f"{ISSUER}/token", "iat": now, "jti": "x" + alg}
    header = {"typ": "dpop+jwt", "kid": None, "jwk": jwk, "alg": alg}
    landed = await house.log_in()
    form = {"grant_type": "authorization_code", "redirect_uri": CALLBACK}
    form |= {"code": landed.params["code"], "client_id": "app", "client_secret": SECRET}
    answer = await house.world.browser().post(
        "/dex/token", data=form, headers={"DPoP": key.sign(said, **header)}
    )
    return json.loads(answer.text)


PUBLIC = ("kty", "crv", "x", "y", "n", "e")


async def binds(house, alg):
    assert (await proves_a_key(house, alg))["token_type"] == "DPoP"


async def does_not_bind(house, alg):
    assert (await proves_a_key(house, alg))["error"] == "invalid_dpop_proof"


async def signs(house, alg):
    assert alg in SIGNERS


async def does_not_sign(house, alg):
    jwks = json.loads((await house.world.browser().get("/dex/keys")).text)
    assert alg not in {key["alg"] for key in jwks["keys"]}


async def by_request_object(house, alg, expected):
    client_id = "unsigned" if alg == "none" and expected else "ES256"
    said = {"client_id": client_id, "response_type": "code", "scope": "openid"}
    said |= {"redirect_uri": CALLBACK, "iss": client_id, "aud": ISSUER, "state": "in"}
    if alg in KEYS:
        said |= {"iss": alg, "client_id": alg}
        token = KEYS[alg].sign(said)
    else:
        header = b64encode(json.dumps({"alg": alg}).encode())
        token = f"{header}.{b64encode(json.dumps(said).encode())}."
    asked = {name: said[name] for name in ("client_id", "response_type", "scope")}
    query = urlencode(asked | {"request": token, "redirect_uri": CALLBACK})
    return await house.world.browser().get(f"/dex/auth?{query}")


async def reads_the_object(house, alg):
    answer = await by_request_object(house, "ES256" if alg is True else alg, True)
    assert answer.status == 302, answer.text
    assert "/login" in answer.location


async def does_not_read_the_object(house, alg):
    answer = await by_request_object(house, "ES256" if alg is True else alg, False)
    expected = "request_not_supported" if alg is True else "invalid_request_object"
    assert answer.params["error"] == expected


async def opens_no_address(house, value):
    with Upstream({"/request": "e30."}) as canary:
        answer = await house.ask(request_uri=f"{canary.url}/request")
        assert answer.params["error"] == "request_uri_not_supported"
        assert canary.requests == []


async def by_a_document(house):
    """Ask as a client that is known by a document only; return its home as well."""
    with Upstream({}) as home:
        client_id = f"{home.url}/client.json"
        said = {"client_id": client_id, "redirect_uris": [CALLBACK]}
        home.answers["/client.json"] = said
        pkce = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
        return await house.ask(client_id=client_id, **pkce), home


async def reads_the_document(house, value):
    answer, home = await by_a_document(house)
    assert (answer.status, len(home.requests)) == (302, 1)
    assert "error" not in answer.params


async def reads_no_document(house, value):
    answer, home = await by_a_document(house)
    assert (answer.status, home.requests) == (400, [])


# — the rows ---------------------------------------------------------------------------


async def never(house, value):
    raise AssertionError(f"nothing here shows how {value!r} works")


@attrs.frozen
class Row:
    """The values somebody may hope for; what happens if they are advertised, or not."""

    values: tuple
    works: object
    refused: object


METHODS = (
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "none",
)
ALGS = (*ALGORITHMS, "ES256K", "HS256", "HS384", "HS512", "none")
TYPES = (
    *("code", "token", "id_token", "code token", "code id_token", "id_token token"),
    *("code id_token token", "none", "code none", "bogus"),
)
MODES = (
    *("query", "fragment", "form_post", "jwt", "query.jwt", "fragment.jwt"),
    *("form_post.jwt", "web_message", "bogus"),
)
CLAIMS = (
    *("iss", "sub", "aud", "exp", "iat", "auth_time", "at_hash", "c_hash", "sid"),
    *("acr", "amr", "name", "preferred_username", "email", "email_verified"),
    *("groups", "federated_claims", "roles", "s_hash", "cnf", "entitlements"),
    *FURTHER,
)
ROWS = {
    "grant_types_supported": Row(
        (
            *GRANTS,
            *(URN + "saml2-bearer", "urn:openid:params:grant-type:ciba"),
            *("bogus", "Authorization_Code"),
        ),
        granted,
        not_granted,
    ),
    "response_types_supported": Row(TYPES, answered, not_answered),
    "response_modes_supported": Row(MODES, answered_by, not_answered_by),
    "code_challenge_methods_supported": Row(
        ("S256", "plain", "S512", "none", "s256"), challenged, not_challenged
    ),
    "prompt_values_supported": Row((*PROMPTS, "create"), prompted, not_prompted),
    "ui_locales_supported": Row(("en", "de", "tlh"), in_language, not_in_language),
    "authorization_response_iss_parameter_supported": Row(
        (True,), names_the_issuer(True), names_the_issuer(False)
    ),
    "require_pushed_authorization_requests": Row((True,), must_push, need_not_push),
    "scopes_supported": Row(
        (*TOLD_BY_SCOPE, "offline_access", "admin", "OpenID", "federated"),
        in_scope,
        not_in_scope,
    ),
    "claims_supported": Row(CLAIMS, claimed, not_claimed),
    "claims_parameter_supported": Row(
        (True,), heeds_the_parameter, ignores_the_parameter
    ),
    "subject_types_supported": Row(("public", "pairwise"), knows_users, never),
    "authorization_grant_profiles_supported": Row(
        ("urn:ietf:params:oauth:grant-profile:id-jag",), profiled, not_profiled
    ),
    "dpop_signing_alg_values_supported": Row(ALGS, binds, does_not_bind),
    "id_token_signing_alg_values_supported": Row(ALGS, signs, does_not_sign),
    "request_parameter_supported": Row(
        (True,), reads_the_object, does_not_read_the_object
    ),
    "request_object_signing_alg_values_supported": Row(
        ALGS, reads_the_object, does_not_read_the_object
    ),
    "request_uri_parameter_supported": Row((True,), never, opens_no_address),
    "client_id_metadata_document_supported": Row(
        (True,), reads_the_document, reads_no_document
    ),
    **{
        f"{endpoint}_endpoint_auth_methods_supported": Row(
            METHODS, method_at(endpoint, True), method_at(endpoint, False)
        )
        for endpoint in ("token", "introspection", "revocation")
    },
    **{
        f"{endpoint}_endpoint_auth_signing_alg_values_supported": Row(
            ALGS, assertion_at(endpoint, True), assertion_at(endpoint, False)
        )
        for endpoint in ("token", "introspection", "revocation")
    },
}
ENDPOINTS = {
    "authorization_endpoint": "/auth",
    "token_endpoint": "/token",
    "jwks_uri": "/keys",
    "userinfo_endpoint": "/userinfo",
    "introspection_endpoint": "/token/introspect",
    "revocation_endpoint": "/token/revoke",
    "device_authorization_endpoint": "/device/code",
    "pushed_authorization_request_endpoint": "/par",
    "registration_endpoint": "/register",
    "end_session_endpoint": "/logout",
    "check_session_iframe": "/check-session",
}
# What takes more than a request: where it is shown.
SHOWN = {
    "backchannel_logout_supported": (
        "test_logout.py",
        "test_every_client_of_the_session_gets_a_logout_token",
    ),
    "frontchannel_logout_supported": (
        "test_logout.py",
        "test_clients_of_the_session_log_out_in_frames",
    ),
}
SHOWN |= {
    name.replace("logout", "logout_session"): test for name, test in SHOWN.items()
}


@pytest.fixture(params=HOUSES)
async def house(request, make_world):
    world = await make_world(CONFIG + HOUSES[request.param], Plugin())
    url = "/dex/.well-known/openid-configuration"
    return House(world, json.loads((await world.browser().get(url)).text))


async def test_what_is_advertised_works_and_what_is_not_is_refused(house):
    """T-DISC-03: each value of each member, used as a client uses it."""
    wrong = []
    for member, row in ROWS.items():
        told = house.told(member)
        for value in dict.fromkeys((*row.values, *told)):
            check = row.works if value in told else row.refused
            try:
                await check(house, value)
            except (AssertionError, LookupError) as error:
                name = getattr(check, "__name__", "")
                wrong.append((member, value, value in told, name, repr(error)[:200]))
    assert wrong == []


async def test_an_endpoint_is_advertised_or_not_there(house):
    """T-DISC-03."""
    for member, path in ENDPOINTS.items():
        answer = await house.world.browser().get(f"/dex{path}")
        if member in house.document:
            assert house.document[member] == f"{ISSUER}{path}"
            assert answer.status != 404, member
        else:
            assert answer.status == 404, member


async def test_all_that_is_advertised_is_looked_at(house):
    """T-DISC-03: whoever adds a member says in this file how it is used."""
    known = {"issuer", *ROWS, *ENDPOINTS, *SHOWN}
    assert house.document.keys() - known == set()
    assert await everything_told(house) - OF_THE_TOKEN <= {
        *house.told("claims_supported")
    }
    for file, test in SHOWN.values():
        tree = ast.parse(Path(__file__).with_name(file).read_text("utf-8"))
        assert test in {getattr(node, "name", "") for node in tree.body}


# What a client may say of itself, and where discovery says what it may be.
SAID = {
    "response_types": "response_types_supported",
    "token_endpoint_auth_method": "token_endpoint_auth_methods_supported",
    "request_object_signing_alg": "request_object_signing_alg_values_supported",
    "subject_type": "subject_types_supported",
}


@pytest.mark.parametrize("house", ["strict"], indirect=True)
async def test_a_client_registers_as_what_is_advertised(house):
    """T-DISC-03: and as nothing else."""
    wrong = []
    for name, member in SAID.items():
        told = house.told(member)
        for value in dict.fromkeys((*ROWS[member].values, *told)):
            document = {"redirect_uris": ["https://app.example/cb"]}
            document |= {"jwks": KEYS["ES256"].jwks, name: value}
            if name == "response_types":
                grants = ["authorization_code"] if "code" in value.split() else []
                document["response_types"] = [value]
                document["grant_types"] = grants + ["implicit"] * (value != "code")
            answer = await house.world.browser().post(
                "/dex/register",
                json=document,
                headers={"Authorization": f"Bearer {SECRET}"},
            )
            if (answer.status == 201) != (value in told):
                wrong.append((name, value, answer.text))
            if value not in told:
                assert json.loads(answer.text)["error"] == "invalid_client_metadata"
    assert wrong == []


@pytest.mark.parametrize("algorithm", SIGNERS)
async def test_an_algorithm_that_signs_is_advertised(make_world, algorithm):
    """T-DISC-03, T-DISC-05: and its keys have nothing but their public half."""
    text = CONFIG.replace("algorithm: ES256", f"algorithm: {algorithm}")
    world = await make_world(text + HOUSES["little"], Plugin())
    browser = world.browser()
    url = "/dex/.well-known/openid-configuration"
    document = json.loads((await browser.get(url)).text)
    assert document["id_token_signing_alg_values_supported"][0] == algorithm
    [key] = json.loads((await browser.get("/dex/keys")).text)["keys"]
    assert key["alg"] == algorithm
    assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
    house = House(world, document)
    token = (await house.exchange(await house.log_in()))["id_token"]
    assert json.loads(b64decode(token.partition(".")[0]))["alg"] == algorithm
    await world.claims(token)
