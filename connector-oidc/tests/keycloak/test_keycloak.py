"""Keycloak is the provider: ``nox -s keycloak``."""

import asyncio
import json
import logging
import secrets
import urllib.parse
import urllib.request

import attrs
import pytest

from dexcore_connector_oidc import Config
from dexcore_connector_oidc.connector import open_oidc

from dexcore.config import structure
from dexcore.connector import ConnectorContext
from dexcore.errors import AccessDenied
from dexcore.jose import generate, public
from dexcore.storage import Collections
from dexcore.testing.browser import BrowserError, SyncBrowser
from dexcore.testing.journey import Journey
from dexcore.testing.keycloak import MISSING, PASSWORD, running
from dexcore.testing.tokens import TokenError

pytestmark = pytest.mark.timeout(600)  # it may have to be downloaded and built

MAPPER = {
    "name": "groups",
    "protocol": "openid-connect",
    "protocolMapper": "oidc-group-membership-mapper",
    "config": {
        "claim.name": "groups",
        "full.path": "false",
        "id.token.claim": "true",
        "access.token.claim": "true",
        "userinfo.token.claim": "true",
    },
}
USERS = [
    {
        "username": "jane",
        "email": "jane@example.com",
        "firstName": "Jane",
        "lastName": "Doe",
        "groups": ["admins"],
        "realmRoles": ["auditor"],
    },
    {
        "username": "joe",
        "email": "joe@example.com",
        "firstName": "Joe",
        "lastName": "B",
    },
]


@attrs.frozen
class Realm:
    """A realm of one test, with the client ``dexcore``."""

    server: object
    name: str
    key: dict

    @property
    def issuer(self):
        return self.server.issuer(self.name)

    def change(self, username, **changes):
        self.server.change_user(self.name, username, **changes)

    def join(self, username, group):
        user = self.server.user(self.name, username)
        [found] = self.server.admin("GET", f"/{self.name}/groups?search={group}")
        path = f"/{self.name}/users/{user['id']}/groups/{found['id']}"
        self.server.admin("PUT", path)

    def tokens(self, client_id):
        """Return what a client gets for Jane's password."""
        form = {
            "grant_type": "password",
            "client_id": client_id,
            "client_secret": "a-secret-of-ours",
            "username": "jane",
            "password": PASSWORD,
            "scope": "openid profile email",
        }
        url = f"{self.issuer}/protocol/openid-connect/token"
        with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode()) as got:
            return json.loads(got.read())

    def config(self, **options):
        return {
            "type": "oidc",
            "name": "Keycloak",
            "config": {
                "issuer": self.issuer,
                "clientID": "dexcore",
                "clientSecret": "a-secret-of-ours",
                "redirectURI": "$ISSUER/callback",
                "scopes": ["profile", "email", "offline_access"],
                "insecureEnableGroups": True,
                **options,
            },
        }


def client(client_id, **changes):
    return {
        "clientId": client_id,
        "secret": "a-secret-of-ours",
        "redirectUris": ["*"],
        "protocolMappers": [MAPPER],
        "directAccessGrantsEnabled": True,
        "attributes": {
            "pkce.code.challenge.method": "S256",
            "post.logout.redirect.uris": "*",
        },
        **changes,
    }


@pytest.fixture(scope="session")
def keycloak():
    try:
        with running() as server:
            yield server
    except FileNotFoundError as missing:
        pytest.fail(f"{missing} To install it: apt-get install {MISSING}")


@pytest.fixture
def realm(keycloak):
    name, key = f"staff-{secrets.token_hex(4)}", generate("ES256")
    jwks = json.dumps({"keys": [public(key)]})
    keycloak.add_realm(
        name,
        users=USERS,
        groups=["admins", "authors"],
        roles={"realm": [{"name": "auditor"}]},
        # Each refresh token counts once.
        revokeRefreshToken=True,
        refreshTokenMaxReuse=0,
        clients=[
            client("dexcore"),
            client("another"),
            client(
                "with-a-key",
                clientAuthenticatorType="client-jwt",
                attributes={
                    "use.jwks.string": "true",
                    "jwks.string": jwks,
                    "token.endpoint.auth.signing.alg": "ES256",
                },
            ),
        ],
    )
    yield Realm(keycloak, name, key)
    keycloak.remove_realm(name)


@pytest.fixture
def journey(realm):
    with Journey(realm.config()) as journey:
        yield journey


def test_a_login_through_its_pages(journey):
    tokens = journey.log_in("jane", PASSWORD)
    assert tokens.claims["email"] == "jane@example.com"
    assert tokens.claims["name"] == "Jane Doe"
    assert tokens.claims["groups"] == ["admins"]
    assert journey.userinfo(tokens)["preferred_username"] == "jane"


def test_what_it_knows_and_how_jane_has_logged_in(journey):
    """Keycloak calls a login with a password, and no other step, level 1."""
    acr = {"acr": {"essential": True, "values": ["1"]}}
    asked = {"id_token": {"given_name": None, **acr}, "userinfo": {"family_name": None}}
    url = journey.authorization_url(scopes="openid", claims=json.dumps(asked))
    with SyncBrowser(stop_at=journey.redirect_uri) as browser:
        tokens = journey.landed(browser.log_in(url, "jane", PASSWORD).url)
    assert tokens.claims["acr"] == "1"
    assert tokens.claims["given_name"] == "Jane"
    assert journey.userinfo(tokens)["family_name"] == "Doe"


