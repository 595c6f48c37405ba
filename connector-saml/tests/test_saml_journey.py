"""Whole logins: app, dexcore, identity provider and back, to a verified ID token."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from dexcore.testing.browser import Browser, BrowserError, SyncBrowser
from dexcore.testing.journey import Journey
from dexcore.testing.tokens import TokenError
from dexcore.testing.upstreams.saml import SamlIdP, SamlUser

HOUR = 3600  # seconds

JANE = {
    "name": ["Jane Doe"],
    "mail": ["jane@example.com"],
    "groups": ["admins", "devs"],
}


@pytest.fixture
def idp(keys):
    with SamlIdP(key=keys.idp) as idp:
        idp.users["jane"] = SamlUser(JANE, name_id="u-jane")
        idp.users["joan"] = SamlUser({**JANE, "groups": ["users"]}, name_id="u-joan")
        yield idp


def connector(idp, **config):
    return {
        "type": "saml",
        "name": "SAML",
        "config": {
            "ssoURL": idp.sso_url,
            "caData": idp.ca_data,
            "ssoIssuer": idp.entity_id,
            "redirectURI": "$ISSUER/callback",
            "usernameAttr": "name",
            "emailAttr": "mail",
            "groupsAttr": "groups",
            **config,
        },
    }


@pytest.fixture
def open_journey(idp):
    opened = []

    def open_journey(**config):
        type = config.pop("type", "saml")
        journey = Journey({**connector(idp, **config), "type": type})
        opened.append(journey)
        return journey

    yield open_journey
    for journey in opened:
        journey.close()


def test_jane_gets_in(open_journey, idp):
    journey = open_journey()
    tokens = journey.log_in("jane", "password")
    assert tokens.claims["email"] == "jane@example.com"
    assert tokens.claims["email_verified"] is True
    assert tokens.claims["name"] == "Jane Doe"
    assert tokens.claims["groups"] == ["admins", "devs"]
    assert journey.userinfo(tokens)["groups"] == ["admins", "devs"]
    (asked,) = idp.asked_for
    assert asked.destination == idp.sso_url
    assert asked.issuer == asked.acs_url == f"{journey.issuer}/callback"


PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
RESPONDER = "urn:oasis:names:tc:SAML:2.0:status:Responder"
NO_CONTEXT = "urn:oasis:names:tc:SAML:2.0:status:NoAuthnContext"


def walked(journey, **more):
    """Return the tokens of a login with these parameters."""
    url = journey.authorization_url(**more)
    with SyncBrowser(stop_at=journey.redirect_uri) as browser:
        return journey.landed(browser.log_in(url, "jane", "password").url)


def demand(context):
    return f'{{"id_token": {{"acr": {{"essential": true, "values": ["{context}"]}}}}}}'


def test_an_app_learns_how_and_who_if_it_asks(open_journey, idp):
    idp.users["jane"] = SamlUser({**JANE, "sn": ["Doe"]}, name_id="u-jane")
    journey = open_journey(claimAttrs={"family_name": "sn"})
    tokens = walked(
        journey,
        scopes="openid offline_access",
        claims=demand(PASSWORD).replace(
            "}}}", '}}, "userinfo": {"family_name": null}}'
        ),
    )
    assert tokens.claims["acr"] == PASSWORD
    assert "family_name" not in tokens.claims
    assert journey.userinfo(tokens)["family_name"] == "Doe"
    tokens = journey.refresh(tokens)
    assert tokens.claims["acr"] == PASSWORD
    assert journey.userinfo(tokens)["family_name"] == "Doe"
    assert PASSWORD.encode() in idp.asked_for[0].document


def test_a_provider_that_cannot_do_what_the_app_demands(open_journey, idp):
    journey = open_journey()
    with pytest.raises(TokenError, match="unmet_authentication_requirements"):
        walked(journey, claims=demand("urn:x:mfa"))
    idp.message = lambda message: attrs.evolve(
        message, status=RESPONDER, sub_status=NO_CONTEXT
    )
    with pytest.raises(TokenError, match="unmet_authentication_requirements"):
        walked(journey, claims=demand("urn:x:mfa"))
    # Whoever demands nothing cannot be told what it got.
    with pytest.raises(BrowserError, match="as it was asked to") as refused:
        walked(journey)
    assert refused.value.page.status == 403


def test_a_refresh_needs_no_provider(open_journey, idp):
    journey = open_journey()
    tokens = journey.log_in("jane", "password")
    with idp.down():
        fresh = journey.refresh(tokens)
        assert fresh.claims["groups"] == ["admins", "devs"]
        assert journey.refresh(fresh).claims["email"] == "jane@example.com"


def test_the_subject_is_that_of_dex(open_journey):
    """The same user id and connector id make the same subject, whoever issues it."""
    from dexcore.oauth2.subjects import encode_subject

    tokens = open_journey().log_in("jane", "password")
    assert tokens.claims["sub"] == encode_subject("u-jane", "saml")


def test_the_name_dex_had_at_first_still_works(open_journey):
    tokens = open_journey(type="samlExperimental").log_in("jane", "password")
    assert tokens.claims["name"] == "Jane Doe"


def test_who_is_in_no_allowed_group_reads_so(open_journey):
    journey = open_journey(allowedGroups=["admins"])
    journey.log_in("jane", "password")
    with pytest.raises(BrowserError) as refused:
        journey.log_in("joan", "password")
    assert refused.value.page.status == 403
    assert "not a member of any of the required groups" in refused.value.page.words


def test_a_forged_answer_is_a_page_that_tells_nothing(open_journey, idp, keys):
    journey = open_journey()
    idp.key = keys.other
    with pytest.raises(BrowserError) as refused:
        journey.log_in("jane", "password")
    page = refused.value.page
    assert page.status == 403
    assert "was not accepted" in page.words
    assert "signature" not in page.words.lower()


def test_after_a_forged_answer_the_right_one_is_still_welcome(open_journey, idp, keys):
    """A corrupt post does not end somebody's login."""
    journey = open_journey()

    async def walk():
        async with Browser(stop_at=journey.redirect_uri) as browser:
            page = await browser.authorize(journey.authorization_url())
            page = await browser.submit(page, page.forms[0])
            answer = await browser.enter(page, "jane", "password")
            (form,) = answer.forms
            forged = {"SAMLResponse": form.fields["SAMLResponse"][::-1]}
            refused = await browser.submit(answer, form, forged)
            assert refused.status == 403
            landing = await browser.submit(answer, form)
            replayed = await browser.submit(answer, form)
            assert replayed.status >= 400
            return landing.url

    assert journey.landed(journey._background.call(walk())).claims["name"] == "Jane Doe"


