"""How the end user has logged in, for clients that ask: acr and amr.

OpenID Connect Core sections 2, 3.1.2.1 and 5.5.1.1; RFC 8176.
"""

import json

import attrs
import pytest

from dexcore import hookimpl
from dexcore.connector import (
    CallbackConnector,
    ConnectorType,
    Identity,
    NegotiateConnector,
    PasswordConnector,
    Redirect,
)

SCOPE = "openid"


class Upstream(CallbackConnector):
    """Logs in as well as it is asked to, and as it can."""

    def __init__(self):
        self.asked = []
        self.can = ["gold", "silver", "bronze"]
        self.amr = ("pwd", "otp")

    async def begin(self, scopes, callback_url, state):
        self.asked.append(scopes)
        return Redirect(f"{callback_url}?state={state}")

    async def finish(self, scopes, callback):
        assert scopes == attrs.evolve(self.asked[-1], login_hint="")
        done = [each for each in scopes.acr_values if each in self.can]
        acr = done[0] if done else self.can[-1]
        return Identity("u", "Ursula", acr=acr, amr=self.amr)


class Ticket(PasswordConnector, NegotiateConnector):
    """Takes any ticket, and any password."""

    async def login(self, scopes, username, password):
        return Identity("u", "Ursula")

    async def negotiate(self, scopes, callback):
        return Identity("u", "Ursula") if "Authorization" in callback.headers else None


@attrs.frozen
class NoOptions:
    """No options."""


def connected(text, connector):
    """Return *text* with *connector* as its only one, and the plugin that has it."""

    async def open_(config, context):
        return connector

    class Plugin:
        @hookimpl
        def dex_connector_types(self):
            return [ConnectorType("tested", NoOptions, open_)]

    text = text.replace(
        "{type: mockPassword, id: pw, name: Passwords, "
        "config: {username: jane, password: fox}}",
        "{type: tested, id: tested, name: Tested}",
    )
    return text, Plugin()


@pytest.fixture(params=[True, False], ids=["sessions", "no sessions"])
async def upstream(request, make_world, sso_config):
    connector = Upstream()
    text = sso_config if request.param else sso_config.replace("sessions: {}", "")
    return await make_world(*connected(text, connector)), connector


@pytest.fixture
async def sessions(make_world, sso_config):
    connector = Upstream()
    return await make_world(*connected(sso_config, connector)), connector


def essential(*values, **more):
    return json.dumps(
        {"id_token": {"acr": {"essential": True, "values": values}, **more}}
    )


async def go(world, browser=None, **changes):
    """Go there and back; return what the client is answered."""
    browser = browser or world.browser()
    return await browser.follow(await world.ask(browser, **{"scope": SCOPE} | changes))


def context_of(claims):
    return claims.get("acr"), claims.get("amr")


# — who asks is told -------------------------------------------------------------------


async def test_nobody_is_told_who_does_not_ask(upstream):
    world, _ = upstream
    landed = await go(world)
    assert context_of(await world.id_claims(landed)) == (None, None)
    assert len(landed.params["code"]) == 33


async def test_who_wishes_for_an_acr_is_told_which_it_was(upstream):
    world, connector = upstream
    landed = await go(world, acr_values="platinum gold silver")
    tokens = await world.tokens_of(landed)
    found = await world.claims(tokens["id_token"])
    assert context_of(found) == ("gold", ["pwd", "otp"])
    assert connector.asked[0].acr_values == ("platinum", "gold", "silver")
    assert not connector.asked[0].acr_essential
    access = await world.claims(tokens["access_token"])
    assert context_of(access) == (None, None)


async def test_a_wish_that_is_not_met_is_no_error(upstream):
    """Core section 3.1.2.1: voluntary."""
    world, _ = upstream
    landed = await go(world, acr_values="platinum")
    assert (await world.id_claims(landed))["acr"] == "bronze"


