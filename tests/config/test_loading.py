"""What a good file becomes."""

from __future__ import annotations

import base64
import logging

from datetime import timedelta
from pathlib import Path

import pytest

from dexcore.config import (
    ConfigProblems,
    ConnectorEntry,
    Plugged,
    Sessions,
    load,
    loads,
    reads,
)

GOOD = Path(__file__).parent / "good"
ENVIRON = {
    "DEX_SESSIONS_ENABLED": "true",
    "PORTAL_ID": "portal",
    "PORTAL_SECRET": "portal-secret-from-outside",
    "ROOT_HASH": "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W",
    "DB_PORT": "5433",
    "DB_PASSWORD": "s3cret",
    "LDAP_PASSWORD": "pa$$word",
}
SMALL = """\
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
"""
HASH = ENVIRON["ROOT_HASH"]


def test_the_smallest_file_gets_every_default_of_dex() -> None:
    config = loads(SMALL, environ={})

    assert config.frontend.issuer == "dex"
    assert config.frontend.theme == "light"
    assert config.oauth2.response_types == ("code",)
    assert "client_credentials" not in config.oauth2.grant_types
    assert config.oauth2.pkce.code_challenge_methods_supported == ("S256", "plain")
    assert config.expiry.id_tokens == timedelta(hours=24)
    assert config.expiry.device_requests == timedelta(minutes=5)
    assert config.web.allowed_headers == ("Authorization",)
    assert config.signer == Plugged("local", {})
    assert config.sessions is None
    assert config.signup == (Plugged("default", {}),)
    assert config.compat == "dex"


@pytest.mark.parametrize(
    "path", sorted(GOOD.glob("*.yaml")), ids=lambda path: path.stem
)
def test_a_good_file_loads(path: Path) -> None:
    assert load(path, environ=ENVIRON).issuer.startswith("http")


def test_clients_and_users_are_records_with_everything_resolved() -> None:
    config = load(GOOD / "everything.yaml", environ=ENVIRON)

    portal, shop = config.static_clients
    assert (portal.id, portal.secret) == ("portal", "portal-secret-from-outside")
    assert portal.mfa_chain == ("phone", "key")
    assert portal.client_credentials_claims is not None
    assert portal.client_credentials_claims.groups == ("machines",)
    assert shop.secret == "1234567890123456"
    assert (shop.mfa_chain, shop.sso_shared_with) == ((), ("*",))
    [root] = config.static_passwords
    assert root.hash == HASH.encode()
    assert (root.user_id, root.email_verified) == ("1", False)


def test_scalars_for_text_are_read_as_they_are_written() -> None:
    config = load(GOOD / "everything.yaml", environ=ENVIRON)

    assert (config.web.tls_min_version, config.web.tls_max_version) == ("1.2", "1.3")
    assert config.frontend.extra["floor"] == "07"
    assert config.grpc.reflection is True


def test_levels_formats_and_response_types_are_put_into_one_spelling() -> None:
    config = load(GOOD / "everything.yaml", environ=ENVIRON)

    assert (config.logger.level, config.logger.format) == ("DEBUG", "json")
    assert config.oauth2.response_types == ("code", "id_token", "id_token token")


def test_keys_are_known_in_any_case_and_with_underscores() -> None:
    text = SMALL + (
        "OAUTH2: {Skip_Approval_Screen: true}\nfrontend: {LogoURL: logo.png}\n"
        "static_clients:\n- {ID: a, Secret: s, NAME: A, redirect_uris: [http://a]}\n"
    )
    config = loads(text, environ={})

    assert config.oauth2.skip_approval_screen
    assert config.frontend.logo_url == "logo.png"
    assert config.static_clients[0].redirect_uris == ("http://a",)


def test_null_is_the_same_as_absent() -> None:
    text = SMALL + "expiry:\nlogger: {level: ~}\nconnectors: null\nmfa:\n"
    assert loads(text, environ={}) == loads(SMALL, environ={})


def test_merge_keys_fill_in_what_is_not_written() -> None:
    text = SMALL + (
        "staticClients:\n"
        "- &base {id: one, secret: sssh, name: One}\n"
        "- {<<: *base, id: two}\n"
    )
    one, two = loads(text, environ={}).static_clients

    assert (two.id, two.name, two.secret) == ("two", one.name, one.secret)


def test_y_and_n_are_booleans_but_times_and_dates_are_text() -> None:
    text = SMALL + "enablePasswordDB: y\nfrontend: {extra: {a: 1:30, b: 2024-01-01}}\n"
    config = loads(text, environ={})

    assert config.enable_password_db is True
    assert config.frontend.extra == {"a": "1:30", "b": "2024-01-01"}


