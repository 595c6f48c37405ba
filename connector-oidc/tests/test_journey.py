"""From an app through a provider that may be malicious, and back."""

import base64
import json
import logging
import time
import urllib.error
import urllib.request

from urllib.parse import urlencode

import pytest

from aiohttp import web

from dexcore.jose import generate
from dexcore.testing.browser import BrowserError, SyncBrowser
from dexcore.testing.journey import Journey
from dexcore.testing.tokens import TokenError
from dexcore.testing.upstreams.openid import OpenIDProvider


def connector(provider, id="good", **options):
    return {
        "type": "oidc",
        "id": id,
        "name": id.title(),
        "config": {
            "issuer": provider.issuer,
            "clientID": "dexcore",
            "clientSecret": "secret",
            "redirectURI": "$ISSUER/callback",
            "insecureEnableGroups": True,
            **options,
        },
    }


@pytest.fixture
def attacker():
    """A provider that is configured, too, and whose keepers are no friends."""
    with OpenIDProvider() as provider:
        provider.add_user("mallory", sub="id-of-jane", email="jane@example.com")
        provider.add_client()
        yield provider


def test_two_providers_do_not_share_users(provider, attacker):
    with Journey(connector(provider), connector(attacker, "evil")) as journey:
        jane = journey.log_in("jane", "password", connector="good")
        mallory = journey.log_in("mallory", "password", connector="evil")
    assert jane.claims["email"] == mallory.claims["email"]
    assert jane.claims["sub"] != mallory.claims["sub"]


@pytest.mark.parametrize("named", [True, False])
def test_a_code_of_one_provider_is_not_brought_to_another(provider, attacker, named):
    """T-FLOW-04."""
    # Mix-up (RFC 9700 section 4.4): the malicious one sends the browser on to the good
    # one, and hopes that we bring its code to the malicious one.
    provider.names_itself = named
    back = "$ISSUER/callback" if named else "$ISSUER/callback/good"

    def send_on(seen):
        query = {**seen.query}
        if not named:
            # The good one knows no other address.
            query["redirect_uri"] = f"{journey.issuer}/callback/good"
        url = f"{provider.issuer}/authorize?{urlencode(query)}"
        return web.Response(status=302, headers={"Location": url})

    attacker.answers["/trap"] = send_on
    attacker.metadata_changes["authorization_endpoint"] = f"{attacker.url}/trap"
    with (
        Journey(
            connector(provider, redirectURI=back), connector(attacker, "evil")
        ) as journey,
        pytest.raises(BrowserError) as refused,
    ):
        journey.log_in("jane", "password", connector="evil")
    assert refused.value.page.status == 400
    assert len(attacker.asked("/trap")) == 1
    assert not attacker.asked("/token")


def test_a_provider_that_is_down_at_the_start_costs_only_its_own_users(provider):
    local = {"type": "mockPassword", "config": {"username": "joe", "password": "fox"}}
    provider.down()
    with Journey(connector(provider), local) as journey:
        assert "openid-configuration" in journey.states["good"]
        assert journey.log_in("joe", "fox", connector="mockPassword").claims["sub"]
        with SyncBrowser() as browser:
            page = browser.authorize(journey.authorization_url())
            assert "unavailable" in page.words
        provider.up()
        until = time.monotonic() + 60
        while journey.states["good"] and time.monotonic() < until:
            time.sleep(0.1)  # it is tried again in the background
        tokens = journey.log_in("jane", "password", connector="good")
    assert tokens.claims["email"] == "jane@example.com"


@pytest.mark.parametrize("trouble", ["down", "slow", "html"])
def test_a_provider_in_trouble_keeps_nobody_waiting_and_loses_nobody(provider, trouble):
    provider.rotates = True
    with Journey(connector(provider)) as journey:
        tokens = journey.log_in("jane", "password")
        with getattr(provider, trouble)(), pytest.raises(TokenError, match=r"50[23] "):
            journey.refresh(tokens)
        assert journey.refresh(tokens).claims["email"] == "jane@example.com"


def test_no_secret_is_in_any_log(provider, caplog):
    caplog.set_level(logging.DEBUG)
    provider.rotates = True
    with Journey(connector(provider, getUserInfo=True)) as journey:
        journey.refresh(journey.log_in("jane", "password"))
        provider.callback_changes.update(error="access_denied", error_description="No")
        with pytest.raises(BrowserError):
            journey.log_in("jane", "password")
    said = " ".join(f"{each.getMessage()} {vars(each)}" for each in caplog.records)
    for seen in provider.requests:
        for name in ("code", "code_verifier", "refresh_token", "client_secret"):
            value = seen.form.get(name)
            assert value is None or value not in said or value == "secret", name
        token = seen.headers.get("Authorization", "").rpartition(" ")[2]
        assert not token or token not in said