@pytest.mark.parametrize(
    ("asked", "id_token", "userinfo"),
    [
        ('{"id_token": {"acr": null}}', ("bronze", None), (None, None)),
        ('{"id_token": {"amr": null}}', (None, ["pwd", "otp"]), (None, None)),
        (
            '{"userinfo": {"acr": null, "amr": null}}',
            (None, None),
            ("bronze", ["pwd", "otp"]),
        ),
        (
            '{"id_token": {"acr": {"values": ["silver"]}}}',
            ("silver", None),
            (None, None),
        ),
        (
            '{"id_token": {"acr": {"value": "platinum"}}}',
            ("bronze", None),
            (None, None),
        ),
        ('{"id_token": {"acr": {"essential": true}}}', ("bronze", None), (None, None)),
    ],
)
async def test_a_claim_is_told_where_it_is_asked_for(
    upstream, asked, id_token, userinfo
):
    world, _ = upstream
    tokens = await world.tokens_of(await go(world, claims=asked))
    assert context_of(await world.claims(tokens["id_token"])) == id_token
    answer = await world.userinfo(tokens["access_token"])
    assert context_of(json.loads(answer.text)) == userinfo


async def test_a_refreshed_token_tells_of_the_same_login(make_world, sso_config):
    up = "{type: mockCallback, id: up, name: Up, config: {acr: gold, amr: [hwk, mfa]}}"
    text = sso_config.replace("staticClients:", f"- {up}\nstaticClients:")
    world = await make_world(text)
    landed = await go(
        world, scope="openid offline_access", connector_id="up", acr_values="gold"
    )
    tokens = await world.tokens_of(landed)
    for _ in range(2):
        tokens = json.loads((await world.refresh(tokens["refresh_token"])).text)
        found = await world.claims(tokens["id_token"])
        assert context_of(found) == ("gold", ["hwk", "mfa"])


async def test_a_password_typed_here_is_pwd(sso):
    _, landed = await sso.logged_in(acr_values="gold")
    assert context_of(await sso.id_claims(landed)) == (None, ["pwd"])


async def test_a_ticket_of_the_browser_is_wia(make_world, sso_config):
    """RFC 8176 section 2, RFC 4559."""
    world = await make_world(*connected(sso_config, Ticket()))
    browser = world.browser()
    form = await world.form(browser, scope=SCOPE, acr_values="x")
    landed = await browser.get(form.url, headers={"Authorization": "Negotiate AAAA"})
    assert (await world.id_claims(landed))["amr"] == ["wia"]
    silent = await world.silently(browser, scope=SCOPE, acr_values="x")
    assert (await world.id_claims(silent))["amr"] == ["wia"]
    form = await world.form(browser, scope=SCOPE, acr_values="x", prompt="login")
    landed = await browser.post(form.url, data={"login": "u", "password": "p"})
    assert (await world.id_claims(landed))["amr"] == ["pwd"]
    silent = await world.silently(browser, scope=SCOPE, acr_values="x")
    assert (await world.id_claims(silent))["amr"] == ["pwd"]
    assert await world.storage.supplements.list() == []


@pytest.mark.parametrize(
    ("acr", "amr"),
    [(7, (7, None)), ("two words", "pwd"), ("x" * 300, ("",)), (None, None)],
)
async def test_what_a_connector_cannot_mean_is_not_told(upstream, acr, amr):
    world, connector = upstream
    connector.can, connector.amr = [acr], amr
    landed = await go(world, acr_values="gold")
    assert context_of(await world.id_claims(landed)) == (None, None)


# — who insists ------------------------------------------------------------------------


async def test_who_insists_gets_one_of_the_values(upstream):
    world, connector = upstream
    landed = await go(world, claims=essential("silver", "gold"), acr_values="bronze")
    assert (await world.id_claims(landed))["acr"] == "silver"
    assert connector.asked[0].acr_values == ("silver", "gold")
    assert connector.asked[0].acr_essential


@pytest.mark.parametrize("values", [["platinum"], [" bronze"], ["BRONZE"]])
async def test_a_demand_that_is_not_met_is_a_failed_login(upstream, values):
    """Core section 5.5.1.1."""
    world, _ = upstream
    refused = await go(world, claims=essential(*values))
    assert refused.params == {
        "error": "unmet_authentication_requirements",
        "error_description": "The login was not of a kind that the claims parameter "
        "demands (acr).",
        "state": "xyz",
        "iss": "http://127.0.0.1:5556/dex",
    }
    assert await world.storage.auth_sessions.list() == []
    assert await world.storage.auth_codes.list() == []


async def test_a_password_meets_no_demand(sso):
    """Nothing is known of it but that it was one."""
    _, refused = await sso.logged_in(claims=essential("gold"))
    assert refused.params["error"] == "unmet_authentication_requirements"


