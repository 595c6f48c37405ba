"""Through the whole server: from an app, over the directory, to a verified ID token."""

import asyncio

import pytest

from playwright.async_api import expect

from dexcore.testing.browser import Browser
from dexcore.testing.journey import Journey
from dexcore.testing.page import Page
from dexcore.testing.tokens import TokenError

BASE = "dc=example,dc=org"
JANE = f"cn=jane,ou=People,{BASE}"
GROUPS = {
    "baseDN": f"ou=Groups,{BASE}",
    "userMatchers": [{"userAttr": "DN", "groupAttr": "member"}],
    "nameAttr": "cn",
}


def ldap(settings, server=None, **keys):
    config = settings(server, groupSearch=GROUPS, **keys)
    return {"type": "ldap", "id": "ldap", "name": "Staff", "config": config}


@pytest.fixture
def mortal(make_slapd):
    return make_slapd()


@pytest.fixture
def journey(settings, mortal):
    with Journey(ldap(settings, mortal)) as journey:
        yield journey


def test_a_login_ends_in_a_verified_id_token(journey):
    tokens = journey.log_in("jane", "foo")
    assert tokens.claims["name"] == "jane"
    assert tokens.claims["email"] == "janedoe@example.com"
    assert tokens.claims["email_verified"] is True
    assert tokens.claims["groups"] == ["admins", "developers"]
    assert journey.userinfo(tokens)["groups"] == ["admins", "developers"]


def test_an_app_that_wants_more_gets_what_the_directory_knows(settings, mortal):
    search = {"claimAttrs": {"family_name": "sn", "phone_number": "telephoneNumber"}}
    with Journey(ldap(settings, mortal, userSearch=search)) as journey:
        tokens = journey.log_in(
            "jane", "foo", scopes="openid profile phone offline_access"
        )
        assert tokens.claims["family_name"] == "doe"
        assert "phone_number" not in tokens.claims
        mortal.modify(
            f"dn: {JANE}\nchangetype: modify\n"
            "add: telephoneNumber\ntelephoneNumber: 112\n"
        )
        tokens = journey.refresh(tokens)
        assert tokens.claims["phone_number"] == "112"
        plain = journey.log_in("jane", "foo", scopes="openid email")
        assert "family_name" not in plain.claims


def test_the_subject_is_dexs(journey):
    # Go's protobuf of user id and connector id, in base64.
    assert journey.log_in("jane", "foo").claims["sub"] == "CgRqYW5lEgRsZGFw"


def test_a_refresh_tells_what_has_changed(journey, mortal):
    tokens = journey.log_in("jane", "foo")
    mortal.modify(
        f"dn: cn=admins,ou=Groups,{BASE}\nchangetype: modify\n"
        f"delete: member\nmember: {JANE}\n"
    )
    tokens = journey.refresh(tokens)
    assert tokens.claims["groups"] == ["developers"]


def test_somebody_who_is_gone_gets_no_more_tokens(journey, mortal):
    tokens = journey.log_in("jane", "foo")
    tokens = journey.refresh(tokens)
    mortal.modify(f"dn: {JANE}\nchangetype: delete\n")
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)


def test_a_directory_that_is_down_costs_nobody_their_tokens(journey, mortal):
    tokens = journey.log_in("jane", "foo")
    mortal.stop()
    with pytest.raises(TokenError, match="503"):
        journey.refresh(tokens)
    mortal.start()
    assert journey.refresh(tokens).claims["email"] == "janedoe@example.com"


async def typed(journey, username, password, connector=None):
    """The page that somebody sees who has typed this."""
    async with Browser(stop_at=journey.redirect_uri) as browser:
        page = await browser.authorize(journey.authorization_url())
        if connector:
            page = await browser.choose(page, connector)
        return await browser.enter(page, username, password)


async def test_a_wrong_password_brings_the_form_back(journey):
    page = await typed(journey, "jane", "wrong")
    assert isinstance(page, Page)
    assert page.status == 401
    assert "Wrong Username or password" in page.words


async def test_a_directory_that_is_down_is_a_page_that_says_so(journey, mortal):
    mortal.stop()
    page = await typed(journey, "jane", "foo")
    assert page.status == 503
    assert "temporarily unavailable" in page.words
    assert "127.0.0.1" not in page.words


async def test_a_directory_that_hangs_delays_nobody_else(settings, hostile, until):
    silent = hostile(lambda server, connection: server.ended.wait(60))
    other = {
        "type": "mockPassword",
        "id": "other",
        "name": "Other",
        "config": {"username": "kim", "password": "fox"},
    }
    section = ldap(settings, host=silent.host)
    with Journey(section, other) as journey:
        browsers = [Browser(stop_at=journey.redirect_uri) for _ in range(200)]
        forms = []
        for browser in browsers:
            page = await browser.authorize(journey.authorization_url())
            forms.append(await browser.choose(page, "Staff"))
        hanging = [
            asyncio.create_task(browser.enter(form, f"user{number}", "foo"))
            for number, (browser, form) in enumerate(zip(browsers, forms, strict=True))
        ]
        posted = "POST /dex/auth/ldap/login"
        await until(lambda: journey.requests.count(posted) == 200)
        landing = await typed(journey, "kim", "fox", "Other")
        still = [task for task in hanging if not task.done()]
        assert journey.landed(landing.url).claims["name"] == "Kilgore Trout"
        assert len(still) == 200
        silent.close()
        for page in await asyncio.gather(*hanging):
            assert page.status == 503
        for browser in browsers:
            await browser.close()


# — in a real browser ------------------------------------------------------------------


async def test_somebody_logs_in_with_chromium(journey, mortal, open_app):
    async with open_app(journey) as app:
        await app.press("Log in")
        await app.page.get_by_label("Username").fill("jane")
        await app.page.get_by_label("Password").fill("wrong")
        await app.press("Log in")
        await app.page.get_by_role("alert").wait_for()
        await app.page.get_by_label("Password").fill("foo")
        await app.press("Log in")
        await expect(app.groups).to_contain_text('"admins"')
        await expect(app.groups).to_contain_text('"developers"')

        mortal.modify(
            f"dn: cn=admins,ou=Groups,{BASE}\nchangetype: modify\n"
            f"delete: member\nmember: {JANE}\n"
        )
        await app.press("Refresh")
        await expect(app.outcome).to_contain_text("The tokens are new.")
        await expect(app.groups).to_contain_text('["developers"]')

        mortal.modify(f"dn: {JANE}\nchangetype: delete\n")
        await app.press("Refresh")
        await expect(app.outcome).to_contain_text("invalid_grant")
