"""Look-ups without a PSP id: in a list around the time of creation, and what they prove."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import OutcomeUnknown
from integrator.psp.port import Connection
from integrator.psp.stripe.object_search import MAX_SEARCHED_PAGES
from integrator.psp.types import Absent, Approved, Declined, Lookup, LookupAnswer, Pending
from tests.integration.integrator.psp import builders
from tests.integration.integrator.psp.stripe import objects
from tests.integration.integrator.psp.stripe.conftest import StripeMerchant
from tests.integration.integrator.psp.stripe.test_client import connect, error_body

NO_SEARCH = (400, error_body())
"""What an account gets in a country without search: a refusal without a code."""

FOUND_NOTHING: tuple[int, Any] = (200, {"data": []})
LISTS = ("payment_intents", "checkout/sessions", "setup_intents", "refunds")


class ListingStripe(httpx.MockTransport):
    """Fake Stripe with lists filtered by `created` and pages of two objects, newest first.

    `stored` are the objects of each list. `search` is the response to every search, `failing` the
    number of the list request that fails.
    """

    def __init__(
        self,
        stored: Mapping[str, list[dict[str, Any]]],
        search: tuple[int, Any] = NO_SEARCH,
        failing: int | None = None,
    ) -> None:
        self.list_requests: list[httpx.URL] = []
        self._stored = {path: list(stored.get(path, [])) for path in LISTS}
        self._search = search
        self._failing = failing
        super().__init__(self._respond)

    def _respond(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/v1/")
        if path.endswith("/search"):
            return httpx.Response(self._search[0], json=self._search[1])
        if path in self._stored:
            return self._list(path, request.url)
        parent, _, id = path.rpartition("/")
        for entry in self._stored[parent]:
            if entry["id"] == id:
                return httpx.Response(200, json=entry)
        return httpx.Response(404, json=error_body("resource_missing"))

    def _list(self, path: str, url: httpx.URL) -> httpx.Response:
        self.list_requests.append(url)
        if len(self.list_requests) == self._failing:
            return httpx.Response(503, json=error_body(kind="api_error"))
        since, until = int(url.params["created[gte]"]), int(url.params["created[lt]"])
        entries = [e for e in self._stored[path] if since <= e["created"] < until]
        entries.sort(key=lambda entry: -entry["created"])
        ids = [entry["id"] for entry in entries]
        start = ids.index(after) + 1 if (after := url.params.get("starting_after")) else 0
        page = entries[start : start + 2]
        return httpx.Response(200, json={"data": page, "has_more": len(entries) > start + 2})


def seconds(at: datetime) -> int:
    return int(at.timestamp())


def find_lookup(age: timedelta, **values: Any) -> Lookup:
    lookup = builders.lookup(builders.REFERENCE, **values)
    return lookup.model_copy(update={"created_at": datetime.now(UTC) - age})


def listed_intent(at: datetime, **values: Any) -> dict[str, Any]:
    metadata = {"reference": builders.REFERENCE}
    return {**objects.intent(metadata=metadata), "created": seconds(at), **values}


def other_intents(number: int, at: datetime) -> list[dict[str, Any]]:
    return [
        listed_intent(at, id=f"pi_other_{n}", metadata={"reference": f"other-{n}"})
        for n in range(number)
    ]


async def fetch(connection: Connection, name: str, lookup: Lookup) -> LookupAnswer:
    answer: LookupAnswer = await getattr(connection, f"fetch_{name}")(lookup)
    return answer


@pytest.mark.parametrize("search", [NO_SEARCH, FOUND_NOTHING, (403, error_body("no_permission"))])
@pytest.mark.parametrize("delay", [timedelta(seconds=-60), timedelta(), timedelta(hours=19)])
async def test_a_payment_is_found_around_its_creation(
    search: tuple[int, Any], delay: timedelta
) -> None:
    lookup = find_lookup(timedelta(hours=30))
    assert lookup.created_at is not None
    paid = listed_intent(lookup.created_at + delay)
    others = other_intents(7, lookup.created_at + timedelta(minutes=1))
    stripe = ListingStripe({"payment_intents": [paid, *others]}, search)
    outcome = await connect(stripe).fetch_payment(lookup)
    assert isinstance(outcome, Approved)
    assert outcome.psp_id == paid["id"]


@pytest.mark.parametrize(
    ("name", "role", "answered"),
    [
        ("payment", Role.CreditCard, ["payment_intents"]),
        ("payment", Role.Debit, ["payment_intents"]),
        ("authorization", Role.CreditCard, ["checkout/sessions", "payment_intents"]),
        ("authorization", Role.Debit, ["setup_intents"]),
        ("refund", Role.CreditCard, ["refunds"]),
    ],
)
@pytest.mark.parametrize(
    ("age", "proven"), [(timedelta(minutes=2), False), (timedelta(hours=26), True)]
)
async def test_absence_is_proven_by_complete_lists_once_the_key_is_forgotten(
    name: str, role: Role, answered: list[str], age: timedelta, proven: bool
) -> None:
    stripe = ListingStripe({"payment_intents": other_intents(5, datetime.now(UTC) - age)})
    lookup = find_lookup(age, role=role)
    assert await fetch(connect(stripe), name, lookup) == Absent(proven=proven)
    paths = [url.path.removeprefix("/v1/") for url in stripe.list_requests]
    assert list(dict.fromkeys(paths)) == answered
    [first, *_], [*_, last] = stripe.list_requests, stripe.list_requests
    assert lookup.created_at is not None
    assert int(first.params["created[gte]"]) <= seconds(lookup.created_at) - 60
    assert int(last.params["created[lt]"]) >= seconds(datetime.now(UTC))


async def test_a_list_that_was_not_read_to_its_end_proves_nothing() -> None:
    lookup = find_lookup(timedelta(days=2))
    assert lookup.created_at is not None
    many = other_intents(2 * MAX_SEARCHED_PAGES + 1, lookup.created_at)
    stripe = ListingStripe({"payment_intents": many})
    assert await connect(stripe).fetch_payment(lookup) == Absent(proven=False)
    assert len(stripe.list_requests) == MAX_SEARCHED_PAGES


@pytest.mark.parametrize("failing", [1, 2, 3])
async def test_a_page_that_fails_is_no_answer(failing: int) -> None:
    lookup = find_lookup(timedelta(days=2))
    assert lookup.created_at is not None
    stripe = ListingStripe(
        {"payment_intents": other_intents(5, lookup.created_at)}, failing=failing
    )
    with pytest.raises(OutcomeUnknown):
        await connect(stripe).fetch_payment(lookup)


@pytest.mark.parametrize("parent", ["cs_1", None])
async def test_the_list_proves_nothing_about_a_capture(parent: str | None) -> None:
    lookup = find_lookup(timedelta(days=2), parent=parent)
    lookup = lookup.model_copy(update={"has_parent": True})
    assert await connect(ListingStripe({})).fetch_payment(lookup) == Absent(proven=False)


async def test_an_unconfirmed_intent_besides_the_declined_one_is_left_out() -> None:
    lookup = find_lookup(timedelta(hours=1))
    assert lookup.created_at is not None
    error = {"type": "card_error", "code": "card_declined", "message": "No."}
    declined = listed_intent(
        lookup.created_at,
        id="pi_2",
        status="requires_payment_method",
        last_payment_error=error,
        latest_charge=None,
    )
    unconfirmed = listed_intent(
        lookup.created_at, id="pi_1", status="requires_confirmation", latest_charge=None
    )
    both = ListingStripe({"payment_intents": [unconfirmed, declined]})
    assert isinstance(await connect(both).fetch_payment(lookup), Declined)
    alone = ListingStripe({"payment_intents": [unconfirmed]})
    assert isinstance(await connect(alone).fetch_payment(lookup), Pending)


@pytest.mark.parametrize("operation", ["search", "creation"])
async def test_a_payment_is_found_without_search_at_the_emulator(
    stripe_merchant: StripeMerchant, operation: str
) -> None:
    connection = stripe_merchant.connection
    card = await stripe_merchant.create_stored_card()
    call = builders.charge("10.00", instrument=card)
    payment = await connection.charge(call)
    # A refusal of something else does not concern the look-up.
    await stripe_merchant.call_control("faults", kind="refuse", operations=[operation])
    lookup = builders.lookup(call.reference)
    lookup = lookup.model_copy(update={"created_at": datetime.now(UTC) - timedelta(days=2)})
    assert await connection.fetch_payment(lookup) == payment
    unknown = lookup.model_copy(update={"reference": builders.reference()})
    assert await connection.fetch_payment(unknown) == Absent(proven=True)
