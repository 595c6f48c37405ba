"""One plugin, and the firewall around it."""

from __future__ import annotations

import sys

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any, Protocol, TypeVar

import attrs
import pluggy

from .. import CONTRACT_VERSION, hookspecs
from ..errors import DexcoreError, PluginError
from .kinds import COMMAND, Kind, split

T = TypeVar("T")


class Distribution(Protocol):
    """Where a plugin comes from; :class:`importlib.metadata.Distribution` is one."""

    @property
    def name(self) -> str:
        """The name pip knows it by."""

    @property
    def version(self) -> str:
        """Its version."""


@attrs.frozen
class Failure:
    """What went wrong with a plugin, and when."""

    stage: str
    cause: BaseException


@attrs.define(eq=False)
class Plugin:
    """A module (or another object) that entry points of one distribution name.

    It is imported once, at its first use, and has a plugin manager of its own, so that
    nothing it does reaches another plugin.
    """

    distribution: Distribution
    value: str
    entry_points: tuple[str, ...]
    builtin: bool = False
    given: bool = False
    _importer: Callable[[], object] = attrs.field(kw_only=True)
    _loaded: pluggy.PluginManager | Failure | None = attrs.field(
        default=None, init=False
    )
    _answers: dict[str, Any] = attrs.field(factory=dict, init=False)
    object: Any = attrs.field(default=None, init=False)

    # — what it says it offers: nothing is imported ------------------------------------

    def names(self, kind: str, name: str) -> bool:
        """Return whether an entry point is ``kind.name``."""
        return f"{kind}.{name}" in self.entry_points

    def might_offer(self, name: str) -> bool:
        """Return whether an entry point is *name* alone, of whatever kind."""
        return self.given or name in self.entry_points

    def of_kind(self, kind: str) -> bool:
        """Return whether an entry point is of *kind*, or may be."""
        return self.given or any(
            split(each)[0] in (kind, "") for each in self.entry_points
        )

    @property
    def has_commands(self) -> bool:
        """Whether an entry point is a command: a bare name is not worth an import."""
        return self.given or any(
            split(each)[0] == COMMAND for each in self.entry_points
        )

    # — what it does offer: it is imported ---------------------------------------------

    def offers(self, kind: Kind[T]) -> Mapping[str, T]:
        """Return what it offers of *kind*, by name.  Raises ``PluginError``."""
        if kind.hook not in self._answers:
            try:
                found: Any = _by_name(kind, self.ask(kind.hook))
            except PluginError as error:
                found = Failure("offer", error)
            self._answers[kind.hook] = found
        answer = self._answers[kind.hook]
        if isinstance(answer, Failure):
            raise self._again(answer)
        offers: Mapping[str, T] = answer
        return offers

    def offers_or_nothing(self, kind: Kind[T]) -> Mapping[str, T]:
        """Return what :meth:`offers` returns, and nothing if it is broken."""
        try:
            return self.offers(kind)
        except PluginError:
            return {}

    def ask(self, hook: str) -> list[Any]:
        """Call *hook* of this plugin alone and return everything it returns."""
        manager = self._manager()
        try:
            answers = getattr(manager.hook, hook)()
            return list(chain.from_iterable(answers))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise self.failed("offer", error) from error

    def failed(
        self, stage: str, cause: BaseException | str, entry_point: str = ""
    ) -> PluginError:
        """Return the error that says which plugin failed, when, and why."""
        entry_point = entry_point or ", ".join(self.entry_points)
        return PluginError(
            f"{self.label} (entry point {entry_point}) failed at {stage}: "
            f"{describe(cause)}",
            distribution=self.distribution.name,
            version=self.distribution.version,
            entry_point=entry_point,
            stage=stage,
        )

    @property
    def label(self) -> str:
        """The distribution and its version."""
        return f"{self.distribution.name} {self.distribution.version}".rstrip()

    @property
    def broken(self) -> bool:
        """Whether it was imported in vain."""
        return isinstance(self._loaded, Failure)

    @property
    def contract(self) -> object:
        """What it says it was written for, once imported; ``None``: it does not say."""
        if isinstance(self.object, type(sys)):
            return getattr(self.object, "dexcore_contract", None)
        module = sys.modules.get(self.value.partition(":")[0])
        fallback = getattr(module, "dexcore_contract", None)
        return getattr(self.object, "dexcore_contract", fallback)

    # — the firewall -------------------------------------------------------------------

    def _manager(self) -> pluggy.PluginManager:
        if self._loaded is None:
            self._loaded = self._load()
        if isinstance(self._loaded, Failure):
            raise self._again(self._loaded)
        return self._loaded

    def _load(self) -> pluggy.PluginManager | Failure:
        stage = "import"
        try:
            self.object = self._importer()
            stage = "contract"
            _check_contract(self.contract)
            manager = pluggy.PluginManager("dexcore")
            manager.add_hookspecs(hookspecs)
            manager.register(self.object)
            manager.check_pending()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: it is not theirs to exit
            return Failure(stage, error)
        return manager

    def _again(self, failure: Failure) -> PluginError:
        if isinstance(failure.cause, PluginError) and failure.cause.distribution:
            return failure.cause.with_traceback(None)
        error = self.failed(failure.stage, failure.cause)
        error.__cause__ = failure.cause
        return error


def describe(cause: BaseException | str) -> str:
    """Return what *cause* says: ours are sentences, others need their class's name."""
    if isinstance(cause, str | DexcoreError):
        return str(cause)
    return f"{type(cause).__name__}: {cause}".removesuffix(": ")


def _check_contract(wanted: object) -> None:
    """Raise if we cannot serve a plugin that was written for contract *wanted*."""
    if wanted is None:
        return
    ours = ".".join(map(str, CONTRACT_VERSION))
    match wanted:
        case (int() as major, int() as minor):
            if CONTRACT_VERSION[0] - 1 <= major <= CONTRACT_VERSION[0]:
                return
            raise PluginError(
                f"It was written for version {major}.{minor} of the plugin contract; "
                f"this dexcore has {ours} and accepts that major version and the one "
                "before."
            )
    raise PluginError(
        f"Its dexcore_contract is {wanted!r}; it should be two numbers, like "
        f"{CONTRACT_VERSION}."
    )


def _by_name(kind: Kind[T], offers: Iterable[object]) -> dict[str, T]:
    found: dict[str, T] = {}
    for offer in offers:
        name = _check_offer(kind, offer)
        if name in found:
            raise PluginError(f"{kind.hook} returned {name!r} twice.")
        found[name] = offer  # type: ignore[assignment]  # _check_offer knows its class
    return found


def _check_offer(kind: Kind[Any], offer: object) -> str:
    if not isinstance(offer, kind.offer):
        raise PluginError(
            f"{kind.hook} returned {offer!r}, which is no {kind.offer.__name__}."
        )
    name, config = getattr(offer, "name", None), getattr(offer, "config", None)
    if not isinstance(name, str) or not name:
        raise PluginError(f"{kind.hook} returned an offer whose name is {name!r}.")
    if not isinstance(config, type) or not attrs.has(config):
        raise PluginError(
            f"{kind.hook} offers {name!r} with the config {config!r}, which is no "
            "attrs class."
        )
    if not callable(getattr(offer, "open", None)):
        raise PluginError(f"{kind.hook} offers {name!r} with an opener that is none.")
    return name
