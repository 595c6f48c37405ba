"""What ``config:`` of a connector of type ``saml`` may say: dex's keys, then ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlsplit

import attrs

from dexcore.oauth2.user_claims import not_made_of
from dexcore.options import InvalidOption, option

from .certificates import decode, parse_certificates

__all__ = ["NAME_ID_FORMATS", "Saml"]

_SAML_1_1 = "urn:oasis:names:tc:SAML:1.1:nameid-format:"
_SAML_2_0 = "urn:oasis:names:tc:SAML:2.0:nameid-format:"

#: What ``nameIDPolicyFormat`` may say: these, or what they stand for.
NAME_ID_FORMATS = {
    "emailAddress": f"{_SAML_1_1}emailAddress",
    "unspecified": f"{_SAML_1_1}unspecified",
    "X509SubjectName": f"{_SAML_1_1}X509SubjectName",
    "WindowsDomainQualifiedName": f"{_SAML_1_1}WindowsDomainQualifiedName",
    "encrypted": f"{_SAML_2_0}encrypted",
    "entity": f"{_SAML_2_0}entity",
    "kerberos": f"{_SAML_2_0}kerberos",
    "persistent": f"{_SAML_2_0}persistent",
    "transient": f"{_SAML_2_0}transient",
}
_LONGEST_SKEW = timedelta(minutes=5)
_SHORTEST_REFRESH = timedelta(minutes=1)


@attrs.frozen(kw_only=True)
class Saml:
    """A SAML 2.0 identity provider, by the POST binding."""

    sso_url: str = option(
        "", key="ssoURL", help="Where logins begin; by default what metadata says."
    )
    username_attr: str = option(help="The attribute that is the user's name.")
    email_attr: str = option(help="The attribute that is the email address.")
    redirect_uri: str = option(
        key="redirectURI", help="Our callback: the issuer's URL and /callback."
    )
    ca: str | tuple[str, ...] = option(
        (), help="PEM files of the certificates the provider signs with."
    )
    ca_data: str | tuple[str, ...] = option(
        (), help="The same in base64, instead of files."
    )
    insecure_skip_signature_validation: bool = option(
        False, help="Believe everybody. For tests only."
    )
    entity_issuer: str = option("", help="Who we are to the provider: redirectURI.")
    sso_issuer: str = option("", help="The provider's entity id, which is checked.")
    groups_attr: str = option("", help="The attribute whose values are the groups.")
    groups_delim: str = option("", help="What separates groups in its first value.")
    allowed_groups: tuple[str, ...] = option(
        (), help="Who is in none of these cannot log in. Empty: everybody can."
    )
    filter_groups: bool = option(False, help="Tell clients of the allowed groups only.")
    name_id_policy_format: str = option(
        "persistent",
        key="nameIDPolicyFormat",
        choices=tuple(NAME_ID_FORMATS),
        help="Which kind of NameID to ask for; it becomes the user's id.",
    )

    idp_metadata_file: str = option("", help="The provider's metadata, as a file.")
    idp_metadata_url: str = option(
        "", key="idpMetadataURL", help="The provider's metadata, over https or signed."
    )
    idp_metadata_cert: str = option(
        "", help="The PEM file of the certificate that signs the metadata."
    )
    idp_metadata_root_ca: str = option(
        "", key="idpMetadataRootCA", help="Whom to trust for https, as a PEM file."
    )
    idp_metadata_refresh: timedelta = option(
        timedelta(hours=1), help="How often to read the metadata again."
    )
    sp_key: str | tuple[str, ...] = option(
        (), help="PEM files of our private keys: the first signs, all decrypt."
    )
    sp_cert: str = option("", help="The PEM file of the certificate of the first.")
    sign_requests: bool = option(False, help="Sign the request to log in.")
    want_response_signed: bool = option(
        False, help="Accept only responses that are signed themselves."
    )
    want_assertion_signed: bool = option(
        False, help="Accept only assertions that are signed themselves."
    )
    insecure_allow_sha1: bool = option(
        False, key="insecureAllowSHA1", help="Accept signatures made with SHA-1."
    )
    clock_skew: timedelta = option(
        timedelta(seconds=30), help="By how much clocks may differ, 5m at most."
    )
    claim_attrs: Mapping[str, str] = option(
        factory=dict,
        help="Further claims and their attributes, as `given_name: givenName`.",
    )
    max_refresh_age: timedelta = option(
        timedelta(0), help="How long after a login refresh tokens are good. 0: always."
    )
    ignore_session_end: bool = option(
        False, help="Refresh after the session at the provider has ended, too."
    )

    def __attrs_post_init__(self) -> None:
        self._check_required()
        self._check_trust()
        self._check_metadata()
        self._check_ours()
        if unknown := not_made_of(self.claim_attrs):
            raise InvalidOption(
                f"claimAttrs: {', '.join(unknown)}: no such claim",
                key="claimAttrs",
                remedy="Write standard claims (OpenID Connect Core section 5.1) that "
                "have no key of their own, such as given_name or address.locality.",
            )
        if self.allowed_groups and not self.groups_attr:
            raise InvalidOption(
                "allowedGroups without groupsAttr lets nobody in",
                key="allowedGroups",
                remedy="Name the attribute that has the groups as groupsAttr.",
            )
        if self.name_id_format not in NAME_ID_FORMATS.values():
            raise InvalidOption(
                f'nameIDPolicyFormat "{self.name_id_policy_format}" is not known',
                key="nameIDPolicyFormat",
                remedy=f"Write one of {', '.join(NAME_ID_FORMATS)}.",
            )

    # — what it means ------------------------------------------------------------------

    @property
    def ca_files(self) -> tuple[str, ...]:
        """The files of pinned certificates."""
        return _several(self.ca)

    @property
    def key_files(self) -> tuple[str, ...]:
        """The files of our private keys."""
        return _several(self.sp_key)

    @property
    def entity_id(self) -> str:
        """Who we are: the audience of assertions."""
        return self.entity_issuer or self.redirect_uri

    @property
    def name_id_format(self) -> str:
        """The URN of ``nameIDPolicyFormat``."""
        written = self.name_id_policy_format
        return NAME_ID_FORMATS.get(written, written)

    @property
    def has_metadata(self) -> bool:
        """Whether keys and addresses come from metadata."""
        return bool(self.idp_metadata_file or self.idp_metadata_url)

    def inline_certificates(self) -> tuple[str, ...]:
        """Return the PEM texts of ``caData``; raise ``ValueError``."""
        return tuple(decode(each) for each in _several(self.ca_data))

    # — what is wrong with it ----------------------------------------------------------

    def _check_required(self) -> None:
        needed = {
            "ssoURL": self.sso_url or self.has_metadata,
            "usernameAttr": self.username_attr,
            "emailAttr": self.email_attr,
            "redirectURI": self.redirect_uri,
        }
        missing = [key for key, value in needed.items() if not value]
        if missing:
            raise InvalidOption(
                f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} empty",
                key=missing[0],
                remedy="They are required.",
            )
        for key, url in (("ssoURL", self.sso_url), ("redirectURI", self.redirect_uri)):
            if url and urlsplit(url).scheme not in ("http", "https"):
                raise InvalidOption(
                    f'{key} "{url}" is not a web address',
                    key=key,
                    remedy="Write the whole URL, with https.",
                )

    def _check_trust(self) -> None:
        if self.insecure_skip_signature_validation:
            return
        given = {
            "ca": bool(self.ca_files),
            "caData": bool(_several(self.ca_data)),
            "idpMetadata": self.has_metadata,
        }
        if sum(given.values()) != 1:
            raise InvalidOption(
                "the certificate the provider signs with is "
                + ("not there" if not any(given.values()) else "there twice"),
                key="ca",
                remedy="Give one of ca, caData, idpMetadataFile and idpMetadataURL.",
            )
        try:
            for pem in self.inline_certificates():
                parse_certificates(pem)
        except ValueError as error:
            raise InvalidOption(
                f"caData cannot be used: {error}",
                key="caData",
                remedy="Write the base64 of PEM certificates: base64 -w0 idp.pem",
            ) from None

    def _check_metadata(self) -> None:
        if self.idp_metadata_file and self.idp_metadata_url:
            raise InvalidOption(
                "the metadata is there twice",
                key="idpMetadataURL",
                remedy="Keep idpMetadataFile or idpMetadataURL.",
            )
        scheme = urlsplit(self.idp_metadata_url).scheme
        safe = ("https", "http") if self.idp_metadata_cert else ("https",)
        if self.idp_metadata_url and scheme not in safe:
            raise InvalidOption(
                "metadata that is neither signed nor fetched over https could be "
                "anybody's",
                key="idpMetadataURL",
                remedy="Use https, or name idpMetadataCert, whose key signs it.",
            )
        if self.idp_metadata_refresh < _SHORTEST_REFRESH:
            raise InvalidOption(
                "idpMetadataRefresh is shorter than a minute",
                key="idpMetadataRefresh",
                remedy="Metadata changes rarely; write 1h.",
            )

    def _check_ours(self) -> None:
        if self.sign_requests and not (self.key_files and self.sp_cert):
            raise InvalidOption(
                "signRequests needs a key to sign with, and its certificate",
                key="signRequests",
                remedy="Name spKey and spCert.",
            )
        if bool(self.key_files) != bool(self.sp_cert):
            raise InvalidOption(
                "spKey and spCert belong together",
                key="spCert" if self.sp_cert else "spKey",
                remedy="Name both.",
            )
        if not timedelta(0) <= self.clock_skew <= _LONGEST_SKEW:
            raise InvalidOption(
                "clockSkew is not between 0 and 5m",
                key="clockSkew",
                remedy="Synchronize the clocks and write 30s.",
            )
        if self.max_refresh_age < timedelta(0):
            raise InvalidOption(
                "maxRefreshAge is negative", key="maxRefreshAge", remedy="Write 24h."
            )


def _several(written: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return what may be written alone or as a list, without what is empty."""
    return tuple(
        each for each in ((written,) if isinstance(written, str) else written) if each
    )
