"""Apps written for Node log in: openid-client (certified) and oauth4webapi."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("script", ["openid_client.mjs", "oauth4webapi.mjs"])
def test_an_app_logs_in_verifies_refreshes_and_asks_for_userinfo(
    run_node, provider, script
):
    learnt = run_node(script)
    assert learnt["claims"]["email"] == learnt["userinfo"]["email"] == provider.email
    assert learnt["claims"]["groups"] == ["admins"]
    assert learnt["refreshed"]["sub"] == learnt["claims"]["sub"]
    assert learnt["rotated"] is True
    assert learnt["introspection"]["active"] is True
    assert learnt["after"] == "invalid_grant"
