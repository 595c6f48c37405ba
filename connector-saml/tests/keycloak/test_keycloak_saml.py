"""Logins through Keycloak: run by ``nox -s keycloak``, which takes minutes."""

from __future__ import annotations

import pytest

from dexcore.testing.browser import BrowserError
from dexcore.testing.journey import Journey
from dexcore.testing.keycloak import PASSWORD, running

POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"


@pytest.fixture(scope="module")
def keycloak():
    with running() as server:
        server.add_realm(
            "staff",
            groups=["admins", "devs"],
            users=[
                {
                    "username": "jane",
                    "email": "jane@example.com",
                    "firstName": "Jane",
                    "lastName": "Doe",
                    "groups": ["admins", "devs"],
                }
            ],
        )
        yield server


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
def log_in(keycloak, tmp_path):
    opened = []

    def log_in(*, attributes=None, **config):
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
            }
        )
        opened.append(journey)
        registered = client(journey, **(attributes or {}))
        keycloak.admin("POST", "/staff/clients", registered)
        return journey.log_in("jane", PASSWORD), journey

    yield log_in
    for journey in opened:
        journey.close()


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
