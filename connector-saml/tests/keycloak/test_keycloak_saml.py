"""Logins through Keycloak: run by ``nox -s keycloak``, which takes minutes."""

from __future__ import annotations

import asyncio
import json

import pytest

from dexcore.testing.browser import BrowserError
from dexcore.testing.journey import Journey
from dexcore.testing.keycloak import PASSWORD, running
from dexcore.testing.tokens import TokenError

pytestmark = pytest.mark.timeout(600)  # it may have to be downloaded and built

HOUR = 3600  # seconds
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"


@pytest.fixture(scope="module")
def keycloak():
    with running() as server:
        server.add_realm(
            "staff",
            groups=["admins", "devs", "authors"],
            users=[user("jane", "admins", "devs"), user("joan", "admins", "devs")],
        )
        yield server


def user(name, *groups):
    return {
        "username": name,
        "email": f"{name}@example.com",
        "firstName": name.title(),
        "lastName": "Doe",
        "groups": list(groups),
    }


def mapper(name, kind, **config):
    return {
        "name": name,
        "protocol": "saml",
        "protocolMapper": kind,
        "config": {
            "attribute.name": name,
            "attribute.nameformat": "Basic",
            **{key.replace("_", "."): value for key, value in config.items()},
        },
    }


MAPPERS = [
    mapper("name", "saml-user-property-mapper", user_attribute="username"),
    mapper("mail", "saml-user-property-mapper", user_attribute="email"),
    mapper("groups", "saml-group-membership-mapper", **{"full.path": "false"}),
]


def client(journey, **attributes):
    """Return what registers *journey*; attributes are Keycloak's, with underscores."""
    acs = f"{journey.issuer}/callback"
    return {
        "clientId": acs,
        "protocol": "saml",
        "redirectUris": [acs],
        "fullScopeAllowed": False,
        "attributes": {
            "saml_assertion_consumer_url_post": acs,
            "saml.authnstatement": "true",
            "saml.force.post.binding": "true",
            "saml.client.signature": "false",
            "saml.server.signature": "true",
            "saml.assertion.signature": "true",
            "saml.signature.algorithm": "RSA_SHA256",
            "saml_name_id_format": "persistent",
            "saml_force_name_id_format": "true",
            **attributes,
        },
        "protocolMappers": MAPPERS,
        "defaultClientScopes": [],
    }


@pytest.fixture
def open_journey(keycloak, tmp_path):
    opened = []

    def open_journey(*, attributes=None, settings=None, **config):
        descriptor = f"{keycloak.url}/realms/staff/protocol/saml/descriptor"
        file = tmp_path / "keycloak.xml"
        file.write_bytes(_get(descriptor))
        journey = Journey(
            {
                "type": "saml",
                "config": {
                    "idpMetadataFile": str(file),
                    "redirectURI": "$ISSUER/callback",
                    "usernameAttr": "name",
                    "emailAttr": "mail",
                    "groupsAttr": "groups",
                    **config,
                },
            },
            settings=settings,
        )
        opened.append(journey)
        registered = client(journey, **(attributes or {}))
        keycloak.admin("POST", "/staff/clients", registered)
        return journey

    yield open_journey
    for journey in opened:
        journey.close()


@pytest.fixture
def log_in(open_journey):
    def log_in(**options):
        journey = open_journey(**options)
        return journey.log_in("jane", PASSWORD), journey

    return log_in


def _get(url):
    import urllib.request

    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read()


SIGNED = {
    "both": {},
    "the response": {"saml.assertion.signature": "false"},
    "the assertion": {"saml.server.signature": "false"},
    "with SHA-512": {"saml.signature.algorithm": "RSA_SHA512"},
}


