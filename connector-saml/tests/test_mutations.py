"""Whatever is done to a signed response, it says what was signed, or nothing."""

from __future__ import annotations

import base64
import re

from datetime import UTC, datetime, timedelta

import pytest

from dexcore_connector_saml.acceptance import NotLoggedIn, Policy, accept
from dexcore_connector_saml.rules import Expected
from dexcore_connector_saml.signatures import Signers
from dexcore_connector_saml.xml import Rejected
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

ACS = "https://sp.example/dex/callback"

# Few enough for every run; the seeds that once failed are kept by hypothesis.
BOUNDED = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

WORDS = (
    b"<!--x-->", b"<?x?>", b"<![CDATA[x]]>", b"&#106;", b"&lt;", b"<saml:x/>", b"\n",
    b' ID="x"', b' xmlns:saml="urn:x"', b' xmlns=""', b"admin", b"\x00", b"<", b">",
    b"</saml:Assertion>", b"<saml:Assertion>", b"]]>", b'"', b"'", b"\xc3\xa9", b"=",
)  # fmt: skip


@pytest.fixture(params=["response", "assertion", "both"])
def document(request, message, keys):
    return message().signed(
        keys.idp,
        response=request.param != "assertion",
        assertion=request.param != "response",
    )


@pytest.fixture
def judge(keys):
    policy = Policy(Signers((keys.idp.certificate,)))
    expected = Expected(
        "qrequestid",
        ACS,
        ACS,
        frozenset({"https://idp.example"}),
        timedelta(seconds=30),
        datetime.now(UTC),
    )

    def judge(data):
        """Return whom *data* is about, all of it; ``None`` if it is refused."""
        try:
            found = accept(base64.b64encode(data).decode(), policy, expected)
        except (Rejected, NotLoggedIn):
            return None
        return found.assertion

    return judge


@BOUNDED
@given(data=st.data())
def test_of_changed_bytes_nothing_else_comes_out(document, judge, data):
    genuine = judge(document)
    assert genuine.name_id == "jane"
    changed = bytearray(document)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        kind = data.draw(st.sampled_from(["flip", "insert", "delete", "copy", "set"]))
        if kind == "flip":
            changed[place] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "insert":
            changed[place:place] = data.draw(st.sampled_from(WORDS))
        elif kind == "delete":
            del changed[place : place + data.draw(st.integers(1, 40))]
        elif kind == "copy":
            end = place + data.draw(st.integers(1, 400))
            target = data.draw(st.integers(0, len(changed) - 1))
            changed[target:target] = changed[place:end]
        else:
            changed[place] = data.draw(st.integers(0, 255))
        if not changed:
            break
    assert judge(bytes(changed)) in (genuine, None)


@BOUNDED
@given(data=st.data())
def test_of_moved_elements_nothing_else_comes_out(document, judge, data):
    genuine = judge(document)
    root = etree.fromstring(document)
    for _ in range(data.draw(st.integers(1, 3))):
        nodes = list(root.iter(etree.Element))
        node = data.draw(st.sampled_from(nodes))
        target = data.draw(st.sampled_from(nodes))
        kind = data.draw(st.sampled_from(["copy", "move", "text", "attribute", "tag"]))
        if kind in ("copy", "move"):
            inside = any(each is node for each in target.iterancestors())
            if node is root or target is node or (kind == "move" and inside):
                continue
            copied = etree.fromstring(etree.tostring(node, with_tail=False))
            if data.draw(st.booleans()):
                for name in copied.iter("{*}NameID", "{*}AttributeValue"):
                    name.text = "admin"
            target.insert(data.draw(st.integers(0, len(target))), copied)
            if kind == "move" and node.getparent() is not None:
                node.getparent().remove(node)
        elif kind == "text":
            node.text = data.draw(st.sampled_from(["admin", "", "jane", ACS, None]))
        elif kind == "attribute" and node.attrib:
            name = data.draw(st.sampled_from(sorted(map(str, node.attrib))))
            other = data.draw(st.sampled_from(nodes))
            values = [*map(str, other.attrib.values()), "", "x"]
            node.set(name, data.draw(st.sampled_from(values)))
        elif kind == "tag":
            node.tag = data.draw(st.sampled_from(nodes)).tag
    changed = etree.tostring(root)
    assert judge(changed) in (genuine, None)


@BOUNDED
@given(data=st.data())
def test_of_other_white_space_nothing_else_comes_out(document, judge, data):
    """Between attributes it changes nothing, and says nothing else."""
    genuine = judge(document)
    gaps = [found.start() for found in re.finditer(rb" (?=[A-Za-z:]+=)", document)]
    place = data.draw(st.sampled_from(gaps))
    blanks = data.draw(st.text(" \t\n\r", min_size=1, max_size=5)).encode()
    assert judge(document[:place] + blanks + document[place + 1 :]) == genuine


@BOUNDED
@given(data=st.binary(max_size=2000))
def test_garbage_is_refused_in_order(judge, data):
    assert judge(data) is None
    assert judge(b"<samlp:Response>" + data) is None
