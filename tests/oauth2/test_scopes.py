"""Scopes: what a client may ask for, and how it is told to the end user."""

from __future__ import annotations

from dexcore.oauth2 import scopes


def test_scopes_keep_their_order_and_come_once() -> None:
    text = " openid  email\topenid\nprofile email "
    assert scopes.parse(text) == ("openid", "email", "profile")
    assert scopes.parse("") == ()


def test_the_scopes_of_dex_are_known() -> None:
    text = "openid email groups profile offline_access federated:id"
    known = scopes.parse(f"{text} audience:server:client_id:peer")
    assert scopes.unknown(known) == ()


def test_unknown_scopes_are_named_in_order() -> None:
    text = "openid admin Email audience:server:client_id: audience:x"
    assert scopes.unknown(scopes.parse(text)) == (
        "admin",
        "Email",
        "audience:server:client_id:",
        "audience:x",
    )


def test_audiences_are_the_clients_that_are_named() -> None:
    asked = scopes.parse(
        "openid audience:server:client_id:b audience:server:client_id:a:1 email"
    )
    assert scopes.audiences(asked) == ("b", "a:1")


def test_the_end_user_reads_what_each_scope_allows() -> None:
    asked = scopes.parse(
        "openid profile email groups offline_access federated:id "
        "audience:server:client_id:payroll"
    )
    assert scopes.describe(asked) == [
        "View basic profile information",
        "View your email address",
        "View your groups",
        "Have offline access",
        "View your user id at the identity provider you log in with",
        "Act for you at the application payroll",
    ]


def test_there_is_nothing_to_say_about_openid() -> None:
    assert scopes.describe(("openid",)) == []
