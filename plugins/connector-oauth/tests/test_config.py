"""What the file may say, and what it hears if it does not."""

from __future__ import annotations

import base64
import logging

import pytest

from dexcore_connector_oauth.config import Config

from dexcore.config import structure
from dexcore.errors import ConfigError, UpstreamError
from dexcore.testing.upstreams.oauth2 import OAuth2Provider, User

KEYS = {
    "clientID": "id",
    "clientSecret": "a secret",
    "authorizationURL": "https://login.example/authorize",
    "tokenURL": "https://login.example/token",
    "userInfoURL": "https://login.example/userinfo",
}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"clientID": ""}, "clientID is empty"),
        ({"authorizationURL": ""}, "authorizationURL is no http or https address"),
        ({"tokenURL": "login.example/token"}, "tokenURL is no http or https address"),
        ({"tokenURL": "https://[::1/token"}, "tokenURL is no http or https address"),
        ({"userInfoURL": "file:///etc/passwd"}, "userInfoURL is no http or https"),
        ({"pkceChallenge": "plain"}, "pkceChallenge"),
        ({"userIDFormat": "go"}, "userIDFormat"),
        ({"scopes": {"a": 1}}, "scopes"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(keys, words):
    with pytest.raises(ConfigError, match=words) as refused:
        structure({**KEYS, **keys}, Config, where="connector 'oauth'")
    assert "connector 'oauth'" in str(refused.value)


@pytest.mark.parametrize("key", ["clientID", "authorizationURL", "tokenURL"])
def test_what_is_needed_is_asked_for(key):
    with pytest.raises(ConfigError, match=key):
        structure({name: KEYS[name] for name in KEYS if name != key}, Config)


def test_every_key_of_dex_is_known_in_any_case(caplog):
    keys = {
        **KEYS,
        "redirecturi": "https://x/callback",
        "SCOPES": ["a"],
        "rootCAs": ["/etc/ca.pem"],
        "insecureSkipVerify": True,
        "useridkey": "uid",
        "claimMapping": {
            "userNameKey": "a",
            "preferredUsernameKey": "b",
            "groupsKey": "c",
            "emailKey": "d",
            "emailverifiedkey": "e",
        },
    }
    config = structure(keys, Config)

    assert config.user_id_key == "uid"
    assert config.claim_mapping.email_verified_key == "e"
    assert not caplog.records


def test_the_secret_is_never_shown():
    assert "a secret" not in repr(structure(KEYS, Config))


@pytest.fixture
def secure_provider():
    with OAuth2Provider(tls=True) as provider:
        provider.users["jane"] = User({"id": "1"})
        yield provider


@pytest.mark.parametrize("how", ["file", "text", "base64"])
async def test_the_root_certificate_is_a_file_text_or_base64(
    secure_provider, open_login, tmp_path, how
):
    file = tmp_path / "ca.pem"
    file.write_text(secure_provider.ca)
    given = {
        "file": str(file),
        "text": secure_provider.ca,
        "base64": base64.b64encode(secure_provider.ca.encode()).decode(),
    }
    login = await open_login(secure_provider, rootCAs=[given[how]])

    assert (await login.log_in()).user_id == "1"


async def test_a_certificate_nobody_vouches_for_is_believed_only_if_the_file_says_so(
    secure_provider, open_login, caplog
):
    strict = await open_login(secure_provider)
    with pytest.raises(UpstreamError, match="certificate"):
        await strict.log_in()
    assert secure_provider.requests == []
    with caplog.at_level(logging.WARNING):
        careless = await open_login(secure_provider, insecureSkipVerify=True)

    assert (await careless.log_in()).user_id == "1"
    assert "insecureSkipVerify" in caplog.text


async def test_a_root_certificate_that_is_none_is_a_mistake_of_the_file(open_login):
    with pytest.raises(ConfigError, match="root certificate 1 must be a file"):
        await open_login(rootCAs=["", "/nowhere/ca.pem"])
