"""Every offer of every plugin, by the name the configuration file uses."""

from __future__ import annotations

import logging

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from ..authenticator import AuthenticatorType
from ..connector import ConnectorType
from ..errors import PluginError
from ..service import ServiceType
from ..signer import SignerType
from ..signup import SignupType
from ..storage import Claims, Client, StorageType
from . import known, reporting
from .kinds import (
    AUTHENTICATOR,
    CONNECTOR,
    EXTENSION,
    KINDS,
    SERVICE,
    SIGNER,
    SIGNUP,
    STORAGE,
    Kind,
    split,
)
from .plugin import Plugin

if TYPE_CHECKING:
    import click

T = TypeVar("T")

ClaimsFunction = Callable[[Client, Claims, tuple[str, ...]], Mapping[str, Any]]

log = logging.getLogger("dexcore.plugins")


@attrs.frozen
class Extensions:
    """What the extensions named in the file add, in the order of the file."""

    claims: tuple[ClaimsFunction, ...] = ()
    template_dirs: tuple[Path, ...] = ()


@attrs.frozen(eq=False)
class Plugins:
    """The installed plugins.

    Every method that returns an offer raises ``PluginError``, which names the plugin
    that is to blame, or what to install if nobody offers it.
    """

    plugins: tuple[Plugin, ...]

    # — one offer ----------------------------------------------------------------------

    def storage_type(self, name: str) -> StorageType[Any]:
        """Return the offer for ``storage.type``."""
        return self._offer(STORAGE, name)

    def signer_type(self, name: str) -> SignerType[Any]:
        """Return the offer for ``signer.type``."""
        return self._offer(SIGNER, name)

    def connector_type(self, name: str) -> ConnectorType[Any]:
        """Return the offer for ``connectors[].type``."""
        return self._offer(CONNECTOR, name)

    def signup_type(self, name: str) -> SignupType[Any]:
        """Return the offer for ``signup[].type``."""
        return self._offer(SIGNUP, name)

    def authenticator_type(self, name: str) -> AuthenticatorType[Any]:
        """Return the offer for ``mfa.authenticators[].type``."""
        return self._offer(AUTHENTICATOR, name)

    def service_type(self, name: str) -> ServiceType[Any]:
        """Return the offer for the section *name* of the file."""
        return self._offer(SERVICE, name)

    def extensions(self, names: Iterable[str]) -> Extensions:
        """Return what the extensions *names* add."""
        claims: list[ClaimsFunction] = []
        folders: list[Path] = []
        for name in names:
            plugin = self._extension(name)
            claims += _all(plugin, "dex_claims_types", callable, "is no function")
            folders += _all(plugin, "dex_template_dirs", _is_folder, "is no folder")
        return Extensions(tuple(claims), tuple(folders))

    def failed(
        self, kind: str, name: str, stage: str, cause: BaseException | str
    ) -> PluginError:
        """Return the error that blames whoever offers *name* for a failure at *stage*.

        For stages that come after the offer: ``config`` and ``open``.
        """
        try:
            plugin = self._offering(KINDS[kind], name)
        except PluginError as unknown:
            return unknown
        error = plugin.failed(stage, cause, f"{kind}.{name}")
        if isinstance(cause, BaseException):
            error.__cause__ = cause
        return error

    # — everything ---------------------------------------------------------------------

    def offers(self, kind: str) -> Mapping[str, Any]:
        """Return all offers of *kind*, by name: for the schema of the file.

        Imports every plugin of that kind.  Broken ones, and names that two offer, are
        left out.
        """
        found: dict[str, Any] = {}
        contested: set[str] = set()
        asked = [each for each in self.plugins if each.of_kind(kind)]
        for plugin in asked:
            plugin.offers_or_nothing(KINDS[kind])  # imports it
        for plugin in _distinct(asked):
            for name, offer in plugin.offers_or_nothing(KINDS[kind]).items():
                if found.setdefault(name, offer) is not offer:
                    contested.add(name)
        return {name: found[name] for name in sorted(found.keys() - contested)}

    def commands(self) -> list[click.Command]:
        """Return the commands that plugins add; a broken plugin is only logged."""
        # The command line has loaded it by now, and a server never comes here.
        import click

        def is_command(offer: object) -> bool:
            return isinstance(offer, click.Command) and bool(offer.name)

        found: dict[str | None, click.Command] = {}
        for plugin in self.plugins:
            if not plugin.has_commands:
                continue
            try:
                added = _all(plugin, "dex_commands", is_command, "is no click command")
            except PluginError as error:
                log.warning("%s", error)
                continue
            for command in added:
                if found.setdefault(command.name, command) is not command:
                    log.warning("Two plugins add the command %r.", command.name)
        return list(found.values())

    def report(self) -> list[reporting.PluginReport]:
        """Return what is installed and whether it works.  Imports all of it."""
        return reporting.report(self.plugins)

    # — how it is found ----------------------------------------------------------------

    def _offer(self, kind: Kind[T], name: str) -> T:
        plugin = self._offering(kind, name)
        offers = plugin.offers(kind)
        if name in offers:
            return offers[name]
        raise plugin.failed(
            "offer",
            f"It offers no {kind.title} {name!r}"
            + (f", only {', '.join(map(repr, offers))}." if offers else "."),
            f"{kind.name}.{name}",
        )

    def _offering(self, kind: Kind[Any], name: str) -> Plugin:
        """Return the one plugin for *name*; it may turn out to be broken."""
        named = [each for each in self.plugins if each.names(kind.name, name)]
        possible = [each for each in self.plugins if each.might_offer(name)]
        found = _distinct(
            [*named, *(p for p in possible if name in p.offers_or_nothing(kind))]
        )
        if not found:
            for each in possible:
                if not each.given:
                    each.offers(kind)  # raises if this is why
            # An entry point may be called anything; ask everybody before giving up.
            strangers = [each for each in self.plugins if not each.builtin]
            found = _distinct(
                each for each in strangers if name in each.offers_or_nothing(kind)
            )
        if not found:
            raise self._nobody(kind, name)
        if len(found) > 1:
            for each in found:
                each.offers_or_nothing(kind)  # imported, they may turn out to be one
            found = _distinct(found)
        if len(found) > 1:
            raise _contested(kind, name, found)
        return found[0]

    def _extension(self, name: str) -> Plugin:
        for each in self.plugins:
            if each.names(EXTENSION, name) or name in each.entry_points:
                return each
        names = [
            split(point)[1]
            for each in self.plugins
            for point in each.entry_points
            if split(point)[0] in (EXTENSION, "")
        ]
        meant = _closest(name, names)
        remedy = f"Did you mean {meant!r}?" if meant else ""
        message = f"No installed plugin is an extension {name!r}. {remedy}".rstrip()
        raise PluginError(message, stage="find", remedy=remedy)

    def _nobody(self, kind: Kind[Any], name: str) -> PluginError:
        broken = [
            each.label for each in self.plugins if each.broken and not each.builtin
        ]
        doubt = f" ({', '.join(broken)} might, but cannot be used.)" if broken else ""
        remedy = self._remedy(kind, name)
        return PluginError(
            f"No installed plugin offers the {kind.title} {name!r}.{doubt} {remedy}",
            stage="find",
            remedy=remedy,
        )

    def _remedy(self, kind: Kind[Any], name: str) -> str:
        requirement = known.requirement(kind.name, name)
        for each in self.plugins:
            if requirement and each.distribution.name == requirement:
                return f"{each.label} does not: pip install --upgrade {requirement}"
        if requirement:
            return f"Install it: pip install {requirement}"
        installed = self.offers(kind.name)
        meant = _closest(name, (*installed, *known.KNOWN.get(kind.name, ())))
        if not meant:
            return f"There are {', '.join(map(repr, installed)) or 'none'}."
        requirement = known.requirement(kind.name, meant)
        if meant in installed or not requirement:
            return f"Did you mean {meant!r}?"
        return f"Did you mean {meant!r}? Install it: pip install {requirement}"


