"""Lists by time range, on a real sandbox process."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.integration.devtools.sandbox_psp.driver import MerchantClient, Sandbox

MINUTE = timedelta(minutes=1)


def format_time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def list_window(merchant: MerchantClient, path: str, **more: str) -> Any:
    now = datetime.now(UTC)
    time_range = {
        "created_from": format_time(now - MINUTE),
        "created_to": format_time(now + MINUTE),
    }
    return merchant.get(path, **{**time_range, **more})


def test_all_records_of_a_time_range_are_listed_by_kind(
    merchant: MerchantClient, sandbox: Sandbox
) -> None:
    charge = merchant.charge(4990).json()
    authorization = merchant.authorization(2000)
    captured = merchant.http.post(
        "/_control/captures", json={"authorization": authorization["id"]}
    ).json()
    refunded = merchant.http.post("/_control/refunds", json={"charge": charge["id"]}).json()
    MerchantClient(sandbox).charge(1000)
    charges = list_window(merchant, "/charges")
    assert [item["id"] for item in charges["data"]] == [charge["id"], captured["id"]]
    assert charges["data"][1]["authorization"] == authorization["id"]
    assert not charges["has_more"]
    assert [item["id"] for item in list_window(merchant, "/authorizations")["data"]] == [
        authorization["id"]
    ]
    (listed,) = list_window(merchant, "/refunds")["data"]
    assert (listed["id"], listed["charge"]) == (refunded["id"], charge["id"])
    assert listed["reference"].startswith("dashboard_")


def test_a_time_range_is_read_in_pages(merchant: MerchantClient) -> None:
    charge_ids = [merchant.charge(4990).json()["id"] for _ in range(3)]
    first = list_window(merchant, "/charges", limit="2")
    assert ([item["id"] for item in first["data"]], first["has_more"]) == (charge_ids[:2], True)
    second = list_window(merchant, "/charges", limit="2", after=first["next"])
    assert ([item["id"] for item in second["data"]], second["has_more"]) == (charge_ids[2:], False)


def test_a_time_range_includes_its_start_and_excludes_its_end(merchant: MerchantClient) -> None:
    charge = merchant.charge(4990).json()
    at = datetime.fromisoformat(charge["created_at"])
    page = list_window(merchant, "/charges", created_from=format_time(at))
    assert [item["id"] for item in page["data"]] == [charge["id"]]
    assert list_window(merchant, "/charges", created_to=format_time(at)) == {
        "data": [],
        "next": None,
        "has_more": False,
    }


@pytest.mark.parametrize(
    "query",
    [{}, {"created_from": "2026-01-15T00:00:00Z"}, {"created_from": "today", "created_to": "x"}],
)
def test_a_list_without_reference_or_time_range_is_rejected(
    merchant: MerchantClient, query: dict[str, str]
) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        merchant.get("/charges", **query)