def test_an_answer_cannot_be_used_in_another_browser(open_journey):
    journey = open_journey()

    async def walk():
        first = Browser(stop_at=journey.redirect_uri)
        second = Browser(stop_at=journey.redirect_uri)
        async with first, second:
            page = await first.authorize(journey.authorization_url())
            page = await first.submit(page, page.forms[0])
            answer = await first.enter(page, "jane", "password")
            other = await second.authorize(journey.authorization_url())
            (mine,) = answer.forms
            stolen = await second.submit(answer, mine)
            assert stolen.status >= 400
            # Nor with the other browser's own RelayState.
            swapped = {"RelayState": other.forms[0].fields["RelayState"]}
            planted = await second.submit(answer, mine, swapped)
            assert planted.status == 403

    journey._background.call(walk())


def test_one_provider_cannot_answer_for_another(idp, keys):
    """Even if it knows the request, and says that it is the other one."""
    with SamlIdP(key=keys.other) as hostile:
        hostile.users["jane"] = SamlUser(JANE, name_id="u-jane")
        hostile.message = lambda message: attrs.evolve(
            message, issuer=idp.entity_id, response_issuer=idp.entity_id
        )
        first = {**connector(idp), "id": "good", "name": "Good"}
        second = {**connector(hostile), "id": "evil", "name": "Evil"}
        with Journey(first, second) as journey:

            async def walk():
                async with Browser(stop_at=journey.redirect_uri) as browser:
                    page = await browser.authorize(journey.authorization_url())
                    page = await browser.choose(page, "Good")
                    (form,) = page.forms
                    # The very request goes to the other one.
                    asked = attrs.evolve(form, url=hostile.sso_url)
                    page = await browser.submit(page, asked)
                    answer = await browser.enter(page, "jane", "password")
                    refused = await browser.submit(answer, answer.forms[0])
                    assert refused.status == 403
                    assert "was not accepted" in refused.words

            journey._background.call(walk())


def test_the_callback_may_name_the_connector(open_journey):
    journey = open_journey(redirectURI="$ISSUER/callback/saml")
    assert journey.log_in("jane", "password").claims["name"] == "Jane Doe"


def test_a_user_who_gives_up_upstream_is_told(open_journey, idp):
    journey = open_journey()
    idp.message = lambda message: attrs.evolve(
        message, status="urn:oasis:names:tc:SAML:2.0:status:Responder"
    )
    with pytest.raises(BrowserError, match="did not log you in"):
        journey.log_in("jane", "password")


