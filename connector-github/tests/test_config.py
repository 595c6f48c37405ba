"""What the file may say, and what it hears if it does not."""

from __future__ import annotations

import base64

import pytest

from dexcore_connector_github.config import Config

from dexcore.config import structure
from dexcore.errors import ConfigError

KEYS = {
    "clientID": "id",
    "clientSecret": "a secret",
    "redirectURI": "https://x/callback",
}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"clientID": ""}, "clientID"),
        ({"org": "a", "orgs": [{"name": "b"}]}, "org and orgs exclude each other"),
        ({"orgs": [{"name": ""}]}, "name is empty"),
        ({"hostName": "https://github.example.com"}, "hostName is more than a host"),
        ({"hostName": "github.example.com/"}, "hostName is more than a host"),
        ({"rootCA": "/etc/ca.pem"}, "rootCA is only for"),
        ({"rootCA": "/etc/ca.pem", "hostName": "github.com"}, "rootCA is only for"),
        ({"teamNameField": "id"}, "teamNameField"),
        ({"preferredEmailDomain": "example.*"}, 'cannot end with "\\*"'),
        ({"preferredEmailDomain": "*"}, 'cannot end with "\\*"'),
    ],
)
def test_what_cannot_be_is_said_with_its_place(keys, words):
    with pytest.raises(ConfigError, match=words) as refused:
        structure({**KEYS, **keys}, Config, where="connector 'github'")
    assert "connector 'github'" in str(refused.value)


@pytest.mark.parametrize("domain", ["example.com", "*.example.com", "*.*.example.com"])
def test_domains_may_be_patterns(domain):
    config = structure({**KEYS, "preferredEmailDomain": domain}, Config)
    assert config.preferred_email_domain == domain


def test_every_key_of_dex_is_known_in_any_case(caplog):
    keys = {
        "CLIENTID": "id",
        "clientSecret": "s",
        "redirectURI": "u",
        "orgs": [{"NAME": "acme", "teams": ["core"]}],
        "loadAllGroups": True,
        "hostName": "github.example.com:8443",
        "rootca": "/etc/ca.pem",
        "teamNameField": "both",
        "useLoginAsID": True,
        "preferredEmailDomain": "example.com",
    }
    config = structure(keys, Config)

    assert config.orgs[0].teams == ("core",)
    assert config.use_login_as_id
    assert config.enterprise
    assert not caplog.records


def test_the_secret_is_never_shown():
    assert "a secret" not in repr(structure(KEYS, Config))


async def test_a_root_certificate_that_cannot_be_read_is_a_mistake_of_the_file(
    open_login,
):
    with pytest.raises(ConfigError, match="root certificate 0 must be a file"):
        await open_login(rootCA="/nowhere/ca.pem")


@pytest.mark.parametrize("how", ["file", "text", "base64"])
async def test_the_root_certificate_is_a_file_text_or_base64(
    github, open_login, tmp_path, how
):
    file = tmp_path / "ca.pem"
    file.write_text(github.ca)
    given = {
        "file": str(file),
        "text": github.ca,
        "base64": base64.b64encode(github.ca.encode()).decode(),
    }
    github.add("jane", id=7)

    assert (await (await open_login(rootCA=given[how])).log_in()).user_id == "7"


async def test_keys_that_mean_nothing_together_are_warned_of(open_login, caplog):
    await open_login(loadAllGroups=True, orgs=[{"name": "acme"}])
    assert "loadAllGroups means nothing" in caplog.text
