"""``response_type``: its parts, and what goes together."""

from __future__ import annotations

import pytest

from dexcore.errors import InvalidRequest, OAuthError, UnsupportedResponseType
from dexcore.oauth2 import response_types
from dexcore.oauth2.redirect_uris import OOB

ALL = ("code", "token", "id_token")


def parse(
    text: str,
    supported: tuple[str, ...] = ALL,
    *,
    nonce: str = "n",
    redirect_uri: str = "https://app.example/cb",
) -> tuple[str, ...]:
    return response_types.parse(text, supported, nonce=nonce, redirect_uri=redirect_uri)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("code", ("code",)),
        ("code code", ("code",)),
        ("id_token token", ("id_token", "token")),
        ("token code id_token", ("token", "code", "id_token")),
    ],
)
def test_parts_keep_their_order_and_come_once(
    text: str, expected: tuple[str, ...]
) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "error", "description"),
    [
        ("", InvalidRequest, "No response_type provided"),
        ("  ", InvalidRequest, "No response_type provided"),
        ("nonsense", InvalidRequest, 'Invalid response type "nonsense"'),
        ("code nonsense", InvalidRequest, 'Invalid response type "nonsense"'),
        ("Code", InvalidRequest, 'Invalid response type "Code"'),
        ("token", UnsupportedResponseType, 'Unsupported response type "token"'),
        ("token x", UnsupportedResponseType, 'Unsupported response type "token"'),
    ],
)
def test_what_is_wrong_is_said_as_dex_says_it(
    text: str, error: type[OAuthError], description: str
) -> None:
    with pytest.raises(error) as refused:
        parse(text, ("code",))
    assert refused.value.description == description


def test_an_access_token_alone_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="'token' must come together"):
        parse("token")


@pytest.mark.parametrize(
    "text", ["id_token", "id_token token", "code id_token", "code id_token token"]
)
def test_an_id_token_by_the_browser_needs_a_nonce(text: str) -> None:
    with pytest.raises(InvalidRequest, match="requires a 'nonce' value"):
        parse(text, nonce="")
    assert parse(text)


def test_without_an_id_token_there_need_be_no_nonce() -> None:
    for text in ("code", "code token"):
        assert parse(text, nonce="") == tuple(text.split())


@pytest.mark.parametrize("text", ["code token", "code id_token", "id_token token"])
@pytest.mark.parametrize("redirect_uri", [OOB, "/device/callback"])
def test_only_a_code_can_be_shown_on_a_page(text: str, redirect_uri: str) -> None:
    with pytest.raises(InvalidRequest, match="only 'code' can be answered"):
        parse(text, redirect_uri=redirect_uri)
    assert parse("code", redirect_uri=redirect_uri) == ("code",)


@pytest.mark.parametrize(
    ("configured", "on", "answered"),
    [
        (("code",), ("code",), ("code",)),
        (("code", "id_token token"), ("code",), ("code",)),
        (("id_token",), ("id_token",), ("id_token",)),
        (("token",), ("token",), ()),
        (
            ("code", "id_token"),
            ("code", "id_token"),
            ("code", "id_token", "code id_token"),
        ),
        (
            ALL,
            ALL,
            (
                "code",
                "id_token",
                "code token",
                "code id_token",
                "id_token token",
                "code id_token token",
            ),
        ),
    ],
)
def test_what_the_file_lists_alone_can_be_put_together(
    configured: tuple[str, ...], on: tuple[str, ...], answered: tuple[str, ...]
) -> None:
    assert response_types.switched_on(configured, ("implicit",)) == on
    assert response_types.possible(on) == answered


def test_without_the_grant_implicit_there_are_no_tokens_by_the_browser() -> None:
    assert response_types.switched_on(ALL, ("authorization_code",)) == ("code",)


def test_what_was_sent_cannot_break_out_of_the_description() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse('x"\\\u2028é' + "y" * 1000)
    shown = refused.value.description
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) < 120
    assert shown.count('"') == 2
