"""Broken files: each names the place, what is wrong, and what to do about it.

``▶`` in a file stands before the place; it is taken out before the file is read.
"""

from __future__ import annotations

import textwrap

import attrs
import pytest

from dexcore.config import ConfigProblems, loads

BASE = """\
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
"""
HASH = "'$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W'"
SESSIONS = {"DEX_SESSIONS_ENABLED": "true"}
STRICT = {"DEX_CONFIG_DISALLOW_UNKNOWN_FIELDS": "true"}


@attrs.frozen
class Case:
    id: str
    text: str
    message: str
    remedy: str
    base: str = BASE
    environ: dict[str, str] = attrs.field(factory=dict)

    @property
    def marked(self) -> str:
        return textwrap.dedent(self.text) + self.base


WHOLE_FILES = [
    Case(
        "issuer-missing",
        """\
        ▶storage: {type: memory}
        web: {http: ":5556"}
        """,
        '"issuer" is missing',
        'Add "issuer: …"',
        base="",
    ),
    Case(
        "issuer-empty",
        """\
        issuer: ▶""
        storage: {type: memory}
        web: {http: ":5556"}
        """,
        "not an http or https URL",
        "https://id.example.com",
        base="",
    ),
    Case(
        "issuer-without-scheme",
        """\
        issuer: ▶id.example.com
        storage: {type: memory}
        web: {http: ":5556"}
        """,
        "not an http or https URL",
        "whole URL",
        base="",
    ),
    Case(
        "issuer-with-a-query",
        """\
        issuer: ▶https://id.example.com/?tenant=1
        storage: {type: memory}
        web: {http: ":5556"}
        """,
        "has a query",
        "Remove what follows",
        base="",
    ),
    Case(
        "issuer-is-a-list",
        """\
        ▶issuer:
        - https://id.example.com
        storage: {type: memory}
        web: {http: ":5556"}
        """,
        "should be text, not a list",
        "single value",
        base="",
    ),
    Case(
        "issuer-with-an-unclosed-bracket",
        """\
        issuer: ▶"http://[::1"
        storage: {type: memory}
        web: {http: ":5556"}
        """,
        "is not a URL",
        "brackets",
        base="",
    ),
    Case(
        "storage-missing",
        """\
        ▶issuer: http://127.0.0.1:5556
        web: {http: ":5556"}
        """,
        '"storage" is missing',
        "Where the state lives",
        base="",
    ),
    Case(
        "storage-is-null",
        """\
        issuer: http://127.0.0.1:5556
        ▶storage:
        web: {http: ":5556"}
        """,
        '"storage" is missing',
        "Where the state lives",
        base="",
    ),
    Case(
        "storage-is-a-word",
        """\
        issuer: http://127.0.0.1:5556
        storage: ▶sqlite3
        web: {http: ":5556"}
        """,
        "should be a section with keys, not a single value",
        "known: type, config",
        base="",
    ),
    Case(
        "storage-without-type",
        """\
        issuer: http://127.0.0.1:5556
        ▶storage: {config: {file: dex.db}}
        web: {http: ":5556"}
        """,
        "the storage has no type",
        "sqlite3",
        base="",
    ),
    Case(
        "storage-config-is-a-list",
        """\
        issuer: http://127.0.0.1:5556
        storage:
          type: sqlite3
          ▶config:
          - file: dex.db
        web: {http: ":5556"}
        """,
        "should be a mapping of keys to values, not a list",
        "key: value",
        base="",
    ),
    Case(
        "no-web-section",
        """\
        ▶issuer: http://127.0.0.1:5556
        storage: {type: memory}
        """,
        "no address to listen on",
        "127.0.0.1:5556",
        base="",
    ),
    Case(
        "the-file-is-a-list",
        "▶- issuer: http://127.0.0.1:5556\n",
        "the file is a list",
        "issuer:",
        base="",
    ),
    Case(
        "the-file-is-a-word",
        "▶dex\n",
        "the file is a single value",
        "issuer:",
        base="",
    ),
]

