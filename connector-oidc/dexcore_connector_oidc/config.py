"""The options of ``type: oidc``: dex's, and a few of ours."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

import attrs

from dexcore.options import InvalidOption, option

from .patterns import compile_pattern

_OKTA = ("okta.com", "oktapreview.com")


@attrs.frozen
class ClaimMapping:
    """Which claims to read when the standard ones are not there."""

    preferred_username: str = option(
        "", key="preferred_username", help="Instead of preferred_username."
    )
    email: str = option("", help="Instead of email.")
    groups: str = option("", help="Instead of groups.")


@attrs.frozen
class NewGroup:
    """A group made of the values of claims."""

    claims: tuple[str, ...] = option((), help="Text claims whose values are joined.")
    delimiter: str = option("", help="What stands between the prefix and the values.")
    clear_delimiter: bool = option(
        False, help="Whether the delimiter is taken out of the values first."
    )
    prefix: str = option("", help="What the group begins with.")


@attrs.frozen
class FilterGroups:
    """Which groups to keep."""

    groups_filter: str = option(
        "", help="A regular expression, in Go's syntax, that is found in their names."
    )

    def __attrs_post_init__(self) -> None:
        try:
            compile_pattern(self.groups_filter)
        except ValueError as error:
            raise InvalidOption(
                f"groupsFilter is no regular expression: {error}",
                key="groupsFilter",
                remedy="Correct it; without it everybody's groups would all count.",
            ) from None


@attrs.frozen
class ModifyNames:
    """What to put around the name of every group."""

    prefix: str = option("", help="Before it.")
    suffix: str = option("", help="Behind it.")


@attrs.frozen
class ClaimModifications:
    """What to do with groups before clients see them."""

    new_group_from_claims: tuple[NewGroup, ...] = option(
        (), help="Groups made of the values of other claims."
    )
    filter_group_claims: FilterGroups = option(
        factory=FilterGroups, help="Which groups to keep."
    )
    modify_group_names: ModifyNames = option(
        factory=ModifyNames, help="What to put around their names."
    )


@attrs.frozen
class Overrides:
    """Endpoints that are not where discovery says."""

    token_url: str = option("", key="tokenURL", help="token_endpoint.")
    auth_url: str = option("", key="authURL", help="authorization_endpoint.")
    jwks_url: str = option("", key="jwksURL", help="jwks_uri.")
    user_info_url: str = option("", key="userInfoURL", help="userinfo_endpoint.")
    device_auth_url: str = option(
        "",
        key="deviceAuthURL",
        help="device_authorization_endpoint; nothing here asks it, as in dex.",
    )
    end_session_url: str = option("", key="endSessionURL", help="end_session_endpoint.")

    def __attrs_post_init__(self) -> None:
        for key, url in (
            ("tokenURL", self.token_url),
            ("authURL", self.auth_url),
            ("jwksURL", self.jwks_url),
            ("userInfoURL", self.user_info_url),
            ("deviceAuthURL", self.device_auth_url),
            ("endSessionURL", self.end_session_url),
        ):
            if url:
                check_url(key, url)


@attrs.frozen
class Config:
    """``connectors[].config``."""

    issuer: str = option(
        help="The upstream provider; what it is like is read from "
        "ISSUER/.well-known/openid-configuration."
    )
    issuer_alias: str = option(
        "", help="What iss says in its tokens, if it is not the issuer."
    )
    client_id: str = option("", key="clientID", help="Who we are there.")
    client_secret: str = option("", secret=True, help="Our secret there.")
    client_assertion_key: str = option(
        "",
        secret=True,
        help="A private key to authenticate with instead of the secret "
        "(private_key_jwt): a file, PEM text or a JWK.",
    )
    redirect_uri: str = option(
        "",
        key="redirectURI",
        help="The address we are registered with there: ISSUER/callback, or "
        "ISSUER/callback/ID with the connector's id.  Unset: the first.",
    )
    basic_auth_unsupported: bool | None = option(
        None, help="Whether the secret goes in the form only.  Unset: found out."
    )
    scopes: tuple[str, ...] = option(
        ("profile", "email"), help="What to ask for, beside openid."
    )
    acr_values: tuple[str, ...] = option(
        (),
        help="How people should authenticate there (acr_values).  Empty: as clients "
        "wish.",
    )
    prompt_type: str | None = option(
        None,
        help="The prompt parameter, sent when a client wants a refresh token.  "
        "Unset: consent.",
    )
    pkce_challenge: Literal["S256", "plain", ""] = option(
        "",
        help="The PKCE method.  Empty: S256, plain or none, as is advertised.",
    )
    insecure_skip_nonce: bool = option(
        False, help="Send no nonce, to providers that do not give it back."
    )
    get_user_info: bool = option(
        False, help="Whether claims of the UserInfo endpoint come on top."
    )
    user_id_key: str = option(
        "sub", key="userIDKey", help="The claim that is the user's id."
    )
    user_name_key: str = option("name", help="The claim that is the user's name.")
    insecure_skip_email_verified: bool = option(
        False, help="Take an address for verified if email_verified is not there."
    )
    insecure_enable_groups: bool = option(
        False, help="Whether groups are read.  They change only at login and refresh."
    )
    allowed_groups: tuple[str, ...] = option(
        (), help="Who may log in: members of one of these.  Empty: everybody."
    )
    override_claim_mapping: bool = option(
        False, help="Whether claimMapping counts even if the standard claim is there."
    )
    claim_mapping: ClaimMapping = option(
        factory=ClaimMapping, help="Claims with names of their own."
    )
    claim_modifications: ClaimModifications = option(
        factory=ClaimModifications, help="What to do with groups."
    )
    provider_discovery_overrides: Overrides = option(
        factory=Overrides, help="Endpoints that are not where discovery says."
    )
    token_audiences: tuple[str, ...] = option(
        (),
        help="Token exchange: whose tokens are taken, beside those for our clientID.",
    )
    insecure_skip_token_audience: bool = option(
        False, help="Token exchange: take tokens whoever they are for, as dex does."
    )
    root_cas: tuple[str, ...] = option(
        (),
        key="rootCAs",
        help="Certificates to trust beside the system's: files, PEM text, or base64.",
    )
    insecure_skip_verify: bool = option(
        False, help="Do not check the provider's certificate."
    )
    hosted_domains: tuple[str, ...] = option(
        (), help="Of the google connector; refused here."
    )

    def __attrs_post_init__(self) -> None:
        check_url("issuer", self.issuer)
        if self.hosted_domains:
            raise InvalidOption(
                "hostedDomains is an option of the google connector",
                key="hostedDomains",
                remedy="Remove it, or change the type to google.",
            )
        if self.allowed_groups and not self.insecure_enable_groups:
            raise InvalidOption(
                "allowedGroups needs insecureEnableGroups: without it no groups are "
                "read, and everybody could log in",
                key="allowedGroups",
                remedy="Add insecureEnableGroups: true, or remove allowedGroups.",
            )
        if self.client_secret and self.client_assertion_key:
            raise InvalidOption(
                "there are both clientSecret and clientAssertionKey",
                key="clientAssertionKey",
                remedy="Keep the one the provider knows.",
            )

    @property
    def secret_in_form(self) -> bool:
        """Whether the secret goes in the form and never in a header.

        Okta refuses the header unless told otherwise for each app.
        """
        if self.basic_auth_unsupported is not None:
            return self.basic_auth_unsupported
        host = urlsplit(self.issuer).hostname or ""
        return any(host == okta or host.endswith(f".{okta}") for okta in _OKTA)

    @property
    def token_issuer(self) -> str:
        """What ``iss`` says in the provider's tokens."""
        return self.issuer_alias or self.issuer


def check_url(key: str, url: str) -> None:
    """Raise ``InvalidOption`` unless *url* is an absolute http or https address."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise InvalidOption(
            f"{key} is no http or https address",
            key=key,
            remedy="Write it in full, as https://login.example.com.",
        )
