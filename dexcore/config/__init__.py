"""The configuration file: positions, environment, attrs classes."""

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
    Telemetry,
    Web,
)

__all__ = [
    "GRPC",
    "MFA",
    "AuthenticatorEntry",
    "ClientRemoteIP",
    "Config",
    "ConnectorEntry",
    "Expiry",
    "Frontend",
    "Logger",
    "OAuth2",
    "PKCEOptions",
    "Plugged",
    "RefreshTokens",
    "Sessions",
    "Telemetry",
    "Web",
]
