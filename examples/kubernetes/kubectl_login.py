#!/usr/bin/env python3
"""A credential plugin for kubectl that logs you in at an OpenID Connect issuer.

kubectl runs it whenever it has no token that is good, and shows what it says.  The
first time it asks you to open an address and log in there (RFC 8628); from then on it
uses a refresh token, until somebody revokes that.  It needs nothing but Python::

    kubectl_login.py --issuer https://id.example.com/dex --client-id kubernetes

What it has to remember is in your cache folder, readable for you alone.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import hashlib
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
SCOPE = "openid email groups offline_access"
SLACK = 60  # seconds a token should be good for when kubectl gets it


class Refused(Exception):
    """The provider's error code (RFC 6749 section 5.2)."""


class Issuer:
    """An issuer and the public client we are there."""

    def __init__(self, url: str, client_id: str, ca: str | None) -> None:
        self.client_id = client_id
        self._tls = ssl.create_default_context()
        if ca:
            self._tls.load_verify_locations(ca)
        self._known = self._ask(f"{url}/.well-known/openid-configuration")

    def refresh(self, refresh_token: str) -> dict[str, Any]:
        """Return new tokens; raise ``Refused``."""
        return self._token(grant_type="refresh_token", refresh_token=refresh_token)

    def log_in(self) -> dict[str, Any]:
        """Let the user log in with a browser, here or elsewhere; return the tokens."""
        endpoint = self._known["device_authorization_endpoint"]
        codes = self._ask(endpoint, client_id=self.client_id, scope=SCOPE)
        print(f"To log in, open {codes['verification_uri_complete']}", file=sys.stderr)
        interval = codes.get("interval", 5)
        while True:
            time.sleep(interval)
            try:
                return self._token(
                    grant_type=DEVICE_CODE, device_code=codes["device_code"]
                )
            except Refused as refused:
                if str(refused) == "slow_down":
                    interval += 5
                elif str(refused) != "authorization_pending":
                    raise

    def _token(self, **form: str) -> dict[str, Any]:
        endpoint = self._known["token_endpoint"]
        return self._ask(endpoint, client_id=self.client_id, **form)

    def _ask(self, url: str, **form: str) -> dict[str, Any]:
        data = urlencode(form).encode() if form else None
        try:
            with urllib.request.urlopen(  # noqa: S310 - the issuer's, as we were told
                url, data=data, context=self._tls, timeout=30
            ) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 400:
                    raise
                raise Refused(json.load(error)["error"]) from None


@contextlib.contextmanager
def remembered(file: Path) -> Iterator[dict[str, Any]]:
    """Read the file, and write it afterwards.

    Whoever comes at the same time waits: a refresh token is good once.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    number = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(number, "r+") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        tokens: dict[str, Any] = json.loads(opened.read() or "{}")
        before = dict(tokens)
        try:
            yield tokens
        finally:
            if tokens != before:
                opened.seek(0)
                opened.truncate()
                json.dump(tokens, opened)


def renew(issuer: Issuer, tokens: dict[str, Any]) -> None:
    """Put new tokens in the place of *tokens*."""
    if "refresh_token" in tokens:
        try:
            tokens.update(issuer.refresh(tokens["refresh_token"]))
            return
        except Refused:
            tokens.clear()
    tokens.update(issuer.log_in())


def expiry(tokens: dict[str, Any]) -> int:
    """Return when the ID token ends; the API server is who verifies it."""
    if "id_token" not in tokens:
        return 0
    payload = tokens["id_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return int(claims["exp"])


def main() -> None:
    """Print the credential kubectl asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--issuer", required=True, help="its address")
    parser.add_argument("--client-id", required=True, help="a public client")
    parser.add_argument("--ca", help="a file with the authority the issuer's TLS is of")
    options = parser.parse_args()
    name = hashlib.sha256(f"{options.issuer} {options.client_id}".encode()).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    with remembered(cache / "kubectl-login" / name[:16]) as tokens:
        if expiry(tokens) < time.time() + SLACK:
            renew(Issuer(options.issuer, options.client_id, options.ca), tokens)
        ends = datetime.fromtimestamp(expiry(tokens) - SLACK, UTC)
        credential = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": {
                "token": tokens["id_token"],
                "expirationTimestamp": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
        }
    print(json.dumps(credential))


if __name__ == "__main__":
    try:
        main()
    except Refused as refused:
        sys.exit(f"The issuer refuses: {refused}")
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"Cannot log in: {error!r}")
