"""How clients prove who they are (RFC 6749 section 2.3)."""

from __future__ import annotations

import base64

import pytest

from dexcore.errors import InvalidClient, InvalidRequest
from dexcore.oauth2.client_auth import Credentials, check_secret, credentials
from dexcore.storage import Client

CONFIDENTIAL = Client(id="app", secret="s3cret")
PUBLIC = Client(id="app", public=True)


def basic(client_id: str, secret: str, scheme: str = "Basic") -> str:
    pair = f"{client_id}:{secret}".encode()
    return f"{scheme} {base64.b64encode(pair).decode()}"


# — What a request says ----------------------------------------------------------------


def test_basic_is_read() -> None:
    found = credentials(basic("app", "s3cret"), {})
    assert found == Credentials("app", "s3cret", "client_secret_basic")


@pytest.mark.parametrize("scheme", ["basic", "BASIC"])
def test_the_name_of_the_scheme_has_no_case(scheme: str) -> None:
    assert credentials(basic("app", "x", scheme), {}).secret == "x"


def test_basic_is_decoded_as_a_form_is() -> None:
    found = credentials(basic("my+app%2F%C3%A9", "a%3Ab+%25"), {})
    assert (found.client_id, found.secret) == ("my app/é", "a:b %")


def test_a_colon_may_be_in_the_secret() -> None:
    assert credentials(basic("app", "a:b"), {}).secret == "a:b"


def test_the_form_is_read() -> None:
    found = credentials(None, {"client_id": "app", "client_secret": "s3cret"})
    assert found == Credentials("app", "s3cret", "client_secret_post")


def test_a_client_without_a_secret_just_says_who_it_is() -> None:
    expected = Credentials("app", None, "none")
    assert credentials(None, {"client_id": "app"}) == expected
    assert credentials(None, {"client_id": "app", "client_secret": ""}) == expected
    assert credentials(basic("app", ""), {}) == expected


@pytest.mark.parametrize(
    "form",
    [
        {"client_id": "app"},
        {"client_id": "app", "client_secret": "s3cret"},
        {"client_secret": "s3cret"},
    ],
)
def test_the_form_may_repeat_what_the_header_says(form: dict[str, str]) -> None:
    found = credentials(basic("app", "s3cret"), form)
    assert (found.client_id, found.secret) == ("app", "s3cret")
    assert found.method == "client_secret_basic"


@pytest.mark.parametrize(
    "form",
    [
        {"client_id": "other"},
        {"client_id": "other", "client_secret": "s3cret"},
        {"client_id": "app", "client_secret": "another"},
        {"client_secret": "another"},
    ],
)
def test_two_ways_at_once_are_refused(form: dict[str, str]) -> None:
    """T-CA-01."""
    with pytest.raises(InvalidRequest, match="two ways"):
        credentials(basic("app", "s3cret"), form)


@pytest.mark.parametrize(
    ("header", "description"),
    [
        (basic("%zz", "x"), "client_id improperly encoded"),
        (basic("app", "100%"), "client_secret improperly encoded"),
        (basic("app", "%FF"), "client_secret improperly encoded"),
        (basic("app%00", "x"), "client_id improperly encoded"),
        ("Basic !!!", "malformed"),
        ("Basic YXBw", "malformed"),
        ("Basic", "malformed"),
        ("Basic YXBwOng", "malformed"),
        ("Basic " + base64.b64encode(b"\xff:x").decode(), "malformed"),
        ("Basic é", "malformed"),
    ],
)
def test_a_malformed_header_is_refused(header: str, description: str) -> None:
    with pytest.raises(InvalidRequest, match=description):
        credentials(header, {"client_id": "app"})


@pytest.mark.parametrize("header", [None, "", "Bearer xyz", basic("", "x")])
def test_nobody_is_no_client(header: str | None) -> None:
    with pytest.raises(InvalidClient):
        credentials(header, {})


def test_another_scheme_is_not_looked_at() -> None:
    assert credentials("Bearer xyz", {"client_id": "app"}).client_id == "app"


def test_a_secret_is_not_shown() -> None:
    assert "s3cret" not in repr(credentials(basic("app", "s3cret"), {}))


# — Whether it is right ----------------------------------------------------------------


def proves(client: Client, secret: str | None, client_id: str = "app") -> bool:
    return check_secret(client, Credentials(client_id, secret, "client_secret_post"))


def test_a_confidential_client_proves_itself_with_its_secret() -> None:
    assert proves(CONFIDENTIAL, "s3cret")


@pytest.mark.parametrize("secret", [None, "", "s3cre", "s3cret ", "S3CRET", "é"])
def test_nothing_else_proves_it(secret: str | None) -> None:
    assert not proves(CONFIDENTIAL, secret)


def test_the_secret_of_one_client_is_not_that_of_another() -> None:
    assert not proves(CONFIDENTIAL, "s3cret", client_id="other")


@pytest.mark.parametrize("secret", [None, "", "x"])
def test_a_confidential_client_with_an_empty_secret_proves_nothing(
    secret: str | None,
) -> None:
    """T-CA-01."""
    assert not proves(Client(id="app"), secret)


def test_a_public_client_has_nothing_to_prove() -> None:
    assert proves(PUBLIC, None)
    assert not proves(PUBLIC, "anything")


def test_a_public_client_with_a_secret_must_send_it() -> None:
    client = Client(id="app", secret="s3cret", public=True)
    assert proves(client, "s3cret")
    assert not proves(client, None)
    assert not proves(client, "other")
