"""Who is behind the proxy."""

from __future__ import annotations

import pytest

from dexcore.config.model import ClientRemoteIP
from dexcore.errors import ConfigError
from dexcore.server.real_ip import RealIP

BEHIND = RealIP.of(ClientRemoteIP("X-Forwarded-For", ("10.0.0.0/8", "fd00::/8")))


@pytest.mark.parametrize(
    ("peer", "hops", "client"),
    [
        # The peer is nobody we trust: whatever it says is its own invention.
        ("192.0.2.9", "198.51.100.1", "192.0.2.9"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        # From the right, past our own proxies; what is left of it a client made up.
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("10.0.0.1", "10.2.3.4, 10.9.9.9", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, unknown, 10.9.9.9", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:4711", "10.0.0.1"),
        ("10.0.0.1", "fe80::1%x level=INFO", "10.0.0.1"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("", "198.51.100.1", ""),
    ],
)
def test_only_what_trusted_proxies_wrote_counts(
    peer: str, hops: str, client: str
) -> None:
    assert BEHIND.find(peer, hops) == client


def test_a_header_without_trusted_proxies_is_ignored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = RealIP.of(ClientRemoteIP("X-Forwarded-For", ()))
    assert found == RealIP()
    assert "ignored" in caplog.text


@pytest.mark.parametrize("text", ["10.0.0.1", "10.0.0.0/33", "proxy/8"])
def test_a_range_that_is_none_is_an_error_that_repeats_it(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        RealIP.of(ClientRemoteIP("X-Real-IP", (text,)))
    assert str(refused.value).startswith(
        f'failed to parse client remote IP settings: failed to parse CIDR "{text}": '
    )


def test_a_range_may_have_bits_behind_its_prefix() -> None:
    found = RealIP.of(ClientRemoteIP("X-Real-IP", ("10.1.2.3/8",)))
    assert found.find("10.9.9.9", "192.0.2.1") == "192.0.2.1"
