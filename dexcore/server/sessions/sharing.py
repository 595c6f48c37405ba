"""Single sign-on: which clients a session is good for."""

from __future__ import annotations

import attrs

from ...storage import AuthSession, Client, Collections

EVERYBODY = "*"


@attrs.frozen(eq=False)
class Sharing:
    """Decides by ``ssoSharedWith``; *by_default* is for clients that do not say.

    A login is shared by the client that saw it, with the clients it names, and by
    nobody further: what came in by single sign-on shares nothing.
    """

    storage: Collections
    by_default: bool

    async def reaches(self, session: AuthSession, client: Client) -> bool:
        """Return whether *client* may use the login of *session*.

        The clients of the configuration file cost no query.
        """
        states = session.client_states
        mine = states.get(client.id)
        if mine is not None and not mine.via_sso:
            return True
        for client_id in sorted(states):
            if states[client_id].via_sso or client_id == client.id:
                continue
            source = await self.storage.clients.find(client_id)
            if source is not None and self._shares(source, client):
                return True
        return False

    def _shares(self, source: Client, target: Client) -> bool:
        shared = source.sso_shared_with
        if shared is None:
            return self.by_default
        return EVERYBODY in shared or target.id in shared