@pytest.mark.parametrize("attributes", SIGNED.values(), ids=SIGNED)
def test_jane_gets_in(attributes, log_in):
    tokens, journey = log_in(attributes=attributes)
    assert tokens.claims["name"] == "jane"
    assert tokens.claims["email"] == "jane@example.com"
    assert sorted(tokens.claims["groups"]) == ["admins", "devs"]
    assert journey.refresh(tokens).claims["email"] == "jane@example.com"


def test_allowed_groups(log_in):
    log_in(allowedGroups=["admins"])
    with pytest.raises(BrowserError) as refused:
        log_in(allowedGroups=["ops"])
    assert refused.value.page.status == 403


def test_sha1_does_not_sign(log_in):
    with pytest.raises(BrowserError, match="was not accepted"):
        log_in(attributes={"saml.signature.algorithm": "RSA_SHA1"})


def test_with_signed_requests_and_encrypted_assertions(log_in, keys, sp_files):
    tokens, _ = log_in(
        attributes={
            "saml.client.signature": "true",
            "saml.signing.certificate": keys.sp.x509,
            "saml.encrypt": "true",
            "saml.encryption.certificate": keys.sp.x509,
        },
        spKey=sp_files["sp_key"],
        spCert=sp_files["sp_cert"],
        signRequests=True,
    )
    assert tokens.claims["email"] == "jane@example.com"


def test_who_cannot_log_in_there_gets_no_further(open_journey):
    with pytest.raises(BrowserError, match="had not ended"):
        open_journey().log_in("jane", "wrong")


def test_other_groups_come_with_the_next_login(open_journey, keycloak):
    """SAML has nobody to ask when a token is refreshed."""
    journey = open_journey()
    tokens = journey.log_in("joan", PASSWORD)
    joan = keycloak.user("staff", "joan")
    [authors] = keycloak.admin("GET", "/staff/groups?search=authors")
    path = f"/staff/users/{joan['id']}/groups/{authors['id']}"
    keycloak.admin("PUT", path)
    try:
        tokens = journey.refresh(tokens)
        assert sorted(tokens.claims["groups"]) == ["admins", "devs"]
        tokens = journey.log_in("joan", PASSWORD)
        assert sorted(tokens.claims["groups"]) == ["admins", "authors", "devs"]
        assert journey.refresh(tokens).claims["groups"] == tokens.claims["groups"]
    finally:
        keycloak.admin("DELETE", path)


def test_whose_account_is_disabled_there_is_out_when_the_session_ends(
    open_journey, keycloak
):
    journey = open_journey()
    tokens = journey.log_in("joan", PASSWORD)
    keycloak.change_user("staff", "joan", enabled=False)
    try:
        with pytest.raises(BrowserError, match="had not ended"):
            journey.log_in("joan", PASSWORD)
        journey.clock.advance(9 * HOUR)
        tokens = journey.refresh(tokens)
        # Its SSO Session Max is ten hours.
        journey.clock.advance(2 * HOUR)
        with pytest.raises(TokenError, match="invalid_grant"):
            journey.refresh(tokens)
    finally:
        keycloak.change_user("staff", "joan", enabled=True)


async def test_jane_clicks_through_it_in_chromium(open_journey, keycloak, example_app):
    """Login, consent, claims and refreshes in the app, until the session there ends."""
    asks = {"oauth2": {"skipApprovalScreen": False}}
    journey = await asyncio.to_thread(open_journey, settings=asks)
    async with example_app(journey, [keycloak.url], [keycloak.url]) as app:
        page = await app.begin()
        await page.get_by_label("Username or email").fill("jane")
        await page.locator("input[type=password]").fill(PASSWORD)
        await page.get_by_role("button", name="Sign In").click()
        await app.agree()
        claims = await app.claims()
        assert claims["email"] == "jane@example.com"
        assert sorted(json.loads(claims["groups"])) == ["admins", "devs"]
        assert await app.refresh() == "The tokens are new."
        assert (await app.claims())["groups"] == claims["groups"]
        journey.clock.advance(11 * HOUR)
        assert "invalid_grant" in await app.refresh()
