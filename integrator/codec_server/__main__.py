"""Run the codec server: `python -m integrator.codec_server`."""

import signal
import sys
from types import FrameType

import uvicorn
from pydantic import ValidationError

from integrator.codec_server.app import ConfigurationError, create_app
from integrator.crypto.keys import KeyConfigurationError
from integrator.observability import log_setup, metrics_server
from integrator.settings import Settings


def _exit(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def main() -> None:
    """Run the server with settings from the environment; exit code 1 if invalid."""
    # uvicorn raises the signal that stopped it once more after its shutdown.
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    try:
        settings = Settings()
        log_setup.set_up(log_setup.bound, settings.resolved_log_format)
        app = create_app(settings)
    except (ConfigurationError, KeyConfigurationError, ValidationError) as error:
        sys.exit(f"The codec server cannot start: {error}")
    metrics_server.serve_without_sdk(settings.metrics_bind, settings.metrics_port)
    uvicorn.run(
        app,
        host=settings.bind,
        port=settings.codec_port,
        proxy_headers=False,  # the application configures trusted proxies itself
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
