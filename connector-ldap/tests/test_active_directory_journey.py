"""Active Directory through the whole server: to a verified ID token, and to its end."""

import base64
import uuid

import pytest

from playwright.async_api import expect

from dexcore.testing.browser import BrowserError
from dexcore.testing.journey import Journey
from dexcore.testing.tokens import TokenError

BASE = "DC=ad,DC=example,DC=org"
EXPIRED, NEVER = 132223104000000000, 0  # in 2020, in 100 ns since 1601
DISABLED, ENABLED = 514, 512  # userAccountControl

# As in README.md, "Active Directory, step by step".
CONFIG = {
    "usernamePrompt": "Windows user name",
    "userSearch": {
        "baseDN": BASE,
        "filter": "(&(objectCategory=person)(objectClass=user))",
        "username": ["sAMAccountName", "userPrincipalName"],
        "idAttr": "objectGUID",
        "nameAttr": "cn",
        "preferredUsernameAttr": "sAMAccountName",
    },
    "groupSearch": {
        "baseDN": BASE,
        "filter": "(objectClass=group)",
        "userMatchers": [
            {"userAttr": "DN", "groupAttr": "member:1.2.840.113556.1.4.1941:"}
        ],
        "nameAttr": "sAMAccountName",
    },
}


@pytest.fixture
def journey(samba):
    config = {
        **CONFIG,
        "host": samba.tls_host,
        "rootCA": samba.ca,
        "bindDN": samba.admin,
        "bindPW": samba.password,
    }
    connector = {"type": "ldap", "id": "ad", "name": "Active Directory"}
    with Journey({**connector, "config": config}) as journey:
        yield journey


@pytest.fixture
def tokens(journey, person):
    """Those of somebody who has logged in, and has refreshed them once."""
    return journey.refresh(journey.log_in(person.name, person.password))


def groups_of(person, *names):
    return {person.group(each) for each in names}


# — getting in -------------------------------------------------------------------------


@pytest.mark.parametrize("spelled", ["name", "upn"])
def test_a_login_ends_in_a_verified_id_token(journey, person, spelled):
    tokens = journey.log_in(getattr(person, spelled), person.password)
    claims = tokens.claims
    assert claims["preferred_username"] == person.name
    assert claims["name"] == person.name
    assert claims["email"] == f"{person.name}@example.org"
    assert claims["email_verified"] is True
    # The person is in the team only: the groups around it count too.
    everything = groups_of(person, "team", "section", "company")
    assert set(claims["groups"]) == everything
    assert set(journey.userinfo(tokens)["groups"]) == everything


def test_the_subject_is_the_object_and_the_connector(journey, person):
    sub = journey.log_in(person.upn, person.password).claims["sub"]
    raw = base64.urlsafe_b64decode(sub + "=" * (-len(sub) % 4))
    # Go's protobuf of user id and connector id, as dex writes them.
    assert raw[:2] == b"\x0a\x24"
    assert str(uuid.UUID(raw[2:38].decode())) == raw[2:38].decode()
    assert raw[38:] == b"\x12\x02ad"
    assert journey.log_in(person.name, person.password).claims["sub"] == sub


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param({"userAccountControl": DISABLED}, id="disabled"),
        pytest.param({"accountExpires": EXPIRED}, id="expired"),
        # They would have to choose a new password first, and we have no page for it.
        pytest.param({"pwdLastSet": 0}, id="must change the password"),
    ],
)
def test_who_may_not_log_in_to_windows_may_not_here(journey, person, entry):
    assert journey.log_in(person.name, person.password)
    person.set(**entry)
    with pytest.raises(BrowserError, match="Wrong Windows user name") as refused:
        journey.log_in(person.name, person.password)
    assert refused.value.page.status == 401


def test_a_wrong_password_and_a_wrong_name_look_the_same(journey, person):
    pages = []
    for name in (person.name, "nobody"):
        with pytest.raises(BrowserError) as refused:
            journey.log_in(name, "wrong")
        pages.append(refused.value.page)
    assert [page.status for page in pages] == [401, 401]
    assert pages[0].words == pages[1].words


# — what a refresh notices -------------------------------------------------------------


def test_a_refresh_tells_who_has_moved_to_another_group(journey, person, tokens):
    person.move("team", "company")
    tokens = journey.refresh(tokens)
    assert set(tokens.claims["groups"]) == groups_of(person, "company")
    person.move("company", "section")
    tokens = journey.refresh(tokens)
    assert set(tokens.claims["groups"]) == groups_of(person, "section", "company")


def test_a_refresh_tells_what_has_changed_further_out(journey, person, tokens):
    section = f"CN={person.group('section')},CN=Users,{BASE}"
    person.server.modify(f"dn: {section}\nchangetype: delete\n")
    claims = journey.refresh(tokens).claims
    assert set(claims["groups"]) == groups_of(person, "team")


@pytest.mark.parametrize(
    ("closed", "opened"),
    [
        pytest.param(
            {"userAccountControl": DISABLED},
            {"userAccountControl": ENABLED},
            id="disabled",
        ),
        pytest.param(
            {"accountExpires": EXPIRED}, {"accountExpires": NEVER}, id="expired"
        ),
    ],
)
def test_a_closed_account_gets_no_more_tokens(journey, person, tokens, closed, opened):
    person.set(**closed)
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)
    person.set(**opened)
    again = journey.log_in(person.name, person.password)
    assert again.claims["sub"] == tokens.claims["sub"]


def test_somebody_who_is_gone_gets_no_more_tokens(journey, person, tokens):
    person.delete()
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)


def test_somebody_new_of_the_same_name_does_not_get_their_tokens(
    journey, person, tokens
):
    person.delete()
    person.create_again()
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)
    new = journey.log_in(person.name, person.password)
    assert new.claims["sub"] != tokens.claims["sub"]


# — in a real browser ------------------------------------------------------------------


async def test_somebody_logs_in_with_chromium(journey, person, open_app):
    async with open_app(journey) as app:
        await app.press("Log in")
        await app.page.get_by_label("Windows user name").fill(person.name)
        await app.page.get_by_label("Password").fill("wrong")
        await app.press("Log in")
        alert = app.page.get_by_role("alert")
        await expect(alert).to_contain_text("Wrong Windows user name")
        await app.page.get_by_label("Password").fill(person.password)
        await app.press("Log in")
        for each in ("team", "section", "company"):
            await expect(app.groups).to_contain_text(f'"{person.group(each)}"')

        person.move("team", "company")
        await app.press("Refresh")
        await expect(app.outcome).to_contain_text("The tokens are new.")
        await expect(app.groups).to_contain_text(f'["{person.group("company")}"]')

        person.set(userAccountControl=DISABLED)
        await app.press("Refresh")
        await expect(app.outcome).to_contain_text("invalid_grant")
