"""Convert the engine's events to GoCardless' events, list them and batch them for webhooks."""

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any

from fastapi import Request

from devtools.sandbox_psp import repository
from devtools.sandbox_psp.clock import now_ms
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.gocardless import pagination
from devtools.sandbox_psp.emulators.gocardless.models import BillingRequest
from devtools.sandbox_psp.emulators.gocardless.serializers import Json, late_failures
from devtools.sandbox_psp.errors import PspError
from devtools.sandbox_psp.models import Charge, Mandate, Record, Refund

_TYPES = {
    "charge.pending": "payments.created",
    "charge.succeeded": "payments.confirmed",
    "charge.failed": "payments.failed",
    "charge.charged_back": "payments.charged_back",
    "charge.chargeback_reversed": "payments.chargeback_cancelled",
    "refund.pending": "refunds.created",
    "refund.succeeded": "refunds.paid",
    "refund.failed": "refunds.bounced",
}
_RESOURCES: dict[str, tuple[str, type[Record]]] = {
    "payments": ("payment", Charge),
    "refunds": ("refund", Refund),
    "mandates": ("mandate", Mandate),
    "billing_requests": ("billing_request", BillingRequest),
}
# Actions of a chargeback that is a failure after the confirmation.
_LATE_FAILURE_ACTIONS = {"charged_back": "failed", "chargeback_cancelled": "confirmed"}
# Causes of the engine's failure codes and chargeback reasons.
_CAUSES = {"AM04": "insufficient_funds", "insufficient_funds": "insufficient_funds"}


def serialize_event(ctx: Context, stored: Mapping[str, Any]) -> Json:
    """Return an event of the engine as GoCardless' event."""
    data = stored["data"]
    name, _, action = _TYPES.get(stored["type"], stored["type"]).partition(".")
    link, cls = _RESOURCES[name]
    record = repository.get(ctx.db, cls, data["id"])
    if action in _LATE_FAILURE_ACTIONS and _last_chargeback(data) in late_failures(record):
        action = _LATE_FAILURE_ACTIONS[action]
    metadata = record.metadata if isinstance(record, BillingRequest) else record.extra["metadata"]
    return {
        "id": "EV" + stored["id"].removeprefix("evt_").upper(),
        "created_at": stored["created_at"],
        "resource_type": name,
        "action": action,
        "links": {link: data["id"], **_successor_link(action, record)},
        "details": _serialize_details(name, action, data),
        "metadata": {},
        "resource_metadata": metadata,
    }


def list_page(ctx: Context, account: str, request: Request) -> dict[str, Any]:
    """Return a page of the events, newest first."""
    filters = {link: "data.id" for link, _ in _RESOURCES.values()}
    conditions, values = pagination.build_conditions(request, filters, "body")
    cursor = request.query_params.get("after")
    if cursor is not None:
        cursor_sequence = (
            "SELECT sequence FROM events WHERE account = ? AND upper(substr(id, 5)) = ?"
        )
        conditions.append(f"sequence < ({cursor_sequence})")
        values += [account, cursor.removeprefix("EV")]
    limit = pagination.parse_limit(request)
    where = " AND ".join(["account = ?", *conditions])
    rows = ctx.db.all(
        f"SELECT body FROM events WHERE {where} ORDER BY sequence DESC",  # noqa: S608 - built of constants
        account,
        *values,
    )
    wanted = {name: request.query_params.get(name) for name in ("action", "resource_type")}
    events = (serialize_event(ctx, json.loads(row["body"])) for row in rows)
    matching = (
        event
        for event in events
        if all(value in (None, event[name]) for name, value in wanted.items())
    )
    found = list(islice(matching, limit + 1))
    after = found[limit - 1]["id"] if len(found) > limit else None
    return pagination.build_page(found[:limit], limit, after=after)


def webhook_batch(ctx: Context, account: str, stored: Mapping[str, Any]) -> list[Json]:
    """Return the event, and another that is due at the same time: they arrive in any order.

    The other one is sent again by itself, as GoCardless may do.
    """
    rows = ctx.db.all(
        "SELECT e.body FROM deliveries d JOIN events e ON e.id = d.event"
        " WHERE d.account = ? AND d.state = 'pending' AND d.attempts = 0 AND d.due_at <= ?"
        " AND d.event <> ? ORDER BY d.number DESC LIMIT 1",
        account,
        now_ms(),
        stored["id"],
    )
    return [serialize_event(ctx, json.loads(row["body"])) for row in rows] + [
        serialize_event(ctx, stored)
    ]


def get_event(ctx: Context, account: str, id: str) -> Json:
    """Return an event of the account; PspError 404 if there is none."""
    row = ctx.db.one(
        "SELECT body FROM events WHERE account = ? AND upper(substr(id, 5)) = ?",
        account,
        id.removeprefix("EV"),
    )
    if row is None:
        raise PspError(404, "invalid_request", "not_found", f"No such event: {id}")
    return serialize_event(ctx, json.loads(row["body"]))


def _last_chargeback(data: Mapping[str, Any]) -> str | None:
    chargebacks = data.get("chargebacks") or []
    return chargebacks[-1]["id"] if chargebacks else None


def _successor_link(action: str, record: Record) -> dict[str, str]:
    successor = record.extra.get("successor") if action == "replaced" else None
    return {"new_mandate": successor} if successor else {}


def _serialize_details(name: str, action: str, data: Mapping[str, Any]) -> Json:
    singular = name.removesuffix("s")
    cause, description = f"{singular}_{action}", f"The {singular.replace('_', ' ')} is {action}."
    if action in ("failed", "charged_back") and name == "payments":
        chargebacks = data["chargebacks"][-1:] or [{}]
        failure = data["failure"] or {}
        code = failure.get("code") or chargebacks[0].get("reason_code")
        description = failure.get("message") or chargebacks[0].get("reason_message") or description
        cause = _CAUSES.get(code or "", "refer_to_payer")
        return {"origin": "bank", "cause": cause, "description": description, "reason_code": code}
    return {"origin": "gocardless", "cause": cause, "description": description}
