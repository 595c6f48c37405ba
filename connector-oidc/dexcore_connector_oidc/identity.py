"""From the claims of an upstream provider to who that is.  No I/O."""

from __future__ import annotations

import re

from collections.abc import Mapping
from typing import Any

import attrs

from dexcore.connector import Identity
from dexcore.errors import NotInRequiredGroups, UpstreamError
from dexcore.oauth2.authentication import told_acr, told_amr
from dexcore.oauth2.user_claims import FURTHER

from .config import Config, NewGroup
from .patterns import compile_pattern

__all__ = ["IdentityReader"]


@attrs.frozen
class IdentityReader:
    """Reads claims as the configuration says."""

    config: Config
    _filter: re.Pattern[str] | None

    @classmethod
    def of(cls, config: Config) -> IdentityReader:
        """Make one."""
        pattern = config.claim_modifications.filter_group_claims.groups_filter
        return cls(config, compile_pattern(pattern) if pattern else None)

    def read(self, claims: Mapping[str, Any], connector_data: bytes = b"") -> Identity:
        """Return who the *claims* are about.

        Raises ``NotInRequiredGroups``, and ``UpstreamError`` if a claim is missing.
        """
        config = self.config
        subject = _text(claims, "sub")
        if not subject:
            raise UpstreamError('The claim "sub" is missing.')
        username = _required(claims, "userNameKey", config.user_name_key)
        email, verified = self._email(claims)
        groups = self._groups(claims, subject)
        if config.user_id_key != "sub":
            subject = _required(claims, "userIDKey", config.user_id_key)
            if not subject:
                raise UpstreamError(f'The claim "{config.user_id_key}" is empty.')
        return Identity(
            user_id=subject,
            username=username,
            preferred_username=self._preferred_username(claims),
            email=email,
            email_verified=verified,
            groups=groups,
            connector_data=connector_data,
            acr=told_acr(claims.get("acr")),
            amr=told_amr(claims.get("amr")),
            claims={name: claims[name] for name in FURTHER if name in claims},
        )

    def _preferred_username(self, claims: Mapping[str, Any]) -> str:
        mapped = self.config.claim_mapping.preferred_username
        found = _text(claims, "preferred_username")
        if mapped and (found is None or self.config.override_claim_mapping):
            found = _text(claims, mapped)
        return found or ""

    def _email(self, claims: Mapping[str, Any]) -> tuple[str, bool]:
        """Return the address, and whether the provider has verified it."""
        key, mapped = "email", self.config.claim_mapping.email
        email = _text(claims, key)
        if mapped and (email is None or self.config.override_claim_mapping):
            key, email = mapped, _text(claims, mapped)
        needed = "email" in self.config.scopes
        if email is None and needed:
            raise UpstreamError(f'The claim "{key}" (email) is missing.')
        verified = claims.get("email_verified")
        if not isinstance(verified, bool):
            verified = self.config.insecure_skip_email_verified
            if needed and not verified:
                raise UpstreamError(
                    'The claim "email_verified" is missing, or is neither true nor '
                    "false. If the provider verifies every address, write "
                    "insecureSkipEmailVerified: true."
                )
        return email or "", verified

    # — groups -------------------------------------------------------------------------

    def _groups(self, claims: Mapping[str, Any], subject: str) -> tuple[str, ...]:
        changes = self.config.claim_modifications
        names = changes.modify_group_names
        kept = self._allowed(self._claimed(claims), subject)
        groups = [f"{names.prefix}{group}{names.suffix}" for group in kept]
        for new in changes.new_group_from_claims:
            groups.extend(_made(new, claims))
        return tuple(groups)

    def _claimed(self, claims: Mapping[str, Any]) -> list[str]:
        """Return the groups the claims name, if groups are to be read."""
        if not self.config.insecure_enable_groups:
            return []
        key, mapped = "groups", self.config.claim_mapping.groups
        found = claims.get(key)
        if mapped and (
            not isinstance(found, list) or self.config.override_claim_mapping
        ):
            key, found = mapped, _find(claims, mapped)
        groups = [found] if isinstance(found, str) else found
        if not isinstance(groups, list):
            return []
        named = (_group_name(each, key) for each in groups)
        return [name for name in named if name is not None and self._passes(name)]

    def _passes(self, group: str) -> bool:
        return self._filter is None or self._filter.search(group) is not None

    def _allowed(self, groups: list[str], subject: str) -> list[str]:
        allowed = self.config.allowed_groups
        if not allowed:
            return groups
        matching = [group for group in groups if group in allowed]
        if not matching:
            raise NotInRequiredGroups(user_id=subject, groups=allowed)
        return matching


def _made(new: NewGroup, claims: Mapping[str, Any]) -> list[str]:
    """Return the group that *new* asks for; none if none of its claims is a text."""
    values = [text for name in new.claims if (text := _text(claims, name)) is not None]
    if new.clear_delimiter and new.delimiter:
        values = [value.replace(new.delimiter, "") for value in values]
    return [new.delimiter.join([new.prefix, *values])] if values else []


def _group_name(item: Any, key: str) -> str | None:
    if isinstance(item, str):
        return item
    if isinstance(item, dict):
        # A group as an object; one without a name is none.
        return _text(item, "name")
    raise UpstreamError(f'The claim "{key}" (groups) has a member that is no group.')


def _required(claims: Mapping[str, Any], option: str, key: str) -> str:
    value = _text(claims, key)
    if value is None:
        raise UpstreamError(
            f'The claim "{key}" is missing, or is no text. {option} names another one.'
        )
    return value


def _text(claims: Mapping[str, Any], key: str) -> str | None:
    value = _find(claims, key)
    return value if isinstance(value, str) else None


def _find(claims: Mapping[str, Any], key: str) -> Any:
    """Return the claim *key*; ``realm_access.roles`` is also ``roles`` in an object.

    A claim whose name has the dots in it comes first.
    """
    if key in claims or "." not in key:
        return claims.get(key)
    found: Any = claims
    for name in key.split("."):
        if not isinstance(found, dict) or name not in found:
            return None
        found = found[name]
    return found
