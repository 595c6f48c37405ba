"""What the file may say, and what it is told when it is wrong."""

import pytest

from dexcore_connector_oidc import Config

from dexcore.config import structure
from dexcore.errors import ConfigError

MINIMAL = {"issuer": "https://login.example.com"}


def config(**options):
    return structure({**MINIMAL, **options}, Config, where="config")


def test_the_issuer_is_enough():
    made = config()
    assert made.scopes == ("profile", "email")
    assert made.user_id_key == "sub"
    assert made.prompt_type is None


def test_keys_are_those_of_dex_in_any_case():
    made = config(
        clientid="a",
        CLIENTSECRET="b",
        redirectUri="https://dex.example.com/callback",
        insecureskipverify=True,
        rootcas=["/ca.pem"],
        claimMapping={"preferred_username": "nick"},
        providerDiscoveryOverrides={"userInfoURL": "https://x.example/u"},
        claimModifications={"newGroupFromClaims": [{"claims": ["a"], "prefix": "p"}]},
    )
    assert (made.client_id, made.client_secret) == ("a", "b")
    assert made.root_cas == ("/ca.pem",)
    assert made.claim_mapping.preferred_username == "nick"
    assert made.provider_discovery_overrides.user_info_url == "https://x.example/u"
    assert made.claim_modifications.new_group_from_claims[0].prefix == "p"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"issuer": ""}, "issuer is no http or https address"),
        ({"issuer": "login.example.com"}, "issuer is no http"),
        ({"issuer": "ftp://login.example.com"}, "issuer is no http"),
        ({"issuer": "https://[x"}, "issuer is no http"),
        ({"hostedDomains": ["example.com"]}, "change the type to google"),
        ({"allowedGroups": ["a"]}, "insecureEnableGroups: true"),
        ({"pkceChallenge": "S512"}, "S256"),
        ({"clientSecret": "a", "clientAssertionKey": "b"}, "both clientSecret"),
        (
            {"claimModifications": {"filterGroupClaims": {"groupsFilter": "("}}},
            "no regular expression",
        ),
        ({"providerDiscoveryOverrides": {"endSessionURL": "javascript:x"}}, "endSess"),
        ({"providerDiscoveryOverrides": {"tokenURL": "/token"}}, "tokenURL is no"),
        ({"providerDiscoveryOverrides": {"deviceAuthURL": "x"}}, "deviceAuthURL is no"),
    ],
    ids=str,
)
def test_a_mistake_is_named_with_a_remedy(options, words):
    with pytest.raises(ConfigError) as told:
        config(**options)
    assert words in str(told.value)
    assert "b" not in str(told.value).split() or "clientSecret" not in options


def test_secrets_are_not_shown():
    made = config(clientSecret="the-secret")
    assert "the-secret" not in repr(made)
    made = config(clientAssertionKey="the-key")
    assert "the-key" not in repr(made)


@pytest.mark.parametrize(
    ("host", "okta"),
    [
        ("dev.oktapreview.com", True),
        ("dev.okta.com", True),
        ("okta.com", True),
        ("dev.okta.com:443", True),
        ("dev.oktaaccounts.com", False),
        ("accounts.google.com", False),
        ("notokta.com", False),
    ],
)
def test_okta_gets_the_secret_in_the_form(host, okta):
    assert config(issuer=f"https://{host}/oauth2").secret_in_form is okta


@pytest.mark.parametrize("said", [True, False])
def test_unless_the_file_says_something_else(said):
    made = config(issuer="https://dev.okta.com", basicAuthUnsupported=said)
    assert made.secret_in_form is said
