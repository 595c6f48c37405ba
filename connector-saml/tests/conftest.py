"""A service provider to attack, an identity provider's keys, and tools of a forger."""

from __future__ import annotations

import base64
import copy
import logging

from datetime import UTC, datetime

import attrs
import pytest

from cryptography.hazmat.primitives.asymmetric import ec
from dexcore_connector_saml import Saml, SamlConnector, open_saml
from dexcore_storage_memory import MemoryStorage
from lxml import etree
from multidict import MultiDict

from dexcore.connector import Callback, ConnectorContext, Identity, Scopes
from dexcore.errors import AccessDenied
from dexcore.testing.upstreams.saml_messages import PROTOCOL, Message
from dexcore.testing.upstreams.saml_signing import (
    ASSERTION,
    DSIG,
    Encryption,
    SigningKey,
)

ACS = "https://sp.example/dex/callback"
IDP = "https://idp.example"
REQUEST = "qrequestid"

NAMES = {"p": PROTOCOL, "s": ASSERTION, "d": DSIG}


@attrs.frozen
class Keys:
    """``idp`` is pinned; nobody should believe ``other``; ``sp`` is ours."""

    idp: SigningKey
    other: SigningKey
    sp: SigningKey
    elliptic: SigningKey


@pytest.fixture(scope="session")
def keys():
    return Keys(
        SigningKey.make("idp"),
        SigningKey.make("idp"),
        SigningKey.make("sp"),
        SigningKey.make("idp", curve=ec.SECP256R1()),
    )


class Log(logging.Handler):
    """What the connector has said."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)

    @property
    def messages(self):
        return [each.getMessage() for each in self.records]

    @property
    def reason(self):
        """Why the last message was refused."""
        return self.records[-1].fields["reason"]


@attrs.define
class ServiceProvider:
    """The connector, opened as the server does, and what a browser posts to it."""

    connector: SamlConnector
    storage: MemoryStorage
    log: Log

    async def finish(
        self, document, *, request=REQUEST, groups=True, field=None
    ) -> Identity:
        if field is None:
            field = base64.b64encode(document).decode()
        callback = Callback(
            query=MultiDict(),
            form=MultiDict({"SAMLResponse": field, "RelayState": request}),
            headers=MultiDict(),
            callback_url=ACS,
            connector_data=request.encode(),
        )
        return await self.connector.finish(Scopes(True, groups), callback)

    async def refuses(self, document=b"", because="", **how):
        """Check that *document* is refused, and that the log says *because* of what."""
        with pytest.raises(AccessDenied) as refused:
            await self.finish(document, **how)
        # What was wrong is for the log alone.
        assert "contact your administrator" in refused.value.description
        assert because in self.log.reason, self.log.reason

    async def accepts(self, document, user="jane", **how):
        identity = await self.finish(document, **how)
        assert identity.user_id == user
        return identity


@pytest.fixture
async def open_sp(keys):
    """Open service providers; keywords are attributes of the configuration."""
    opened = []

    async def open_sp(*, storage=None, now=None, **options):
        trust = {"ca", "ca_data", "idp_metadata_file", "idp_metadata_url"} & set(
            options
        )
        if not trust:
            options["ca_data"] = base64.b64encode(keys.idp.pem.encode()).decode()
        config = Saml(
            **{
                "sso_url": f"{IDP}/sso",
                "redirect_uri": ACS,
                "username_attr": "name",
                "email_attr": "mail",
                "groups_attr": "groups",
                "sso_issuer": IDP,
                **options,
            }
        )
        storage, log = storage or MemoryStorage(), Log()
        logger = logging.Logger(f"test-saml-{len(opened)}")
        logger.addHandler(log)
        context = ConnectorContext("saml", storage, logger)
        connector = await open_saml(config, context)
        if now is not None:
            connector = attrs.evolve(connector, now=now)
        opened.append(connector)
        return ServiceProvider(connector, storage, log)

    yield open_sp
    for each in opened:
        await each.close()


@pytest.fixture
async def sp(open_sp):
    return await open_sp()


@pytest.fixture
def message():
    """Return a function that makes right messages, or wrong ones."""

    def message(**changes):
        return Message(
            **{
                "in_response_to": REQUEST,
                "acs_url": ACS,
                "issuer": IDP,
                "audiences": ((ACS,),),
                **changes,
            }
        )

    return message


class Forger:
    """Takes signed documents apart and puts them together in other ways."""

    def __init__(self, keys, message):
        self.keys, self.message = keys, message

    def signed(self, *, response=False, assertion=True, form=None, **changes):
        """Return the root of a document that the identity provider has signed."""
        made = self.message(**changes).signed(
            self.keys.idp, response=response, assertion=assertion, form=form
        )
        return etree.fromstring(made)

    @staticmethod
    def bytes(root):
        return etree.tostring(root)

    @staticmethod
    def find(root, path):
        found = root.xpath(path, namespaces=NAMES)
        assert found, path
        return found[0]

    def assertion(self, root):
        return self.find(root, "s:Assertion")

    def signature(self, node):
        return self.find(node, "d:Signature")

    def evil(self, node):
        """Return an unsigned copy of *node* that says it is about the administrator."""
        made = copy.deepcopy(node)
        made.tail = None
        for each in made.xpath("//d:Signature", namespaces=NAMES):
            each.getparent().remove(each)
        for each in made.iter():
            if each.get("ID"):
                each.set("ID", "evil" + each.get("ID"))
        for each in made.iter(f"{{{ASSERTION}}}NameID"):
            each.text = "admin"
        for each in made.iter(f"{{{ASSERTION}}}AttributeValue"):
            each.text = "admin"
        return made

    def stripped(self, node):
        """Return a copy of *node* without its own signature."""
        made = copy.deepcopy(node)
        made.remove(self.signature(made))
        return made

    @staticmethod
    def wrap(name, *inner, uri=PROTOCOL):
        made = etree.Element(f"{{{uri}}}{name}")
        made.extend(inner)
        return made


@pytest.fixture
def forge(keys, message):
    return Forger(keys, message)


@pytest.fixture
def encryption(keys):
    return Encryption(keys.sp.certificate)


@pytest.fixture
def sp_files(keys, tmp_path):
    """Our key and certificate, as options."""
    key, certificate = tmp_path / "sp.key", tmp_path / "sp.crt"
    key.write_text(keys.sp.private_pem)
    certificate.write_text(keys.sp.pem)
    return {"sp_key": str(key), "sp_cert": str(certificate)}


@pytest.fixture
def now():
    return datetime.now(UTC)