def test_the_password_database_is_the_last_connector() -> None:
    config = load(GOOD / "local.yaml", environ={})

    assert [entry.id for entry in config.connectors] == ["upstream", "typed", "local"]
    assert config.connectors[-1] == ConnectorEntry("local", "local", "Email")


def test_an_email_is_kept_in_lower_case() -> None:
    [ada] = load(GOOD / "local.yaml", environ={}).static_passwords
    assert ada.email == "ada@example.com"


@pytest.mark.parametrize(
    "written",
    [
        HASH,
        base64.b64encode(HASH.encode()).decode(),
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2E"
        "$b2R5cyBwYXNzd29yZCBoYXMgdGhpcyBoYXNoIGF0IGFsbCE",
    ],
    ids=["bcrypt", "base64-of-bcrypt", "argon2id"],
)
def test_hashes_of_every_kind_are_understood(written: str) -> None:
    text = SMALL + (
        "enablePasswordDB: true\nstaticPasswords:\n"
        f"- {{email: a@b.c, userID: '1', hash: '{written}'}}\n"
    )
    [user] = loads(text, environ={}).static_passwords
    assert user.hash.startswith(b"$")


def test_a_hash_nobody_can_log_in_with_is_a_warning() -> None:
    cheap = HASH.replace("$10$", "$04$")
    text = SMALL + (
        "enablePasswordDB: true\nstaticPasswords:\n"
        f"- {{email: a@b.c, userID: '1', hash: '{cheap}'}}\n"
    )
    [problem] = reads(text, environ={}).problems
    assert problem.severity == "warning"
    assert "nobody can log in" in problem.message


def test_one_user_without_userid_is_a_warning_but_two_would_be_one_person() -> None:
    text = SMALL + "enablePasswordDB: true\nstaticPasswords:\n"
    user = "- {email: %s@b.c, hash: '" + HASH + "'}\n"

    [warning] = reads(text + user % "a", environ={}).problems
    assert warning.severity == "warning"
    two = reads(text + user % "a" + user % "b", environ={}).problems
    assert [each.severity for each in two] == ["error", "error"]


def test_the_command_line_wins_over_the_file_and_empty_flags_do_not() -> None:
    config = loads(
        SMALL,
        environ={},
        overrides={
            "web.http": "127.0.0.1:1",
            "telemetry.http": ":2",
            "web.https": "",
        },
    )
    assert config.web.http == "127.0.0.1:1"
    assert config.telemetry.http == ":2"
    assert config.web.https == ""


def test_a_wrong_flag_of_the_command_line_is_named() -> None:
    with pytest.raises(ConfigProblems, match=r"<web\.http of the command line>: error"):
        loads(SMALL, environ={}, overrides={"web.http": "5556"})


def test_dex_frontend_dir_counts_only_if_the_file_names_no_folder() -> None:
    environ = {"DEX_FRONTEND_DIR": "/srv/web"}
    own = SMALL + "frontend: {dir: mine}\n"

    assert loads(SMALL, environ=environ).frontend.dir == "/srv/web"
    assert loads(own, environ=environ).frontend.dir == "mine"


def test_signup_may_be_one_section_or_a_list() -> None:
    text = SMALL + "enablePasswordDB: true\nenableSignup: true\n"
    one = loads(text + "signup: {config: {open: false}}\n", environ={}).signup
    two = loads(text + "signup: [{type: invite}, {type: default}]\n", environ={}).signup

    assert one == (Plugged("default", {"open": False}),)
    assert [each.type for each in two] == ["invite", "default"]


def test_an_old_file_without_signer_still_says_how_often_keys_change() -> None:
    reading = reads(SMALL + "expiry: {signingKeys: 12h}\n", environ={})

    assert reading.config.signer == Plugged("local", {"keysRotationPeriod": "12h"})
    assert [each.severity for each in reading.problems] == ["warning"]


def test_a_local_signer_without_rotation_period_is_only_a_warning() -> None:
    reading = reads(SMALL + "signer: {type: local}\n", environ={})

    assert reading.config.signer.type == "local"
    assert "keysRotationPeriod is missing" in reading.problems[0].message


def test_zero_means_the_default_for_requests() -> None:
    config = loads(
        SMALL + "expiry: {authRequests: 0, deviceRequests: 0s}\n", environ={}
    )
    assert config.expiry.auth_requests == timedelta(hours=24)
    assert config.expiry.device_requests == timedelta(minutes=5)


def test_empty_lists_mean_the_defaults() -> None:
    text = SMALL + (
        "oauth2: {grantTypes: [], responseTypes: [],"
        " pkce: {codeChallengeMethodsSupported: []}}\n"
    )
    assert loads(text, environ={}) == loads(SMALL, environ={})