async def test_a_demand_in_userinfo_is_one_too(upstream):
    world, _ = upstream
    asked = {"userinfo": {"acr": {"essential": True, "value": "platinum"}}}
    refused = await go(world, claims=json.dumps(asked))
    assert refused.params["error"] == "unmet_authentication_requirements"


# — sessions ---------------------------------------------------------------------------


async def test_a_session_tells_of_its_own_login(sessions):
    """T-MFA-03: neither lost nor raised by using it."""
    world, connector = sessions
    browser = world.browser()
    await go(world, browser, acr_values="silver")
    connector.can, connector.amr = ["gold"], ("hwk",)
    for changes in ({}, {"acr_values": "gold"}):
        landed = await go(world, browser, **{"acr_values": "bronze"} | changes)
        found = await world.id_claims(landed)
        assert context_of(found) == ("silver", ["pwd", "otp"])
    assert len(connector.asked) == 1


async def test_a_session_below_the_demand_is_not_used(sessions):
    """Core section 5.5.1.1: another login may do; silently there is none."""
    world, connector = sessions
    browser = world.browser()
    await go(world, browser)
    refused = await world.silently(browser, scope=SCOPE, claims=essential("gold"))
    assert refused.params["error"] == "login_required"
    assert len(connector.asked) == 1
    landed = await go(world, browser, claims=essential("gold"))
    assert (await world.id_claims(landed))["acr"] == "gold"
    assert len(connector.asked) == 2
    silent = await world.silently(browser, scope=SCOPE, claims=essential("gold"))
    assert (await world.id_claims(silent))["acr"] == "gold"


async def test_the_last_login_of_a_session_is_what_counts(sessions):
    """Also if it was a lesser one."""
    world, connector = sessions
    browser = world.browser()
    await world.id_claims(await go(world, browser, acr_values="gold"))
    connector.can = ["bronze"]
    await go(world, browser, prompt="login")
    refused = await world.silently(browser, scope=SCOPE, claims=essential("gold"))
    assert refused.params["error"] == "login_required"
    [session] = await world.storage.auth_sessions.list()
    [kept] = await world.storage.supplements.list()
    assert kept.extras.acr == "bronze"
    assert kept.expiry == session.absolute_expiry


async def test_a_login_that_fails_the_demand_leaves_the_session_alone(sessions):
    world, connector = sessions
    browser = world.browser()
    await go(world, browser)
    connector.can = ["bronze"]
    refused = await go(world, browser, claims=essential("gold"))
    assert refused.params["error"] == "unmet_authentication_requirements"
    silent = await world.silently(browser, scope=SCOPE, acr_values="x")
    assert (await world.id_claims(silent))["acr"] == "bronze"


async def test_another_client_learns_of_the_same_login(sessions):
    world, _ = sessions
    browser = world.browser()
    await go(world, browser, acr_values="gold")
    silent = await world.silently(
        browser, scope=SCOPE, client_id="other-app", claims=essential("gold")
    )
    assert (await world.id_claims(silent, "other-app"))["acr"] == "gold"


# — groups and languages -------------------------------------------------------------


async def test_the_upstream_hears_the_users_languages(upstream):
    world, connector = upstream
    landed = await go(world, ui_locales="fr-CA fr <b> en")
    assert connector.asked[0].ui_locales == ("fr-CA", "fr", "en")
    assert len(landed.params["code"]) == 33


async def test_the_upstream_hears_that_groups_are_wanted_one_by_one(upstream):
    world, connector = upstream
    await go(world, claims='{"userinfo": {"email": null}}', prompt="login")
    await go(world, claims='{"userinfo": {"groups": null}}', prompt="login")
    assert [scopes.groups for scopes in connector.asked] == [False, True]


@pytest.mark.parametrize("wish", ["two words", "x\x00y", "\u0007"])
async def test_what_no_login_can_be_is_not_asked_of_the_upstream(upstream, wish):
    """It could not be written into a list, or into XML."""
    world, connector = upstream
    refused = await go(world, claims=essential(wish))
    assert refused.params["error"] == "unmet_authentication_requirements"
    await go(world, claims=essential(wish, "gold"))
    assert [scopes.acr_values for scopes in connector.asked] == [(), ("gold",)]
    assert all(scopes.acr_essential for scopes in connector.asked)