def test_a_wrong_password_stays_there(journey):
    with pytest.raises(BrowserError, match="had not ended"):
        journey.log_in("jane", "wrong")


def test_refreshes_reach_it_and_rotate(journey, realm):
    tokens = journey.log_in("jane", PASSWORD)
    for _ in range(3):
        tokens = journey.refresh(tokens)
    realm.join("jane", "authors")
    realm.change("jane", firstName="Janet")
    tokens = journey.refresh(tokens)
    assert tokens.claims["name"] == "Janet Doe"
    assert sorted(tokens.claims["groups"]) == ["admins", "authors"]


def test_whose_account_is_disabled_there_is_out_here(journey, realm):
    tokens = journey.refresh(journey.log_in("jane", PASSWORD))
    realm.change("jane", enabled=False)
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)


def test_whose_sessions_are_ended_there_is_out_here(journey, realm):
    tokens = journey.refresh(journey.log_in("jane", PASSWORD))
    user = realm.server.user(realm.name, "jane")
    realm.server.log_out_user(realm.name, "jane")
    [known] = realm.server.admin("GET", f"/{realm.name}/clients?clientId=dexcore")
    realm.server.admin("DELETE", f"/{realm.name}/users/{user['id']}/consents/dexcore")
    assert known["enabled"]
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)


def test_who_is_in_none_of_the_groups_reads_so(realm):
    with Journey(realm.config(allowedGroups=["admins"])) as journey:
        assert journey.log_in("jane", PASSWORD).claims["groups"] == ["admins"]
        with pytest.raises(BrowserError, match="required groups"):
            journey.log_in("joe", PASSWORD)


def test_roles_are_in_an_object_of_the_userinfo(realm):
    roles = {
        "name": "roles",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-usermodel-realm-role-mapper",
        "config": {
            "claim.name": "realm_access.roles",
            "multivalued": "true",
            "userinfo.token.claim": "true",
        },
    }
    [known] = realm.server.admin("GET", f"/{realm.name}/clients?clientId=dexcore")
    path = f"/{realm.name}/clients/{known['id']}/protocol-mappers/models"
    realm.server.admin("POST", path, roles)
    config = realm.config(
        getUserInfo=True,
        claimMapping={"groups": "realm_access.roles"},
        overrideClaimMapping=True,
    )
    with Journey(config) as journey:
        tokens = journey.refresh(journey.log_in("jane", PASSWORD))
    assert "auditor" in tokens.claims["groups"]


def test_a_key_stands_in_for_the_secret(realm):
    config = realm.config(
        clientID="with-a-key",
        clientSecret="",
        clientAssertionKey=json.dumps(realm.key),
        scopes=["profile", "email"],
    )
    with Journey(config) as journey:
        tokens = journey.refresh(journey.log_in("jane", PASSWORD))
    assert tokens.claims["email"] == "jane@example.com"


@pytest.mark.parametrize("kind", ["id_token", "access_token"])
async def test_its_tokens_are_exchanged_if_they_are_for_us(realm, kind):
    ours = await asyncio.to_thread(realm.tokens, "dexcore")
    theirs = await asyncio.to_thread(realm.tokens, "another")
    options = realm.config(getUserInfo=kind == "access_token")["config"]
    config = structure({**options, "redirectURI": ""}, Config, where="config")
    log = logging.getLogger("dexcore.connector.oidc")
    connector = await open_oidc(config, ConnectorContext("x", Collections(), log))
    try:
        name = f"urn:ietf:params:oauth:token-type:{kind}"
        identity = await connector.token_identity(name, ours[kind])
        assert (identity.email, identity.groups) == ("jane@example.com", ("admins",))
        with pytest.raises(AccessDenied, match="not good here"):
            await connector.token_identity(name, theirs[kind])
    finally:
        await connector.close()


async def test_jane_clicks_through_it_in_chromium(realm, example_app):
    """Login, consent, claims and refreshes in the app, until she is disabled there."""
    url = realm.server.url
    asks = {"oauth2": {"skipApprovalScreen": False}}
    journey = await asyncio.to_thread(Journey, realm.config(), settings=asks)
    try:
        async with example_app(journey, [url], [url]) as app:
            page = await app.begin()
            await page.get_by_label("Username or email").fill("jane")
            await page.locator("input[type=password]").fill(PASSWORD)
            await page.get_by_role("button", name="Sign In").click()
            await app.agree()
            claims = await app.claims()
            assert claims["email"] == "jane@example.com"
            assert claims["groups"] == '["admins"]'
            await asyncio.to_thread(realm.join, "jane", "authors")
            assert await app.refresh() == "The tokens are new."
            groups = json.loads((await app.claims())["groups"])
            assert sorted(groups) == ["admins", "authors"]
            await asyncio.to_thread(realm.change, "jane", enabled=False)
            assert "invalid_grant" in await app.refresh()
    finally:
        await asyncio.to_thread(journey.close)
