"""A Django site logs in: mozilla-django-oidc."""

from __future__ import annotations

import sys
import types

from urllib.parse import parse_qs, urlsplit

import pytest

URLS = "dexcore_tests_django_urls"


@pytest.fixture(scope="module")
def site(provider):
    """Set up a Django site with a database in memory; there is one per process."""
    import django

    from django.conf import settings
    from django.core.management import call_command
    from django.db import connections
    from django.http import HttpResponse
    from django.urls import path

    settings.configure(
        SECRET_KEY="only for this test",
        ALLOWED_HOSTS=["127.0.0.1"],
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "mozilla_django_oidc",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "mozilla_django_oidc.middleware.SessionRefresh",
        ],
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        },
        ROOT_URLCONF=URLS,
        AUTHENTICATION_BACKENDS=["mozilla_django_oidc.auth.OIDCAuthenticationBackend"],
        LOGIN_REDIRECT_URL="/me",
        LOGIN_REDIRECT_URL_FAILURE="/login-failed",
        OIDC_RP_CLIENT_ID=provider.client_id,
        OIDC_RP_CLIENT_SECRET=provider.client_secret,
        OIDC_RP_SCOPES=provider.scopes,
        OIDC_RP_SIGN_ALGO="RS256",
        OIDC_USE_PKCE=True,
        OIDC_STORE_ID_TOKEN=True,
        OIDC_STORE_ACCESS_TOKEN=True,
        OIDC_OP_AUTHORIZATION_ENDPOINT=provider.metadata["authorization_endpoint"],
        OIDC_OP_TOKEN_ENDPOINT=provider.metadata["token_endpoint"],
        OIDC_OP_USER_ENDPOINT=provider.metadata["userinfo_endpoint"],
        OIDC_OP_JWKS_ENDPOINT=provider.metadata["jwks_uri"],
    )
    sys.modules[URLS] = urls = types.ModuleType(URLS)
    django.setup()
    from mozilla_django_oidc import views

    urls.urlpatterns = [
        path(
            "login",
            views.OIDCAuthenticationRequestView.as_view(),
            name="oidc_authentication_init",
        ),
        path(
            "callback",
            views.OIDCAuthenticationCallbackView.as_view(),
            name="oidc_authentication_callback",
        ),
        path("logout", views.OIDCLogoutView.as_view(), name="oidc_logout"),
        path("me", lambda request: HttpResponse(request.user.email)),
    ]
    call_command("migrate", verbosity=0)
    yield
    connections.close_all()
    del sys.modules[URLS]


@pytest.fixture
def browser(site, provider):
    """Return a browser that is at the site, where the provider knows it to be."""
    from django.test import Client

    return Client(HTTP_HOST=urlsplit(provider.redirect_uri).netloc)


def come_back(browser, landing):
    """Let *browser* bring the answer of the provider to the site."""
    parts = urlsplit(landing)
    return browser.get(f"{parts.path}?{parts.query}")


def test_somebody_logs_in_to_a_django_site(browser, provider):
    landing = provider.log_in(browser.get("/login")["location"])
    # The site has verified the ID token and asked for userinfo.
    assert come_back(browser, landing)["location"] == "/me"
    assert browser.get("/me").content.decode() == provider.email


def test_a_django_site_uses_a_refresh_token(browser, provider):
    from mozilla_django_oidc.auth import OIDCAuthenticationBackend

    asked = browser.get("/login")["location"]
    landing = parse_qs(urlsplit(provider.log_in(asked)).query)
    kept = browser.session["oidc_states"][landing["state"][0]]
    backend = OIDCAuthenticationBackend()
    secret = {"client_id": provider.client_id, "client_secret": provider.client_secret}
    tokens = backend.get_token(
        {
            **secret,
            "grant_type": "authorization_code",
            "code": landing["code"][0],
            "redirect_uri": provider.redirect_uri,
            "code_verifier": kept["code_verifier"],
        }
    )
    refreshed = backend.get_token(
        {
            **secret,
            "grant_type": "refresh_token",
            "refresh_token": tokens["refresh_token"],
        }
    )
    claims = backend.verify_token(refreshed["id_token"], nonce=kept["nonce"])
    userinfo = backend.get_userinfo(refreshed["access_token"], None, None)
    assert userinfo["email"] == claims["email"] == provider.email


def test_a_django_session_that_must_be_renewed_asks_silently(browser, provider):
    landing = provider.log_in(browser.get("/login")["location"])
    come_back(browser, landing)
    session = browser.session
    session["oidc_id_token_expiration"] = 1
    session.save()
    silent = browser.get("/me")["location"]
    assert "prompt=none" in silent
    refused = provider.log_in(silent)
    assert parse_qs(urlsplit(refused).query)["error"] == ["login_required"]
    assert come_back(browser, refused)["location"] == "/login-failed"
