"""The command: dex's flags, each also as ``EXAMPLE_APP_…`` in the environment."""

from __future__ import annotations

import asyncio
import signal
import ssl

from urllib.parse import urlsplit

import click

from aiohttp import web

from .app import make_app
from .provider import Client, open_provider


@click.command(context_settings={"auto_envvar_prefix": "EXAMPLE_APP"})
@click.option("--client-id", default="example-app", show_default=True)
@click.option(
    "--client-secret",
    default="ZXhhbXBsZS1hcHAtc2VjcmV0",
    help="Empty for a public client.",
)
@click.option(
    "--redirect-uri",
    default="http://127.0.0.1:5555/callback",
    show_default=True,
    help="Where the provider sends the browser back; its path is served here.",
)
@click.option("--issuer", default="http://127.0.0.1:5556/dex", show_default=True)
@click.option("--issuer-root-ca", help="PEM file of the provider's own CA.")
@click.option("--pkce/--no-pkce", default=True, show_default=True)
@click.option("--listen", default="http://127.0.0.1:5555", show_default=True)
@click.option("--tls-cert", help="PEM file, to listen on https.")
@click.option("--tls-key", help="PEM file, to listen on https.")
def main(
    client_id: str,
    client_secret: str,
    redirect_uri: str,
    issuer: str,
    issuer_root_ca: str | None,
    pkce: bool,
    listen: str,
    tls_cert: str | None,
    tls_key: str | None,
) -> None:
    """Log in through an OpenID Connect provider and look at the tokens."""
    client = Client(client_id, client_secret, redirect_uri, pkce)
    where = urlsplit(listen)
    tls = None
    if where.scheme == "https":
        if not tls_cert or not tls_key:
            raise click.UsageError("https needs --tls-cert and --tls-key.")
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(tls_cert, tls_key)
    try:
        asyncio.run(_serve(client, issuer, issuer_root_ca, listen, tls))
    except OSError as error:
        raise click.ClickException(str(error)) from None


async def _serve(
    client: Client,
    issuer: str,
    root_ca: str | None,
    listen: str,
    tls: ssl.SSLContext | None,
) -> None:
    where = urlsplit(listen)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_provider(issuer, client, root_ca) as provider:
        runner = web.AppRunner(make_app(provider), access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, where.hostname, where.port, ssl_context=tls)
            await site.start()
            click.echo(f"The example app listens on {listen}")
            await stop.wait()
        finally:
            await runner.cleanup()
