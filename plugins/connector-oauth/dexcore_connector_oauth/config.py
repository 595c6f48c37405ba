"""What ``config:`` of an ``oauth`` connector may say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

import attrs

from dexcore.oauth2.user_claims import not_made_of
from dexcore.options import InvalidOption, option


@attrs.frozen
class ClaimMapping:
    """What the provider calls things in its user info."""

    user_name_key: str = option("user_name", help="The end user's name.")
    preferred_username_key: str = option(
        "preferred_username", help="The name they log in with."
    )
    groups_key: str = option(
        "groups", help="A list of group names, or of objects that have a name."
    )
    email_key: str = option("email", help="Their e-mail address.")
    email_verified_key: str = option(
        "email_verified", help="Whether the address is known to be theirs: a boolean."
    )
    further: Mapping[str, str] = option(
        factory=dict,
        help="Other standard claims that go by another name there, as "
        "`given_name: first_name`.",
    )

    def __attrs_post_init__(self) -> None:
        if unknown := not_made_of(self.further):
            raise InvalidOption(
                f"further: {', '.join(unknown)}: no such claim",
                key="further",
                remedy="Write standard claims (OpenID Connect Core section 5.1) that "
                "have no key of their own, such as given_name or address.locality.",
            )


@attrs.frozen
class Config:
    """The provider's endpoints, who we are there, and how to read its answers."""

    client_id: str = option(key="clientID", help="What the provider calls us.")
    authorization_url: str = option(
        key="authorizationURL", help="Where browsers log in."
    )
    token_url: str = option(key="tokenURL", help="Where we trade codes for tokens.")
    user_info_url: str = option(
        key="userInfoURL", help="Who a token belongs to, as a JSON object."
    )
    client_secret: str = option(
        "", secret=True, help="Our password there; without one we prove nothing."
    )
    redirect_uri: str = option(
        "",
        key="redirectURI",
        help="Where browsers come back; empty: the issuer with /callback.",
    )
    scopes: tuple[str, ...] = option((), help="What to ask for; empty: nothing.")
    pkce_challenge: Literal["S256", ""] = option(
        "S256", help="Empty if the provider cannot bear PKCE (RFC 7636)."
    )
    root_cas: tuple[str, ...] = option(
        (),
        key="rootCAs",
        help="Whom to trust beside the system's authorities: files, PEM, or base64.",
    )
    insecure_skip_verify: bool = option(
        False, help="Believe any certificate. For tests only."
    )
    user_id_key: str = option(
        "id", key="userIDKey", help="What never changes about an end user."
    )
    user_id_format: Literal["exact", "dex"] = option(
        "exact",
        key="userIDFormat",
        help="How numbers become ids; dex writes 12345678 as 1.2345678e+07.",
    )
    claim_mapping: ClaimMapping = option(
        factory=ClaimMapping, help="What the provider calls things."
    )
    insecure_skip_email_verified: bool = option(
        False, help="Take addresses for verified if the provider does not say."
    )

    def __attrs_post_init__(self) -> None:
        if not self.client_id:
            raise InvalidOption(
                "clientID is empty",
                key="clientID",
                remedy="Register dexcore at the provider and write the id it gave.",
            )
        for key, url in (
            ("authorizationURL", self.authorization_url),
            ("tokenURL", self.token_url),
            ("userInfoURL", self.user_info_url),
        ):
            if not _absolute(url):
                raise InvalidOption(
                    f"{key} is no http or https address",
                    key=key,
                    remedy="Write it with its scheme: https://login.example.com/….",
                )


def _absolute(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
