"""Which address is at a preferred domain, and which is taken."""

from __future__ import annotations

import pytest

from dexcore_connector_github.emails import Email, choose, is_at

from dexcore.errors import AccessDenied


@pytest.mark.parametrize(
    ("domain", "address", "found"),
    [
        ("example.com", "jane@example.com", True),
        ("example.com", "jane@other.com", False),
        ("*.example.com", "jane@sub.example.com", True),
        ("*.example.com", "jane@sub.other.com", False),
        ("*.example.com", "jane@a.sub.example.com", False),
        ("*.example.com", "jane@sub.example.org", False),
        ("*.example.com", "jane@example.com", False),
        ("*.*.example.com", "jane@a.sub.example.com", True),
        ("*.*.example.com", "jane@a.sub.other.com", False),
        ("example.com", "jane@Example.com", False),
        ("example.com", "jane@evil.com@example.com", False),
        ("*.*.com", "jane@evil.com@example.com", False),
        ("example.com", "example.com", False),
    ],
)
def test_an_address_is_at_a_domain_label_by_label(domain, address, found):
    assert is_at(domain, address) is found


def test_an_address_that_is_not_verified_is_never_taken():
    mine = Email("jane@example.com", verified=False, primary=True)
    with pytest.raises(AccessDenied, match="no verified, primary email"):
        choose([mine], "example.com")
    with pytest.raises(AccessDenied, match="no verified, primary email"):
        choose([mine])


def test_of_several_primary_addresses_the_last_is_taken():
    emails = [Email(f"{n}@example.com", verified=True, primary=True) for n in "12"]
    assert choose(emails) == "2@example.com"
