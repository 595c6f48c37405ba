"""What may be sent with a request, how often, and where it may lead."""

import json
import re

from urllib.parse import quote, urlencode

import pytest

from .conftest import CALLBACK, CONFIG

BASIC = ("example-app", "a-secret-of-the-example-app")
URI = "https://app.example/cb"
REGISTERED = """
- id: exact
  redirectURIs: ['https://app.example/cb', 'https://app.example/a%2Fb?q=%41']
  name: Exact
  secret: a-secret-of-the-exact-app
- id: exact-native
  public: true
  redirectURIs: ['https://app.example/cb', 'https://app.example/a%2Fb?q=%41']
  name: Exact, public
"""


@pytest.fixture
async def house(make_world):
    return await make_world(CONFIG + REGISTERED)


def asked(**changes):
    params = {"client_id": "exact", "redirect_uri": URI, "response_type": "code"}
    return params | {"scope": "openid", "state": "s"} | changes


# — where it may lead ------------------------------------------------------------------

# Each differs from what is registered, as an attacker would have it.
WRONG = [
    "",
    "https://app.example/cb/",
    "https://app.example/cb/x",
    "https://app.example/cbx",
    "https://app.example/",
    "https://app.example",
    "https://app.example/CB",
    "https://app.example/cb?",
    "https://app.example/cb?x=1",
    "https://app.example/cb#",
    "https://app.example/cb#x",
    "https://app.example/cb;x",
    "https://app.example/cb.",
    "https://app.example./cb",
    "https://APP.example/cb",
    "HTTPS://app.example/cb",
    "http://app.example/cb",
    "https://app.example:443/cb",
    "https://app.example:8443/cb",
    "https://app.example//cb",
    "https://app.example/./cb",
    "https://app.example/x/../cb",
    "https://app.example/cb/../evil",
    "https://app.example/cb/%2e%2e/evil",
    "https://app.example/c%62",
    "https://app.example%2Fcb",
    "https://app.example\\cb",
    "https:\\\\app.example\\cb",
    "//app.example/cb",
    "/cb",
    "https:/app.example/cb",
    "https:app.example/cb",
    "https://app.example@evil.example/cb",
    "https://app.example\\@evil.example/cb",
    "https://evil.example\\@app.example/cb",
    "https://user:password@app.example/cb",
    "https://evil.example/?https://app.example/cb",
    "https://evil.example/#https://app.example/cb",
    "https://app.example.evil.example/cb",
    "https://evil-app.example/cb",
    "https://\u0430pp.example/cb",  # a Cyrillic letter
    "https://app。example/cb",
    "https://xn--pp-xja.example/cb",
    "https://[::1%25eth0]/cb",
    " https://app.example/cb",
    "https://app.example/cb ",
    "https://app.example/cb\t",
    "https://app.example/cb\0",
    "https://app.example/cb\r\nLocation: https://evil.example/",
    "https://app.example/cb\nSet-Cookie: a=b",
    "java\tscript:alert(1)",
    "javascript:alert(1)//https://app.example/cb",
    "data:text/html,<script>alert(1)</script>",
    "file:///etc/passwd",
    "http://127.0.0.1:5555/callback",
    "http://localhost/cb",
    "urn:ietf:wg:oauth:2.0:oob",
    "/dex/device/callback",
]


@pytest.mark.parametrize("client_id", ["exact", "exact-native"])
@pytest.mark.parametrize("path", ["/dex/auth", "/dex/auth/pw", "/dex/par"])
async def test_nobody_is_sent_to_an_address_that_differs_in_anything(
    house, client_id, path
):
    """T-REDIR-01: a page says so, with no way on from there."""
    accepted = []
    for uri in WRONG:
        params = asked(client_id=client_id, redirect_uri=uri)
        if path == "/dex/par":
            secret = "a-secret-of-the-exact-app" if client_id == "exact" else None
            auth = (client_id, secret) if secret else None
            answer = await house.post(path, auth=auth, **params)
        else:
            answer = await house.browser().get(path, params=params)
        if answer.status != 400 or "Location" in answer.headers:
            accepted.append(uri)
        assert "Refresh" not in answer.headers
        assert not any(scheme in answer.text for scheme in ('href="http', "refresh"))
        assert not any("evil" in link or "javascript" in link for link in answer.links)
        if path == "/dex/par":
            assert json.loads(answer.text)["error"] == "invalid_request"
    assert accepted == []


