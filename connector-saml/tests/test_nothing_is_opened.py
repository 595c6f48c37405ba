"""No document makes us open a file or a connection, or start a program.

Python's audit hooks see what Python does; whether the libraries below it do something
on their own is seen from outside: there is a server whose address the documents name,
and what is opened shows in the access times of a file of ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from pathlib import Path

import pytest

from dexcore.testing.upstreams import Upstream
from dexcore.testing.upstreams.saml_signing import DSIG, ENVELOPED, EXC_C14N, Form, sign

# Runs alone, because an audit hook cannot be taken away again.
PROGRAM = """
import base64, json, sys

from datetime import UTC, datetime, timedelta

from cryptography import x509
from dexcore_connector_saml.acceptance import NotLoggedIn, Policy, accept
from dexcore_connector_saml.rules import Expected
from dexcore_connector_saml.signatures import Signers
from dexcore_connector_saml.xml import Rejected

given = json.load(sys.stdin)
certificate = x509.load_pem_x509_certificate(given["certificate"].encode())
policy = Policy(Signers((certificate,), True))
url = "https://sp.example/dex/callback"
expected = Expected("qrequestid", url, url, frozenset(), timedelta(seconds=30),
                    datetime.now(UTC))

def judge(document):
    try:
        encoded = base64.b64encode(document.encode()).decode()
        accepted = accept(encoded, policy, expected)
    except (Rejected, NotLoggedIn) as error:
        return "refused: " + str(error)
    return "accepted: " + accepted.assertion.name_id

judge(given["valid"])  # what has to be imported is
seen, watching = [], False
WATCHED = ("open", "os.", "socket.", "subprocess.", "urllib.", "ftplib.", "ctypes.",
           "exec", "compile", "import", "shutil.", "tempfile.", "glob.", "sqlite3.")

def hook(event, arguments):
    if watching and event.startswith(WATCHED):
        seen.append([event, repr(arguments)[:200]])

sys.addaudithook(hook)
answers = {}
for name, document in given["documents"].items():
    watching = True
    answer = judge(document)
    watching = False
    answers[name] = answer
watching = True
open("/dev/null").close()
watching = False
print(json.dumps({"answers": answers, "seen": seen}))
"""


@pytest.fixture
def trap():
    """A server that nobody should ask."""
    with Upstream(host="127.0.0.1") as upstream:
        yield upstream


@pytest.fixture
def bait(tmp_path):
    """A file that nobody should read."""
    file = tmp_path / "bait.xml"
    file.write_text("<bait/>")
    os.utime(file, (1, 1))
    return file


def documents(message, keys, url, path):
    """Return every document that asks for something, most of them signed rightly."""
    made = message()
    plain = made.response().decode()
    valid = made.signed(keys.idp).decode()
    places = {"file": f"file://{path}", "path": str(path), "http": url}
    found = {"valid": valid}
    for name, place in places.items():
        doctype = f'<!DOCTYPE r SYSTEM "{place}">'
        entity = f'<!DOCTYPE r [<!ENTITY x SYSTEM "{place}">]>'
        parameter = f'<!DOCTYPE r [<!ENTITY % x SYSTEM "{place}"> %x;]>'
        found |= {
            f"{name} doctype": doctype + valid,
            f"{name} entity": entity + valid.replace(">jane<", ">&x;<"),
            f"{name} parameter entity": parameter + valid,
            f"{name} style sheet": f'<?xml-stylesheet href="{place}"?>' + valid,
        }
        for key in (keys.idp, keys.other):
            found |= _signed(made, plain, key, name, place)
    return found


def _signed(made, plain, key, name, place):
    xsi = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    xslt = (
        '<xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform" '
        f'version="1.0"><xsl:include href="{place}"/></xsl:stylesheet>'
    )
    infos = {
        "retrieval": f'<ds:RetrievalMethod URI="{place}"/>',
        "key name": f"<ds:KeyName>{place}</ds:KeyName>",
    }
    forms = {
        "reference": Form(uri=place),
        "xslt": Form(
            transforms=(
                ENVELOPED,
                f"http://www.w3.org/TR/1999/REC-xslt-19991116 {xslt}",
            )
        ),
        "xpath": Form(
            transforms=(
                ENVELOPED,
                "http://www.w3.org/TR/1999/REC-xpath-19991116 "
                f"<ds:XPath xmlns:ds='{DSIG}'>document('{place}')</ds:XPath>",
                EXC_C14N,
            )
        ),
        **{info: Form(key_info=text) for info, text in infos.items()},
    }
    changed = {
        "schema location": plain.replace(
            "<samlp:Response", f'<samlp:Response {xsi} xsi:schemaLocation="u:x {place}"'
        ),
        "base": plain.replace("<samlp:Response", f'<samlp:Response xml:base="{place}"'),
        "include": plain.replace(
            ">admins<",
            '><xi:include xmlns:xi="http://www.w3.org/2001/XInclude" '
            f'href="{place}"/><',
        ),
    }
    signed = {
        **{label: sign(text.encode(), made.id, key) for label, text in changed.items()},
        **{
            label: sign(plain.encode(), made.id, key, form)
            for label, form in forms.items()
        },
    }
    whose = key.certificate.serial_number
    return {
        f"{name} {label} {whose}": document.decode()
        for label, document in signed.items()
    }


def test_documents_open_nothing(message, keys, trap, bait):
    asked = documents(message, keys, f"{trap.url}/x", bait)
    assert len(asked) > 40
    given = {
        "certificate": keys.idp.pem,
        "valid": asked["valid"],
        "documents": asked,
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    accepted = {k: v for k, v in told["answers"].items() if v.startswith("accepted")}
    assert set(accepted.values()) == {"accepted: jane"}
    # The right key with words beside it, and an attribute nobody reads.
    assert all(
        "valid" in name or "key name" in name or "include" in name for name in accepted
    ), accepted
    # The hook sees: that was the file opened on purpose.
    (last,) = told["seen"]
    assert "/dev/null" in last[1]
    assert trap.requests == []
    assert bait.stat().st_atime == 1


def test_the_libraries_open_nothing_either(message, keys, trap, bait, requires_program):
    """As the kernel sees it, below Python."""
    strace = requires_program("strace", install="apt-get install strace")
    asked = documents(message, keys, f"{trap.url}/x", bait)
    given = {"certificate": keys.idp.pem, "valid": asked["valid"], "documents": asked}
    done = subprocess.run(
        [
            *(strace, "-f", "-qq", "-e", "trace=open,openat,connect,execve"),
            *(sys.executable, "-c", PROGRAM),
        ],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    calls = done.stderr.splitlines()
    assert any('"/dev/null"' in call for call in calls)  # it sees
    assert not [call for call in calls if "bait" in call or "connect(" in call]
    assert trap.requests == []
