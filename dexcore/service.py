"""What a service is: something that runs beside the web server."""

from __future__ import annotations

import logging

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import attrs

from .storage import Storage

C = TypeVar("C")


class Service(ABC):
    """Runs from the server's start to its end."""

    @abstractmethod
    async def run(self) -> None:
        """Serve until cancelled."""

    async def close(self) -> None:
        """Let go of sockets."""


@attrs.frozen
class ServiceContext:
    """What the server lends a service while it opens."""

    issuer: str
    storage: Storage
    log: logging.Logger = logging.getLogger("dexcore.service")


@attrs.frozen
class ServiceType(Generic[C]):
    """A service: ``name`` is the section of the configuration file that turns it on."""

    name: str
    config: type[C]
    open: Callable[[C, ServiceContext], Awaitable[Service]]
