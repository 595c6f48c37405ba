"""Clients whose id is the address of a document about them."""

import asyncio
import base64
import hashlib
import json

import pytest

from aiohttp import web

from dexcore.oauth2.registration import Rules
from dexcore.server.client_documents import LONGEST, ClientDocuments
from dexcore.storage import Client
from dexcore.testing.client_key import ClientKey
from dexcore.testing.upstreams import Upstream

CALLBACK = "http://127.0.0.1:5555/callback"
ISSUER = "http://127.0.0.1:5556/dex"
VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123"
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest())
    .rstrip(b"=")
    .decode()
)
PATH = "/client.json"

CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2: {skipApprovalScreen: true}
registration:
  clientIDMetadataDocuments: true
  privateAddresses: PRIVATE
connectors:
- {type: mockPassword, id: pw, name: Passwords, config: {username: jane, password: fox}}
"""


def told(answer):
    return json.loads(answer.text)


class Home:
    """Where a client publishes its document."""

    def __init__(self, upstream):
        self.upstream = upstream
        self.client_id = f"{upstream.url}{PATH}"
        self.document = {
            "client_id": self.client_id,
            "client_name": "Shop",
            "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
        }
        self.headers = {}
        self.kind = "application/json"
        upstream.answers[PATH] = self.answer

    def answer(self, seen):
        document = {k: v for k, v in self.document.items() if v is not None}
        return web.Response(
            text=json.dumps(document), content_type=self.kind, headers=self.headers
        )

    @property
    def visits(self):
        return len(self.upstream.asked(PATH))


@pytest.fixture
def home(monkeypatch, tmp_path):
    with Upstream(tls=True) as upstream:
        authority = tmp_path / "ca.pem"
        authority.write_text(upstream.ca)
        # Where OpenSSL finds the authorities of the system.
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        yield Home(upstream)


@pytest.fixture
async def provider(make_world):
    return await make_world(CONFIG.replace("PRIVATE", "true"))


async def ask(provider, client_id, **changes):
    asked = {
        "client_id": client_id,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    return await provider.ask(provider.browser(), **asked | changes)


async def log_in(provider, client_id, **changes):
    """Log Jane in; return the page that asks her, and the redirect that follows."""
    browser = provider.browser()
    asked = {
        "client_id": client_id,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    page = await browser.follow(await provider.log_in(browser, **asked | changes))
    yes = page.forms[0]
    return page, await browser.post(yes["action"], data=yes["fields"])


# — it works ---------------------------------------------------------------------------


async def test_a_client_nobody_has_heard_of_logs_somebody_in(provider, home):
    page, landed = await log_in(provider, home.client_id)
    host = home.upstream.url.removeprefix("https://")
    assert f"at home at <strong>{host}</strong>" in page.text
    assert "<strong>a program on your computer</strong>" in page.text
    form = {"client_id": home.client_id, "code_verifier": VERIFIER}
    answer = await provider.exchange(landed.params["code"], auth=None, **form)
    assert answer.status == 200, answer.text
    tokens = told(answer)
    claims = await provider.claims(tokens["id_token"])
    assert claims["aud"] == home.client_id
    again = await provider.refresh(
        tokens["refresh_token"], auth=None, client_id=home.client_id
    )
    assert again.status == 200, again.text
    assert home.visits == 1
    assert await provider.storage.clients.list() == []


async def test_discovery_says_so(provider, make_world):
    url = "/dex/.well-known/openid-configuration"
    document = told(await provider.browser().get(url))
    assert document["client_id_metadata_document_supported"] is True
    assert "registration_endpoint" not in document


async def test_unless_it_is_on_an_address_is_no_client(make_world, home):
    provider = await make_world()
    answer = await ask(provider, home.client_id)
    assert answer.status == 400
    assert "Invalid client_id" in answer.text
    assert home.visits == 0


async def test_a_client_with_a_key_proves_itself(provider, home):
    key = ClientKey("ES256")
    home.document |= {
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": key.jwks,
    }
    _, landed = await log_in(provider, home.client_id)
    form = {"code_verifier": VERIFIER}
    code = landed.params["code"]
    unproven = await provider.exchange(
        code, auth=None, client_id=home.client_id, **form
    )
    assert told(unproven)["error"] == "invalid_client"
    now = provider.clock().timestamp()
    proof = key.proof(home.client_id, ISSUER, now=now)
    answer = await provider.exchange(code, auth=None, **form, **proof)
    assert answer.status == 200, answer.text


async def test_a_client_of_the_database_with_that_id_goes_first(provider, home):
    known = Client(home.client_id, "a-secret-of-it", (CALLBACK,), name="Known")
    await provider.storage.clients.create(known)
    assert (await ask(provider, home.client_id)).status == 302
    assert home.visits == 0


async def test_it_must_use_pkce(provider, home):
    answer = await ask(
        provider, home.client_id, code_challenge=None, code_challenge_method=None
    )
    assert answer.params["error"] == "invalid_request"


async def test_only_its_own_redirect_uris_are_redirected_to(provider, home):
    answer = await ask(provider, home.client_id, redirect_uri=f"{CALLBACK}/x")
    assert answer.status == 400
    assert "Unregistered redirect_uri" in answer.text


@pytest.mark.parametrize(
    "grant_type",
    ["client_credentials", "password", "urn:ietf:params:oauth:grant-type:device_code"],
)
async def test_it_may_use_no_other_grant(make_world, home, grant_type):
    text = CONFIG.replace("PRIVATE", "true").replace(
        "oauth2: {",
        "oauth2: {passwordConnector: pw, grantTypes: [authorization_code, password, "
        "client_credentials, 'urn:ietf:params:oauth:grant-type:device_code'], ",
    )
    provider = await make_world(text)
    form = {"client_id": home.client_id, "grant_type": grant_type}
    answer = await provider.post("/dex/token", auth=None, **form)
    assert told(answer)["error"] == "unauthorized_client"


async def test_no_secret_is_ever_one_of_it(provider, home):
    for secret in ("", "guess"):
        answer = await provider.post(
            "/dex/token",
            auth=(home.client_id.replace(":", "%3A"), secret or "x"),
            grant_type="authorization_code",
            code="x",
        )
        assert told(answer)["error"] == "invalid_client"


# — documents that cannot be used: a page ----------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"client_id": "https://other.example/client.json"}, "another one"),
        ({"client_id": None}, "another one"),
        ({"client_secret": "x"}, "no secret"),
        ({"client_secret_expires_at": 0}, "no secret"),
        ({"token_endpoint_auth_method": "client_secret_basic"}, "not supported"),
        ({"token_endpoint_auth_method": "client_secret_post"}, "not supported"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "needs jwks"),
        ({"redirect_uris": []}, "at least one"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "must not begin"),
        ({"redirect_uris": [f"{CALLBACK}#x"]}, "no redirect URI"),
        ({"grant_types": ["client_credentials"]}, "nothing that is allowed"),
        ({"software_statement": "a.b.c"}, "not accepted"),
        ({"more": "x" * 6000}, "cannot be fetched"),
    ],
    ids=str,
)
async def test_a_document_that_cannot_be_used(provider, home, changes, why):
    home.document |= changes
    answer = await ask(provider, home.client_id)
    assert answer.status == 400
    assert "Location" not in answer.headers
    assert "document about itself is of no use" in answer.text
    assert why in answer.text
    form = {"client_id": home.client_id, "grant_type": "authorization_code"}
    answer = await provider.post("/dex/token", auth=None, **form)
    assert told(answer)["error"] == "invalid_client"


@pytest.mark.parametrize("trouble", ["html", "broken_json", "empty"])
async def test_what_is_no_document(provider, home, trouble):
    with getattr(home.upstream, trouble)(path=PATH):
        answer = await ask(provider, home.client_id)
    assert answer.status == 400
    assert "of no use" in answer.text


@pytest.mark.parametrize(
    ("kind", "status"), [("application/client+json", 302), ("text/plain", 400)]
)
async def test_a_document_says_that_it_is_json(provider, home, kind, status):
    home.kind = kind
    assert (await ask(provider, home.client_id)).status == status


async def test_a_redirect_is_not_followed(provider, home):
    target = f"{home.upstream.url}{PATH}"

    def away(seen):
        return web.Response(status=302, headers={"Location": target})

    home.upstream.answers["/away.json"] = away
    answer = await ask(provider, f"{home.upstream.url}/away.json")
    assert answer.status == 400
    assert home.visits == 0


async def test_a_home_that_does_not_answer_is_for_another_time(provider, home):
    with home.upstream.status(500, path=PATH):
        answer = await ask(provider, home.client_id)
        assert answer.status == 503
        assert "Retry-After" in answer.headers
        form = {"client_id": home.client_id, "grant_type": "authorization_code"}
        answer = await provider.post("/dex/token", auth=None, **form)
        assert told(answer)["error"] == "temporarily_unavailable"
    assert (await ask(provider, home.client_id)).status == 302  # errors are not kept


@pytest.mark.parametrize(
    "address",
    [
        "http://shop.example/client.json",
        "https://shop.example",
        "https://shop.example/a/../client.json",
        "https://shop.example/./client.json",
        "https://shop.example/%2e%2E/client.json",
        "https://user@shop.example/client.json",
        "https://user:pw@shop.example/client.json",
        "https://shop.example/client.json#x",
        "https://shop.example/cli ent.json",
        "https://shop.example\\@evil.example/",
        "https:///client.json",
        "ftp://shop.example/client.json",
        "file:///etc/passwd://",
        "://",
        f"https://shop.example/{'x' * 512}",
    ],
)
async def test_what_is_no_address_of_a_document_is_never_fetched(provider, address):
    answer = await ask(provider, address)
    assert answer.status == 400
    assert "no address of a client" in answer.text
    assert "Location" not in answer.headers


async def test_a_client_does_not_open_our_network(make_world, home):
    provider = await make_world(CONFIG.replace("PRIVATE", "false"))
    answer = await ask(provider, home.client_id)
    assert answer.status in (400, 503)
    assert "127.0.0.1" not in answer.text
    assert "::1" not in answer.text
    assert home.upstream.requests == []


# — how long a document counts ---------------------------------------------------------

RULES = Rules(
    grant_types=("authorization_code",),
    response_types=("code",),
    scopes=("openid",),
    schemes=("https", "http"),
    signing_algorithm="ES256",
    secrets=False,
)


class Clock:
    moment = 1000.0

    def __call__(self):
        return self.moment


@pytest.fixture
def clock_of_documents():
    return Clock()


@pytest.fixture
async def documents(clock_of_documents):
    found = ClientDocuments(
        lambda: RULES, "/device/callback", private=True, clock=clock_of_documents
    )
    yield found
    await found.close()


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        ("", 300),
        ("public", 300),
        ("max-age=600", 600),
        ('private, Max-Age="600"', 600),
        ("max-age=1", 60),
        ("no-store", 60),
        ("no-cache, max-age=600", 60),
        ("max-age=999999999", 86400),
        ("s-maxage=7, max-age=x", 300),
    ],
)
async def test_a_document_counts_as_long_as_it_says_within_bounds(
    documents, clock_of_documents, home, cache_control, seconds
):
    home.headers = {"Cache-Control": cache_control} if cache_control else {}
    await documents.get(home.client_id)
    home.document["client_name"] = "Store"
    clock_of_documents.moment += seconds - 1
    assert (await documents.get(home.client_id)).name == "Shop"
    assert home.visits == 1
    clock_of_documents.moment += 1
    assert (await documents.get(home.client_id)).name == "Store"
    assert home.visits == 2


async def test_a_client_stays_what_it_was_while_its_home_is_down(
    documents, clock_of_documents, home
):
    await documents.get(home.client_id)
    clock_of_documents.moment += 301
    with home.upstream.status(503, path=PATH):
        assert (await documents.get(home.client_id)).name == "Shop"
        clock_of_documents.moment += LONGEST
        with pytest.raises(Exception, match="does not answer"):
            await documents.get(home.client_id)


async def test_a_document_that_is_gone_is_gone(documents, clock_of_documents, home):
    await documents.get(home.client_id)
    clock_of_documents.moment += 301
    with (
        home.upstream.status(404, path=PATH),
        pytest.raises(Exception, match="cannot be fetched"),
    ):
        await documents.get(home.client_id)


async def test_many_that_come_at_once_cost_one_visit(documents, home):
    with home.upstream.slow(0.2, path=PATH):
        found = await asyncio.gather(
            *(documents.get(home.client_id) for _ in range(20))
        )
    assert {client.id for client in found} == {home.client_id}
    assert home.visits == 1


async def test_who_hangs_up_takes_nobody_along(documents, home):
    with home.upstream.slow(0.3, path=PATH):
        first = asyncio.create_task(documents.get(home.client_id))
        second = asyncio.create_task(documents.get(home.client_id))
        await asyncio.sleep(0.05)
        first.cancel()
        assert (await second).name == "Shop"


async def test_nobody_has_us_fetch_from_one_host_without_end(provider, home):
    home.document["client_id"] = "https://other.example/"
    statuses = [
        (await ask(provider, f"{home.client_id}?{number}")).status
        for number in range(60)
    ]
    assert {*statuses} == {400, 429}
    assert home.visits == statuses.count(400)
    assert statuses[:20] == [400] * 20
