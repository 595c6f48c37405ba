"""Every place that takes a JWT, and every way to forge one.

A place is a row of ``PLACES``, an attack a row of ``ATTACKS``; each place meets each
attack.  A module that begins to read JWTs fails here until its places are rows.
"""

import base64
import hashlib
import hmac
import json
import re

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import attrs
import pytest

from cryptography.hazmat.primitives import serialization

from dexcore.jose import b64encode
from dexcore.jose.keys import private_key_of, public_key_of, signer
from dexcore.oauth2.subjects import encode_subject
from dexcore.testing import keys, people
from dexcore.testing.client_key import ASSERTION_TYPE, ClientKey
from dexcore.testing.upstreams import Upstream
from dexcore.testing.upstreams.openid import OpenIDProvider

from .conftest import CHALLENGE, VERIFIER

ROOT = Path(__file__).parents[2]
ISSUER = "http://127.0.0.1:5556/dex"
CALLBACK = "http://127.0.0.1:5555/callback"
SECRET = "a-secret-of-the-example-app"
SCOPE = "openid email profile"
PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
TYPE = "urn:ietf:params:oauth:token-type:"
JANE = encode_subject("0-385-28089-0", "pw")

# RSA: only of such a key the public half could be taken for a shared secret.
KEYS = json.loads(Path(keys.__file__).with_name("test-only-keys.json").read_text())
OURS, CLIENTS, UPSTREAMS = (
    ClientKey("RS256", KEYS[name]) for name in ("first", "second", "withdrawn")
)
ATTACKERS = ClientKey()

CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: testing}
compat: strict
sessions: {}
oauth2:
  skipApprovalScreen: true
  grantTypes: [authorization_code, refresh_token, client_credentials,
    'urn:ietf:params:oauth:grant-type:device_code',
    'urn:ietf:params:oauth:grant-type:jwt-bearer',
    'urn:ietf:params:oauth:grant-type:token-exchange']
  jwtBearer: {trustedIssuers: [{issuer: 'https://idp.example', connectorID: idp,
    jwks: %s}]}