SYNTAX = [
    Case(
        "tab-as-indentation",
        "logger:\n▶\tlevel: INFO\n",
        "this is not YAML",
        "Indent with spaces",
    ),
    Case(
        "colon-in-a-plain-value",
        "frontend:\n  issuer: Acme▶: Login\n",
        "mapping values are not allowed",
        "Quote a value that contains",
    ),
    Case(
        "unclosed-double-quote",
        'frontend:\n  issuer: ▶"Acme\n',
        "this is not YAML",
        "Close the quote",
    ),
    Case(
        "unclosed-bracket",
        "plugins: [one, two\nissuer▶: http://127.0.0.1:5556\n",
        "parsing a flow sequence from line 1, column 10",
        "Check the indentation, the quotes and the brackets",
        base="",
    ),
    Case(
        "unclosed-bracket-at-the-end",
        "plugins: ▶[one, two\n",
        "this is not YAML",
        "Close the quote or bracket",
        base="",
    ),
    Case(
        "value-starts-with-at",
        "frontend:\n  issuer: ▶@acme\n",
        "cannot start any token",
        "Quote a value that starts with",
    ),
    Case(
        "unknown-anchor",
        "web: ▶*listen\n",
        "undefined alias 'listen'",
        "Define the anchor",
        base="",
    ),
    Case(
        "key-without-colon",
        "frontend:\n  theme: dark\n▶issuer\n",
        "could not find expected ':'",
        'Put ": "',
    ),
    Case(
        "a-template-that-is-not-rendered",
        "frontend:\n  issuer: {▶{ getenv 'NAME' }}\n",
        "this is not YAML",
        "looks like a template",
    ),
    Case(
        "control-character",
        "frontend:\n  issuer: Ac▶\x07me\n",
        "U+0007",
        "escaped in double quotes",
    ),
    Case(
        "tag-of-another-program",
        "frontend:\n  issuer: ▶!Ref Name\n",
        "the tag !Ref means nothing",
        "Remove it",
    ),
    Case(
        "tag-that-does-not-fit",
        "frontend:\n  issuer: ▶!!int acme\n",
        "this is no int",
        "Remove the tag",
    ),
    Case(
        "alias-in-itself",
        "plugins: ▶&all [*all]\n",
        "contains itself",
        "Write the value out",
    ),
    Case(
        "merged-list",
        "oauth2:\n  <<: [▶one]\n",
        "only a mapping can be merged",
        "anchor of a mapping",
    ),
    Case(
        "key-is-a-list",
        "? ▶[a, b]\n: c\n",
        "a key must be a word",
        "Quote the key",
    ),
    Case(
        "the-same-key-twice",
        "logger: {level: INFO}\n▶logger: {level: DEBUG}\n",
        '"logger" is here twice; the first is at line 1, column 1',
        "Keep one",
    ),
    Case(
        "the-same-key-in-two-spellings",
        "oauth2:\n  skipApprovalScreen: true\n  ▶skip_approval_screen: false\n",
        'same key as "skipApprovalScreen" at line 2, column 3',
        "Keep one",
    ),
]

