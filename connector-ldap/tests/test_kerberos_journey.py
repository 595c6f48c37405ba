"""Tickets of Kerberos through the whole server, with curl and with a real browser.

The realm is MIT's, with the people in slapd, and then the one of Active Directory.
"""

import re

import pytest

from playwright.async_api import expect

from dexcore.testing.journey import Journey
from dexcore.testing.tokens import TokenError

BASE = "dc=example,dc=org"
JANE = f"cn=jane,ou=People,{BASE}"
GROUPS = {
    "baseDN": f"ou=Groups,{BASE}",
    "userMatchers": [{"userAttr": "DN", "groupAttr": "member"}],
    "nameAttr": "cn",
}
LEAVE_ADMINS = (
    f"dn: cn=admins,ou=Groups,{BASE}\nchangetype: modify\n"
    f"delete: member\nmember: {JANE}\n"
)
DELETE = f"dn: {JANE}\nchangetype: delete\n"
LOCK = (
    f"dn: {JANE}\nchangetype: modify\n"
    "add: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n"
)


@pytest.fixture
def single_sign_on(settings, http_keytab, kdc, monkeypatch):
    """Serve with Kerberos; keys are those of its section."""
    monkeypatch.setenv("KRB5_CONFIG", kdc.env["KRB5_CONFIG"])

    def single_sign_on(server=None, **keys):
        kerberos = {"enabled": True, "keytabPath": http_keytab, **keys}
        config = settings(server, groupSearch=GROUPS, kerberos=kerberos)
        section = {"type": "ldap", "id": "ldap", "name": "Staff", "config": config}
        return Journey(section)

    return single_sign_on


# — with curl --------------------------------------------------------------------------


@pytest.fixture
def curl(program, run_program, kdc, tmp_path):
    """Ask with curl, as somebody who has a ticket; return headers and body."""

    def curl(url, *options, who="jane"):
        jar = str(tmp_path / "cookies")
        command = [program("curl"), "-s", "-i", "-L", "-b", jar, "-c", jar]
        return run_program(*command, *options, url, env=kdc.ticket(who))

    return curl


NEGOTIATE = ("--negotiate", "-u", ":", "-w", "\nlanded=%{url_effective}\n")


def test_a_ticket_logs_in_without_a_form(single_sign_on, curl):
    with single_sign_on(expectedRealm="EXAMPLE.ORG") as journey:
        said = curl(journey.authorization_url(), *NEGOTIATE)
        tokens = journey.landed(re.findall(r"landed=(.*)", said)[-1])
        assert tokens.claims["email"] == "janedoe@example.com"
        assert tokens.claims["groups"] == ["admins", "developers"]
        assert journey.refresh(tokens).claims["groups"] == ["admins", "developers"]


def test_without_a_ticket_there_is_no_form(single_sign_on, curl):
    with single_sign_on() as journey:
        said = curl(journey.authorization_url())
        assert "HTTP/1.1 401" in said
        assert re.search(r"(?im)^www-authenticate: Negotiate\r?$", said)
        assert "<form" not in said


def test_or_the_form_if_one_may_fall_back(single_sign_on, curl):
    with single_sign_on(fallbackToPassword=True) as journey:
        said = curl(journey.authorization_url())
        assert "HTTP/1.1 401" in said
        assert re.search(r"(?im)^www-authenticate: Negotiate\r?$", said)
        assert 'name="password"' in said
        # And it works: a browser without a ticket shows what comes with the challenge.
        assert journey.log_in("jane", "foo").claims["name"] == "jane"


def test_a_ticket_the_directory_does_not_know_is_told_no_more(single_sign_on, curl):
    with single_sign_on(fallbackToPassword=True) as journey:
        said = curl(journey.authorization_url(), *NEGOTIATE, who="stranger")
        assert "HTTP/1.1 403" in said
        assert "does not know" in said


# — what a refresh notices -------------------------------------------------------------


