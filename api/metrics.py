"""Prometheus metrics of the API."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send

from api.server.path_normalization import API_PREFIX
from integrator.observability.metrics import counter, gauge, histogram

REQUESTS = counter(
    "integrator_api_requests_total",
    "Requests answered; `route` is the template of the path, `none` where none fits",
    *("route", "method", "status"),
)
DURATION = histogram(
    "integrator_api_request_duration_seconds",
    "From the head of a request to the end of its answer",
    *("route", "method"),
)
IN_FLIGHT = gauge("integrator_api_requests_in_flight", "Requests being answered")
ERRORS = counter(
    "integrator_api_errors_total",
    "Answers that are a PaymentError, by the contract's error code: refusals, and transactions "
    "that have failed",
    *("code", "status"),
)
QUERY_FALLBACKS = counter(
    "integrator_api_query_fallbacks_total",
    "States read from the store because the workflow was not asked (`breaker_open`), did not "
    "answer in time (`unanswered`) or could not (`refused`)",
    "reason",
)
BREAKER_OPEN = gauge(
    "integrator_api_breaker_open", "1 while workflows are not asked because one did not answer"
)
NOTIFICATIONS = counter(
    "integrator_notifications_received_total",
    "Events in PSPs' notifications: `accepted`, or `rejected` (one for a whole notification) "
    "because they do not prove where they come from",
    *("psp", "result"),
)
CERTIFICATE_EXPIRES = gauge(
    "integrator_api_certificate_expiry_timestamp_seconds",
    "When the certificate ends with which the API serves HTTPS itself; 0 when it does not",
)
CERTIFICATE_FAILURES = counter(
    "integrator_api_certificate_failures_total", "Certificates that could not be put in place"
)

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
