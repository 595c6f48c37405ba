"""What the kit asks of every connector."""

from __future__ import annotations

import pytest

from dexcore.testing.connector import FormPostContract, RefreshContract
from dexcore.testing.upstreams.saml import SamlIdP, SamlUser


class TestSaml(FormPostContract, RefreshContract):
    type = "saml"

    @pytest.fixture
    def upstream(self, keys):
        with SamlIdP(key=keys.idp) as idp:
            idp.users["jane"] = SamlUser(
                {"name": ["Jane"], "mail": ["jane@example.com"], "groups": ["admins"]}
            )
            yield idp

    @pytest.fixture
    def config(self, upstream):
        return {
            "ssoURL": upstream.sso_url,
            "caData": upstream.ca_data,
            "ssoIssuer": upstream.entity_id,
            "redirectURI": "$ISSUER/callback",
            "usernameAttr": "name",
            "emailAttr": "mail",
            "groupsAttr": "groups",
        }


class TestSamlExperimental(TestSaml):
    type = "samlExperimental"


class TestSamlByMetadata(TestSaml):
    @pytest.fixture
    def config(self, upstream, keys, tmp_path):
        certificate = tmp_path / "metadata.pem"
        certificate.write_text(keys.other.pem)
        upstream.metadata_key = keys.other
        return {
            "idpMetadataURL": upstream.metadata_url,
            "idpMetadataCert": str(certificate),
            "redirectURI": "$ISSUER/callback",
            "usernameAttr": "name",
            "emailAttr": "mail",
            "groupsAttr": "groups",
        }
