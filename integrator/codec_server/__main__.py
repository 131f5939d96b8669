"""`python -m integrator.codec_server`: serve until told to stop."""

import signal
import sys
from types import FrameType

import uvicorn
from pydantic import ValidationError

from integrator.codec_server.app import ConfigurationError, create_app
from integrator.crypto.keys import KeyConfigurationError
from integrator.observability import log_setup
from integrator.settings import Settings


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def main() -> None:
    """Run the server with the settings of the environment; exit code 1 if they do not do."""
    # The server raises the signal it was stopped with once more when it is done.
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    try:
        settings = Settings()
        log_setup.set_up(log_setup.bound, settings.resolved_log_format)
        app = create_app(settings)
    except (ConfigurationError, KeyConfigurationError, ValidationError) as error:
        sys.exit(f"The codec server cannot start: {error}")
    uvicorn.run(
        app,
        host=settings.bind,
        port=settings.codec_port,
        proxy_headers=False,  # the application has proxies of its own choice
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