def test_unknown_grant_types_are_left_out_with_a_warning() -> None:
    text = SMALL + "oauth2: {grantTypes: [authorization_code, saml2]}\n"
    reading = reads(text, environ={})

    assert reading.config.oauth2.grant_types == ("authorization_code",)
    assert "saml2" in reading.problems[0].message


def test_client_credentials_come_with_their_flag_unless_the_file_lists_grants() -> None:
    environ = {"DEX_CLIENT_CREDENTIAL_GRANT_ENABLED_BY_DEFAULT": "1"}
    listed = SMALL + "oauth2: {grantTypes: [refresh_token]}\n"

    assert "client_credentials" in loads(SMALL, environ=environ).oauth2.grant_types
    assert loads(listed, environ=environ).oauth2.grant_types == ("refresh_token",)


def test_sessions_run_with_defaults_once_they_are_enabled() -> None:
    assert loads(SMALL, environ={"DEX_SESSIONS_ENABLED": "t"}).sessions == Sessions()


def test_old_names_of_themes_mean_light() -> None:
    assert loads(SMALL + "frontend: {theme: coreos}\n", environ={}).frontend.theme == (
        "light"
    )


def test_headers_get_their_spelling_and_empty_ones_are_not_sent() -> None:
    text = SMALL.replace(
        "5556}",
        "5556, headers: {x-frame-options: DENY, X-XSS-Protection: '', X-Other: 1}}",
    )
    reading = reads(text, environ={})

    assert reading.config.web.headers == {"X-Frame-Options": "DENY"}
    assert ["X-Other" in each.message for each in reading.problems] == [True]


def test_unknown_keys_are_logged_as_warnings(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "dexcore.config"):
        loads(SMALL + "oauth2: {skipAproval: true}\n", name="dex.yaml", environ={})

    [record] = caplog.records
    assert record.getMessage() == (
        'dex.yaml:4:10: warning: the key "skipAproval" is not known here. '
        "Did you mean skipApprovalScreen?"
    )


def test_only_the_first_document_counts() -> None:
    reading = reads(SMALL + "---\nissuer: http://other\n", environ={})

    assert reading.config.issuer == "http://127.0.0.1:5556/dex"
    assert "only the first document" in reading.problems[0].message


def test_what_follows_the_first_document_need_not_even_be_yaml() -> None:
    assert reads(SMALL + "---\n{\n", environ={}).problems == ()


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    text = (
        "issuer: nowhere\nstorage: {}\nweb: {https: ':1'}\n"
        "expiry: {idTokens: 1d}\nconnectors: [{}]\n"
        "staticClients: [{}]\n"
    )
    with pytest.raises(ConfigProblems) as raised:
        loads(text, environ={})

    lines = [each.line for each in raised.value.problems]
    assert lines == sorted(lines)
    assert set(lines) == {1, 2, 3, 4, 5, 6}
    assert len(str(raised.value).splitlines()) == len(lines)


def test_a_value_with_a_problem_has_only_one() -> None:
    with pytest.raises(ConfigProblems) as raised:
        loads(SMALL + "logger: {level: [INFO]}\n", environ={})
    assert len(raised.value.problems) == 1


def test_a_secret_never_shows_in_what_is_said() -> None:
    text = SMALL + (
        "staticClients:\n- {id: a, name: A, secret: [tell-nobody]}\n"
        "enablePasswordDB: true\n"
        "staticPasswords: [{email: a, userID: 1, hash: $2a$tell-nobody}]\n"
    )
    with pytest.raises(ConfigProblems) as raised:
        loads(text, environ={})

    assert len(raised.value.problems) == 2
    assert "tell-nobody" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"issuer: \xff\n", ":1:9: error: the file is not UTF-8"),
        (b"\xef\xbb\xbfissuer: 1\n", ":1:1: error: "),
    ],
    ids=["latin-1", "byte-order-mark"],
)
def test_bytes_that_are_not_utf_8_have_a_place(
    content: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "dex.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigProblems) as raised:
        load(path, environ={})
    assert said in str(raised.value)


def test_a_file_that_is_not_there_is_a_problem_too(tmp_path: Path) -> None:
    path = tmp_path / "dex.yaml"
    with pytest.raises(ConfigProblems, match="cannot be read: No such file") as raised:
        load(path, environ={})
    assert str(raised.value).startswith(f"{path}: error: ")


def test_an_empty_file_lacks_what_every_file_needs() -> None:
    with pytest.raises(ConfigProblems) as raised:
        loads("", environ={})

    text = str(raised.value)
    assert '"issuer" is missing' in text
    assert '"storage" is missing' in text
    assert "no address to listen on" in text


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(ConfigProblems, match="nested too deeply"):
        loads("a: " + "[" * 5000, environ={})