SECTIONS = [
    Case(
        "https-without-certificate",
        """\
        issuer: https://id.example.com
        storage: {type: memory}
        ▶web:
          https: 0.0.0.0:5554
          tlsKey: key.pem
        """,
        "web.https needs a certificate",
        "tlsCert: FILE",
        base="",
    ),
    Case(
        "https-without-key",
        """\
        issuer: https://id.example.com
        storage: {type: memory}
        ▶web:
          https: 0.0.0.0:5554
          tlsCert: cert.pem
        """,
        "web.https needs a private key",
        "tlsKey: FILE",
        base="",
    ),
    Case(
        "port-without-colon",
        """\
        issuer: https://id.example.com
        storage: {type: memory}
        web:
          http: ▶5556
        """,
        '"5556" is not an address',
        "127.0.0.1:5556",
        base="",
    ),
    Case(
        "port-too-high",
        "telemetry:\n  http: ▶127.0.0.1:65536\n",
        "not an address to listen on",
        "host:port",
    ),
    Case(
        "tls-version-unknown",
        """\
        issuer: https://id.example.com
        storage: {type: memory}
        web:
          http: :5556
          tlsMinVersion: ▶1.1
        """,
        'TLS "1.1" is not supported',
        "1.2 or 1.3",
        base="",
    ),
    Case(
        "tls-versions-the-wrong-way-round",
        """\
        grpc:
          addr: :5557
          tlsMinVersion: ▶1.3
          tlsMaxVersion: 1.2
        """,
        "tlsMinVersion is greater",
        "Raise tlsMaxVersion",
    ),
    Case(
        "proxy-without-prefix-length",
        """\
        issuer: https://id.example.com
        storage: {type: memory}
        web:
          http: :5556
          clientRemoteIP:
            header: X-Forwarded-For
            trustedProxies:
            - 10.0.0.0/8
            - ▶192.168.1.1
        """,
        '"192.168.1.1" is not a range',
        "ends in /32",
        base="",
    ),
    Case(
        "proxy-with-netmask",
        """\
        issuer: https://id.example.com
        storage: {type: memory}
        web:
          http: :5556
          clientRemoteIP:
            trustedProxies: [▶10.0.0.0/255.0.0.0]
        """,
        "is not a range of addresses",
        "10.0.0.0/8",
        base="",
    ),
    Case(
        "proxy-that-is-no-address",
        """\
        issuer: https://id.example.com
        storage: {type: memory}
        web:
          http: :5556
          clientRemoteIP:
            trustedProxies: [▶proxy.example.com/24]
        """,
        "is not a range of addresses",
        "10.0.0.0/8",
        base="",
    ),
    Case(
        "grpc-certificate-without-address",
        "▶grpc:\n  tlsCert: cert.pem\n  tlsKey: key.pem\n",
        "no address to listen on",
        "addr: 127.0.0.1:5557",
    ),
    Case(
        "grpc-certificate-without-key",
        "▶grpc:\n  addr: :5557\n  tlsCert: cert.pem\n",
        "both a certificate and its private key",
        "tlsKey: FILE",
    ),
    Case(
        "grpc-client-ca-without-certificate",
        "grpc:\n  addr: :5557\n  tlsClientCA: ▶ca.pem\n",
        "grpc.tlsClientCA needs grpc.tlsCert",
        "tlsCert: FILE",
    ),
    Case(
        "response-type-unknown",
        "oauth2:\n  responseTypes: [code, ▶id_tokens]\n",
        'response type "id_tokens" is not supported',
        "Did you mean id_token?",
    ),
    Case(
        "pkce-method-unknown",
        "oauth2:\n  pkce:\n    codeChallengeMethodsSupported: [▶S265]\n",
        'PKCE challenge method "S265"',
        "Did you mean S256?",
    ),
    Case(
        "no-known-grant-type",
        "oauth2:\n  ▶grantTypes: [authorisation]\n",
        "no grant type is left",
        "authorization_code",
    ),
    Case(
        "a-word-where-a-list-belongs",
        "oauth2:\n  responseTypes: ▶code\n",
        "should be a list, not a single value",
        '"- "',
    ),
    Case(
        "boolean-that-is-a-word",
        "oauth2:\n  skipApprovalScreen: ▶maybe\n",
        '"maybe" is neither true nor false',
        "true or false",
    ),
    Case(
        "duration-without-unit",
        "expiry:\n  idTokens: ▶90\n",
        '"90" is not a duration',
        '"90s" for seconds',
    ),
    Case(
        "duration-in-days",
        "expiry:\n  refreshTokens:\n    absoluteLifetime: ▶30d\n",
        '"30d" is not a duration',
        'write "720h"',
    ),
    Case(
        "duration-in-words",
        "expiry:\n  authRequests: ▶one hour\n",
        '"one hour" is not a duration',
        "1h30m",
    ),
    Case(
        "duration-longer-than-go-can-count",
        "expiry:\n  idTokens: ▶9999999h\n",
        "is too long",
        "2562047h",
    ),
    Case(
        "duration-below-zero",
        "expiry:\n  refreshTokens: {validIfNotUsedFor: ▶-5m}\n",
        "must not be negative",
        "minus",
    ),
    Case(
        "tokens-that-never-live",
        "expiry: {idTokens: ▶0s}\n",
        "no time at all",
        '"1h"',
    ),
    Case(
        "log-level-of-another-language",
        "logger:\n  level: ▶warning\n",
        '"warning" is not a log level',
        "WARN",
    ),
    Case(
        "log-level-empty",
        "logger:\n  level: ▶''\n",
        "is not a log level",
        "DEBUG, INFO, WARN or ERROR",
    ),
    Case(
        "log-format-unknown",
        "logger:\n  format: ▶logfmt\n",
        '"logfmt" is not a log format',
        "text or json",
    ),
    Case(
        "signer-without-type",
        "▶signer: {config: {keysRotationPeriod: 6h}}\n",
        "the signer has no type",
        "type: local",
    ),
    Case(
        "compat-unknown",
        "compat: ▶strikt\n",
        '"strikt" is not one of dex, strict',
        "Did you mean strict?",
    ),
    Case(
        "item-of-a-list-is-empty",
        "plugins:\n- one\n-▶\n",
        "this item is empty",
        "Remove it",
    ),
    Case(
        "signup-without-password-database",
        "enableSignup: ▶true\n",
        "enableSignup needs the password database",
        "enablePasswordDB: true",
    ),
    Case(
        "unknown-key-read-strictly",
        "oauth2:\n  ▶skipAprovalScreen: true\n",
        '"skipAprovalScreen" is not known',
        "Did you mean skipApprovalScreen?",
        environ=STRICT,
    ),
    Case(
        "unknown-header-read-strictly",
        """\
        issuer: https://id.example.com
        storage: {type: memory}
        web:
          http: :5556
          headers:
            X-Frame-Option: ▶DENY
        """,
        '"X-Frame-Option" is not known',
        "Did you mean X-Frame-Options?",
        base="",
        environ=STRICT,
    ),
]

