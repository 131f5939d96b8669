"""Temporal clients with the data converter and the retry policy of every process."""

import asyncio
import logging
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.service import RetryConfig, TLSConfig

from integrator.crypto.keys import KeyRing
from integrator.observability import tracing
from integrator.settings import Settings
from integrator.temporal.payload_codec import KeyIds, encrypting_converter

log = logging.getLogger(__name__)

API_RETRY = RetryConfig(max_elapsed_time_millis=2_000)
"""The API reports an outage after about two seconds; its callers repeat requests anyway."""

API_KEY_RELOAD_INTERVAL = timedelta(minutes=1)
"""Old and new API keys overlap by days, and reading a file costs nothing."""


async def connect(settings: Settings, *, lazy: bool, key_ids: KeyIds | None = None) -> Client:
    """Create a client for the configured server and namespace.

    What runs workflows or sends them messages passes `key_ids`, so that no key is used before
    all processes can find its id.

    A lazy client (for the API) starts without a server and gives up on a call after about two
    seconds; an eager one (for the worker) raises `RuntimeError` when the server is unavailable.
    Raises `KeyConfigurationError`.
    """
    return await Client.connect(
        settings.resolved_temporal_address,
        namespace=settings.temporal_namespace,
        api_key=settings.resolved_temporal_api_key,
        tls=tls_config(settings),
        data_converter=encrypting_converter(KeyRing.from_settings(settings), key_ids),
        lazy=lazy,
        retry_config=API_RETRY if lazy else None,
        interceptors=tracing.interceptors(),
    )


def tls_config(settings: Settings) -> TLSConfig | bool:
    """Return the TLS configuration for Temporal; False without TLS. Raises `OSError`."""
    if not settings.uses_temporal_tls:
        return False
    return TLSConfig(
        server_root_ca_cert=_read_file(settings.temporal_tls_ca_file),
        domain=settings.temporal_tls_server_name,
        client_cert=_read_file(settings.temporal_tls_cert_file),
        client_private_key=_read_file(settings.temporal_tls_key_file),
    )


def _read_file(file: Path | None) -> bytes | None:
    return file.read_bytes() if file is not None else None


async def watch_api_key_file(client: Client, settings: Settings) -> None:
    """Update the client's API key whenever its file has changed, until cancelled."""
    while settings.temporal_api_key_file is not None:
        await asyncio.sleep(API_KEY_RELOAD_INTERVAL.total_seconds())
        try:
            key = settings.resolved_temporal_api_key
        except ValueError as error:
            log.warning("The API key for Temporal was not updated: %s", error)
            continue
        if key != client.api_key:
            client.api_key = key
            log.info("The API key for Temporal was updated.")
