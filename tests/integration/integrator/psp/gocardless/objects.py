"""Builders of GoCardless' JSON objects, based on the official fixtures."""

import hashlib
import hmac
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

FIXTURES: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "fixtures.json").read_text(encoding="utf-8")
)
REFERENCE = "20260115-65a7f1c2c2d3e4f506172a02"
SECRET = "secret_unit"
METADATA = {"transaction_id": REFERENCE}


def _from_fixture(name: str, envelope: str, **values: Any) -> dict[str, Any]:
    return {**deepcopy(FIXTURES[name][envelope]), "metadata": METADATA, **values}


def payment(status: str = "confirmed", **values: Any) -> dict[str, Any]:
    return _from_fixture("payment", "payments", status=status, **values)


def refund(status: str = "paid", **values: Any) -> dict[str, Any]:
    return _from_fixture("refund", "refunds", status=status, **values)


def mandate(status: str = "active", **values: Any) -> dict[str, Any]:
    return _from_fixture("mandate", "mandates", status=status, scheme="sepa_core", **values)


def billing_request(status: str = "fulfilled", **values: Any) -> dict[str, Any]:
    return _from_fixture("billing_request", "billing_requests", status=status, **values)


def event(action: str, kind: str = "payments", **values: Any) -> dict[str, Any]:
    links = {"payments": "payment", "refunds": "refund", "billing_requests": "billing_request"}
    ids = {"payments": "PM123", "refunds": "RF123", "billing_requests": "BRQ123"}
    fixture = deepcopy(FIXTURES["event_list"]["events"][0])
    linked = {"links": {links[kind]: ids[kind]} if kind in links else {}}
    return {
        **fixture,
        "action": action,
        "resource_type": kind,
        "resource_metadata": METADATA,
        **linked,
        **values,
    }


def failure(cause: str, action: str = "failed", *, will_retry: bool = False) -> dict[str, Any]:
    details = {
        "origin": "bank",
        "cause": cause,
        "description": "No.",
        "reason_code": "XX99",
        "will_attempt_retry": will_retry,
    }
    return event(action, details=details)


def list_page(kind: str, *items: dict[str, Any], after: str | None = None) -> dict[str, Any]:
    return {kind: list(items), "meta": {"cursors": {"before": None, "after": after}, "limit": 500}}


def error(status: int, kind: str, **problem: Any) -> dict[str, Any]:
    return {
        "error": {
            "message": "No.",
            "documentation_url": "https://developer.gocardless.com/api-reference",
            "type": kind,
            "request_id": "00000000-0000-0000-0000-000000000000",
            "code": status,
            "errors": [{"message": "is wrong", **problem}],
        }
    }


def webhook(*events: dict[str, Any]) -> bytes:
    return json.dumps({"events": events, "meta": {"webhook_id": "WB123"}}).encode()


def signature(body: bytes, secret: str = SECRET) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"Webhook-Signature": digest}
