"""``connectors[].config`` of ``type: ldap``.  Keys and defaults are dex's."""

from __future__ import annotations

import base64
import binascii

from collections.abc import Mapping
from typing import Literal

import attrs

from dexcore.oauth2.user_claims import not_made_of
from dexcore.options import InvalidOption, option

from .addresses import PLAIN_PORT, TLS_PORT, Address, parse_addresses

Scope = Literal["", "sub", "one"]


@attrs.frozen
class UserSearch:
    """``userSearch``: how the entry of somebody is found, and what it says."""

    base_dn: str = option(key="baseDN", help="Users are below this entry.")
    username: str | tuple[str, ...] = option(
        help="The attribute that holds what people type as their name; or several."
    )
    filter: str = option("", help="Only entries that match this LDAP filter count.")
    scope: Scope = option(
        "", choices=("sub", "one"), help="The whole tree (sub, the default) or a level."
    )
    id_attr: str = option(
        "uid", key="idAttr", help="Becomes part of the subject: it must never change."
    )
    email_attr: str = option("mail", key="emailAttr", help="The email address.")
    name_attr: str = option("", key="nameAttr", help="The name to show.")
    preferred_username_attr: str = option(
        "", key="preferredUsernameAttr", help="The claim preferred_username."
    )
    email_suffix: str = option(
        "",
        key="emailSuffix",
        help="Makes the email address: the value of nameAttr, @, this.",
    )
    claim_attrs: Mapping[str, str] = option(
        factory=dict,
        key="claimAttrs",
        help="Further claims and their attributes, as `given_name: givenName`.",
    )

    def __attrs_post_init__(self) -> None:
        _check_base(self.base_dn)
        _check_filter(self.filter)
        if not self.usernames or not all(self.usernames):
            raise InvalidOption(
                "username is empty",
                key="username",
                remedy="Name the attribute people log in with, such as `uid`.",
            )
        if not self.id_attr:
            raise InvalidOption(
                "idAttr is empty", key="idAttr", remedy="Remove it: the default is uid."
            )
        if unknown := not_made_of(self.claim_attrs):
            raise InvalidOption(
                f"claimAttrs: {', '.join(unknown)}: no such claim",
                key="claimAttrs",
                remedy="Write standard claims (OpenID Connect Core section 5.1) that "
                "have no key of their own, such as given_name or address.locality.",
            )
        if self.email_suffix and not self.name_attr:
            raise InvalidOption(
                "emailSuffix is put behind the value of nameAttr, which is not set",
                key="emailSuffix",
                remedy="Set nameAttr to the part before the @, such as `uid`.",
            )
        if not self.email_attr and not self.email_suffix:
            raise InvalidOption(
                "emailAttr is empty",
                key="emailAttr",
                remedy="Remove it (the default is mail), or set emailSuffix.",
            )

    @property
    def usernames(self) -> tuple[str, ...]:
        """The attributes, one of which holds what people type as their name."""
        one = self.username
        return (one,) if isinstance(one, str) else one


@attrs.frozen
class UserMatcher:
    """One entry of ``groupSearch.userMatchers``: how a group says who is in it."""

    user_attr: str = option(
        "", key="userAttr", help="The user's side: an attribute, or DN."
    )
    group_attr: str = option(
        "", key="groupAttr", help="The attribute of a group that holds that value."
    )
    recursion_group_attr: str = option(
        "",
        key="recursionGroupAttr",
        help="The attribute of a group that holds the DN of a group within it.",
    )


@attrs.frozen
class GroupSearch:
    """``groupSearch``: how the groups of somebody are found."""

    base_dn: str = option(
        "", key="baseDN", help="Groups are below this entry; empty: no groups."
    )
    filter: str = option("", help="Only entries that match this LDAP filter count.")
    scope: Scope = option(
        "", choices=("sub", "one"), help="The whole tree (sub, the default) or a level."
    )
    user_matchers: tuple[UserMatcher, ...] = option(
        (), key="userMatchers", help="How a group says who is in it; all are used."
    )
    user_attr: str = option("", key="userAttr", help="Deprecated: use userMatchers.")
    group_attr: str = option("", key="groupAttr", help="Deprecated: use userMatchers.")
    recursion_group_attr: str = option(
        "", key="recursionGroupAttr", help="Deprecated: use userMatchers."
    )
    name_attr: str = option(
        "", key="nameAttr", help="The attribute of a group that becomes its name."
    )

    def __attrs_post_init__(self) -> None:
        _check_filter(self.filter)
        for matcher in self.matchers:
            if self.base_dn and matcher.user_attr and not matcher.group_attr:
                raise InvalidOption(
                    f"a matcher with userAttr {matcher.user_attr!r} has no groupAttr",
                    key="userMatchers" if self.user_matchers else "userAttr",
                    remedy="Name the attribute of a group, such as `member`.",
                )

    @property
    def matchers(self) -> tuple[UserMatcher, ...]:
        """The matchers that count: the deprecated keys only if there are no others."""
        if self.user_matchers and self.user_matchers[0].user_attr:
            return self.user_matchers
        return (
            UserMatcher(self.user_attr, self.group_attr, self.recursion_group_attr),
        )


