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


def test_without_a_code_there_must_be_a_nonce() -> None:
    for text in ("id_token", "id_token token"):
        with pytest.raises(InvalidRequest, match="requires a 'nonce' value"):
            parse(text, nonce="")
    assert parse("code id_token", nonce="") == ("code", "id_token")


@pytest.mark.parametrize("text", ["code token", "code id_token", "id_token token"])
def test_only_a_code_can_be_shown_on_a_page(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse(text, redirect_uri=OOB)
    assert parse("code", redirect_uri=OOB) == ("code",)


def test_what_was_sent_cannot_break_out_of_the_description() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse('x"\\\u2028é' + "y" * 1000)
    shown = refused.value.description
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) < 120
    assert shown.count('"') == 2
