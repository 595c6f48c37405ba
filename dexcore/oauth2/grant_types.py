"""The grant types there are (OAuth Parameters registry, ``grant_type``)."""

from __future__ import annotations

__all__ = [
    "AUTHORIZATION_CODE",
    "CLIENT_CREDENTIALS",
    "DEVICE_CODE",
    "IMPLICIT",
    "JWT_BEARER",
    "PASSWORD",
    "REFRESH_TOKEN",
    "TOKEN_EXCHANGE",
]

AUTHORIZATION_CODE = "authorization_code"
CLIENT_CREDENTIALS = "client_credentials"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
IMPLICIT = "implicit"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
PASSWORD = "password"  # noqa: S105 - a name
REFRESH_TOKEN = "refresh_token"  # noqa: S105
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105
