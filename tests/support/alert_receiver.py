"""Webhook to which Alertmanager posts, for tests.

`python -m tests.support.alert_receiver PORT` serves it to containers and prints each notification
as one line of JSON. It needs the standard library only.
"""

import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from types import FrameType
from typing import Any

from tests.support.http_server import HttpServer


@dataclass(frozen=True)
class ReceivedAlert:
    """One alert of a notification."""

    status: str
    """`firing` or `resolved`."""
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def name(self) -> str:
        """Return the alert's name."""
        return self.labels["alertname"]


def parse_notification(body: str) -> list[ReceivedAlert]:
    """Return the alerts of a notification of Alertmanager."""
    content = json.loads(body)
    return [
        ReceivedAlert(alert["status"], alert["labels"], alert["annotations"])
        for alert in content["alerts"]
    ]


class AlertReceiver(HttpServer):
    """Server that keeps the alerts that were posted to it."""

    def __init__(
        self,
        bind: str = "127.0.0.1",
        port: int = 0,
        report: Callable[[str], None] = lambda body: None,
    ) -> None:
        """Call `report` with the body of each notification."""
        self.alerts: list[ReceivedAlert] = []
        self.paths: list[str] = []
        self._report = report
        super().__init__(bind, port)

    def wait_for(self, name: str, status: str, seconds: float = 60.0) -> ReceivedAlert:
        """Wait until an alert of this name and status was received; return the first one."""
        deadline = time.monotonic() + seconds
        while True:
            for alert in list(self.alerts):
                if (alert.name, alert.status) == (name, status):
                    return alert
            received = [(alert.name, alert.status) for alert in self.alerts]
            assert time.monotonic() < deadline, f"no {name} {status}; received: {received}"
            time.sleep(0.1)

    def _receive(self, path: str, body: str) -> None:
        self.paths.append(path)
        self.alerts += parse_notification(body)
        self._report(body)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                receiver._receive(self.path, self.rfile.read(length).decode())
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, _format: str, *args: Any) -> None:
                """Do not log requests: stdout and stderr are for notifications and errors."""

        return Handler


def _write_line(body: str) -> None:
    sys.stdout.write(f"{body.strip()}\n")
    sys.stdout.flush()


def main() -> None:
    """Serve on all addresses until SIGTERM."""
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    bind = "0.0.0.0"  # noqa: S104 - reached from other containers
    with AlertReceiver(bind, int(sys.argv[1]), _write_line):
        stopped.wait()


if __name__ == "__main__":
    main()
