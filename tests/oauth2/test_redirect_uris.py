"""Where an end user may be sent; RFC 8252 section 7.3 for native applications."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from dexcore.oauth2.redirect_uris import (
    OOB,
    add_fragment,
    add_parameters,
    is_registered,
)

CALLBACK = "/dex/device/callback"


def allowed(uri: str, *registered: str, public: bool = False) -> bool:
    return is_registered(registered, public, uri, device_callback=CALLBACK)


# — Registered -------------------------------------------------------------------------


@pytest.mark.parametrize("public", [False, True])
def test_a_registered_uri_is_allowed(public: bool) -> None:
    uri = "https://app.example/cb?x=1"
    assert allowed(uri, "https://other.example/", uri, public=public)


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://app.example/cb/",
        "https://app.example/cb?",
        "https://app.example/cb#",
        "https://app.example/cb?x=1",
        "https://app.example/cb/../cb",
        "https://app.example/c%62",
        "https://APP.example/cb",
        "HTTPS://app.example/cb",
        "https://app.example:443/cb",
        "https://app.example./cb",
        "https://app.example@attacker.example/cb",
        "https://attacker.example/?https://app.example/cb",
        "https://app.example/cb\n",
        " https://app.example/cb",
        "http://app.example/cb",
        "http://localhost/",
        OOB,
        CALLBACK,
    ],
)
def test_a_uri_that_differs_by_one_character_is_not(uri: str, public: bool) -> None:
    """T-REDIR-01."""
    assert not allowed(uri, "https://app.example/cb", public=public)


def test_no_uri_is_no_registered_one() -> None:
    assert not allowed("", "")
    assert not allowed("", public=True)


def test_a_confidential_client_without_uris_has_none() -> None:
    for uri in (OOB, CALLBACK, "/device/callback", "http://127.0.0.1/"):
        assert not allowed(uri)


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/cb#",
        "https://app.example/#/cb",
        "com.example.app:/cb#x",
        "javascript:alert(1)",
        "JavaScript:alert(1)//https://app.example/",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
    ],
)
def test_nobody_is_sent_where_no_application_is(uri: str, public: bool) -> None:
    """T-REDIR-06: also if a client has been stored with it."""
    assert not allowed(uri, uri, public=public)


# — Public clients that have registered nothing ----------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        OOB,
        "/device/callback",
        CALLBACK,
        "http://localhost",
        "http://localhost/",
        "http://localhost:8000/cb",
        "http://127.0.0.1:51004/cb?a=b&c=%20",
        "http://127.0.0.1:1",
        "http://127.0.0.1:65535/",
        "http://[::1]/cb",
        "http://[::1]:8000/cb",
        "http://localhost?x=1",
    ],
)
def test_a_native_application_listens_where_it_likes(uri: str) -> None:
    """T-REDIR-05."""
    assert allowed(uri, public=True)


@pytest.mark.parametrize(
    "uri",
    [
        "https://localhost/cb",
        "http://localhost/cb#fragment",
        "http://user:pw@localhost/cb",
        "http://user@127.0.0.1/",
        "http://127.0.0.2/",
        "http://127.1/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]:80/",
        "http://[::]/",
        "http://::1/",
        "http://localhost:/cb",
        "http://localhost:0/cb",
        "http://localhost:99999/cb",
        "http://localhost:65536/cb",
        "http://localhost:8000x/cb",
        "http://localhost:٨٠/cb",
        "HTTP://localhost/cb",
        "http://LOCALHOST/cb",
        "http://localhost./cb",
        "http://localhost.attacker.example/",
        "http://localhost@attacker.example/",
        "http://localhost\\@attacker.example/",
        "http://localhost/\\attacker.example",
        "http://localhost/a b",
        "http://localhost/a\nb",
        "http://localhost/cb\r\nSet-Cookie: a=b",
        "http://127.0.0.1 /",
        "http:/localhost/",
        "//localhost/",
        "https://app.example/cb",
        "app.example:/cb",
        "/device/callback/",
        "/device/callback?x=1",
        "javascript:alert(1)",
        "",
    ],
)
def test_nothing_else_is_the_loopback_interface(uri: str) -> None:
    """T-REDIR-05."""
    assert not allowed(uri, public=True)


# — Public clients that have registered a loopback address -----------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_registered_loopback_address_takes_any_port(host: str) -> None:
    """T-REDIR-05."""
    registered = f"http://{host}/cb?x=1"
    assert allowed(f"http://{host}:51004/cb?x=1", registered, public=True)
    assert allowed(f"http://{host}/cb?x=1", f"http://{host}:80/cb?x=1", public=True)
    assert not allowed(f"http://{host}:51004/other?x=1", registered, public=True)
    assert not allowed(f"http://{host}:51004/cb?x=2", registered, public=True)
    assert not allowed(f"http://{host}:99999/cb?x=1", registered, public=True)
    assert not allowed(f"http://{host}:51004/cb?x=1", registered, public=False)
    assert not allowed("http://localhost:51004/cb?x=1", registered, public=True)


def test_a_registered_localhost_takes_the_port_it_says() -> None:
    # RFC 8252 section 8.3: the name may lead elsewhere, so it is not so free.
    assert not allowed("http://localhost:2/cb", "http://localhost:1/cb", public=True)


# — Adding parameters ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://a/cb", "https://a/cb?code=x&state="),
        ("https://a/cb?", "https://a/cb?code=x&state="),
        ("https://a/cb?a=1", "https://a/cb?a=1&code=x&state="),
        ("https://a/cb?a=%2F&a=2", "https://a/cb?a=%2F&a=2&code=x&state="),
        ("https://a/cb?code=old&b=1&state=old", "https://a/cb?b=1&code=x&state="),
        ("https://a/cb?%63ode=old", "https://a/cb?code=x&state="),
        ("https://a/cb?code", "https://a/cb?code=x&state="),
        ("https://a/cb?a=1#f", "https://a/cb?a=1&code=x&state=#f"),
        ("com.example.app:/cb", "com.example.app:/cb?code=x&state="),
        ("/device/callback", "/device/callback?code=x&state="),
    ],
)
def test_our_parameters_join_the_query(uri: str, expected: str) -> None:
    """T-REDIR-04."""
    assert add_parameters(uri, {"code": "x", "state": ""}) == expected


@settings(deadline=None)  # the machine may be busy
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_state_arrives_as_it_was_sent(state: str) -> None:
    """T-AZ-12."""
    for uri in ("https://a/cb", "https://a/cb?a=1"):
        target = add_parameters(uri, {"code": "c", "state": state})
        found = parse_qsl(urlsplit(target).query, keep_blank_values=True)
        assert found[-2:] == [("code", "c"), ("state", state)]
        assert target.isascii()
        assert target.isprintable()
        assert " " not in target


def test_a_fragment_is_encoded_once() -> None:
    target = add_fragment("https://a/cb?x=1#old", {"state": "a/b c&d=é"})
    assert target == "https://a/cb?x=1#state=a%2Fb+c%26d%3D%C3%A9"
