"""The configuration file: positions, environment, attrs classes.

:func:`load` reads a file, :func:`structure` makes the options of a plugin out of its
section.
"""

from .convert import structure
from .flags import Flags
from .load import Reading, load, loads, read, reads
from .model import (
    GRPC,
    MFA,
    AuthenticatorEntry,
    ClientRemoteIP,
    Config,
    ConnectorEntry,
    Expiry,
    Frontend,
    Logger,
    OAuth2,
    PKCEOptions,
    Plugged,
    RefreshTokens,
    Sessions,
    StaticClient,
    StaticPassword,
    SubjectOptions,
    Telemetry,
    Web,
)
from .problems import ConfigProblems, Position, Problem

__all__ = [
    "GRPC",
    "MFA",
    "AuthenticatorEntry",
    "ClientRemoteIP",
    "Config",
    "ConfigProblems",
    "ConnectorEntry",
    "Expiry",
    "Flags",
    "Frontend",
    "Logger",
    "OAuth2",
    "PKCEOptions",
    "Plugged",
    "Position",
    "Problem",
    "Reading",
    "RefreshTokens",
    "Sessions",
    "StaticClient",
    "StaticPassword",
    "SubjectOptions",
    "Telemetry",
    "Web",
    "load",
    "loads",
    "read",
    "reads",
    "structure",
]
