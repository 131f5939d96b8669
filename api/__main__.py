"""Entry point of `python -m api`: serve until SIGTERM or SIGINT, then finish open requests."""

import logging
import signal
import sys
from types import FrameType

import uvicorn
from pydantic import ValidationError

from api.app import create_app
from api.server.https import ConfigurationError, list_relaxations
from api.server.tls import load_certificate
from api.server.uvicorn_config import create_server
from integrator import gc_tuning
from integrator.crypto.keys import KeyConfigurationError, KeyRing
from integrator.observability import log_setup, metrics_server, tracing
from integrator.settings import Settings

log = logging.getLogger("api")


def _exit_on_signal(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def main() -> None:
    """Run the server with settings from the environment; exit with code 1 if they are invalid."""
    # uvicorn raises the signal that stopped it again when it has finished.
    signal.signal(signal.SIGTERM, _exit_on_signal)
    signal.signal(signal.SIGINT, _exit_on_signal)
    try:
        settings = Settings()
        log_setup.set_up(tracing.subject, settings.resolved_log_format)
        server = _prepare_server(settings)
    except (ConfigurationError, KeyConfigurationError, ValidationError) as error:
        sys.exit(f"The API cannot start: {error}")
    gc_tuning.raise_gc_thresholds()
    server.run()
    if not server.started:
        sys.exit("The API could not be started.")


def _prepare_server(settings: Settings) -> uvicorn.Server:
    KeyRing.from_settings(settings)  # fails at start-up rather than at the first request
    certificate = load_certificate(settings)
    metrics_server.serve(settings.metrics_bind, settings.metrics_port)
    tracing.set_up(settings, "integrator-api")
    app = create_app(settings)
    tracing.trace_app(app)
    server = create_server(app, settings, certificate)
    for relaxation in list_relaxations(settings):
        log.warning("development profile: %s", relaxation)
    if certificate is not None:
        reloadable = certificate
        signal.signal(signal.SIGHUP, lambda *_: reloadable.reload())
    return server


if __name__ == "__main__":
    main()
