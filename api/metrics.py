"""Prometheus metrics of the API."""

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
    "Events in PSPs' notifications: `accepted`, `unreadable` (signed by the PSP, kept), or "
    "`rejected` (one for a whole notification) because they do not prove where they come from",
    *("psp", "result"),
)
CERTIFICATE_EXPIRES = gauge(
    "integrator_api_certificate_expiry_timestamp_seconds",
    "When the certificate ends with which the API serves HTTPS itself; 0 when it does not",
)
CERTIFICATE_FAILURES = counter(
    "integrator_api_certificate_failures_total", "Certificates that could not be put in place"
)
