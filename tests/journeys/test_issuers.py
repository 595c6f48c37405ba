"""Whoever asks by whatever name: we are who the configuration says, everywhere."""

import json

from urllib.parse import urlsplit

import aiohttp
import pytest
import yarl

from dexcore.jose import b64decode
from dexcore.testing.upstreams import Upstream

from .conftest import CALLBACK, Browser

ISSUERS = [
    "http://127.0.0.1:5556/dex",
    "http://127.0.0.1:5556/dex/",
    "https://id.example",
    "https://id.example/",
    "https://id.example:8443/a/b",
    "https://id.example/a/b/",
]
# What a proxy may write, or whoever would like to be us.
FORGED = {
    "Host": "evil.example",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Prefix": "/evil.example",
    "X-Original-URL": "https://evil.example/",
    "Forwarded": "for=192.0.2.1;host=evil.example;proto=gopher",
}
CONFIG = """
issuer: %s
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
sessions: {}
oauth2:
  skipApprovalScreen: true
  passwordConnector: pw
  responseTypes: [code, token, id_token]
  grantTypes: [authorization_code, implicit, refresh_token, password,
    client_credentials, 'urn:ietf:params:oauth:grant-type:device_code']
connectors:
- {type: mockPassword, id: pw, name: Passwords, config: {username: jane, password: fox}}
staticClients:
- id: example-app
  redirectURIs: ['http://127.0.0.1:5555/callback', /dex/device/callback,
    /device/callback, /a/b/device/callback]
  name: Example App
  secret: a-secret-of-the-example-app
  backchannelLogoutURI: '%s/logout'
"""


class Visitor(Browser):
    """A browser behind a proxy that speaks https, and writes what it likes."""

    def __init__(self, base, headers):
        super().__init__(base)
        self.headers, self.answers = headers, []
        self.jar = aiohttp.CookieJar(
            unsafe=True, treat_as_secure_origin=[yarl.URL(base)]
        )
        self.session._cookie_jar = self.jar

    async def _send(self, method, url, headers=None, **kwargs):
        # Host is the address on the wire too: cookies are kept under it.
        sent = {**self.headers, **(headers or {})}
        answer = await super()._send(method, url, headers=sent, **kwargs)
        self.answers.append(answer)
        return answer


def claims(token):
    return json.loads(b64decode(token.split(".")[1]))


@pytest.fixture(params=ISSUERS)
async def house(request, make_world):
    with Upstream({"/logout": ""}) as app:
        world = await make_world(CONFIG % (request.param, app.url))
        world.app, world.path = app, urlsplit(request.param).path.rstrip("/")
        world.visitors = []

        def visitor(headers=FORGED):
            found = Visitor(world.base, headers)
            world.browsers.append(found)
            world.visitors.append(found)
            return found

        world.visitor = visitor
        yield world


async def test_discovery_is_the_same_whoever_asks_by_whatever_name(house):
    """T-DISC-01, T-DISC-02, T-DISC-04: https issuers have nothing but https."""
    names = ["/.well-known/openid-configuration", "/keys"]
    for path in [*names, "/.well-known/oauth-authorization-server"]:
        plain = await house.visitor({}).get(house.path + path)
        assert plain.status == 200
        forged = await house.visitor().get(house.path + path)
        assert forged.text == plain.text
        assert "evil" not in str(forged.headers)
    found = await house.visitor().get(house.path + names[0])
    document = json.loads(found.text)
    assert document["issuer"] == house.issuer
    urls = [
        value
        for name, value in document.items()
        if name.endswith(("_endpoint", "_uri", "_iframe"))
    ]
    assert len(urls) > 7
    origin = "://".join(urlsplit(house.issuer)[:2])
    assert all(url.startswith(f"{origin}{house.path}/") for url in urls)


async def tokens_of_all_kinds(house):
    """Return every JWT that this provider gives out."""
    path, visitor = house.path, house.visitor()

    async def token(**form):
        answer = await house.post(f"{path}/token", browser=visitor, **form)
        assert answer.status == 200, answer.text
        return json.loads(answer.text)

    asked = house.auth_params(scope="openid offline_access")
    asked |= {"response_type": "code id_token token"}
    form = await visitor.follow(await visitor.get(f"{path}/auth", params=asked))
    landed = await visitor.post(form.url, data={"login": "jane", "password": "fox"})
    assert landed.params["iss"] == house.issuer
    found = [landed.params]
    code = {"code": landed.params["code"], "redirect_uri": CALLBACK}
    found.append(await token(grant_type="authorization_code", **code))
    refresh_token = found[-1]["refresh_token"]
    found.append(await token(grant_type="refresh_token", refresh_token=refresh_token))
    user = {"username": "jane", "password": "fox", "scope": "openid"}
    found.append(await token(grant_type="password", **user))
    found.append(await token(grant_type="client_credentials", scope="openid"))
    hint = {"id_token_hint": found[2]["id_token"]}
    await visitor.get(f"{path}/logout", params=hint)
    await house.server.sessions.notices.close()  # it waits for what is under way
    [told] = house.app.requests
    found.append({"access_token": told.form["logout_token"]})
    return [each[kind] for each in found for kind in each if kind in KINDS]


KINDS = ("access_token", "id_token")


async def test_every_token_has_the_issuer_to_the_letter(house):
    """T-DISC-01: with path and port, with and without a slash at the end."""
    tokens = await tokens_of_all_kinds(house)
    assert len(tokens) == 11
    assert {claims(each)["iss"] for each in tokens} == {house.issuer}
    introspected = await house.post(
        f"{house.path}/token/introspect", browser=house.visitor(), token=tokens[0]
    )
    assert json.loads(introspected.text)["iss"] == house.issuer


async def test_no_page_link_or_redirect_repeats_a_name_we_do_not_have(house):
    """T-DISC-02, T-SES-04: the browser stays at the issuer, and so do its cookies."""
    await tokens_of_all_kinds(house)
    visitor, path = house.visitor(), house.path
    for page in ("", "/device", "/logout", "/auth", "/nothing-here", "/callback"):
        await visitor.get(path + page or "/")
    begun = await house.post(f"{path}/device/code", browser=visitor)
    origin = "://".join(urlsplit(house.issuer)[:2])
    uri = json.loads(begun.text)["verification_uri"]
    assert uri == f"{origin}{path}/device"
    for each in house.visitors:
        for answer in each.answers:
            assert "evil.example" not in answer.text
            assert "evil.example" not in str(answer.headers)
            for cookie in answer.headers.getall("Set-Cookie", ()):
                assert "Domain" not in cookie
                assert ("Secure" in cookie) == house.issuer.startswith("https:")
