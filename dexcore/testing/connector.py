"""What every connector must do, as tests for its author to inherit.

::

    from dexcore.testing.connector import OAuthContract, UpstreamContract
    from dexcore.testing.upstreams import Upstream, agree

    class TestToy(UpstreamContract, OAuthContract):
        type = "toy"

        @pytest.fixture
        def upstream(self):
            answers = {"/authorize": agree, "/token": {"access_token": "t"},
                       "/user": {"id": 7}}
            with Upstream(answers) as upstream:
                yield upstream

        @pytest.fixture
        def config(self, upstream):
            return {"url": upstream.url, "clientSecret": "s3cret"}

The connector is found by its entry point and opened with ``config`` as the server does
it; ``redirectURI: $ISSUER/callback`` is right in every test.  Inherit what fits:

* a way to log in: :class:`PasswordContract`, :class:`CallbackContract` (for OAuth 2.0
  its kind :class:`OAuthContract`, for SAML :class:`FormPostContract`),
  :class:`NegotiateContract`;
* :class:`UpstreamContract`, before the others, if there is an upstream that may fail;
  :class:`OpenIDContract` is that and :class:`OAuthContract` for OpenID Connect;
* :class:`RefreshContract`, or :class:`LiveRefreshContract` if a refresh asks upstream;
* :class:`TokenIdentityContract`, :class:`LogoutContract`.

What each needs to know of the connector is in its docstring.  A failure says what the
contract demands, and why.  Needed are ``dexcore[testing]`` and
``dexcore-storage-memory``; the tests are coroutines: run them with pytest-asyncio in
``auto`` mode.
"""

from ._connector_base import EVERYTHING, ISSUER, TIMEOUT, ConnectorContract
from ._connector_callbacks import CallbackContract, FormPostContract, OAuthContract
from ._connector_demands import answered, check_identity, must
from ._connector_later import (
    LiveRefreshContract,
    LogoutContract,
    RefreshContract,
    TokenIdentityContract,
    remembered,
)
from ._connector_logins import NegotiateContract, PasswordContract
from ._connector_upstreams import ID_TOKEN_FAULTS, OpenIDContract, UpstreamContract

__all__ = [
    "EVERYTHING",
    "ID_TOKEN_FAULTS",
    "ISSUER",
    "TIMEOUT",
    "CallbackContract",
    "ConnectorContract",
    "FormPostContract",
    "LiveRefreshContract",
    "LogoutContract",
    "NegotiateContract",
    "OAuthContract",
    "OpenIDContract",
    "PasswordContract",
    "RefreshContract",
    "TokenIdentityContract",
    "UpstreamContract",
    "answered",
    "check_identity",
    "must",
    "remembered",
]