CONNECTORS = [
    Case(
        "connector-without-id",
        "connectors:\n- ▶type: mockCallback\n  name: Mock\n",
        '"id" is missing',
        "Part of every subject",
    ),
    Case(
        "connector-with-an-empty-id",
        "connectors:\n- {type: mockCallback, id: ▶'', name: Mock}\n",
        "a connector needs a id",
        "id: …",
    ),
    Case(
        "connector-without-type",
        "connectors:\n- ▶id: mock\n  name: Mock\n",
        '"type" is missing',
        "Which plugin",
    ),
    Case(
        "connector-without-name",
        "connectors:\n- ▶{id: mock, type: mockCallback}\n",
        '"name" is missing',
        "login page",
    ),
    Case(
        "connector-twice",
        """\
        connectors:
        - {id: mock, type: mockCallback, name: One}
        - {id: ▶mock, type: mockCallback, name: Two}
        """,
        'a connector with the id "mock" is there already, at line 2',
        "Change the id",
    ),
    Case(
        "connector-called-local-beside-the-password-database",
        """\
        enablePasswordDB: true
        connectors:
        - {id: ▶local, type: mockCallback, name: One}
        """,
        "belongs to the password database",
        "another id",
    ),
    Case(
        "connector-with-client-credentials",
        """\
        connectors:
        - {id: mock, type: mockCallback, name: M, grantTypes: [▶client_credentials]}
        """,
        'grant type "client_credentials" is not supported',
        "Known: authorization_code",
    ),
    Case(
        "connectors-are-a-mapping",
        "▶connectors:\n  mock: {type: mockCallback, name: Mock}\n",
        "should be a list, not a section",
        '"- "',
    ),
    Case(
        "connector-is-a-word",
        "connectors:\n- ▶mockCallback\n",
        "should be a section with keys, not a single value",
        "known: type, id, name",
    ),
]

