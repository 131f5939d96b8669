"""Lists by time window, on a real sandbox process."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.sandbox_psp.driver import Sandbox, Shop

MINUTE = timedelta(minutes=1)


def moment(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def window(shop: Shop, path: str, **more: str) -> Any:
    now = datetime.now(UTC)
    span = {"created_from": moment(now - MINUTE), "created_to": moment(now + MINUTE)}
    return shop.get(path, **{**span, **more})


def test_everything_of_a_window_is_listed_by_kind(shop: Shop, sandbox: Sandbox) -> None:
    charge = shop.charge(4990).json()
    held = shop.authorization(2000)
    captured = shop.http.post("/_control/captures", json={"authorization": held["id"]}).json()
    refunded = shop.http.post("/_control/refunds", json={"charge": charge["id"]}).json()
    Shop(sandbox).charge(1000)
    charges = window(shop, "/charges")
    assert [found["id"] for found in charges["data"]] == [charge["id"], captured["id"]]
    assert charges["data"][1]["authorization"] == held["id"]
    assert not charges["has_more"]
    assert [found["id"] for found in window(shop, "/authorizations")["data"]] == [held["id"]]
    (listed,) = window(shop, "/refunds")["data"]
    assert (listed["id"], listed["charge"]) == (refunded["id"], charge["id"])
    assert listed["reference"].startswith("dashboard_")


def test_a_window_is_read_in_pages(shop: Shop) -> None:
    made = [shop.charge(4990).json()["id"] for _ in range(3)]
    first = window(shop, "/charges", limit="2")
    assert ([found["id"] for found in first["data"]], first["has_more"]) == (made[:2], True)
    second = window(shop, "/charges", limit="2", after=first["next"])
    assert ([found["id"] for found in second["data"]], second["has_more"]) == (made[2:], False)


def test_a_window_has_a_closed_and_an_open_end(shop: Shop) -> None:
    charge = shop.charge(4990).json()
    at = datetime.fromisoformat(charge["created_at"])
    begins = window(shop, "/charges", created_from=moment(at))
    assert [found["id"] for found in begins["data"]] == [charge["id"]]
    assert window(shop, "/charges", created_to=moment(at)) == {
        "data": [],
        "next": None,
        "has_more": False,
    }


@pytest.mark.parametrize(
    "query",
    [{}, {"created_from": "2026-01-15T00:00:00Z"}, {"created_from": "today", "created_to": "x"}],
)
def test_a_list_without_reference_or_window_is_refused(shop: Shop, query: dict[str, str]) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        shop.get("/charges", **query)
