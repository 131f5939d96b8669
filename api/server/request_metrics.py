"""Count and time requests by the template of their route."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send

from api.metrics import DURATION, IN_FLIGHT, REQUESTS
from api.server.path_normalization import API_PREFIX

_SCOPE_KEY = "integrator.request_metrics"
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})


@dataclass
class RequestMetrics:
    """Figures of one request; `status` is 0 until the response starts."""

    route: str = "none"
    status: int = 0
    started: float = field(default_factory=time.perf_counter)

    def elapsed_seconds(self) -> float:
        """Return the time since the request started."""
        return time.perf_counter() - self.started


@contextmanager
def measure_request(scope: Scope) -> Iterator[RequestMetrics]:
    """Count and time one request."""
    request_metrics = scope[_SCOPE_KEY] = RequestMetrics()
    with IN_FLIGHT.track_inprogress():
        yield request_metrics
    method = scope["method"] if scope["method"] in _METHODS else "other"
    REQUESTS.labels(request_metrics.route, method, str(request_metrics.status)).inc()
    DURATION.labels(request_metrics.route, method).observe(request_metrics.elapsed_seconds())


class RouteRecorder:
    """ASGI middleware, the innermost: records the matched route.

    Other middleware replaces the scope, so the route cannot be read in the outermost one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            route = getattr(scope.get("route"), "path", None)
            if route is not None and _SCOPE_KEY in scope:
                below_prefix = scope["path"].startswith(f"{API_PREFIX}/") and not route.startswith(
                    API_PREFIX
                )
                scope[_SCOPE_KEY].route = f"{API_PREFIX}{route}" if below_prefix else route
