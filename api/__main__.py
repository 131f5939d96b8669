"""`python -m api`: serve until told to stop, then finish what is under way."""

import logging
import signal
from types import FrameType

import uvicorn

from api.app import create_app
from runtime.settings import Settings

GRACE_SECONDS = 5


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def main() -> None:
    """Run the server with the settings of the environment."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # its lines show whole URLs
    # The server raises the signal it was stopped with once more when it is done.
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    settings = Settings()
    uvicorn.run(
        create_app(settings),
        host=settings.bind,
        port=settings.api_port,
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=int(settings.sync_budget_seconds) + GRACE_SECONDS,
    )


if __name__ == "__main__":
    main()