ENCODED = "https://app.example/a%2Fb?q=%41"


async def test_a_redirect_uri_is_decoded_once_and_compared_as_it_is(house):
    """T-REDIR-02: at the authorization endpoint and at the token endpoint."""
    secret = ("exact", "a-secret-of-the-exact-app")
    for other in (ENCODED.replace("%", "%25"), "https://app.example/a/b?q=A"):
        answer = await house.ask(house.browser(), **asked(redirect_uri=other))
        assert answer.status == 400
    landed = await house.log_in(**asked(redirect_uri=ENCODED))
    assert landed.headers["Location"].startswith(f"{ENCODED}&code=")
    code = landed.params["code"]
    for other in (ENCODED.replace("%", "%25"), "https://app.example/a/b?q=A", URI):
        refused = await house.exchange(code, auth=secret, redirect_uri=other)
        assert json.loads(refused.text)["error"] == "invalid_grant"
    answer = await house.exchange(code, auth=secret, redirect_uri=ENCODED)
    assert answer.status == 200, answer.text


async def test_a_code_is_not_traded_without_the_redirect_uri_it_was_sent_to(house):
    """T-TOK-03."""
    code = (await house.log_in()).params["code"]
    form = {"grant_type": "authorization_code", "code": code}
    for more in ({}, {"redirect_uri": ""}, {"redirect_uri": CALLBACK + "/"}):
        refused = await house.post("/dex/token", **form, **more)
        assert refused.status == 400
        assert json.loads(refused.text)["error"] == "invalid_grant", more
    assert (await house.exchange(code)).status == 200


# — how often --------------------------------------------------------------------------

NAMES = [
    *("client_id", "redirect_uri", "response_type", "scope", "state", "nonce"),
    *("prompt", "max_age", "response_mode", "code_challenge", "code_challenge_method"),
    *("id_token_hint", "login_hint", "request", "request_uri", "connector_id"),
    *("claims", "acr_values", "ui_locales", "unknown"),
]


@pytest.mark.parametrize("same", [True, False])
async def test_a_parameter_that_is_there_twice_is_refused(house, same):
    """T-AZ-01: in the query, in the form, in both; whichever of them would count."""
    browser = house.browser()
    for name in NAMES:
        params = asked()
        first = params.pop(name, "x")
        twice = [(name, first), (name, first if same else "y")]
        query = await browser.get("/dex/auth", params=[*params.items(), *twice])
        form = await browser.post("/dex/auth", data=[*params.items(), *twice])
        once = urlencode([twice[1]])
        both = await browser.post(f"/dex/auth?{once}", data=params | {name: first})
        for answer in (query, form, both):
            assert answer.status == 400, name
            assert "Location" not in answer.headers
            assert "more than once" in answer.text


@pytest.mark.parametrize("name", ["grant_type", "code", "redirect_uri", "unknown"])
async def test_a_parameter_of_a_token_request_is_there_once(house, name):
    """T-AZ-01: RFC 6749 section 3.2 says the same of the token endpoint."""
    form = {"grant_type": "authorization_code", "code": "c", "redirect_uri": CALLBACK}
    twice = [*form.items(), (name, form.get(name, "x")), (name, form.get(name, "x"))]
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await house.browser().post(
        "/dex/token", data=urlencode(twice), headers=headers
    )
    assert answer.status == 400
    assert json.loads(answer.text)["error"] == "invalid_request"


@pytest.mark.parametrize("method", ["get", "post"])
async def test_a_request_comes_by_get_or_post_and_what_we_do_not_know_is_ignored(
    house, method
):
    """T-AZ-02, T-AZ-03."""
    browser = house.browser()
    params = asked(foo="bar", **{"a b": "c&d", "é": "", "display": "touch"})
    if method == "get":
        answer = await browser.get("/dex/auth", params=params)
    else:
        answer = await browser.post("/dex/auth", data=params)
    form = await browser.follow(answer)
    landed = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    assert landed.params.keys() == {"code", "state", "iss"}


