"""The core's own plugins, registered through the same hooks as everybody's."""

from __future__ import annotations

from collections.abc import Mapping

#: By module: the entry points it would have, were it a distribution.
PLUGINS: Mapping[str, tuple[str, ...]] = {
    "dexcore.builtin.local_connector": ("connector.local",),
    "dexcore.builtin.local_signer": ("signer.local",),
    "dexcore.builtin.mock_connectors": (
        "connector.mockCallback",
        "connector.mockPassword",
    ),
}