CLIENTS = [
    Case(
        "client-without-id",
        "staticClients:\n- ▶name: App\n  secret: 0123456789abcdef\n",
        "a client needs an id",
        "idEnv: VARIABLE",
    ),
    Case(
        "client-with-id-and-idenv",
        "staticClients:\n- {id: a, idEnv: ▶A, secret: s, name: App}\n",
        "id and idEnv exclude each other",
        "Keep one",
        environ={"A": "a"},
    ),
    Case(
        "client-whose-idenv-is-not-set",
        "staticClients:\n- {idEnv: ▶APP_ID, secret: s, name: App}\n",
        "variable APP_ID is not set",
        "Set APP_ID",
    ),
    Case(
        "client-without-secret",
        "staticClients:\n- ▶id: a\n  name: App\n",
        "needs a secret",
        "public: true",
    ),
    Case(
        "client-with-an-empty-secret",
        "staticClients:\n- id: a\n  name: App\n  secret: ▶''\n",
        "needs a secret",
        "secretEnv: VARIABLE",
    ),
    Case(
        "client-whose-redirect-uri-has-a-fragment",
        "staticClients:\n- {id: a, secret: s, name: App, redirectURIs: "
        "[▶'https://a.example/#/cb']}\n",
        "nobody can be sent to",
        "without what follows #",
    ),
    Case(
        "client-whose-redirect-uri-is-a-script",
        "staticClients:\n- {id: a, secret: s, name: App, redirectURIs: "
        "['https://a.example/', ▶'JavaScript:alert(1)']}\n",
        "nobody can be sent to",
        "https address",
    ),
    Case(
        "client-with-secret-and-secretenv",
        "staticClients:\n- {id: a, secret: s, secretEnv: ▶S, name: App}\n",
        "secret and secretEnv exclude each other",
        "Keep one",
        environ={"S": "s"},
    ),
    Case(
        "client-whose-secretenv-is-not-set",
        "staticClients:\n- {id: a, secretEnv: ▶APP_SECRET, name: App}\n",
        "variable APP_SECRET is not set",
        "Set APP_SECRET",
    ),
    Case(
        "client-whose-secretenv-is-empty",
        "staticClients:\n- {id: a, secretEnv: ▶APP_SECRET, name: App}\n",
        "variable APP_SECRET is empty",
        "Set APP_SECRET",
        environ={"APP_SECRET": ""},
    ),
    Case(
        "client-without-name",
        "staticClients:\n- ▶{id: a, secret: s}\n",
        "a client needs a name",
        "as users know it",
    ),
    Case(
        "client-twice",
        """\
        staticClients:
        - {id: a, secret: s, name: One}
        - {id: ▶a, secret: s, name: Two}
        """,
        'a client with the id "a" is there already, at line 2',
        "Change the id",
    ),
    Case(
        "client-with-an-unknown-refresh-token-lifetime",
        "staticClients:\n- {id: a, secret: s, name: A, refreshTokenLifetime: ▶long}\n",
        'lifetime "long" is neither standalone nor session',
        "leave it out",
    ),
    Case(
        "redirect-uri-is-a-word",
        "staticClients:\n- {id: a, secret: s, name: A, redirectURIs: ▶http://a}\n",
        "should be a list",
        '"- "',
    ),
    Case(
        "redirect-uri-is-a-section",
        "staticClients:\n- {id: a, secret: s, name: A, redirectURIs: [▶{a: b}]}\n",
        "should be text, not a section",
        "single value",
    ),
    Case(
        "client-asks-for-a-second-factor-nobody-has",
        "staticClients:\n- {id: a, secret: s, name: A, mfaChain: [▶totp]}\n",
        'no authenticator "totp"',
        "Add it there",
    ),
]

PASSWORDS = [
    Case(
        "password-without-password-database",
        f"▶staticPasswords:\n- {{email: a@b.c, userID: '1', hash: {HASH}}}\n",
        "static passwords need the password database",
        "enablePasswordDB: true",
    ),
    Case(
        "password-without-email",
        f"""\
        enablePasswordDB: true
        staticPasswords:
        - ▶hash: {HASH}
          userID: '1'
        """,
        "needs an email",
        "email: …",
    ),
    Case(
        "password-without-hash",
        """\
        enablePasswordDB: true
        staticPasswords:
        - ▶email: a@b.c
          userID: '1'
        """,
        "needs a hash",
        "htpasswd",
    ),
    Case(
        "password-in-clear",
        """\
        enablePasswordDB: true
        staticPasswords:
        - {email: a@b.c, userID: '1', hash: ▶hunter2}
        """,
        "this is not a bcrypt hash",
        "htpasswd",
    ),
    Case(
        "password-hash-cut-short",
        """\
        enablePasswordDB: true
        staticPasswords:
        - {email: a@b.c, userID: '1', hash: ▶$2a$10$2b2cU8CPhOTaGrs1HRQuAu}
        """,
        "should have 60 characters and has 29",
        "single quotes",
    ),
    Case(
        "password-whose-variable-is-not-set",
        """\
        enablePasswordDB: true
        staticPasswords:
        - {email: a@b.c, userID: '1', hashFromEnv: ▶ADMIN_HASH}
        """,
        "variable ADMIN_HASH is not set",
        "Set ADMIN_HASH",
    ),
    Case(
        "password-twice-in-another-case",
        f"""\
        enablePasswordDB: true
        staticPasswords:
        - {{email: a@b.c, userID: '1', hash: {HASH}}}
        - {{email: ▶A@B.C, userID: '2', hash: {HASH}}}
        """,
        'the email "a@b.c" is there already, at line 3',
        "Change the email",
    ),
    Case(
        "email-verified-is-a-word",
        f"""\
        enablePasswordDB: true
        staticPasswords:
        - {{email: a@b.c, userID: '1', emailVerified: ▶perhaps, hash: {HASH}}}
        """,
        '"perhaps" is neither true nor false',
        "true or false",
    ),
]

