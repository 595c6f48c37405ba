"""A stranger signs up, by page or by JSON, and logs in."""

import asyncio
import io
import json as stdlib
import logging
import re
import uuid

from urllib.parse import quote

import attrs
import bcrypt
import pytest

from dexcore import hookimpl
from dexcore.errors import AccessDenied
from dexcore.signup import Field, InvalidField, Signup, SignupType

CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2: {skipApprovalScreen: true}
staticClients:
- id: example-app
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Example App
  secret: a-secret-of-the-example-app
"""
SIGNUP = """
enablePasswordDB: true
enableSignup: true
staticPasswords:
- email: Admin@example.com
  hash: $2b$10$gZEoeOgd11U7Qvzrjk2xnuDoEZ6dQtml2oOVvGhDiDbq0aL00EyYS
  username: admin
  userID: 3b2e2b0c-6f07-4b1c-9e55-0d6a3a1f9a10
"""
NEW = {
    "email": "New.User@Example.com",
    "username": "newuser",
    "password": "password123",
}
PATH = "/dex/signup"


@pytest.fixture
async def world(make_world):
    return await make_world(CONFIG + SIGNUP)


def json(answer):
    return stdlib.loads(answer.text)


async def sign_up(world, **changes):
    """Sign up as a program does."""
    return await world.browser().post(PATH, json=NEW | changes)


async def fill_in(world, browser=None, path=PATH, headers=None, **changes):
    """Sign up as a person does; a field ``None`` is taken out of the form."""
    browser = browser or world.browser()
    page = await browser.get(path)
    (form,) = page.forms
    fields = form["fields"] | NEW | changes
    sent = {name: value for name, value in fields.items() if value is not None}
    return await browser.post(form["action"], data=sent, headers=headers)


async def users(world):
    return {user.email for user in await world.storage.passwords.list()}


# — Programs ---------------------------------------------------------------------------


async def test_a_program_signs_somebody_up(world):
    answer = await sign_up(world)

    assert answer.status == 201
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    created = json(answer)
    assert uuid.UUID(created.pop("user_id")).version == 4
    assert created == {
        "email": "new.user@example.com",
        "username": "newuser",
        "message": "User created successfully",
    }
    user = await world.storage.passwords.get("new.user@example.com")
    assert user.username == "newuser"
    assert user.email_verified is False
    assert user.hash.split(b"$")[2] == b"10"
    assert bcrypt.checkpw(b"password123", user.hash)


async def test_who_has_just_signed_up_can_log_in_at_once(world):
    created = json(await sign_up(world))
    code = await world.code(
        path="/dex/auth/local",
        login="NEW.user@example.com",
        password="password123",
        nonce="mine",
    )
    claims = await world.claims(json(await world.exchange(code))["id_token"])

    assert claims["email"] == created["email"]
    assert claims["name"] == "newuser"
    assert claims["email_verified"] is False


@pytest.mark.parametrize("email", ["new.user@example.com", "NEW.USER@EXAMPLE.COM"])
async def test_an_address_is_taken_once_in_any_case(world, email):
    await sign_up(world)
    answer = await sign_up(world, email=email, username="another")

    assert answer.status == 409
    assert json(answer)["error"] == "invalid_request"
    assert json(answer)["field"] == "email"
    assert (await world.storage.passwords.get(NEW["email"])).username == "newuser"


async def test_nobody_signs_up_as_a_user_of_the_configuration_file(world):
    answer = await sign_up(world, email="admin@EXAMPLE.com")

    assert answer.status == 409
    assert (await world.storage.passwords.get("admin@example.com")).username == "admin"


async def test_of_twenty_who_race_for_one_address_one_gets_it(make_world):
    world = await make_world(CONFIG + SIGNUP)
    answers = await asyncio.gather(
        *(sign_up(world, username=f"user{number}") for number in range(20))
    )

    assert sorted(answer.status for answer in answers) == [201, *[409] * 19]
    (winner,) = [json(answer) for answer in answers if answer.status == 201]
    stored = await world.storage.passwords.get(NEW["email"])
    assert (stored.username, stored.user_id) == (winner["username"], winner["user_id"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "email"),
        ({"username": "x", "password": "password123"}, "email"),
        (NEW | {"email": ""}, "email"),
        (NEW | {"email": "no address"}, "email"),
        (NEW | {"email": "a@example.com\r\nBcc: b@example.com"}, "email"),
        (NEW | {"email": None}, "email"),
        (NEW | {"email": ["a@example.com"]}, "email"),
        (NEW | {"email": 1}, "email"),
        ({"email": "a@example.com", "password": "password123"}, "username"),
        (NEW | {"username": "  "}, "username"),
        (NEW | {"username": "a\0b"}, "username"),
        (NEW | {"username": {"$ne": ""}}, "username"),
        (NEW | {"username": "x" * 1000}, "username"),
        ({"email": "a@example.com", "username": "a"}, "password"),
        (NEW | {"password": "1234567"}, "password"),
        (NEW | {"password": "x" * 73}, "password"),
        (NEW | {"password": "x" * 1_000_000}, "password"),
        (NEW | {"password": "12345678\0"}, "password"),
        (NEW | {"password": True}, "password"),
    ],
)
async def test_what_is_wrong_with_a_field_is_said_by_its_name(world, body, field):
    before = await users(world)
    answer = await world.browser().post(PATH, json=body)

    assert answer.status == 400
    assert json(answer)["error"] == "invalid_request"
    assert json(answer)["field"] == field
    assert json(answer)["error_description"].startswith(f"{field}: ")
    assert await users(world) == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"email"',
        b"[" * 100_000,
        b'{"email": "a@example.com"} trailing',
        b"\xff\xfe",
        b'{"email": ' + b"9" * 5000 + b"}",
        b'{"email":"a@example.com","email":"b@example.com","username":"a",'
        b'"password":"password123"}',
        b'{"email":"a@example.com","username":"\\ud800","password":"password123"}',
    ],
)
async def test_malformed_json_is_refused(world, body):
    before = await users(world)
    answer = await world.browser().post(
        PATH, data=body, headers={"Content-Type": "application/json"}
    )

    assert answer.status == 400
    assert json(answer)["error"] == "invalid_request"
    assert json(answer)["error_description"]
    assert await users(world) == before


async def test_members_nobody_asked_for_change_nothing(world):
    answer = await sign_up(world, groups=["admins"], user_id="1", emailVerified=True)

    user = await world.storage.passwords.get(NEW["email"])
    assert answer.status == 201
    assert (user.groups, user.email_verified) == ((), False)
    assert user.user_id != "1"


async def chunks():
    for _ in range(20):
        yield b"x" * 64 * 1024


@pytest.mark.parametrize(
    "kind", ["application/json", "application/x-www-form-urlencoded"]
)
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_of_more_than_a_megabyte_is_refused(world, kind, chunked):
    body = chunks() if chunked else io.BytesIO(b"x" * (1024 * 1024 + 1))
    answer = await world.browser().post(PATH, data=body, headers={"Content-Type": kind})

    assert answer.status == 413


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "text/json", ""])
async def test_json_of_another_type_is_refused(world, kind):
    before = await users(world)
    answer = await world.browser().post(
        PATH,
        data=b'{"email":"a@example.com","username":"a","password":"password123"}',
        headers={"Content-Type": kind},
    )

    assert answer.status == 415
    assert "application/json" in json(answer)["error_description"]
    assert await users(world) == before


async def test_the_type_may_say_which_characters(world):
    answer = await world.browser().post(
        PATH,
        data=b'{"email":"a@example.com","username":"J\xc3\xb6","password":"password123"}',
        headers={"Content-Type": "Application/JSON; charset=utf-8"},
    )

    assert answer.status == 201
    assert json(answer)["username"] == "Jö"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_other_methods_are_not_allowed(world, method):
    async with world.browser().session.request(method, world.base + PATH) as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET, HEAD, POST"


async def test_who_asks_too_often_has_to_wait(world):
    answers = []
    while not answers or (answers[-1].status == 201 and len(answers) < 200):
        number = len(answers)
        answers.append(await sign_up(world, email=f"user{number}@example.com"))

    assert len(answers) > 20, "a class signs up together"
    assert answers[-1].status == 429
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert json(answers[-1])["error_description"]
    page = await fill_in(world, email="late@example.com")
    assert page.status == 429
    assert int(page.headers["Retry-After"]) > 0
    assert page.headers["Content-Type"].startswith("text/html")


# — People -----------------------------------------------------------------------------


async def test_a_person_signs_up_on_the_page(world):
    answer = await fill_in(world)

    assert answer.status == 201
    assert "new.user@example.com" in answer.text
    assert "new.user@example.com" in await users(world)


async def test_the_page_leads_back_to_the_login_it_came_from(world):
    login = "/dex/auth/local/login?state=abc"
    browser = world.browser()
    page = await browser.get(f"{PATH}?back={quote(login, safe='')}")
    answer = await fill_in(world, browser, f"{PATH}?back={quote(login, safe='')}")

    assert login in page.links
    assert login in answer.links


async def test_who_signs_up_on_the_way_goes_on_where_they_were(make_world):
    two = "connectors: [{type: mockCallback, id: mock, name: Example}]\n"
    world = await make_world(CONFIG + SIGNUP + two)
    browser = world.browser()
    choices = await world.ask(browser)
    (signup,) = [link for link in choices.links if link.startswith(PATH)]
    done = await fill_in(world, browser, signup)
    choices = await browser.get(done.links[0])
    (local,) = [link for link in choices.links if "/auth/local" in link]
    form = await browser.follow(await browser.get(local))
    (signup,) = [link for link in form.links if link.startswith(PATH)]
    done = await fill_in(world, browser, signup, email="b@example.com")
    form = await browser.get(done.links[0])
    login = {"login": "b@example.com", "password": "password123"}
    landed = await browser.post(form.url, data=login)

    assert landed.params["state"] == "xyz"
    assert landed.params["code"]


@pytest.mark.parametrize(
    "back",
    [
        "https://evil.example/",
        "//evil.example/dex/",
        "/\\evil.example/dex/",
        "/dex/\\evil",
        "/\t/evil.example/dex/",
        "/other",
        "javascript:alert(1)",
        "/dex/ü",
    ],
)
async def test_the_page_never_leads_elsewhere(world, back):
    browser = world.browser()
    page = await browser.get(PATH, params={"back": back})
    answer = await fill_in(world, browser, back=back)

    assert answer.status == 201
    assert not [link for link in page.links + answer.links if "evil" in link]
    assert back not in page.links + answer.links
    assert back not in page.text + answer.text


async def test_the_page_says_what_is_wrong_and_keeps_what_was_typed(world):
    answer = await fill_in(world, email='"><script>x</script>', password="short")

    assert answer.status == 400
    assert "<script>" not in answer.text
    assert answer.forms[0]["fields"]["username"] == "newuser"
    assert answer.forms[0]["fields"]["password"] == ""
    assert answer.forms[0]["fields"]["email"] == '"><script>x</script>'


async def test_the_page_names_every_field_that_is_missing(world):
    answer = await fill_in(world, email="", password="")

    assert answer.status == 400
    assert "Email address is required." in answer.text
    assert "Password is required." in answer.text
    assert "User name is required." not in answer.text


async def test_the_page_says_that_an_address_is_taken(world):
    await sign_up(world)
    answer = await fill_in(world)

    assert answer.status == 409
    assert "signed up with this email address already" in answer.text


async def test_a_corrected_page_can_be_sent(world):
    browser = world.browser()
    refused = await fill_in(world, browser, password="short")
    (form,) = refused.forms
    fields = form["fields"] | {"password": "password123"}

    assert (await browser.post(form["action"], data=fields)).status == 201


@pytest.mark.parametrize(
    ("changes", "headers"),
    [
        ({"csrf_token": None}, None),
        ({"csrf_token": "x"}, None),
        ({}, {"Origin": "https://evil.example"}),
        ({}, {"Sec-Fetch-Site": "cross-site"}),
    ],
)
async def test_another_site_cannot_sign_anybody_up(world, changes, headers):
    before = await users(world)
    answer = await fill_in(world, headers=headers, **changes)

    assert answer.status == 403
    assert await users(world) == before


async def test_without_the_cookie_a_form_is_refused(world):
    page = await world.browser().get(PATH)
    answer = await world.browser().post(PATH, data=page.forms[0]["fields"] | NEW)

    assert answer.status == 403


async def test_a_field_sent_twice_is_refused(world):
    browser = world.browser()
    token = (await browser.get(PATH)).forms[0]["fields"]["csrf_token"]
    answer = await browser.post(
        PATH, data=[("csrf_token", token), *NEW.items(), ("email", "b@example.com")]
    )

    assert answer.status == 400


async def test_the_page_is_not_kept_and_not_framed(world):
    page = await world.browser().get(PATH)

    assert page.status == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    cookie = page.headers["Set-Cookie"]
    assert re.search("HttpOnly", cookie, re.I)
    assert re.search("SameSite=Lax", cookie, re.I)
    async with world.browser().session.head(world.base + PATH) as head:
        assert head.status == 200


# — Operators --------------------------------------------------------------------------


async def test_where_sign_up_is_off_there_is_nothing(make_world):
    off = SIGNUP.replace("enableSignup: true", "enableSignup: false")
    world = await make_world(CONFIG + off)
    form = await world.form(world.browser(), path="/dex/auth/local")

    assert (await world.browser().get(PATH)).status == 404
    assert (await sign_up(world)).status == 404
    assert not [link for link in form.links if "signup" in link]


async def test_the_login_page_leads_to_sign_up_where_it_is_on(world):
    form = await world.form(world.browser(), path="/dex/auth/local")

    assert [link for link in form.links if link.startswith(PATH)]


async def test_a_decision_is_written_down_and_the_password_never(world, caplog):
    caplog.set_level(logging.DEBUG)
    await sign_up(world, password="a canary in the coal mine")
    await sign_up(world, password="another canary")
    await fill_in(world, email="bad", password="the last canary")

    decisions = [
        (entry.message, entry.fields.get("email"), entry.fields.get("reason"))
        for entry in caplog.records
        if entry.name == "dexcore.audit" and entry.message.startswith("sign-up")
    ]
    assert decisions[0] == ("sign-up successful", "new.user@example.com", None)
    assert [decision[0] for decision in decisions[1:]] == ["sign-up refused"] * 2
    assert all(decision[2] for decision in decisions[1:])
    written = "".join(f"{entry.getMessage()}{vars(entry)}" for entry in caplog.records)
    assert "canary" not in written


async def test_a_hash_can_be_argon2id_and_an_address_be_trusted(make_world):
    options = "signup: [{config: {scheme: argon2id, emailVerified: true}}]\n"
    world = await make_world(CONFIG + SIGNUP + options)
    assert (await sign_up(world, password="x" * 100)).status == 201

    user = await world.storage.passwords.get(NEW["email"])
    assert user.hash.startswith(b"$argon2id$")
    assert user.email_verified is True


async def test_while_the_database_is_away_people_are_asked_to_come_back(world):
    await world.storage.close()

    answer, page = await sign_up(world), await fill_in(world)

    assert (answer.status, page.status) == (503, 503)
    assert answer.headers["Retry-After"] == page.headers["Retry-After"] == "5"
    assert json(answer)["error"] == "temporarily_unavailable"


# — Other plugins ----------------------------------------------------------------------


@attrs.frozen
class InvitationConfig:
    """What the file says of the plugin below."""

    codes: tuple[str, ...]


@attrs.define
class Invitation(Signup):
    """Asks for an invitation, keeps one domain out, and greets."""

    config: InvitationConfig
    welcomed: list
    addresses: list = attrs.field(factory=list)

    def fields(self):
        return (Field("code", "Invitation code", help="From your friend."),)

    async def admit(self, application, password):
        self.addresses.append(application.address)
        if application.fields["code"] not in self.config.codes:
            raise InvalidField("code", "This invitation does not exist.")
        if application.fields.get("email", "").endswith("@evil.example"):
            raise AccessDenied("Not from there.")
        return attrs.evolve(password, groups=("invited",))

    async def welcome(self, password):
        self.welcomed.append(password.email)
        raise RuntimeError("the mail server is down")


class InvitationPlugin:
    """The plugin that brings it."""

    __name__ = "signup.invitation"

    def __init__(self):
        self.welcomed = []
        self.opened = []

    @hookimpl
    def dex_signup_types(self):
        async def opened(config, context):
            self.opened.append(Invitation(config, self.welcomed))
            return self.opened[-1]

        return [SignupType("invitation", InvitationConfig, opened)]


@pytest.fixture
def invitation():
    return InvitationPlugin()


@pytest.fixture
async def invited(make_world, invitation):
    chain = "signup: [{type: invitation, config: {codes: [spring]}}, {type: default}]\n"
    return await make_world(CONFIG + SIGNUP + chain, invitation)


async def test_another_plugin_adds_a_field(invited, invitation):
    page = await invited.browser().get(PATH)
    answer = await sign_up(invited, code="spring")

    assert list(page.forms[0]["fields"])[-4:] == ["code", *NEW]
    assert "Invitation code" in page.text
    assert answer.status == 201
    user = await invited.storage.passwords.get(NEW["email"])
    assert (user.username, user.groups) == ("newuser", ("invited",))
    assert invitation.opened[0].addresses == ["127.0.0.1"]


@pytest.mark.parametrize("code", ["", "autumn"])
async def test_another_plugin_refuses_a_field(invited, code):
    answer, page = await sign_up(invited, code=code), await fill_in(invited, code=code)

    assert (answer.status, page.status) == (400, 400)
    assert json(answer)["field"] == "code"
    assert NEW["email"].lower() not in await users(invited)


async def test_another_plugin_refuses_an_application(invited):
    stranger = {"code": "spring", "email": "mallory@evil.example"}
    answer, page = (
        await sign_up(invited, **stranger),
        await fill_in(invited, **stranger),
    )

    assert (answer.status, page.status) == (403, 403)
    assert json(answer) == {
        "error": "access_denied",
        "error_description": "Not from there.",
    }
    assert "Not from there." in page.text
    assert "mallory@evil.example" not in await users(invited)


async def test_another_plugin_welcomes_and_its_failure_is_only_logged(
    invited, invitation, caplog
):
    answer = await sign_up(invited, code="spring")

    assert answer.status == 201
    assert invitation.welcomed == ["new.user@example.com"]
    assert "could not welcome new.user@example.com" in caplog.text


async def test_plugins_that_make_no_whole_user_store_nothing(make_world, invitation):
    chain = "signup: [{type: invitation, config: {codes: [spring]}}]\n"
    world = await make_world(CONFIG + SIGNUP + chain, invitation)
    before = await users(world)

    answer = await sign_up(world, code="spring")

    assert (answer.status, json(answer)["error"]) == (500, "server_error")
    assert await users(world) == before