@attrs.frozen
class Kerberos:
    """``kerberos``: browsers with a ticket need no password (SPNEGO, RFC 4559)."""

    enabled: bool = option(False, help="Whether browsers are asked for a ticket.")
    keytab_path: str = option("", key="keytabPath", help="The keytab of the service.")
    spn: str = option(
        "",
        help="The service tickets must be for, as HTTP/host; empty: any we can read.",
    )
    keytab_principal: str = option(
        "",
        key="keytabPrincipal",
        help="Whose key in the keytab is used; empty: any that fits.",
    )
    max_clock_skew: int = option(
        300,
        key="maxClockSkew",
        help="Seconds; another value than 300 has to be set in krb5.conf (clockskew).",
    )
    expected_realm: str = option(
        "", key="expectedRealm", help="The only realm that is let in; empty: any."
    )
    username_from_principal: str = option(
        "",
        key="usernameFromPrincipal",
        choices=("localpart", "sAMAccountName", "userPrincipalName"),
        help="What is looked up: name@REALM for userPrincipalName, else the name.",
    )
    fallback_to_password: bool = option(
        False,
        key="fallbackToPassword",
        help="Whether browsers without a ticket get the password form.",
    )


@attrs.frozen
class Config:
    """``config`` of a connector of ``type: ldap``."""

    host: str | tuple[str, ...] = option(
        help="Where the directory is: `host` or `host:port`.  Several, as a list or"
        " with commas, hold the same data; the first that answers is used."
    )
    user_search: UserSearch = option(key="userSearch", help="How users are found.")
    group_search: GroupSearch = option(
        factory=GroupSearch, key="groupSearch", help="How groups are found."
    )
    bind_dn: str = option(
        "", key="bindDN", help="The account that searches; empty: anonymously."
    )
    bind_pw: str = option("", key="bindPW", secret=True, help="The password of bindDN.")
    insecure_no_ssl: bool = option(
        False, key="insecureNoSSL", help="Plain LDAP: passwords cross the network."
    )
    start_tls: bool = option(
        False, key="startTLS", help="Begin in plain LDAP, then encrypt (port 389)."
    )
    insecure_skip_verify: bool = option(
        False, key="insecureSkipVerify", help="Accept any certificate."
    )
    root_ca: str = option(
        "", key="rootCA", help="A PEM file: only these authorities are trusted."
    )
    root_ca_data: str = option(
        "", key="rootCAData", help="The same in base64; goes before rootCA."
    )
    client_cert: str = option(
        "", key="clientCert", help="Our certificate for the directory, a PEM file."
    )
    client_key: str = option("", key="clientKey", help="The key of clientCert.")
    username_prompt: str = option(
        "", key="usernamePrompt", help="The label of the name field; empty: Username."
    )
    kerberos: Kerberos = option(factory=Kerberos, help="Single sign-on with a ticket.")

    def __attrs_post_init__(self) -> None:
        # Parsed here too, so that a wrong one is found when the file is read.
        _ = self.addresses, self.root_ca_pem
        if self.insecure_no_ssl and self.start_tls:
            raise InvalidOption(
                "insecureNoSSL and startTLS exclude each other",
                key="startTLS",
                remedy="Remove insecureNoSSL, so that passwords are encrypted.",
            )
        if bool(self.client_cert) != bool(self.client_key):
            raise InvalidOption(
                "one of clientCert and clientKey is missing",
                key="clientCert" if self.client_cert else "clientKey",
                remedy="Give both, or none.",
            )
        # RFC 4513 section 5.1.2: a name without a password proves nothing, and some
        # servers answer "success" all the same.
        if self.bind_dn and not self.bind_pw:
            raise InvalidOption(
                "bindPW is empty",
                key="bindPW",
                remedy="Give the password of bindDN; if it comes from an environment"
                " variable, set that.",
            )
        if self.bind_pw and not self.bind_dn:
            raise InvalidOption(
                "bindDN is empty",
                key="bindDN",
                remedy="Name the account that bindPW is for.",
            )

    @property
    def encrypted(self) -> bool:
        """Whether anything but plain LDAP is spoken."""
        return not self.insecure_no_ssl

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where the directory is, in the order of the file."""
        port = PLAIN_PORT if self.insecure_no_ssl or self.start_tls else TLS_PORT
        return parse_addresses(self.host, port)

    @property
    def root_ca_pem(self) -> str:
        """What ``rootCAData`` holds."""
        try:
            pem = base64.b64decode("".join(self.root_ca_data.split()), validate=True)
            return pem.decode("ascii")
        except (binascii.Error, UnicodeDecodeError):
            raise InvalidOption(
                "rootCAData is not the base64 of a PEM file",
                key="rootCAData",
                remedy="Write what `base64 -w0 ca.pem` prints.",
            ) from None


def _check_base(base_dn: str) -> None:
    if not base_dn:
        raise InvalidOption(
            "baseDN is empty",
            key="baseDN",
            remedy="Name the entry users are below: `ou=people,dc=example,dc=org`.",
        )


def _check_filter(text: str) -> None:
    # Whether it is right in all its parts is found when the connector opens.
    stripped = text.strip()
    if text and not (stripped.startswith("(") and stripped.endswith(")")):
        raise InvalidOption(
            f"the filter {text!r} is not in parentheses",
            key="filter",
            remedy="Write for example `(objectClass=person)`.",
        )