async def test_a_parameter_without_a_value_is_as_good_as_not_sent(house):
    """RFC 6749 sections 3.1 and 3.2."""
    names = [name for name in NAMES if name not in asked()]
    browser = house.browser()
    form = await browser.follow(
        await browser.get("/dex/auth", params=asked() | dict.fromkeys(names, ""))
    )
    landed = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    nothing = ("client_id", "client_secret", "client_assertion", "scope", "unknown")
    nothing += ("client_assertion_type", "code_verifier", "resource", "audience")
    answer = await house.exchange(
        landed.params["code"],
        auth=("exact", "a-secret-of-the-exact-app"),
        **{"redirect_uri": URI} | dict.fromkeys(nothing, ""),
    )
    assert answer.status == 200, answer.text


HOSTILE = 'x"\\\r\n\0\x7f<b>\u00e9\u202e'


async def test_an_error_says_nothing_that_its_grammar_forbids(house):
    """RFC 6749 sections 4.1.2.1 and 5.2, whatever was sent."""
    said = []
    for name in NAMES:
        if name not in ("client_id", "redirect_uri", "state"):
            answer = await house.ask(house.browser(), **asked(**{name: HOSTILE[:3]}))
            if "error" in (answer.params if "Location" in answer.headers else {}):
                said.append(answer.params)
    for name in ("grant_type", "scope", "code", "refresh_token", "connector_id"):
        for grant_type in ("authorization_code", "refresh_token", "x"):
            form = {"grant_type": grant_type, "code": "x", "refresh_token": "x"}
            answer = await house.post("/dex/token", **form | {name: HOSTILE[:3]})
            said.append(json.loads(answer.text))
    for text in (HOSTILE, HOSTILE.replace("\0", "")):
        answer = await house.ask(house.browser(), **asked(scope=f"openid {text}"))
        if "Location" in answer.headers:
            said.append(answer.params)
    assert len(said) > 20
    for each in said:
        assert re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]+", each["error_description"])
        assert re.fullmatch(r"[a-z_]+", each["error"])


FORM = {"response_mode": "form_post"}  # a redirect may be too long for the browser


@pytest.mark.parametrize("size", [6_000, 60_000, 66_000, 600_000])
async def test_a_long_state_comes_back_whole_or_not_at_all(house, size):
    """T-AZ-12: it is never cut."""
    state = "".join(chr(33 + number * 7919 % 90) for number in range(size))
    browser = house.browser()
    answer = await browser.post("/dex/auth", data=asked(state=state) | FORM)
    if answer.status == 413:
        assert size * 2 > 65_536
        assert "Location" not in answer.headers
        return
    form = await browser.follow(answer)
    landed = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    assert landed.params["state"] == state


# — where they belong ------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/dex/token", "/dex/token/revoke", "/dex/par"])
async def test_what_is_secret_is_not_read_from_an_address(house, path):
    """T-CA-01, T-TOK-01: a form that is posted; a query is in logs and histories."""
    secrets = {"client_id": BASIC[0], "client_secret": BASIC[1]}
    form = {"grant_type": "authorization_code", "token": "x"} | asked()
    form.pop("client_id")
    answer = await house.browser().post(f"{path}?{urlencode(secrets)}", data=form)
    assert answer.status == 401
    assert json.loads(answer.text)["error"] == "invalid_client"
    whole = urlencode(form | secrets)
    for send in ("GET", "PUT", "DELETE"):
        answer = await house.browser()._send(send, f"{path}?{whole}")
        assert answer.status in (400, 405)
        assert json.loads(answer.text)["error"] == "invalid_request"
        assert answer.headers["Cache-Control"] == "no-store"


async def test_who_fails_by_basic_is_told_so_by_its_header(house):
    """T-TOK-01: RFC 6749 section 5.2; and errors are kept by nobody."""
    code = quote("no such code")
    for auth, status in ((("example-app", "wrong"), 401), (BASIC, 400)):
        answer = await house.exchange(code, auth=auth)
        assert answer.status == status
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"] == "application/json"
        assert ("WWW-Authenticate" in answer.headers) is (status == 401)
        assert {*json.loads(answer.text)} == {"error", "error_description"}