def test_its_key_can_be_fetched_by_the_provider(provider):
    options = {"clientSecret": "", "clientAssertionKey": json.dumps(generate("ES256"))}
    with Journey(connector(provider, **options)) as journey:
        url = f"{journey.issuer}/connectors/good/metadata"
        with urllib.request.urlopen(url) as answer:
            jwks = json.loads(answer.read())
        provider.add_client("dexcore", "", auth=["private_key_jwt"], jwks=jwks)
        tokens = journey.log_in("jane", "password")
    assert tokens.claims["email"] == "jane@example.com"


# — what clients ask to be told --------------------------------------------------------


def walked(journey, **more):
    """Return the tokens of a login with these parameters."""
    url = journey.authorization_url(**more)
    with SyncBrowser(stop_at=journey.redirect_uri) as browser:
        return journey.landed(browser.log_in(url, "jane", "password").url)


def test_what_the_provider_knows_gets_through(provider):
    provider.add_user(
        "jane",
        given_name="Jane",
        picture="javascript:alert(1)",
        address={"country": "CH", "planet": "Earth"},
        phone_number="+41 31 000 00 00",
        department="R&D",
    )
    with Journey(connector(provider)) as journey:
        tokens = walked(
            journey,
            scopes="openid profile address offline_access",
            claims='{"userinfo": {"phone_number": null}}',
        )
        assert tokens.claims["given_name"] == "Jane"
        assert tokens.claims["address"] == {"country": "CH"}
        assert not {"picture", "phone_number", "department"} & {*tokens.claims}
        assert journey.userinfo(tokens)["phone_number"] == "+41 31 000 00 00"
        provider.add_user("jane", given_name="Joan")
        tokens = journey.refresh(tokens)
        assert tokens.claims["given_name"] == "Joan"
        assert "address" not in tokens.claims
        assert "phone_number" not in journey.userinfo(tokens)


def test_a_demand_reaches_the_provider_and_its_answer_the_app(provider):
    provider.id_token_changes.update(acr="gold", amr=["hwk"])
    demand = '{"id_token": {"acr": {"essential": true, "values": ["%s"]}, "amr": null}}'
    with Journey(connector(provider)) as journey:
        tokens = walked(journey, claims=demand % "gold")
        assert (tokens.claims["acr"], tokens.claims["amr"]) == ("gold", ["hwk"])
        seen = provider.asked("/authorize")[0]
        assert seen.query["acr_values"] == "gold"
        with pytest.raises(TokenError, match="unmet_authentication_requirements"):
            walked(journey, claims=demand % "platinum")


# — token exchange ---------------------------------------------------------------------

KIND = "urn:ietf:params:oauth:token-type:"


def exchanged(journey, token, kind):
    """Return status and claims of what the app gets for a *token* of the provider."""
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "connector_id": "good",
        "subject_token": token,
        "subject_token_type": f"{KIND}{kind}",
        "scope": "openid email groups",
    }
    basic = base64.b64encode(b"app:secret").decode()
    status, answer = ask(
        f"{journey.issuer}/token", f"Basic {basic}", urlencode(form).encode()
    )
    if status != 200:
        return status, answer
    return ask(f"{journey.issuer}/userinfo", f"Bearer {answer['access_token']}")


def ask(url, authorization, body=None):
    request = urllib.request.Request(url, body, {"Authorization": authorization})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@pytest.mark.parametrize("kind", ["id_token", "access_token"])
def test_a_token_of_the_provider_becomes_one_of_ours(provider, kind):
    provider.add_user("jane", groups=["admins"])
    provider.add_client("another")
    with Journey(connector(provider, getUserInfo=kind == "access_token")) as journey:
        logged_in = journey.log_in("jane", "password")
        status, claims = exchanged(journey, provider.tokens()[kind], kind)
        assert (status, claims["groups"]) == (200, ["admins"])
        assert claims["sub"] == logged_in.claims["sub"]
        theirs = provider.tokens("jane", "another")[kind]
        status, refusal = exchanged(journey, theirs, kind)
        assert (status, refusal["error"]) == (401, "access_denied")