SESSION_RULES = [
    Case(
        "session-cookie-with-a-semicolon",
        "sessions: {cookieName: ▶'a;b'}\n",
        "cannot be the name of a cookie",
        "letters, digits",
    ),
    Case(
        "session-cookie-that-browsers-refuse",
        "sessions: {cookieName: ▶__Host-dex}\n",
        "only over https, for the path /",
        "another name",
    ),
    Case(
        "a-frame-of-no-address",
        "sessions: {frontchannelLogoutURIs: {app: ▶'javascript:alert(1)'}}\n",
        "not an address that a page can load",
        "https://app.example.com/logout",
    ),
    Case(
        "trusting-ourselves",
        """\
        oauth2: {jwtBearer: {trustedIssuers: [
          {issuer: ▶'http://127.0.0.1:5556/dex', connectorID: a}
        ]}}
        """,
        "does not take assertions of its own",
        "issuer of somebody else",
    ),
    Case(
        "an-issuer-trusted-twice",
        """\
        oauth2: {jwtBearer: {trustedIssuers: [
          {issuer: 'https://a', connectorID: a}, {issuer: ▶'https://a', connectorID: b}
        ]}}
        """,
        "is trusted already",
        "Remove one of them",
    ),
    Case(
        "two-issuers-of-one-connector",
        """\
        oauth2: {jwtBearer: {trustedIssuers: [
          {issuer: 'https://a', connectorID: a}, {issuer: 'https://b', connectorID: ▶a}
        ]}}
        """,
        'another issuer speaks of the users of "a"',
        "connector of its own",
    ),
    Case(
        "an-issuer-without-https",
        """\
        oauth2: {jwtBearer: {trustedIssuers: [
          {issuer: ▶'http://a.example', connectorID: a}
        ]}}
        """,
        'keys cannot be fetched from "http://a.example"',
        "begins with https://",
    ),
    Case(
        "keys-at-no-address",
        """\
        oauth2: {jwtBearer: {trustedIssuers: [
          {issuer: 'urn:a', connectorID: a, jwksURI: ▶'file:///keys'}
        ]}}
        """,
        'keys cannot be fetched from "file:///keys"',
        "begins with https://",
    ),
    Case(
        "keys-in-two-places",
        """\
        oauth2: {jwtBearer: {trustedIssuers: [
          {issuer: x, connectorID: a, jwksURI: ▶'https://a', jwks: {keys: [{kty: RSA}]}}
        ]}}
        """,
        "jwks and jwksURI exclude each other",
        "Keep one of them",
    ),
    Case(
        "a-shared-key-of-an-issuer",
        """\
        oauth2: {jwtBearer: {trustedIssuers: [
          {issuer: x, connectorID: a, ▶jwks: {keys: [{kty: oct, k: c2VjcmV0}]}}
        ]}}
        """,
        "only public keys belong here",
        "Write {keys: [...]}",
    ),
    Case(
        "an-issuer-without-a-signature",
        """\
        oauth2: {jwtBearer: {trustedIssuers: [
          {issuer: 'https://a', connectorID: a, algorithms: [▶none]}
        ]}}
        """,
        '"none" is none of the algorithms',
        "Known: ES256",
    ),
    Case(
        "an-unknown-kind-of-assertion",
        """\
        oauth2: {jwtBearer: {trustedIssuers: [
          {issuer: 'https://a', connectorID: a, assertions: [▶saml]}
        ]}}
        """,
        '"saml" is none of the assertions',
        "Known: id-jag",
    ),
    Case(
        "an-assertion-for-ever",
        """\
        oauth2: {jwtBearer: {trustedIssuers: [
          {issuer: 'https://a', connectorID: a, maxLifetime: ▶2h}
        ]}}
        """,
        "maxLifetime is not between 0 and 1h",
        "to be used at once",
    ),
    Case(
        "a-resource-of-no-address",
        "resources: [{id: ▶/api}]\n",
        "not an absolute URI without fragment",
        "whole URL of the API",
    ),
    Case(
        "a-resource-twice",
        "resources: [{id: 'urn:api'}, {id: ▶'urn:api'}]\n",
        "is there already, at line",
        "Change the id",
    ),
    Case(
        "the-issuer-as-a-resource",
        "resources: [{id: ▶'http://127.0.0.1:5556/dex'}]\n",
        "the issuer is a resource already",
        "Remove this entry",
    ),
    Case(
        "a-resource-with-an-unknown-scope",
        "resources: [{id: 'urn:api', scopes: [openid, ▶everything]}]\n",
        'the scope "everything" is not known',
        "There are openid",
    ),
    Case(
        "a-resource-whose-tokens-live-longer-than-keys",
        "resources: [{id: 'urn:api', tokenLifetime: ▶25h}]\n",
        "not between 0 and 24h",
        "raise expiry.idTokens",
    ),
    Case(
        "secure-session-cookie-over-http",
        "sessions: {cookieName: ▶__Secure-dex}\n",
        "only over https",
        "another name",
    ),
    Case(
        "session-lives-no-time",
        "sessions: {absoluteLifetime: 1h, validIfNotUsedFor: ▶0}\n",
        "validIfNotUsedFor must be more than nothing",
        '"1h"',
        environ=SESSIONS,
    ),
    Case(
        "session-idles-longer-than-it-lives",
        "sessions: {absoluteLifetime: 1h30m, validIfNotUsedFor: ▶2h}\n",
        "longer than absoluteLifetime (1h30m)",
        "1h30m or less",
        environ=SESSIONS,
    ),
    Case(
        "session-key-of-the-wrong-size",
        "sessions: {cookieEncryptionKey: ▶tooshort}\n",
        "8 bytes instead of 16, 24 or 32",
        "openssl rand -hex 16",
        environ=SESSIONS,
    ),
    Case(
        "session-sharing-unknown",
        "sessions: {ssoSharedWithDefault: ▶everyone}\n",
        'sharing policy "everyone"',
        "Known: all, none",
        environ=SESSIONS,
    ),
    Case(
        "second-factors-not-enabled",
        "▶mfa: {authenticators: []}\n",
        "second factors need sessions",
        "sessions: {}",
    ),
    Case(
        "second-factor-without-id",
        "mfa: {authenticators: [▶{type: TOTP}]}\n",
        '"id" is missing',
        "chains name it",
        environ=SESSIONS,
    ),
    Case(
        "second-factor-with-an-empty-id",
        "mfa: {authenticators: [{type: TOTP, id: ▶''}]}\n",
        "an authenticator needs an id",
        "id: …",
        environ=SESSIONS,
    ),
    Case(
        "second-factor-twice",
        "mfa: {authenticators: [{type: TOTP, id: a}, {type: TOTP, id: ▶a}]}\n",
        'an authenticator with the id "a"',
        "Change the id",
        environ=SESSIONS,
    ),
    Case(
        "second-factor-in-the-wrong-case",
        "mfa: {authenticators: [{type: ▶totp, id: a}]}\n",
        'type of authenticator "totp" is not known',
        "Did you mean TOTP?",
        environ=SESSIONS,
    ),
    Case(
        "default-chain-names-nobody",
        """\
        mfa:
          authenticators: [{type: TOTP, id: phone}]
          defaultMFAChain: [▶phones]
        """,
        'no authenticator "phones"',
        "Did you mean phone?",
        environ=SESSIONS,
    ),
]

CASES = [
    *WHOLE_FILES,
    *SYNTAX,
    *SECTIONS,
    *CONNECTORS,
    *CLIENTS,
    *PASSWORDS,
    *SESSION_RULES,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_broken_file_names_the_place_the_fault_and_the_remedy(case: Case) -> None:
    """T-REDIR-06, T-CA-01: what a client cannot be, it cannot be in the file."""
    before, _, after = case.marked.partition("▶")
    line = before.count("\n") + 1
    column = len(before) - before.rfind("\n")

    with pytest.raises(ConfigProblems) as raised:
        loads(before + after, name="dex.yaml", environ=case.environ)

    [problem] = raised.value.problems
    assert (problem.line, problem.column) == (line, column)
    assert case.message in problem.message
    assert case.remedy in problem.remedy
    assert str(problem).startswith(f"dex.yaml:{line}:{column}: error: ")


def test_there_are_enough_broken_files_and_each_has_a_name_of_its_own() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 60