@pytest.fixture
def arrive(curl):
    """Return the tokens of jane, who has come with her ticket."""

    def arrive(journey):
        said = curl(journey.authorization_url(), *NEGOTIATE)
        return journey.landed(re.findall(r"landed=(.*)", said)[-1])

    return arrive


def test_a_refresh_tells_what_has_changed(single_sign_on, arrive, make_slapd):
    server = make_slapd()
    with single_sign_on(server) as journey:
        tokens = arrive(journey)
        assert tokens.claims["groups"] == ["admins", "developers"]
        server.modify(LEAVE_ADMINS)
        tokens = journey.refresh(tokens)
        assert tokens.claims["groups"] == ["developers"]
        assert journey.userinfo(tokens)["groups"] == ["developers"]


@pytest.mark.parametrize("change", [DELETE, LOCK], ids=["gone", "locked"])
def test_who_is_out_gets_no_more_tokens(single_sign_on, arrive, make_slapd, change):
    server = make_slapd()
    with single_sign_on(server) as journey:
        tokens = journey.refresh(arrive(journey))
        server.modify(change)
        # Their ticket is as good as before: the directory decides.
        with pytest.raises(TokenError, match="invalid_grant"):
            journey.refresh(tokens)


# — in a real browser ------------------------------------------------------------------

# Chromium sends tickets to whom it is told to.  That is all: an address, other than a
# name, is no alias (CNAME) of a host for which it would ask for a ticket instead.
TRUSTED = ("--auth-server-allowlist=127.0.0.1",)


async def show_the_ticket(app):
    """Begin a login, in a browser that is asked for a ticket for the first time ever.

    Chromium for Linux then shows the page that came with the question, and only notes
    (``net.received_http_auth_negotiate_headers`` in its ``Local State``) that there is
    use for the library that reads tickets: the next answer has one.
    """
    await app.press("Log in")
    await app.page.wait_for_url("**/auth/*/login?**")
    await app.page.reload()


@pytest.mark.parametrize("fallback", [True, False])
async def test_chromium_arrives_without_a_form(
    single_sign_on, kdc, open_app, make_slapd, fallback
):
    server = make_slapd()
    options = {"arguments": TRUSTED, "environ": kdc.ticket("jane")}
    with single_sign_on(server, fallbackToPassword=fallback) as journey:
        async with open_app(journey, **options) as app:
            await show_the_ticket(app)
            await expect(app.groups).to_contain_text('["admins", "developers"]')
            await app.press("Log out")
            await app.press("Log in")
            await expect(app.groups).to_contain_text('["admins", "developers"]')

            server.modify(LEAVE_ADMINS)
            await app.press("Refresh")
            await expect(app.outcome).to_contain_text("The tokens are new.")
            await expect(app.groups).to_contain_text('["developers"]')

            server.modify(DELETE)
            await app.press("Refresh")
            await expect(app.outcome).to_contain_text("invalid_grant")
        posted = "POST /dex/auth/ldap/login"
        assert posted not in journey.requests


@pytest.mark.parametrize(
    ("who", "arguments"),
    [
        pytest.param("", TRUSTED, id="no ticket"),
        pytest.param("jane", (), id="a ticket that nobody may see"),
    ],
)
async def test_chromium_shows_the_form_where_it_has_no_ticket_to_send(
    single_sign_on, kdc, open_app, tmp_path, who, arguments
):
    nobody = {**kdc.env, "KRB5CCNAME": f"FILE:{tmp_path / 'none'}"}
    options = {"arguments": arguments, "environ": kdc.ticket(who) if who else nobody}
    with single_sign_on(fallbackToPassword=True) as journey:
        async with open_app(journey, **options) as app:
            await show_the_ticket(app)
            await app.page.get_by_label("Username").fill("john")
            await app.page.get_by_label("Password").fill("bar")
            await app.press("Log in")
            await expect(app.groups).to_contain_text('["admins"]')
            assert journey.requests.count("POST /dex/auth/ldap/login") == 1


