"""The pure parts: filters, values, what is remembered; and what importing costs."""

import subprocess
import sys

import pytest

from dexcore_connector_ldap import codec
from dexcore_connector_ldap.entries import Entry, NotText, as_text, same_dn
from dexcore_connector_ldap.filters import (
    escape,
    group_filter,
    unescape,
    user_filter,
)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("jane", "jane"),
        ("a*b(c)d\\e\0", r"a\2ab\28c\29d\5ce\00"),
        ("é", r"\c3\a9"),
        (" jane ", r"\20jane\20"),
        ("cn=a,b#+;<>=\"'/", "cn=a,b#+;<>=\"'/"),
    ],
)
def test_what_means_something_in_a_filter_is_escaped_once(value, found):
    assert escape(value.encode()) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [(r"jos\c3\a9", "josé"), (r"a\28b", "a(b"), ("jane", None), (r"a\ff", None)],
)
def test_what_was_escaped_is_known(text, found):
    assert unescape(text) == found


def test_filters_are_put_together_as_dex_does():
    assert user_filter("", ["uid"], b"x") == "(uid=x)"
    assert user_filter("(a=b)", ["uid"], b"x") == "(&(a=b)(uid=x))"
    several = user_filter("(a=b)", ["cn", "mail"], b"x")
    assert several == "(&(a=b)(|(cn=x)(mail=x)))"
    assert group_filter("", "member", b"cn=x") == "(member=cn=x)"
    chain = group_filter("(a=b)", "member:1.2.840.113556.1.4.1941:", b"cn=x")
    assert chain == "(&(a=b)(member:1.2.840.113556.1.4.1941:=cn=x))"


@pytest.mark.parametrize("value", [b"jane", "josé".encode(), b" a*(b)\\c\0 ", b"\xff"])
def test_a_value_comes_out_of_a_filter_as_it_went_in(value):
    request = codec.search_request(1, "", "sub", user_filter("", ["uid"], value), ["x"])
    assert bytes([0x04, 3]) + b"uid" + bytes([0x04, len(value)]) + value in request


@pytest.mark.parametrize("text", ["", "(", "()", "(a)", "(a=b", "a=b", "(a=b)(c=d)"])
def test_what_is_no_filter_is_refused(text):
    with pytest.raises(codec.BadFilter):
        codec.check_filter(text)


GUID = bytes.fromhex("83fc40f232278d4c915d5f1b7d924475")


def test_identifiers_of_windows_are_written_as_windows_writes_them():
    # What ldapsearch, Get-ADUser and whoami /user print of one account.
    assert as_text("objectGUID", GUID) == "f240fc83-2732-4c8d-915d-5f1b7d924475"
    sid = bytes.fromhex("0105000000000005150000006dd7e086") + bytes.fromhex(
        "55b080886706e6054e040000"
    )
    assert as_text("objectSid", sid) == "S-1-5-21-2262882157-2290135125-98960999-1102"


def test_other_bytes_are_not_guessed_at():
    with pytest.raises(NotText, match="jpegPhoto"):
        as_text("jpegPhoto", GUID)
    assert as_text("uid", "josé".encode()) == "josé"


def test_names_have_no_case_and_dn_is_the_entrys_own():
    entry = Entry("cn=jane", {"Mail": (b"a", b"b")})
    assert entry.text("mail") == "a"
    assert entry.text("Dn") == "cn=jane"
    assert entry.text("cn") == ""
    assert Entry("cn=jane", {"dn": (b"other",)}).text("DN") == "other"


def test_names_of_entries_are_compared_as_directories_do():
    assert same_dn("CN=Jane,OU=People", "cn=jane, ou=people")
    assert same_dn("cn = jane,ou=people", "cn=jane,ou=people")
    assert not same_dn("cn=jane,ou=people", "cn=jane,ou=staff")
    assert not same_dn("cn=jane", "cn=jane,ou=people")


def test_a_bind_without_name_or_password_cannot_even_be_written():
    for dn, password in (("", b"x"), ("cn=jane", b"")):
        with pytest.raises(ValueError, match="proves nothing"):
            codec.bind_request(1, dn, password)


def test_a_password_is_sent_as_it_was_typed():
    # RFC 4013 would make nothing at all of this, which is an anonymous login.
    password = "\u00ad\u200b".encode()
    assert codec.bind_request(1, "cn=jane", password).endswith(password)


def test_whoever_only_reads_the_options_does_not_load_the_library():
    program = "import sys, dexcore_connector_ldap; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "dexcore_connector_ldap.config" in loaded
    assert not loaded & {"ldap3", "pyasn1", "gssapi", "dexcore_connector_ldap.codec"}