connectors:
- {type: mockCallback, id: idp, name: IdP}
- {type: mockPassword, id: pw, name: Passwords, config: {username: jane, password: fox}}
- type: oidc
  id: up
  name: Upstream
  config: {issuer: '%s', clientID: dexcore, clientSecret: secret,
    redirectURI: http://127.0.0.1:5556/dex/callback}
staticClients:
- id: example-app
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Example App
  secret: a-secret-of-the-example-app
- id: keyed
  redirectURIs: ['http://127.0.0.1:5555/callback', /dex/device/callback]
  name: Keyed
  metadata: {token_endpoint_auth_method: private_key_jwt, jwks: %s}
- id: native
  public: true
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Native
- id: signing
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Signing
  secret: a-secret-of-the-example-app
  metadata: {jwks: %s}
"""


@attrs.frozen
class Forger:
    """What is right at a place, for an attack to spoil."""

    key: ClientKey
    claims: dict
    typ: str | None
    house: object
    more: dict = attrs.Factory(dict)  # that is in the header

    def sign(self, payload=None, key=None, **header):
        """Sign the claims, or *payload* in their place, with other header members."""
        payload = self.claims if payload is None else payload
        header = {"typ": self.typ} | self.more | header
        return (key or self.key).sign(payload, **header)

    def raw(self, header, payload=None, signature="AAAA"):
        """Return a JWS whose header is exactly this; a signature may be a function."""
        payload = json.dumps(self.claims) if payload is None else payload
        signed = ".".join(b64encode(each.encode()) for each in (header, payload))
        if callable(signature):
            signature = b64encode(signature(signed.encode()))
        return f"{signed}.{signature}"

    def header(self, **changes):
        """Return the header, as JSON, with changes."""
        known = {"alg": self.key.algorithm, "kid": self.key.jwk["kid"]}
        known |= {"typ": self.typ} if self.typ else {}
        return json.dumps(known | self.more | changes)

    def signed_header(self, **changes):
        """Sign with a header that may have ``null`` in it."""
        sign = signer(self.key.algorithm, private_key_of(self.key.jwk))
        return self.raw(self.header(**changes), signature=sign)

    def with_payload(self, old, new):
        """Sign the claims as JSON in which a member is written in another way."""
        text = json.dumps({k: v for k, v in self.claims.items() if k != old})
        return self.sign(f"{text[:-1]}, {new}}}".encode())


# — the attacks ------------------------------------------------------------------------


def secrets_of(key):
    public = public_key_of(key.jwks["keys"][0])
    formats = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = public.public_bytes(serialization.Encoding.PEM, formats)
    return {
        "pem": pem,
        "pem without its last line break": pem.strip(),
        "der": public.public_bytes(serialization.Encoding.DER, formats),
        "jwk": json.dumps(key.jwks["keys"][0]).encode(),
        "jwks": json.dumps(key.jwks).encode(),
        "modulus": base64.urlsafe_b64decode(key.jwk["n"] + "=="),
        "client secret": SECRET.encode(),
        "empty": b"",
    }


def unsigned(place):
    for name in ("none", "None", "NONE", "nOnE", "", " none"):
        for signature in ("", "AAAA"):
            yield (
                f"alg={name!r} signature={signature!r}",
                lambda f, n=name, s=signature: f.raw(f.header(alg=n), signature=s),
            )


def with_a_public_key_as_secret(place):
    for bits in (256, 384, 512):
        for name in secrets_of(CLIENTS):

            def forge(f, bits=bits, name=name):
                secret = secrets_of(f.key)[name]
                mac = lambda signed: hmac.digest(secret, signed, f"sha{bits}")  # noqa: E731
                return f.raw(f.header(alg=f"HS{bits}"), signature=mac)

            yield f"HS{bits}, {name}", forge


def with_a_key_of_its_own(place):
    brought = ATTACKERS.jwks["keys"][0]
    for kid in ("theirs", "ours"):
        for name, value in {
            "jwk": lambda f: brought,
            "jku": lambda f: f"{f.house.canary.url}/jwks",
            "x5u": lambda f: f"{f.house.canary.url}/chain",
            "x5c": lambda f: ["MIIB"],
            "nothing": lambda f: 0,
        }.items():

            def forge(f, name=name, value=value, kid=kid):
                found = f.key.jwk["kid"] if kid == "ours" else brought["kid"]
                return f.sign(key=ATTACKERS, kid=found, **{name: value(f)})

            yield f"{name}, kid of {kid}", forge


def with_a_strange_kid(place):
    if place.own_key:
        return  # there is no other key to name
    for name, kid in {
        "path": "../../../../etc/passwd",
        "sql": "' OR 1=1 --",
        "nul": "a\0b",
        "huge": "k" * 700_000,
        "long": "k" * 20_000,
        "number": 1,
        "null": None,
        "list": [],
        "object": {},
        "empty": "",
    }.items():
        yield name, lambda f, kid=kid: f.signed_header(kid=kid)
    yield "url", lambda f: f.signed_header(kid=f"{f.house.canary.url}/key")


def with_rules_of_its_own(place):
    for extra in (
        {"crit": ["exp"], "exp": 1},
        {"crit": ["x"], "x": 1},
        {"crit": []},
        {"crit": "exp"},
        {"crit": ["b64"], "b64": True},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
    ):
        yield str(extra), lambda f, extra=extra: f.sign(**extra)


def with_another_algorithm(place):
    # Who may bring any key may use it as they like.
    for name in () if place.own_key else ("RS384", "RS512", "PS256"):
        yield (
            f"really {name}",
            lambda f, n=name: f.sign(key=ClientKey(n, f.key.jwk)),
        )
    for name in ("ES256", "EdDSA", "RS1", "rs256", "RS256 ", 256, None, ["RS256"]):
        yield f"called {name}", lambda f, n=name: f.signed_header(alg=n)


def of_another_shape(place):
    for dots in (1, 2, 3, 60_000):
        yield f"{dots} dots", lambda f, n=dots: "." * n
    yield "two parts", lambda f: f.sign().rpartition(".")[0]
    yield "four parts", lambda f: f.sign() + ".AAAA"
    yield "five parts", lambda f: f.sign() + ".AAAA.AAAA"
    yield "padded", lambda f: f.sign() + "=="
    yield "a space", lambda f: f.sign().replace(".", ". ", 1)
    yield "another last letter", malleated
    yield "not base64", lambda f: f.sign().replace(".", ".!", 1)
    yield "no signature", lambda f: f.sign().rpartition(".")[0] + "."
    yield "not ASCII", lambda f: "\xff.\xff.\xff"
    yield (
        "more than is looked at",
        lambda f: f.sign(f.claims | {"x": "x" * 70_000}),
    )


OTHER_TYPES = (
    "at+jwt",
    "application/at+jwt",
    "logout+jwt",
    "dpop+jwt",
    "client-authentication+jwt",
    "oauth-authz-req+jwt",
    "secevent+jwt",
    "oauth-id-jag+jwt",
)


def malleated(f):
    """Two spellings of a last letter mean the same bytes, if one is careless."""
    token = f.sign()
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + letters[letters.index(token[-1]) ^ 1]


def wrapped_up(place):
    yield "zip", lambda f: f.sign(zip="DEF")
    yield "enc", lambda f: f.sign(enc="A128GCM")
    yield "nested", lambda f: f.sign(f.sign().encode(), cty="JWT")
    head = {"alg": "RSA-OAEP", "enc": "A128GCM"}
    yield "JWE", lambda f: b64encode(json.dumps(head).encode()) + ".AAAA" * 4
    slow = {"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2_000_000_000}
    yield "slow JWE", lambda f: b64encode(json.dumps(slow).encode()) + ".AAAA" * 4


def of_another_kind(place):
    for name in OTHER_TYPES:
        if name.removeprefix("application/") not in place.types:
            yield f"typ {name}", lambda f, n=name: f.sign(typ=n)
    if not place.own_key:
        yield (
            "of another issuer",
            lambda f: f.sign(f.claims | {"iss": "https://evil.example"}),
        )
    for kind, make in KINDS.items():
        if kind != place.kind:
            yield f"good elsewhere: {kind}", lambda f, make=make: make(f.house).sign()


def of_odd_claims(place):
    time = "iat" if place.own_key else "exp"
    for name, (member, written) in {
        "jti twice": ("", '"jti": "another"'),
        "its time twice": ("", f'"{time}": 1999999999'),
        "its time is NaN": (time, f'"{time}": NaN'),
        "its time is infinite": (time, f'"{time}": 1e400'),
        "its time is negative": (time, f'"{time}": -1'),
        "its time is a text": (time, f'"{time}": "1999999999"'),
        "its time is true": (time, f'"{time}": true'),
        "its time is null": (time, f'"{time}": null'),
        "its time is a list": (time, f'"{time}": [1999999999]'),
        "iat is a text": ("iat", '"iat": "now"'),
        "nbf is NaN": ("nbf", '"nbf": NaN'),
        "an object twice": ("", '"x": {"a": 1, "a": 2}'),
        "very deep": ("", '"x": ' + '{"a":' * 900 + "1" + "}" * 900),
    }.items():
        yield name, lambda f, m=member, w=written: f.with_payload(m, w)
    for payload in (b"[]", b'"x"', b"1", b"", b"{", b"\xff", b"null"):
        yield repr(payload), lambda f, p=payload: f.sign(p)


#: By what they are about; the numbers are those of the list of attacks.
ATTACKS = {
    "T-JWT-01": unsigned,
    "T-JWT-02": with_a_public_key_as_secret,
    "T-JWT-03": with_a_key_of_its_own,
    "T-JWT-04": with_a_strange_kid,
    "T-JWT-05": with_rules_of_its_own,
    "T-JWT-06": with_another_algorithm,
    "T-JWT-07": of_another_shape,
    "T-JWT-08": wrapped_up,
    "T-JWT-09": of_another_kind,
    "T-JWT-10": of_odd_claims,
}


# — the kinds of tokens ----------------------------------------------------------------


class House:
    """A provider, what it is told by whom, and who would like to be asked for keys."""

    def __init__(self, world, provider, canary):
        self.world, self.provider, self.canary = world, provider, canary
        self.number, self.bound = 0, None

    @property
    def now(self):
        return int(self.world.clock().timestamp())

    def times(self, seconds=60):
        self.number += 1
        stamp = {"iat": self.now, "exp": self.now + seconds}
        return stamp | {"jti": f"{self.number}"}


def id_token(house):
    claims = {"iss": ISSUER, "sub": JANE, "aud": "example-app", **house.times()}
    return Forger(OURS, claims, None, house)


def access_token(house):
    claims = {"iss": ISSUER, "sub": JANE, "aud": "example-app", **house.times()}
    claims |= {"client_id": "example-app", "scope": "openid", "at_hash": "x"}
    return Forger(OURS, claims, "at+jwt", house)


def logout_token(house):
    events = {"http://schemas.openid.net/event/backchannel-logout": {}}
    claims = {"iss": ISSUER, "sub": JANE, "aud": "example-app", **house.times()}
    return Forger(OURS, claims | {"events": events}, "logout+jwt", house)


def assertion(house):
    claims = {"iss": "keyed", "sub": "keyed", "aud": ISSUER, **house.times()}
    return Forger(CLIENTS, claims, None, house)


def request_object(house):
    claims = {"iss": "signing", "aud": ISSUER, **house.times()}
    claims |= {"client_id": "signing", "response_type": "code", "scope": SCOPE}
    return Forger(
        CLIENTS,
        claims | {"redirect_uri": CALLBACK, "state": "signed"},
        "oauth-authz-req+jwt",
        house,
    )


def upstream_id_token(house):
    claims = {"iss": house.provider.issuer, "sub": "u", "aud": "dexcore", "name": "U"}
    claims |= {"email": "u@example.com", "email_verified": True, **house.times()}
    return Forger(UPSTREAMS, claims, None, house)


def trusted_assertion(house):
    claims = {"iss": "https://idp.example", "sub": "u", "aud": ISSUER, **house.times()}
    claims |= {"client_id": "example-app"}
    return Forger(UPSTREAMS, claims, "oauth-id-jag+jwt", house)


def proof(house, method="POST", path="/token", access_token=""):
    jwk = {name: CLIENTS.jwk[name] for name in ("kty", "n", "e")}
    claims = {"htm": method, "htu": f"{ISSUER}{path}", **house.times()}
    claims.pop("exp")
    if access_token:
        digest = hashlib.sha256(access_token.encode()).digest()
        claims["ath"] = b64encode(digest)
    return Forger(CLIENTS, claims, "dpop+jwt", house, {"jwk": jwk, "kid": None})


KINDS = {
    "ID token": id_token,
    "access token": access_token,
    "logout token": logout_token,
    "client assertion": assertion,
    "request object": request_object,
    "upstream's ID token": upstream_id_token,
    "assertion of a trusted issuer": trusted_assertion,
    "proof of a key": proof,
}


# — the places -------------------------------------------------------------------------


def params(answer):
    return answer.params if "Location" in answer.headers else {}


async def a_hint_to_the_authorization_endpoint(house, forge):
    asked = house.world.auth_params(
        scope=SCOPE, prompt="none", id_token_hint=forge(id_token(house))
    )
    return "code" in params(await house.browser.post("/dex/auth", data=asked))


async def a_hint_to_the_logout_endpoint(house, forge):
    form = {"id_token_hint": forge(id_token(house))}
    page = await house.browser.post("/dex/logout", data=form)
    return page.status < 400 and "csrf_token" not in page.text


async def an_access_token_at_userinfo(house, forge):
    form = {"access_token": forge(access_token(house))}
    return (await house.browser.post("/dex/userinfo", data=form)).status == 200


async def an_access_token_to_introspect(house, forge):
    answer = await house.world.post(
        "/dex/token/introspect",
        browser=house.browser,
        token=forge(access_token(house)),
    )
    return json.loads(answer.text).get("active", False)


async def an_access_token_to_revoke(house, forge):
    await house.world.post(
        "/dex/token/revoke", browser=house.browser, token=forge(access_token(house))
    )
    return house.world.server.parts.revocations.covers(str(house.number))


async def an_upstream_token_to_exchange(house, forge):
    answer = await house.world.post(
        "/dex/token",
        browser=house.browser,
        grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
        connector_id="up",
        subject_token=forge(upstream_id_token(house)),
        subject_token_type=TYPE + "id_token",
    )
    return answer.status == 200


async def an_upstream_id_token_after_a_login(house, forge):
    sent = await house.world.ask(
        house.browser, scope=SCOPE, connector_id="up", prompt="login"
    )
    query = dict(parse_qsl(urlsplit(sent.location).query))
    good = upstream_id_token(house)
    good.claims["nonce"] = query["nonce"]
    house.provider.token_changes["id_token"] = forge(good)
    brought = house.provider.sign_in(sent.location)
    landed = await house.browser.get("/dex/callback", params=brought)
    return landed.status < 400 and "code" in params(landed)


async def a_request_object_at_the_authorization_endpoint(house, forge):
    asked = {"client_id": "signing", "response_type": "code", "scope": SCOPE}
    asked |= {"redirect_uri": CALLBACK, "request": forge(request_object(house))}
    answer = await house.browser.post("/dex/auth", data=asked)
    return answer.status < 400 and "error" not in params(answer)


async def a_request_object_that_is_pushed(house, forge):
    answer = await house.world.post(
        "/dex/par",
        browser=house.browser,
        auth=("signing", SECRET),
        request=forge(request_object(house)),
    )
    return answer.status == 201


async def an_assertion_of_a_trusted_issuer(house, forge):
    answer = await house.world.post(
        "/dex/token",
        browser=house.browser,
        grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer",
        assertion=forge(trusted_assertion(house)),
    )
    return answer.status == 200


def header(text):
    """Return what no HTTP client would send as it should be: a proof is a header."""
    return {"DPoP": text.encode("utf-8", "replace").decode("latin-1")}


async def begun_with_a_key(house):
    """Log in to a public client; what it gets is bound to the key of the clients."""
    if house.bound is None:
        landed = await house.world.log_in(
            client_id="native", scope="openid offline_access", connector_id="pw", **PKCE
        )
        form = {"grant_type": "authorization_code", "redirect_uri": CALLBACK}
        form |= {"client_id": "native", "code_verifier": VERIFIER}
        answer = await house.browser.post(
            "/dex/token",
            data=form | {"code": landed.params["code"]},
            headers=header(proof(house).sign()),
        )
        assert answer.status == 200, answer.text
        house.bound = json.loads(answer.text)
    return house.bound


async def a_proof_with_a_refresh_token(house, forge):
    tokens = await begun_with_a_key(house)
    form = {"grant_type": "refresh_token", "client_id": "native"}
    answer = await house.browser.post(
        "/dex/token",
        data=form | {"refresh_token": tokens["refresh_token"]},
        headers=header(forge(proof(house))),
    )
    return answer.status == 200


async def a_proof_at_userinfo(house, forge):
    token = (await begun_with_a_key(house))["access_token"]
    good = proof(house, "GET", "/userinfo", token)
    headers = {"Authorization": f"DPoP {token}"} | header(forge(good))
    return (await house.browser.get("/dex/userinfo", headers=headers)).status == 200


def an_assertion_at(path, **form):
    async def bring(house, forge):
        proof = {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": forge(assertion(house)),
        }
        answer = await house.world.post(
            path, browser=house.browser, auth=None, **form, **proof
        )
        return answer.status in (200, 201)

    return bring


AT_HINTS, AT_TOKENS = "dexcore/server/hints.py", "dexcore/server/tokens/access.py"
AT_ASSERTIONS = "dexcore/server/client_assertions.py"
AT_OBJECTS = "dexcore/server/authorize/request_objects.py"
AT_TRUSTED, AT_PROOFS = "dexcore/server/trusted_issuers.py", "dexcore/oauth2/dpop.py"
AT_UPSTREAM = "connector-oidc/dexcore_connector_oidc/verification.py"


@attrs.frozen
class Place:
    """Where a JWT is brought: what reads it, and what kind is right."""

    bring: object
    read_in: str
    kind: str
    types: tuple[str, ...] = ()
    own_key: bool = False  # the token brings it, and must be made with a known one


def assertions(path, **form):
    bring = an_assertion_at(path, **form)
    types = ("client-authentication+jwt",)
    return Place(bring, AT_ASSERTIONS, "client assertion", types)


PLACES = {
    "hint": Place(a_hint_to_the_authorization_endpoint, AT_HINTS, "ID token"),
    "logout": Place(a_hint_to_the_logout_endpoint, AT_HINTS, "ID token"),
    **{
        name: Place(bring, AT_TOKENS, "access token", ("at+jwt",))
        for name, bring in {
            "userinfo": an_access_token_at_userinfo,
            "introspection": an_access_token_to_introspect,
            "revocation": an_access_token_to_revoke,
        }.items()
    },
    "exchange": Place(
        an_upstream_token_to_exchange, AT_UPSTREAM, "upstream's ID token"
    ),
    "callback": Place(
        an_upstream_id_token_after_a_login, AT_UPSTREAM, "upstream's ID token"
    ),
    **{
        name: Place(bring, AT_OBJECTS, "request object", ("oauth-authz-req+jwt",))
        for name, bring in {
            "request": a_request_object_at_the_authorization_endpoint,
            "pushed request": a_request_object_that_is_pushed,
        }.items()
    },
    "jwt-bearer": Place(
        an_assertion_of_a_trusted_issuer,
        AT_TRUSTED,
        "assertion of a trusted issuer",
        ("oauth-id-jag+jwt",),
    ),
    **{
        name: Place(bring, AT_PROOFS, "proof of a key", ("dpop+jwt",), own_key=True)
        for name, bring in {
            "proof at token": a_proof_with_a_refresh_token,
            "proof at userinfo": a_proof_at_userinfo,
        }.items()
    },
    "token": assertions("/dex/token", grant_type="client_credentials", scope="openid"),
    "device": assertions("/dex/device/code"),
    "par": assertions(
        "/dex/par", response_type="code", scope="openid", redirect_uri=CALLBACK
    ),
    "introspect by key": assertions("/dex/token/introspect", token="x"),
    "revoke by key": assertions("/dex/token/revoke", token="x"),
}


@pytest.fixture
async def house(make_world):
    with Upstream({"/jwks": ATTACKERS.jwks}) as canary, OpenIDProvider() as provider:
        provider.add_user("jane")
        provider.add_client()
        provider.metadata_changes |= {
            "jwks_uri": f"{provider.url}/keys",
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        provider.answers["/keys"] = UPSTREAMS.jwks
        jwks = json.dumps(CLIENTS.jwks)
        idp = json.dumps(UPSTREAMS.jwks)
        world = await make_world(
            CONFIG % (idp, provider.issuer, jwks, jwks),
            people.TestingPlugin(keys.TestOnlySigner(), people.People({})),
        )
        house = House(world, provider, canary)
        house.browser, _ = await world.logged_in(connector_id="pw")
        yield house


@pytest.mark.parametrize("place", PLACES)
async def test_a_jwt_that_is_not_what_it_must_be_is_refused_everywhere(house, place):
    """T-JWT-01, T-JWT-02, T-JWT-03, T-JWT-04, T-JWT-05, T-JWT-06, T-JWT-07, T-JWT-08,
    T-JWT-09, T-JWT-10, T-TX-02, T-UI-01: and the right token is taken everywhere.
    """
    row = PLACES[place]
    taken = [
        f"{attack}: {name}"
        for attack, forgeries in ATTACKS.items()
        for name, forge in forgeries(row)
        if await row.bring(house, forge)
    ]
    assert taken == []
    assert house.canary.requests == []
    assert await row.bring(house, Forger.sign)


READS_A_JWT = re.compile(
    r"\b(key_set|keys|newer|verified)\b.*\.verify\(|verify_with_jwks|verify_by_own_key"
)


def test_whatever_reads_a_jwt_is_attacked():
    """T-JWT-01: a module that begins to read them says here where they come in."""
    readers = set()
    for pattern in ("dexcore", "*/dexcore_*", "plugins/*/dexcore_*"):
        for file in (each for top in ROOT.glob(pattern) for each in top.rglob("*.py")):
            inside = file.relative_to(ROOT)
            # How they are read is for tests/test_jose.py, who makes them no matter.
            if inside.parts[1] in ("jose", "testing"):
                continue
            if READS_A_JWT.search(file.read_text("utf-8")):
                readers.add(str(inside))
    assert readers == {row.read_in for row in PLACES.values()} | {
        # Reads for others, and knows no place.
        "dexcore/server/client_keys.py",
    }
