"""What every storage does with one record after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest

from .. import jose
from ..storage import (
    KINDS,
    ZERO_TIME,
    AlreadyExists,
    AuthRequest,
    AuthSession,
    Client,
    ClientCredentialsClaims,
    Collection,
    Collections,
    Keys,
    Kind,
    NotFound,
    OfflineSessions,
    Password,
    Storage,
    StorageError,
    UserIdentity,
    VerificationKey,
)
from ._storage_samples import LATER, NOW, SAMPLES, expiring

Open = Callable[[], Awaitable[Storage]]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
keyed_kinds = pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.key], ids=lambda kind: kind.name
)


def collection(storage: Any, kind: Kind[Any]) -> Collection[Any]:
    """Return the collection of *kind*."""
    found: Collection[Any] = getattr(storage, kind.collection)
    return found


class RecordCases:
    """Creating, reading, changing and removing; inherited by ``StorageContract``."""

    def comparable(self, record: Any) -> Any:
        """Return *record* without what this storage keeps in its own way."""
        return record

    @every_kind
    async def test_a_record_is_read_back_as_it_was_created(
        self, storage: Storage, kind: Kind[Any]
    ) -> None:
        """Every field of every kind."""
        records, sample = collection(storage, kind), SAMPLES[kind.name]
        for record in filter(None, (sample.first, sample.second)):
            await records.create(record)
            stored = await records.get(*kind.key_of(record))
            assert self.comparable(stored) == self.comparable(record)
            assert await records.find(*kind.key_of(record)) == stored

    @every_kind
    async def test_a_key_that_is_there_is_not_created_again(
        self, storage: Storage, kind: Kind[Any]
    ) -> None:
        """And the first record stays what it was."""
        records, sample = collection(storage, kind), SAMPLES[kind.name]
        await records.create(sample.first)
        stored = await records.get(*kind.key_of(sample.first))
        with pytest.raises(AlreadyExists):
            await records.create(sample.changed)
        assert await records.get(*kind.key_of(sample.first)) == stored

    @every_kind
    async def test_an_update_is_stored_and_returned(
        self, storage: Storage, kind: Kind[Any]
    ) -> None:
        """Fields that did not change stay."""
        records, sample = collection(storage, kind), SAMPLES[kind.name]
        key = kind.key_of(sample.first)
        await records.create(sample.first)
        returned = await records.update(*key, change=sample.change)
        stored = await records.get(*key)
        assert self.comparable(stored) == self.comparable(sample.changed)
        assert self.comparable(returned) == self.comparable(sample.changed)

    @keyed_kinds
    async def test_changing_one_record_leaves_the_other(
        self, storage: Storage, kind: Kind[Any]
    ) -> None:
        """The second of a kind stays when the first is changed, and then removed."""
        records, sample = collection(storage, kind), SAMPLES[kind.name]
        await records.create(sample.first)
        await records.create(sample.second)
        other = await records.get(*kind.key_of(sample.second))
        await records.update(*kind.key_of(sample.first), change=sample.change)
        assert await records.get(*kind.key_of(sample.second)) == other
        await records.delete(*kind.key_of(sample.first))
        assert await records.get(*kind.key_of(sample.second)) == other

    @every_kind
    async def test_a_deleted_record_is_gone_and_can_come_back(
        self, storage: Storage, kind: Kind[Any]
    ) -> None:
        """Also a second time."""
        records, record = collection(storage, kind), SAMPLES[kind.name].first
        for _ in range(2):
            await records.create(record)
            await records.delete(*kind.key_of(record))
            assert await records.find(*kind.key_of(record)) is None

    @every_kind
    async def test_a_taken_record_is_handed_out_and_gone(
        self, storage: Storage, kind: Kind[Any]
    ) -> None:
        """Once."""
        records, record = collection(storage, kind), SAMPLES[kind.name].first
        await records.create(record)
        taken = await records.take(*kind.key_of(record))
        assert self.comparable(taken) == self.comparable(record)
        with pytest.raises(NotFound):
            await records.take(*kind.key_of(record))

    @every_kind
    async def test_what_is_not_there_is_not_found(
        self, storage: Storage, kind: Kind[Any]
    ) -> None:
        """By any verb, and no verb creates it."""
        records, sample = collection(storage, kind), SAMPLES[kind.name]
        key = kind.key_of(sample.first)
        assert await records.find(*key) is None
        for attempt in (
            records.get(*key),
            records.update(*key, change=lambda _: sample.first),
            records.take(*key),
            records.delete(*key),
        ):
            with pytest.raises(NotFound):
                await attempt
        assert await records.list() == []

    @every_kind
    async def test_a_change_that_raises_leaves_the_record_alone(
        self, storage: Storage, kind: Kind[Any]
    ) -> None:
        """And the caller gets the very exception."""
        records, record = collection(storage, kind), SAMPLES[kind.name].first
        await records.create(record)
        stored = await records.get(*kind.key_of(record))
        refusal = NotFound("from inside the change")

        def change(_: Any) -> Any:
            raise refusal

        with pytest.raises(NotFound) as raised:
            await records.update(*kind.key_of(record), change=change)
        assert raised.value is refusal
        assert await records.get(*kind.key_of(record)) == stored

    @every_kind
    async def test_a_change_of_nothing_returns_the_record(
        self, storage: Storage, kind: Kind[Any]
    ) -> None:
        """As it is stored."""
        records, record = collection(storage, kind), SAMPLES[kind.name].first
        await records.create(record)
        same = await records.update(*kind.key_of(record), change=lambda old: old)
        assert same == await records.get(*kind.key_of(record))

    @keyed_kinds
    async def test_a_change_cannot_give_a_record_another_key(
        self, storage: Storage, kind: Kind[Any]
    ) -> None:
        """Neither moved nor copied."""
        records, sample = collection(storage, kind), SAMPLES[kind.name]
        await records.create(sample.first)
        with pytest.raises(StorageError):
            await records.update(
                *kind.key_of(sample.first), change=lambda _: sample.second
            )
        keys = [kind.key_of(record) for record in await records.list()]
        assert keys == [kind.key_of(sample.first)]

    @keyed_kinds
    async def test_lists_are_in_the_order_of_keys_and_come_in_pages(
        self, storage: Storage, kind: Kind[Any]
    ) -> None:
        """Each page follows the last key of the one before."""
        records, sample = collection(storage, kind), SAMPLES[kind.name]
        last = kind.key[-1]
        for name in ("b", "e", "a", "d", "c"):
            await records.create(attrs.evolve(sample.first, **{last: name}))
        everything = await records.list()
        assert [getattr(record, last) for record in everything] == [*"abcde"]
        pages, after = [], None
        while page := await records.list(after=after, limit=2):
            pages.append(page)
            after = kind.key_of(page[-1])
        assert [len(page) for page in pages] == [2, 2, 1]
        assert [record for page in pages for record in page] == everything
        assert await records.list(after=kind.key_of(everything[1])) == everything[2:]
        assert await records.list(limit=0) == []

    async def test_none_and_nothing_are_different_where_none_is_a_default(
        self, storage: Storage
    ) -> None:
        """``()``: no second factor, no sharing; ``None``: what the server says."""
        clients = storage.clients
        await clients.create(Client("c", mfa_chain=(), sso_shared_with=()))
        stored = await clients.get("c")
        assert (stored.mfa_chain, stored.sso_shared_with) == ((), ())
        await clients.update(
            "c",
            change=lambda old: attrs.evolve(old, mfa_chain=None, sso_shared_with=None),
        )
        stored = await clients.get("c")
        assert (stored.mfa_chain, stored.sso_shared_with) == (None, None)

    async def test_a_client_may_have_claims_of_its_own(self, storage: Storage) -> None:
        """They come, change and go with the client."""
        claims = ClientCredentialsClaims(("machines",))
        await storage.clients.create(Client("c", client_credentials_claims=claims))
        stored = await storage.clients.take("c")
        assert stored.client_credentials_claims == claims
        await storage.clients.create(Client("c"))
        assert (await storage.clients.get("c")).client_credentials_claims is None
        empty = ClientCredentialsClaims()
        await storage.clients.update(
            "c", change=lambda old: attrs.evolve(old, client_credentials_claims=empty)
        )
        assert (await storage.clients.get("c")).client_credentials_claims == empty

    async def test_emails_are_found_in_any_case(self, storage: Storage) -> None:
        """However they were written when the user was created."""
        await storage.passwords.create(Password("Spam@Example.com", username="spam"))
        with pytest.raises(AlreadyExists):
            await storage.passwords.create(Password("spam@example.com"))
        for email in ("spam@example.com", "SPAM@example.COM", "Spam@Example.com"):
            assert (await storage.passwords.get(email)).username == "spam"
        changed = await storage.passwords.update(
            "SPAM@EXAMPLE.COM", change=lambda old: attrs.evolve(old, username="eggs")
        )
        assert changed.username == "eggs"
        assert len(await storage.passwords.list()) == 1
        await storage.passwords.delete("sPAM@example.com")
        assert await storage.passwords.list() == []

    async def test_ids_that_differ_in_case_are_different(
        self, storage: Storage
    ) -> None:
        """Subjects of upstream providers may differ in nothing else."""
        await storage.clients.create(Client("c1", name="lower"))
        assert await storage.clients.find("C1") is None
        await storage.clients.create(Client("C1", name="upper"))
        assert (await storage.clients.get("c1")).name == "lower"
        await storage.offline_sessions.create(OfflineSessions("u1", "ldap"))
        assert await storage.offline_sessions.find("U1", "ldap") is None
        assert await storage.offline_sessions.find("u1", "LDAP") is None

    async def test_the_parts_of_a_key_are_not_run_together(
        self, storage: Storage
    ) -> None:
        """``(ab, c)`` is not ``(a, bc)``, whatever stands between them."""
        pairs = [("ab", "c"), ("a", "bc"), ("a|b", "c"), ("a", "b|c"), ("a/b", "c")]
        for user, connector in pairs:
            await storage.offline_sessions.create(
                OfflineSessions(user, connector, connector_data=user.encode())
            )
            await storage.user_identities.create(UserIdentity(user, connector))
        for user, connector in pairs:
            session = await storage.offline_sessions.get(user, connector)
            assert session.connector_data == user.encode()
        assert len(await storage.user_identities.list()) == len(pairs)

    async def test_keys_of_any_characters_are_found_again(
        self, storage: Storage
    ) -> None:
        """Upstream providers choose the ids of their users."""
        ids = ["a b", "a/b?c=d", "Ünïcödé", "\U0001f600", "%41", "a'b\"c", "CN=x,O=y"]
        for user in ids:
            await storage.user_identities.create(UserIdentity(user, "ldap"))
        for user in ids:
            assert (await storage.user_identities.get(user, "ldap")).user_id == user
        listed = [record.user_id for record in await storage.user_identities.list()]
        assert listed == sorted(ids)

    async def test_no_sessions_yet_is_an_empty_map(self, storage: Storage) -> None:
        """Never ``None``: the next login adds to it."""
        await storage.offline_sessions.create(OfflineSessions("1", "ldap"))
        await storage.user_identities.create(UserIdentity("1", "ldap"))
        await storage.auth_sessions.create(AuthSession("s"))
        identity = await storage.user_identities.get("1", "ldap")
        assert dict((await storage.offline_sessions.get("1", "ldap")).refresh) == {}
        assert dict((await storage.auth_sessions.get("s")).client_states) == {}
        assert dict(identity.consents) == {}
        assert dict(identity.mfa_secrets) == {}
        assert dict(identity.webauthn_credentials) == {}

    async def test_the_sessions_of_a_user_are_found(self, storage: Storage) -> None:
        """By the user and the connector, to the letter, in the order of their ids."""
        sessions = storage.auth_sessions
        for id, user, connector in (
            *(("c", "jane", "ldap"), ("a", "jane", "ldap"), ("b", "jane", "oidc")),
            *(("d", "Jane", "ldap"), ("e", "jan", "eldap")),
        ):
            await sessions.create(
                AuthSession(
                    id,
                    "secret",
                    user,
                    connector,
                    absolute_expiry=LATER,
                    idle_expiry=LATER,
                )
            )
        found = await sessions.matching(user_id="jane", connector_id="ldap")
        assert [each.id for each in found] == ["a", "c"]
        assert await sessions.matching(user_id="joe") == []

        async def within(collections: Collections) -> list[AuthSession]:
            return await collections.auth_sessions.matching(connector_id="oidc")

        assert [each.id for each in await storage.view(within)] == ["b"]

    async def test_a_time_that_is_not_set_stays_not_set(self, storage: Storage) -> None:
        """The year one, and the epoch, which some databases have instead."""
        await storage.auth_requests.create(AuthRequest("r", "c", expiry=LATER))
        assert (await storage.auth_requests.get("r")).auth_time == ZERO_TIME
        identity = UserIdentity("1", "ldap", created_at=NOW, blocked_until=EPOCH)
        await storage.user_identities.create(identity)
        stored = await storage.user_identities.get("1", "ldap")
        assert stored.created_at == NOW
        assert stored.last_login == ZERO_TIME
        assert stored.blocked_until in (EPOCH, ZERO_TIME)

    async def test_times_are_moments(self, storage: Storage) -> None:
        """Whatever the zone they were given in."""
        there = NOW.astimezone(ZoneInfo("America/New_York"))
        code = expiring("auth_code", there)
        await storage.auth_codes.create(code)
        assert (await storage.auth_codes.get(code.id)).expiry == NOW

    async def test_long_values_are_kept_whole(self, storage: Storage) -> None:
        """Clients send states of kilobytes, browsers name themselves at length."""
        request = attrs.evolve(
            SAMPLES["auth_request"].first,
            state="s" * 4096,
            nonce="n" * 2000,
            redirect_uri="https://a.example/" + "r" * 2000,
            connector_data=b"\x00" * 100_000,
        )
        await storage.auth_requests.create(request)
        assert await storage.auth_requests.get(request.id) == request
        session = attrs.evolve(SAMPLES["auth_session"].first, user_agent="Ü" * 2000)
        await storage.auth_sessions.create(session)
        assert await storage.auth_sessions.get(session.id) == session

    @pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
    async def test_signing_keys_still_sign_when_they_come_back(
        self, storage: Storage, algorithm: str
    ) -> None:
        """And what they signed is verified with the stored public keys."""
        jwk = jose.generate(algorithm)
        others = tuple(
            VerificationKey(jose.public(jose.generate(name)), LATER)
            for name in ("RS256", "ES256")
        )
        await storage.keys.create(Keys(jwk, jose.public(jwk), others, NOW))
        stored = await storage.keys.get()
        assert stored == Keys(jwk, jose.public(jwk), others, NOW)
        assert stored.signing_key is not None
        assert [*stored.signing_key] == [*jwk]
        token = jose.SigningKey.load(stored.signing_key).sign(b'{"sub":"1"}')
        claims, _ = jose.verify_with_jwks(
            token, {"keys": [stored.signing_key_pub]}, [algorithm]
        )
        assert claims == {"sub": "1"}

    async def test_a_storage_that_is_open_answers(self, storage: Storage) -> None:
        """Which is what the health check asks."""
        await storage.ping()
        assert await storage.clients.list() == []
