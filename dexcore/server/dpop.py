"""The keys that clients prove to hold, request by request (RFC 9449).

A proof is good for one method, one address of ours, a minute, and one time: whoever
comes second with it, on whatever replica, is refused.
"""

from __future__ import annotations

import hashlib

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import attrs

from aiohttp import web

from ..errors import (
    AlreadyExists,
    InvalidDPoPProof,
    MissingToken,
    OAuthError,
    UseDPoPNonce,
)
from ..oauth2 import dpop
from ..oauth2.dpop import Proof
from ..storage import Client, Collections, Replay
from .guard import Guard
from .middleware import ADDRESS
from .sealing import Sealer
from .urls import Issuer

#: How far the client's clock and ours may be apart.
WINDOW = timedelta(minutes=1)
#: How long a nonce is good.
NONCE_LIFETIME = timedelta(minutes=5)

_NONCE = "DPoP nonce"


@attrs.frozen(eq=False)
class Proofs:
    """Checks the proofs that come in the ``DPoP`` header.

    ``strangers`` counts those of clients that prove nothing else, because each is
    remembered for a while.  With ``require_nonce`` a proof must have a nonce of ours,
    which any replica has sealed and any other can open.
    """

    issuer: Issuer
    storage: Collections
    sealer: Sealer
    strangers: Guard
    now: Callable[[], datetime]
    require_nonce: bool = False

    async def of_client(self, request: web.Request, client: Client) -> str:
        """Return the thumbprint of the key that *client* proves by the header.

        Raises ``InvalidDPoPProof``.
        """
        proof, until = self._checked(request)
        if client.public:
            self.strangers.check(request.get(ADDRESS) or "")
        await self._once(proof, until)
        return proof.jkt

    async def check(self, request: web.Request, access_token: str, jkt: str) -> None:
        """Raise ``InvalidDPoPProof`` unless whoever asks has the key *jkt*.

        The proof must be for *access_token*, which is bound to that key (section 4.3).
        """
        proof, until = self._checked(request)
        proof.check_token(access_token)
        if proof.jkt != jkt:
            raise InvalidDPoPProof("The access token is bound to another key.")
        await self._once(proof, until)

    def headers(self) -> Mapping[str, str]:
        """Return what goes with an answer: the next nonce, where one is required."""
        return {dpop.NONCE_HEADER: self._nonce()} if self.require_nonce else {}

    def _checked(self, request: web.Request) -> tuple[Proof, datetime]:
        """Return the proof, and until when it could come again."""
        headers = request.headers.getall(dpop.HEADER, ())
        if len(headers) != 1:
            raise InvalidDPoPProof("There must be one proof in the DPoP header.")
        proof = dpop.parse(headers[0])
        # Behind a proxy too: clients know us by the issuer.
        proof.check_request(request.method, self.issuer.origin + request.path)
        return proof, self._check_age(proof)

    def _check_age(self, proof: Proof) -> datetime:
        now = self.now()
        if self.require_nonce:
            # Section 4.3: our own clock says how old it is, whatever the client's does.
            age = now.timestamp() - self._made(proof.nonce)
            if not -WINDOW.total_seconds() <= age <= NONCE_LIFETIME.total_seconds():
                raise UseDPoPNonce(self._nonce())
            return now + NONCE_LIFETIME + WINDOW
        if abs(now.timestamp() - proof.iat) > WINDOW.total_seconds():
            raise InvalidDPoPProof(
                "The proof is too old or too new; is the clock right?"
            )
        return now + 2 * WINDOW

    async def _once(self, proof: Proof, until: datetime) -> None:
        digest = hashlib.sha256(f"{proof.jkt}.{proof.jti}".encode()).hexdigest()
        try:
            await self.storage.replays.create(Replay(f"dpop:{digest}", until))
        except AlreadyExists:
            raise InvalidDPoPProof("The proof was used before.") from None

    def _nonce(self) -> str:
        made = int(self.now().timestamp())
        return self.sealer.seal(_NONCE, str(made).encode())

    def _made(self, nonce: str) -> int:
        plain = self.sealer.open(_NONCE, nonce) if nonce else None
        return int(plain) if plain is not None else 0


def challenged(refusal: OAuthError) -> OAuthError:
    """Return *refusal* as a protected resource tells it (section 7.1)."""
    said = f'error="{refusal.error}", '
    if isinstance(refusal, MissingToken):
        said = ""  # RFC 6750 section 3.1: nothing was wrong, there was nothing
    challenge = f'{dpop.SCHEME} {said}algs="{" ".join(dpop.SIGNING_ALGORITHMS)}"'
    refusal.status = 401
    refusal.headers = {**refusal.headers, "WWW-Authenticate": challenge}
    return refusal
