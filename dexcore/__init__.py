"""A federated OpenID Connect provider made of plugins.

A plugin imports :data:`hookimpl` from here, and the contracts it fulfils from
:mod:`dexcore.connector`, :mod:`dexcore.storage`, :mod:`dexcore.signer`,
:mod:`dexcore.signup`, :mod:`dexcore.authenticator` and :mod:`dexcore.service`.
:mod:`dexcore.hookspecs` is the manual.
"""

from __future__ import annotations

import pluggy

__all__ = ["CONTRACT_VERSION", "__version__", "hookimpl"]

__version__ = "0.1.0"

#: The version of the contracts, ``(major, minor)``.  A plugin module may say which it
#: was written for by a module attribute ``dexcore_contract = (1, 0)``; this host
#: accepts its own major version and the one before.
CONTRACT_VERSION = (1, 0)

hookimpl = pluggy.HookimplMarker("dexcore")
