"""What a stranger may write into the fields, and how it is stored."""

from __future__ import annotations

import pytest

from dexcore_signup import fields

from dexcore.passwords import Scheme
from dexcore.signup import InvalidField


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("ada@example.com", "ada@example.com"),
        ("New.User@Example.COM", "new.user@example.com"),
        ("  ada@example.com ", "ada@example.com"),
        ("ada+tag@example.com", "ada+tag@example.com"),
        ("o'hara_{x}@a-b.example.co.uk", "o'hara_{x}@a-b.example.co.uk"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("ada@\uff45xample\u3002com", "ada@example.com"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_an_address_is_stored_in_one_form(typed: str, stored: str) -> None:
    assert fields.email(typed) == stored


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "@",
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "ada@@example.com",
        "ada@eve@example.com",
        "ada @example.com",
        "ada@exam ple.com",
        "ada@example.com.",
        "ada@.example.com",
        "ada@example..com",
        "ada@-example.com",
        "ada@exa_mple.com",
        "ada@192.0.2.1",
        "ada@[192.0.2.1]",
        ".ada@example.com",
        "ada.@example.com",
        "a..da@example.com",
        '"ada"@example.com',
        "ada@example.com\r\nBcc: eve@example.com",
        "ada\n@example.com",
        "ada@example.com\n",
        "ada\0@example.com",
        "\u0430da@example.com",  # a Cyrillic letter
        "\u212a@example.com",  # the Kelvin sign, in lower case a Latin letter
        "ada\uff20example.com",  # a full-width sign
        "a" * 65 + "@example.com",
        "ada@" + "a" * 64 + ".example",
        "ada@" + "a." * 130 + "example",
        "ada@" + "ü" * 100_000 + ".example",
        "ada@" + "\ud800" + ".example",
    ],
)
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(InvalidField) as refused:
        fields.email(typed)

    assert refused.value.field == "email"


def test_a_domain_that_only_looks_alike_is_another_domain() -> None:
    assert fields.email("ada@ex\u0430mple.com") == "ada@xn--exmple-4nf.com"


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("ada", "ada"),
        ("  Ada Lovelace\t", "Ada Lovelace"),
        ("Jose\u0301", "José"),
        ("محمد", "محمد"),
        ("x" * 64, "x" * 64),
    ],
)
def test_a_name_is_trimmed_and_composed(typed: str, stored: str) -> None:
    assert fields.username(typed) == stored


@pytest.mark.parametrize(
    "typed",
    ["", "   ", "x" * 65, "a\nb", "a\0b", "a\x1b[31mb", "a\u2028b", "a\u202eb"],
)
def test_a_name_nobody_can_read_is_refused(typed: str) -> None:
    with pytest.raises(InvalidField) as refused:
        fields.username(typed)

    assert refused.value.field == "username"


@pytest.mark.parametrize(
    ("typed", "scheme"),
    [
        ("12345678", "bcrypt"),
        ("        ", "bcrypt"),
        ("Grüße, Welt", "bcrypt"),
        ("x" * 72, "bcrypt"),
        ("x" * 4096, "argon2id"),
    ],
)
def test_a_password_is_kept_as_it_was_typed(typed: str, scheme: Scheme) -> None:
    assert fields.password(typed, scheme=scheme) == typed


@pytest.mark.parametrize(
    ("typed", "scheme"),
    [
        ("", "bcrypt"),
        ("1234567", "bcrypt"),
        ("ü" * 7, "bcrypt"),
        ("x" * 73, "bcrypt"),
        ("ü" * 37, "bcrypt"),
        ("12345678\0", "bcrypt"),
        ("x" * 4097, "argon2id"),
    ],
)
def test_a_password_that_is_short_or_would_be_cut_is_refused(
    typed: str, scheme: Scheme
) -> None:
    with pytest.raises(InvalidField) as refused:
        fields.password(typed, scheme=scheme)

    assert refused.value.field == "password"
    assert typed == "" or typed not in refused.value.message
