"""Clients that register themselves have subjects of their own, if they like.

OpenID Connect Core section 8.1, Dynamic Client Registration section 5.
"""

import json

import pytest

from aiohttp import web

from dexcore.testing.upstreams import Upstream

ONE, OTHER = "https://one.example/cb", "https://other.example/cb"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
PATH = "/uris.json"
CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
subjects: {default: dex, salt: a-salt-that-nobody-else-knows}
registration: {enabled: true, open: true, privateAddresses: true}
oauth2: {passwordConnector: pw}
connectors:
- {type: mockPassword, id: pw, name: Passwords, config: {username: jane, password: fox}}
"""


@pytest.fixture
async def provider(make_world):
    return await make_world(CONFIG)


class Sector:
    """A host that says which redirect URIs are of its sector."""

    def __init__(self, upstream):
        self.upstream, self.uri = upstream, f"{upstream.url}{PATH}"
        self.answer = lambda: web.json_response([ONE, OTHER])
        upstream.answers[PATH] = lambda seen: self.answer()
        upstream.answers["/elsewhere"] = lambda seen: web.json_response([ONE, OTHER])

    @property
    def visits(self):
        return len(self.upstream.asked(PATH))


@pytest.fixture
def sector():
    with Upstream() as upstream:
        yield Sector(upstream)


async def ask(provider, *uris, **said):
    document = {"redirect_uris": [*uris], "subject_type": "pairwise"} | said
    return await provider.browser().post("/dex/register", json=document)


async def register(provider, *uris, **said):
    answer = await ask(provider, *uris, **said)
    assert answer.status == 201, answer.text
    return json.loads(answer.text)


async def sub(provider, known):
    """Log Jane in at the client and let her agree; return what it calls her."""
    uri, browser = known["redirect_uris"][0], provider.browser()
    landed = await provider.log_in(
        browser, client_id=known["client_id"], redirect_uri=uri, scope="openid"
    )
    yes = (await browser.follow(landed)).forms[0]
    landed = await browser.post(yes["action"], data=yes["fields"])
    answer = await provider.exchange(
        landed.params["code"],
        auth=(known["client_id"], known["client_secret"]),
        redirect_uri=uri,
    )
    assert answer.status == 200, answer.text
    return (await provider.claims(json.loads(answer.text)["id_token"]))["sub"]


def refused(answer):
    told = json.loads(answer.text)
    assert (answer.status, told["error"]) == (400, "invalid_client_metadata"), told
    return told["error_description"]


async def test_clients_of_two_hosts_do_not_know_a_user_by_one_name(provider):
    one, twin, other = [
        await register(provider, uri)
        for uri in (ONE, "https://one.example:8443/twin", OTHER)
    ]
    assert one["subject_type"] == "pairwise"
    first = await sub(provider, one)
    assert await sub(provider, twin) == first
    assert await sub(provider, other) != first


async def test_a_client_that_does_not_ask_has_the_default(provider):
    known = await register(provider, ONE, subject_type=None)
    assert "subject_type" not in known
    assert await sub(provider, known) == "Cg0wLTM4NS0yODA4OS0wEgJwdw"


async def test_clients_of_a_sector_that_lists_them_share_a_name(provider, sector):
    named = {"sector_identifier_uri": sector.uri}
    both = await register(provider, ONE, OTHER, **named)
    assert both["sector_identifier_uri"] == sector.uri
    one = await register(provider, ONE, **named)
    alone = await register(provider, ONE)
    first = await sub(provider, both)
    assert await sub(provider, one) == first
    assert await sub(provider, alone) != first
    assert sector.visits == 2  # when they registered, and not since


async def test_a_client_that_its_sector_does_not_list_is_refused(provider, sector):
    third = "https://third.example/cb"
    answer = await ask(provider, ONE, third, sector_identifier_uri=sector.uri)
    assert "must list all redirect_uris" in refused(answer)
    assert await provider.storage.registered_clients.list() == []


async def test_it_is_looked_at_again_when_the_client_changes(provider, sector):
    named = {"sector_identifier_uri": sector.uri}
    known = await register(provider, ONE, **named)
    path = known["registration_client_uri"].removeprefix("http://127.0.0.1:5556")
    bearer = {"Authorization": f"Bearer {known['registration_access_token']}"}
    said = {"client_id": known["client_id"], "subject_type": "pairwise", **named}

    async def change(*uris):
        document = {**said, "redirect_uris": [*uris]}
        return await provider.browser()._send(
            "PUT", path, json=document, headers=bearer
        )

    assert (await change(ONE, OTHER)).status == 200
    refused(await change(ONE, "https://third.example/cb"))


ANSWERS = [
    lambda: web.Response(status=404),
    lambda: web.Response(status=503),
    lambda: web.Response(text="no JSON"),
    lambda: web.json_response({ONE: True}),
    lambda: web.json_response([[ONE], None, 1]),
    lambda: web.json_response([f"{ONE}/"]),
    lambda: web.json_response([ONE, "x" * 70_000]),
    # Whoever makes a host redirect does not speak for it.
    lambda: web.Response(status=302, headers={"Location": "/elsewhere"}),
]


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_sector_must_say_it_itself(provider, sector, answer):
    sector.answer = answer
    asked = await ask(provider, ONE, sector_identifier_uri=sector.uri)
    assert "sector_identifier_uri" in refused(asked)
    assert sector.upstream.asked("/elsewhere") == []


@pytest.mark.parametrize(("private", "visits"), [(True, 1), (False, 0)])
async def test_a_client_cannot_make_us_knock_inside(
    make_world, monkeypatch, tmp_path, private, visits
):
    """T-SSRF-01: unless the file allows it."""
    with Upstream(tls=True) as upstream:
        authority = tmp_path / "ca.pem"
        authority.write_text(upstream.ca)
        # Where OpenSSL finds the authorities of the system.
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        sector = Sector(upstream)
        allowed = ", privateAddresses: true"
        world = await make_world(CONFIG if private else CONFIG.replace(allowed, ""))
        asked = await ask(world, ONE, sector_identifier_uri=sector.uri)
        assert (asked.status == 201) is private
        assert sector.visits == visits


@pytest.mark.parametrize(
    "said",
    [
        {"grant_types": ["authorization_code", "password"]},
        {"grant_types": ["authorization_code", DEVICE]},
        {"uris": [ONE, "com.example.app:/cb"]},
    ],
)
async def test_a_stranger_cannot_join_the_sector_of_a_host_it_does_not_own(
    make_world, said
):
    """It may write any host into a redirect URI, but gets no codes that are sent there.

    Where it may have tokens otherwise, it is of a sector of its own.
    """
    more = "redirectURISchemes: [https, com.example.app]"
    grants = f"grantTypes: [authorization_code, password, '{DEVICE}']"
    text = CONFIG.replace("open: true", f"open: true, {more}, {grants}")
    provider = await make_world(text)
    said = dict(said)
    honest = await register(provider, ONE)
    uris = said.pop("uris", [ONE])
    stranger, twin = [await register(provider, *uris, **said) for _ in range(2)]
    names = [await sub(provider, each) for each in (honest, stranger, twin)]
    assert len({*names}) == 3


async def test_a_client_with_a_document_names_no_other_one(make_world):
    text = CONFIG.replace(
        "enabled: true, open", "clientIDMetadataDocuments: true, open"
    )
    with Upstream() as home:
        client_id = f"{home.url}/client.json"
        document = {
            "client_id": client_id,
            "redirect_uris": [ONE],
            "token_endpoint_auth_method": "none",
            "sector_identifier_uri": "https://one.example/uris.json",
        }
        home.answers["/client.json"] = lambda seen: web.json_response(document)
        world = await make_world(text.replace("open: true, ", ""))
        answer = await world.ask(world.browser(), client_id=client_id, redirect_uri=ONE)
        assert "sector_identifier_uri is not supported" in answer.text
