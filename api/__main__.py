"""`python -m api`: serve until told to stop, then finish what is under way."""

import logging
import signal
import sys
from types import FrameType

import uvicorn
from pydantic import ValidationError

from api.app import create_app
from api.server.https import ConfigurationError, opened
from api.server.uvicorn_config import certificate_of, server_of
from integrator import gc_tuning
from integrator.crypto.keys import KeyConfigurationError, KeyRing
from integrator.observability import log_setup, metrics_server, tracing
from integrator.settings import Settings

log = logging.getLogger("api")


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def main() -> None:
    """Run the server with the settings of the environment; exit code 1 if they do not do."""
    # The server raises the signal it was stopped with once more when it is done.
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    try:
        settings = Settings()
        log_setup.set_up(tracing.subject, settings.resolved_log_format)
        server = _server(settings)
    except (ConfigurationError, KeyConfigurationError, ValidationError) as error:
        sys.exit(f"The API cannot start: {error}")
    gc_tuning.collect_seldom()
    server.run()
    if not server.started:
        sys.exit("The API could not be started.")


def _server(settings: Settings) -> uvicorn.Server:
    KeyRing.from_settings(settings)  # now, while there is somebody to tell
    certificate = certificate_of(settings)
    metrics_server.serve(settings.metrics_bind, settings.metrics_port)
    tracing.set_up(settings, "integrator-api")
    app = create_app(settings)
    tracing.trace_app(app)
    server = server_of(app, settings, certificate)
    for door in opened(settings):
        log.warning("development profile: %s", door)
    if certificate is not None:
        renewed = certificate
        signal.signal(signal.SIGHUP, lambda *_: renewed.reload())
    return server


if __name__ == "__main__":
    main()