def test_a_missing_attribute_is_the_providers_fault(open_journey, idp):
    journey = open_journey()
    idp.users["jane"] = SamlUser({"name": ["Jane"]})
    with pytest.raises(BrowserError) as refused:
        journey.log_in("jane", "password")
    assert refused.value.page.status == 502


def test_a_login_can_become_too_old_to_refresh(open_journey):
    journey = open_journey(maxRefreshAge="1h")
    tokens = journey.refresh(journey.log_in("jane", "password"))
    journey.clock.advance(2 * HOUR)
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)


@pytest.mark.parametrize("ignored", [False, True])
def test_refreshing_ends_with_the_session_upstream(open_journey, idp, ignored):
    idp.message = lambda message: attrs.evolve(
        message, session_ends=message.now + timedelta(hours=8)
    )
    journey = open_journey(**({"ignoreSessionEnd": True} if ignored else {}))
    tokens = journey.log_in("jane", "password")
    journey.clock.advance(7 * HOUR)
    tokens = journey.refresh(tokens)
    journey.clock.advance(2 * HOUR)
    if ignored:
        assert journey.refresh(tokens).claims["groups"] == ["admins", "devs"]
        return
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)


def test_an_encrypted_and_signed_login(open_journey, idp, keys, sp_files):
    from dexcore.testing.upstreams.saml_signing import Encryption

    idp.encryption = Encryption(keys.sp.certificate)
    journey = open_journey(
        spKey=sp_files["sp_key"], spCert=sp_files["sp_cert"], signRequests=True
    )
    assert journey.log_in("jane", "password").claims["name"] == "Jane Doe"
    assert b"Signature" in idp.asked_for[0].document
    assert b"jane@example.com" not in idp.sent[0]


def test_a_login_from_metadata(idp, keys, tmp_path):
    file = tmp_path / "metadata.xml"
    file.write_bytes(idp.metadata())
    config = connector(idp, idpMetadataFile=str(file))
    for key in ("ssoURL", "caData", "ssoIssuer"):
        del config["config"][key]
    with Journey(config) as journey:
        assert journey.log_in("jane", "password").claims["name"] == "Jane Doe"


def test_metadata_is_published(open_journey):
    journey = open_journey()
    document = journey._background.call(
        _get(f"{journey.issuer}/connectors/saml/metadata")
    )
    assert f'Location="{journey.issuer}/callback"' in document


async def _get(url):
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        assert answer.content_type == "application/samlmetadata+xml"
        return await answer.text()


def test_a_connector_without_trust_does_not_open(idp):
    with pytest.raises(Exception, match="ca"):
        Journey(connector(idp, caData=""))


def test_nothing_is_given_away_for_half_a_login(open_journey):
    journey = open_journey()
    with pytest.raises(TokenError):
        journey.landed(f"{journey.redirect_uri}?state=x&code=y")


# — in a real browser ------------------------------------------------------------------


async def test_in_chromium(open_journey, idp, requires_program):
    """The form posts itself, and the answer of another site finds its login again."""
    import asyncio

    from dexcore.testing.chromium import chromium

    program = requires_program("chromium", install="apt-get install chromium")
    journey = await asyncio.to_thread(open_journey)
    allowed = [journey.issuer, journey.app.url, idp.url]
    async with chromium(program, allowed) as open_page:
        page = await open_page()
        await page.goto(journey.authorization_url())
        await page.fill("input[name=username]", "jane")
        await page.fill("input[name=password]", "password")
        await page.click("button")
        await page.click("button")
        await page.wait_for_url(f"{journey.redirect_uri}*")
        tokens = await asyncio.to_thread(journey.landed, page.url)
    assert tokens.claims["email"] == "jane@example.com"


async def test_in_chromium_without_scripts(open_journey, idp, requires_program):
    import asyncio

    from dexcore.testing.chromium import PHONE, chromium, fits

    program = requires_program("chromium", install="apt-get install chromium")
    journey = await asyncio.to_thread(open_journey)
    allowed = [journey.issuer, journey.app.url, idp.url]
    async with chromium(program, allowed) as open_page:
        page = await open_page(viewport=PHONE, java_script_enabled=False)
        await page.goto(journey.authorization_url())
        await fits(page)
        await page.click("button")
        await page.fill("input[name=username]", "jane")
        await page.fill("input[name=password]", "password")
        await page.click("button")
        await page.click("button")
        await page.wait_for_url(f"{journey.redirect_uri}*")
        tokens = await asyncio.to_thread(journey.landed, page.url)
    assert tokens.claims["groups"] == ["admins", "devs"]
