"""Connections to Temporal: one data converter and one set of policies for every process."""

import asyncio
import logging
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.service import RetryConfig, TLSConfig

from integrator.crypto.keys import KeyRing
from integrator.observability import tracing
from integrator.settings import Settings
from integrator.temporal.payload_codec import encrypting_converter

log = logging.getLogger(__name__)

API_RETRY = RetryConfig(max_elapsed_time_millis=2_000)
"""A caller of the API hears of an outage after about two seconds; it repeats its request anyway."""

RECONNECT_PAUSE = timedelta(seconds=1)

API_KEY_EVERY = timedelta(minutes=1)
"""Keys are given out with days of overlap; a file is read at no cost."""


async def connect(settings: Settings, *, lazy: bool) -> Client:
    """A client for the configured server and namespace.

    A lazy client (for the API) boots without a server and gives up on a call after about two
    seconds; an eager one (for the worker) raises RuntimeError when the server is away. Raises
    `KeyConfigurationError`.
    """
    return await Client.connect(
        settings.resolved_temporal_address,
        namespace=settings.temporal_namespace,
        api_key=settings.resolved_temporal_api_key,
        tls=tls_of(settings),
        data_converter=encrypting_converter(KeyRing.from_settings(settings)),
        lazy=lazy,
        retry_config=API_RETRY if lazy else None,
        interceptors=tracing.interceptors(),
    )


def tls_of(settings: Settings) -> TLSConfig | bool:
    """How to speak TLS to Temporal; False for not at all. Raises `OSError`."""
    if not settings.uses_temporal_tls:
        return False
    return TLSConfig(
        server_root_ca_cert=_content(settings.temporal_tls_ca_file),
        domain=settings.temporal_tls_server_name,
        client_cert=_content(settings.temporal_tls_cert_file),
        client_private_key=_content(settings.temporal_tls_key_file),
    )


def _content(file: Path | None) -> bytes | None:
    return file.read_bytes() if file is not None else None


async def follow_api_key(client: Client, settings: Settings) -> None:
    """Give the client the API key anew whenever its file has changed, until cancelled."""
    while settings.temporal_api_key_file is not None:
        await asyncio.sleep(API_KEY_EVERY.total_seconds())
        try:
            key = settings.resolved_temporal_api_key
        except ValueError as error:
            log.warning("The API key for Temporal stays as it was: %s", error)
            continue
        if key != client.api_key:
            client.api_key = key
            log.info("The API key for Temporal was read again.")


async def connect_patiently(settings: Settings) -> Client:
    """As `connect`, waiting for the server for as long as it takes: workers cannot be lazy."""
    while True:
        try:
            return await connect(settings, lazy=False)
        except RuntimeError as error:
            log.warning(
                "Temporal at %s is not reachable (%s); trying again",
                settings.resolved_temporal_address,
                error,
            )
            await asyncio.sleep(RECONNECT_PAUSE.total_seconds())