def _distinct(plugins: Iterable[Plugin]) -> list[Plugin]:
    """Return *plugins* without those that are the same object under two names."""
    found: dict[int, Plugin] = {}
    for each in plugins:
        found.setdefault(id(each if each.object is None else each.object), each)
    return list(found.values())


def _closest(name: str, names: Iterable[str]) -> str:
    by_folded = {each.casefold(): each for each in names}
    # Only a file with a slip of the pen needs it.
    import difflib

    close = difflib.get_close_matches(name.casefold(), by_folded, n=1)
    return by_folded[close[0]] if close else ""


def _contested(kind: Kind[Any], name: str, plugins: list[Plugin]) -> PluginError:
    owners = " and ".join(each.label for each in plugins)
    return PluginError(
        f"The {kind.title} {name!r} is offered by {owners}: uninstall all but one.",
        distribution=", ".join(each.distribution.name for each in plugins),
        version=", ".join(each.distribution.version for each in plugins),
        entry_point=f"{kind.name}.{name}",
        stage="find",
        remedy="Uninstall all but one.",
    )


def _all(
    plugin: Plugin, hook: str, right: Callable[[Any], bool], wrong: str
) -> list[Any]:
    """Return what *hook* of *plugin* returns, all of it as it should be."""
    found = plugin.ask(hook)
    for each in found:
        if not right(each):
            raise plugin.failed("offer", f"{hook} returned {each!r}, which {wrong}.")
    return found


def _is_folder(offer: object) -> bool:
    return isinstance(offer, Path) and offer.is_dir()
