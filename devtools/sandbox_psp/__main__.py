"""Run the sandbox PSP: `python -m devtools.sandbox_psp` serves until SIGTERM or SIGINT."""

import logging
import signal
from types import FrameType

import uvicorn

from devtools.sandbox_psp.app import create_app
from devtools.sandbox_psp.connection_reset import ResettableProtocol
from devtools.sandbox_psp.settings import Settings


def _exit(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def main() -> None:
    """Serve the PSP with the settings of the environment."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # httpx would log every webhook; the deliveries are listed under /_control/webhooks.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = Settings()
    # uvicorn raises the signal that stopped it again when it is done.
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        http=ResettableProtocol,
        proxy_headers=False,  # there is no proxy in front of it
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
