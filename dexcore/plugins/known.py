"""What to install for every type that dex knows."""

from __future__ import annotations

from collections.abc import Mapping

#: By kind and type: the requirement that pip understands.
KNOWN: Mapping[str, Mapping[str, str]] = {
    "connector": {
        "atlassian-crowd": "dexcore-connector-crowd",
        "authproxy": "dexcore-connector-authproxy",
        "bitbucket-cloud": "dexcore-connector-bitbucket",
        "gitea": "dexcore-connector-gitea",
        "github": "dexcore-connector-github",
        "gitlab": "dexcore-connector-gitlab",
        "google": "dexcore-connector-google",
        "keystone": "dexcore-connector-keystone",
        "ldap": "dexcore-connector-ldap",
        "linkedin": "dexcore-connector-linkedin",
        "microsoft": "dexcore-connector-microsoft",
        "oauth": "dexcore-connector-oauth",
        "oidc": "dexcore-connector-oidc",
        "openshift": "dexcore-connector-openshift",
        "saml": "dexcore-connector-saml",
        "samlExperimental": "dexcore-connector-saml",
    },
    "storage": {
        "etcd": "dexcore-storage-etcd",
        "kubernetes": "dexcore-storage-kubernetes",
        "memory": "dexcore-storage-memory",
        "mysql": "dexcore-storage-sql",
        "postgres": "dexcore-storage-sql",
        "sqlite3": "dexcore-storage-sql",
    },
    "signer": {"vault": "dexcore-signer-vault"},
    "signup": {"default": "dexcore-signup"},
    "service": {"grpc": "dexcore-api-grpc"},
}


def requirement(kind: str, name: str) -> str:
    """Return what to install for the *kind* of type *name*, or ``""``."""
    return KNOWN.get(kind, {}).get(name, "")
