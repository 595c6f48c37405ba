"""The server: what aiohttp serves, and what it is made of."""

from .client_tls import import_aiohttp

# Before any module here imports it.
import_aiohttp()