async def test_chromium_reads_what_to_do_without_a_ticket(
    single_sign_on, kdc, open_app, tmp_path
):
    nobody = {**kdc.env, "KRB5CCNAME": f"FILE:{tmp_path / 'none'}"}
    with single_sign_on() as journey:
        async with open_app(journey, arguments=TRUSTED, environ=nobody) as app:
            await show_the_ticket(app)
            main = app.page.locator("main")
            await expect(main).to_contain_text("Log in to your computer")
            await expect(main.get_by_role("textbox")).to_have_count(0)


async def test_chromium_with_a_ticket_of_somebody_the_directory_does_not_know(
    single_sign_on, kdc, open_app
):
    options = {"arguments": TRUSTED, "environ": kdc.ticket("stranger")}
    with single_sign_on(fallbackToPassword=True) as journey:
        async with open_app(journey, **options) as app:
            await show_the_ticket(app)
            await expect(app.page.locator("main")).to_contain_text("does not know")


# — Active Directory -------------------------------------------------------------------


@pytest.fixture
def in_the_domain(domain, tmp_path):
    """Serve with tickets of Active Directory."""
    principal = "HTTP/127.0.0.1"
    config = {
        "host": domain.tls_host,
        "rootCA": domain.ca,
        "bindDN": domain.admin,
        "bindPW": domain.password,
        "userSearch": {
            "baseDN": "DC=ad,DC=example,DC=org",
            "username": "userPrincipalName",
            "idAttr": "objectGUID",
            "preferredUsernameAttr": "sAMAccountName",
        },
        "groupSearch": {
            "baseDN": "DC=ad,DC=example,DC=org",
            "userMatchers": [
                {"userAttr": "DN", "groupAttr": "member:1.2.840.113556.1.4.1941:"}
            ],
            "nameAttr": "sAMAccountName",
        },
        "kerberos": {
            "enabled": True,
            "keytabPath": domain.keytab(principal, tmp_path),
            "keytabPrincipal": principal,
            "expectedRealm": "ad.example.org",
            "usernameFromPrincipal": "userPrincipalName",
        },
    }
    section = {"type": "ldap", "id": "ad", "name": "AD", "config": config}
    with Journey(section) as journey:
        yield journey


@pytest.fixture
def logged_in(in_the_domain, person, kinit):
    """Somebody who has logged in to their computer."""
    kinit(f"{person.name}@AD.EXAMPLE.ORG", person.password)
    return person


def groups_of(person, *names):
    return {person.group(each) for each in names}


@pytest.mark.parametrize("change", ["disabled", "gone"])
def test_a_ticket_of_active_directory(
    in_the_domain, logged_in, program, run_program, tmp_path, change
):
    journey, person = in_the_domain, logged_in
    jar = str(tmp_path / "cookies")
    command = [program("curl"), "-s", "-i", "-L", "-b", jar, "-c", jar, *NEGOTIATE]
    said = run_program(*command, journey.authorization_url())
    tokens = journey.landed(re.findall(r"landed=(.*)", said)[-1])
    everything = groups_of(person, "team", "section", "company")
    assert tokens.claims["preferred_username"] == person.name
    assert set(tokens.claims["groups"]) == everything
    person.move("team", "section")
    tokens = journey.refresh(tokens)
    assert set(tokens.claims["groups"]) == everything - groups_of(person, "team")
    if change == "disabled":
        person.set(userAccountControl=514)
    else:
        person.delete()
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)


async def test_chromium_with_a_ticket_of_active_directory(
    in_the_domain, logged_in, open_app
):
    person = logged_in
    async with open_app(in_the_domain, arguments=TRUSTED) as app:
        await show_the_ticket(app)
        for each in ("team", "section", "company"):
            await expect(app.groups).to_contain_text(f'"{person.group(each)}"')
        person.move("team", "company")
        await app.press("Refresh")
        await expect(app.groups).to_contain_text(f'["{person.group("company")}"]')
        person.delete()
        await app.press("Refresh")
        await expect(app.outcome).to_contain_text("invalid_grant")
