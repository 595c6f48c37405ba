"""Every hook, in the order the server calls them: a plugin author's manual.

A plugin is a distribution with an entry point in group ``dexcore``.  The entry point's
name says what it offers, as ``kind.type``::

    [project.entry-points.dexcore]
    "connector.ldap" = "dexcore_connector_ldap"

so that only plugins named by a ``type:`` in the configuration file are ever imported.
The kinds are ``storage``, ``signer``, ``connector``, ``signup``, ``authenticator`` and
``service``, and ``extension`` for what the file names under ``plugins:``; commands are
``command.NAME``.  The module it points to (or any object) implements the hooks below
with :data:`dexcore.hookimpl`, and may say which contract it was written for::

    from dexcore import hookimpl

    dexcore_contract = (1, 0)

    @hookimpl
    def dex_connector_types():
        return [ConnectorType("ldap", Config, open_ldap)]

A hook runs once, at start, and returns *offers*: a name, the attrs class of its
``config:`` (see :mod:`dexcore.options`), and an opener, ``async open(config,
context)``.  What happens per request happens on the objects the openers return; pluggy
is not on that path.  No hook takes an argument, none is asynchronous, and none sees
another plugin.

A plugin may be wrong in every way: not importable, written for another contract,
offering what is no offer, failing to open, failing when called.  Each is caught where
it happens, with the distribution's name in the message, and what that stops is said
below.  ``docs/plugins.md`` tells the same as a story, with a connector to copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from .authenticator import AuthenticatorType
    from .connector import ConnectorType
    from .service import ServiceType
    from .signer import SignerType
    from .signup import SignupType
    from .storage import Claims, Client, StorageType

hookspec = pluggy.HookspecMarker("dexcore")

# — before the server: the command line ------------------------------------------------


@hookspec
def dex_commands() -> Iterable[click.Command]:
    """Return commands to add to ``dexcore`` (entry point ``command.NAME``).

    They are imported for ``dexcore --help`` and for a command the core does not have.
    One that is broken is a warning.
    """
    return ()


# — the server starts: extensions, in the order of ``plugins:`` ------------------------


@hookspec
def dex_claims_types() -> Iterable[
    Callable[[Client, Claims, tuple[str, ...]], Mapping[str, Any]]
]:
    """Return functions that add claims to tokens (entry point ``extension.NAME``).

    Each gets the client, the end user's claims and the granted scopes, and returns
    claims to add.  It runs per token: fast, pure, no waiting.  It cannot replace a
    claim the server sets.  One that raises is left out of that token and logged.  An
    extension that cannot be loaded stops the start.
    """
    return ()


@hookspec
def dex_template_dirs() -> Iterable[Path]:
    """Return folders of templates that come before ours (``extension.NAME``).

    The operator's own folder, ``frontend.dir``, comes before those.
    """
    return ()


# — it opens its parts -----------------------------------------------------------------


@hookspec
def dex_storage_types() -> Iterable[StorageType[Any]]:
    """Return the values of ``storage.type`` this plugin understands.

    If the one the file names cannot be opened, the server does not start.
    ``dexcore.testing.storage`` holds the tests every storage must pass.
    """
    return ()


@hookspec
def dex_signer_types() -> Iterable[SignerType[Any]]:
    """Return the values of ``signer.type`` this plugin understands.

    If the one the file names cannot be opened, the server does not start.
    """
    return ()


@hookspec
def dex_connector_types() -> Iterable[ConnectorType[Any]]:
    """Return the values of ``connectors[].type`` this plugin understands.

    If one cannot be opened, it shows as temporarily unavailable on the login page and
    is tried again in the background; the others go on.
    """
    return ()


@hookspec
def dex_signup_types() -> Iterable[SignupType[Any]]:
    """Return the ways to sign up this plugin brings, by the name in ``signup[].type``.

    If one the file names cannot be opened, the server does not start.
    """
    return ()


@hookspec
def dex_authenticator_types() -> Iterable[AuthenticatorType[Any]]:
    """Return the values of ``mfa.authenticators[].type`` this plugin understands.

    If one the file names cannot be opened, nobody who needs it can log in.
    """
    return ()


# — and runs beside the requests -------------------------------------------------------


@hookspec
def dex_service_types() -> Iterable[ServiceType[Any]]:
    """Return services beside the web server, by the section that names them."""
    return ()
