"""Answers that are none: what the sandbox adapter makes of broken connections and wrong bodies."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import HttpUrl

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import (
    CredentialsRejected,
    OutcomeUnknown,
    ProtocolError,
    PspError,
    PspTimeout,
    PspUnavailable,
    RateLimited,
)
from integrator.psp.port import Connection
from integrator.psp.sandbox import SandboxAdapter
from integrator.psp.sandbox.config import SandboxConfig
from integrator.psp.types import Approved, Authorize, Declined, Instrument, SettingsCheck
from tests.psp import builders
from tests.psp.builders import REFERENCE, charge_json, session_json, settings

Handler = Callable[[httpx.Request], httpx.Response]
CONFIG = SandboxConfig.model_construct(url=HttpUrl("https://psp.example"), port=1)
HTML = "<html>please sign in sk_sandbox_unit</html>"


def connect(handler: Handler) -> Connection:
    # A careless client: the adapter itself must not follow a redirect with the API key.
    http = httpx.AsyncClient(transport=httpx.MockTransport(handler), follow_redirects=True)
    return SandboxAdapter(CONFIG).connect(settings(), http)


def answering(status: int, body: Any = None, **headers: str) -> Connection:
    content = body if isinstance(body, str) else json.dumps(body)
    return connect(lambda _: httpx.Response(status, text=content, headers=headers))


def error(kind: str, code: str, **more: Any) -> dict[str, Any]:
    return {"error": {"type": kind, "code": code, "message": "No."}, **more}


def failing(cause: type[httpx.RequestError]) -> Connection:
    def handler(request: httpx.Request) -> httpx.Response:
        raise cause(f"about {request.headers['authorization']}", request=request)

    return connect(handler)


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (httpx.ConnectError, PspUnavailable),
        (httpx.ConnectTimeout, PspUnavailable),
        (httpx.PoolTimeout, PspUnavailable),
        (httpx.ReadTimeout, PspTimeout),
        (httpx.WriteTimeout, PspTimeout),
        (httpx.ReadError, OutcomeUnknown),
        (httpx.WriteError, OutcomeUnknown),
        (httpx.RemoteProtocolError, OutcomeUnknown),
        (httpx.LocalProtocolError, OutcomeUnknown),
        (httpx.DecodingError, OutcomeUnknown),
    ],
)
async def test_broken_connections(
    cause: type[httpx.RequestError], expected: type[PspError]
) -> None:
    with pytest.raises(expected) as raised:
        await failing(cause).charge(builders.charge())
    assert type(raised.value) is expected
    assert cause.__name__ in str(raised.value)
    assert "sk_sandbox" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, HTML, ProtocolError),
        (201, "", ProtocolError),
        (201, {"id": "ch_1"}, ProtocolError),
        (201, charge_json(amount=119.0), ProtocolError),
        (201, charge_json(amount="11900"), ProtocolError),
        (201, charge_json(reference="somebody-elses"), ProtocolError),
        (201, charge_json(currency="USD"), ProtocolError),
        (302, "", ProtocolError),
        (400, HTML, ProtocolError),
        (400, {"detail": "no"}, ProtocolError),
        (400, error("new_kind_of_error", "x"), ProtocolError),
        (400, error("invalid_request", "Not A Code!"), ProtocolError),
        (400, error("api_error", "internal_error"), ProtocolError),
        (401, HTML, ProtocolError),
        (401, error("invalid_request", "invalid_api_key"), ProtocolError),
        (403, error("authentication_error", "invalid_api_key"), ProtocolError),
        (403, error("invalid_request", "blocked"), ProtocolError),
        (404, HTML, ProtocolError),
        (408, error("invalid_request", "too_slow"), ProtocolError),
        (425, error("invalid_request", "too_early"), ProtocolError),
        (429, HTML, ProtocolError),
        (409, error("conflict", "idempotency_key_in_use"), OutcomeUnknown),
        (409, error("conflict", "idempotency_key_reused"), OutcomeUnknown),
        (409, error("conflict", "never_heard_of"), ProtocolError),
        (500, error("api_error", "internal_error"), OutcomeUnknown),
        (502, HTML, OutcomeUnknown),
        (503, error("invalid_request", "not_found"), OutcomeUnknown),
        (402, error("card_error", "card_declined"), None),
        (404, error("invalid_request", "not_found"), None),
        (401, error("authentication_error", "invalid_api_key"), CredentialsRejected),
    ],
)
async def test_only_the_psps_own_words_are_definite(
    status: int, body: Any, expected: type[PspError] | None
) -> None:
    connection = answering(status, body)
    call = builders.charge(ref=REFERENCE)
    if expected is None:
        assert isinstance(await connection.charge(call), Declined)
        return
    with pytest.raises(expected) as raised:
        await connection.charge(call)
    assert type(raised.value) is expected
    assert "sk_sandbox" not in str(raised.value)


@pytest.mark.parametrize(
    ("header", "wish"),
    [
        ({"Retry-After": "2"}, 2.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"Retry-After": "nan"}, None),
        ({}, None),
    ],
)
async def test_throttling(header: dict[str, str], wish: float | None) -> None:
    connection = answering(429, error("rate_limit", "too_many_requests"), **header)
    with pytest.raises(RateLimited) as raised:
        await connection.charge(builders.charge())
    assert raised.value.retry_after == wish
    assert raised.value.psp_code == "too_many_requests"


async def test_a_decline_keeps_the_psps_record_and_reason() -> None:
    body = error("card_error", "insufficient_funds", object=charge_json("declined"))
    assert await answering(402, body).charge(builders.charge()) == Declined(
        psp_id="ch_1",
        code=Code.InsufficientBalance,
        psp_code="insufficient_funds",
        message="No.",
    )


@pytest.mark.parametrize(
    ("status", "kind", "psp_code", "code"),
    [
        (402, "card_error", "never_heard_of", Code.Rejected),
        (400, "invalid_request", "never_heard_of", Code.InvalidData),
        (400, "invalid_request", "invalid_state", Code.InvalidPreconditions),
        (409, "invalid_request", "invalid_state", Code.InvalidPreconditions),
        (409, "conflict", "invalid_state", Code.InvalidPreconditions),
        (404, "invalid_request", "not_found", Code.InvalidData),
    ],
)
async def test_refused_captures(status: int, kind: str, psp_code: str, code: Code) -> None:
    outcome = await answering(status, error(kind, psp_code)).capture(builders.capture())
    assert isinstance(outcome, Declined)
    assert (outcome.code, outcome.psp_code) == (code, psp_code)


async def test_a_vanished_payment_method_is_an_invalid_bearer() -> None:
    connection = answering(404, error("invalid_request", "not_found"))
    upgrade = builders.authorize(initial=False, instrument=builders.CARD)
    for outcome in (
        await connection.charge(builders.charge()),
        await connection.authorize(upgrade),
    ):
        assert isinstance(outcome, Declined)
        assert outcome.code is Code.BearerInvalid


async def test_the_request_carries_key_and_credentials() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, json=charge_json())

    outcome = await connect(handler).charge(builders.charge(ref=REFERENCE, key="k/1"))
    assert isinstance(outcome, Approved)
    (request,) = seen
    assert str(request.url) == "https://psp.example/v1/charges"
    assert request.headers["authorization"] == "Bearer sk_sandbox_unit"
    assert request.headers["idempotency-key"] == "k/1"
    assert json.loads(request.content) == {
        "reference": REFERENCE,
        "amount": 11900,
        "currency": "EUR",
        "payment_method": "pm_1",
    }


async def test_ids_cannot_leave_their_place_in_the_address() -> None:
    paths: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path)
        return httpx.Response(404, json=error("invalid_request", "not_found"))

    await connect(handler).capture(builders.capture(of="auth_1/../../x?y=z"))
    assert paths == [b"/v1/authorizations/auth_1%2F..%2F..%2Fx%3Fy%3Dz/capture"]


@pytest.mark.parametrize("token", ["", "..", "../account", "pm_1?x=1", "pm_", "pm_1\n"])
async def test_a_migration_token_that_cannot_be_one_is_not_sent(token: str) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing to send")

    outcome = await connect(handler).authorize(builders.authorize(migration_token=token))
    assert isinstance(outcome, Declined)
    assert outcome.code is Code.InvalidData


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (builders.authorize("0.001"), Code.InvalidAmount),
        (builders.authorize(currency="XXX"), Code.InvalidCurrency),
        (builders.authorize(role=Role.iDEAL), Code.InvalidData),
        (builders.authorize(error_url=None), Code.InvalidData),
        (builders.authorize(initial=False), Code.BearerInvalid),
        (builders.authorize("0", initial=False), Code.BearerInvalid),
        (builders.authorize(role=Role.Debit), Code.BearerInvalid),
        (builders.authorize(role=Role.Debit, initial=False), Code.BearerInvalid),
        (builders.debit(iban="DE00"), Code.InvalidIBAN),
        (builders.debit(currency="SEK"), Code.InvalidCurrency),
    ],
)
async def test_what_the_psp_can_never_do_is_not_sent(call: Authorize, code: Code) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing to send")

    outcome = await connect(handler).authorize(call)
    assert isinstance(outcome, Declined)
    assert outcome.code is code


async def test_other_calls_that_are_not_sent() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing to send")

    connection = connect(handler)
    empty = Instrument(token={}, bearer={})
    for outcome in (
        await connection.capture(builders.capture(of="mdt_1")),
        await connection.void(builders.void("mdt_1")),
        await connection.charge(builders.charge(instrument=empty)),
        await connection.refund(builders.refund("1.001")),
    ):
        assert isinstance(outcome, Declined)


async def test_closing_an_open_checkout() -> None:
    paths: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return httpx.Response(200, json=session_json("cancelled"))

    assert await connect(handler).void(builders.void("cs_1")) == Approved(psp_id="cs_1")
    assert paths == ["/v1/checkout_sessions/cs_1/cancel"]


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_read_that_is_refused_proves_nothing(status: int) -> None:
    connection = answering(status, error("invalid_request", "parameter_invalid"))
    for look in (builders.lookup(), builders.lookup(psp_id="ch_1")):
        with pytest.raises(ProtocolError):
            await connection.fetch_payment(look)


async def test_an_id_that_is_refused_is_not_an_unknown_one() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/charges":
            return httpx.Response(200, json={"data": []})
        return httpx.Response(400, json=error("invalid_request", "parameter_invalid"))

    with pytest.raises(ProtocolError):
        await connect(handler).fetch_payment(builders.lookup(psp_id="ch_1"))


async def test_a_redirect_is_not_followed() -> None:
    hosts: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        return httpx.Response(307, headers={"Location": "https://elsewhere.example/v1/charges"})

    with pytest.raises(ProtocolError):
        await connect(handler).charge(builders.charge())
    assert hosts == ["psp.example"]


async def test_a_read_without_the_list_proves_nothing() -> None:
    with pytest.raises(ProtocolError):
        await answering(200, {}).fetch_refund(builders.lookup())


async def test_rejected_credentials_are_no_verdict_on_the_other_settings() -> None:
    connection = answering(401, error("authentication_error", "invalid_api_key"))
    with pytest.raises(CredentialsRejected):
        await connection.verify_settings()


@pytest.mark.parametrize("body", [{"id": "acc_1"}, {"id": "acc_1", "webhook_secret_sha256": "é"}])
async def test_an_account_without_our_secret_is_an_empty_check(body: dict[str, str]) -> None:
    assert await answering(200, body).verify_settings() == SettingsCheck()


async def test_an_account_behind_a_gateway_is_no_verdict_on_the_credentials() -> None:
    for status in (401, 403, 404):
        with pytest.raises(ProtocolError):
            await answering(status, HTML).verify_settings()
    with pytest.raises(ProtocolError):
        await answering(404, error("invalid_request", "not_found")).verify_settings()
    with pytest.raises(PspUnavailable):
        await failing(httpx.ConnectError).verify_settings()
    with pytest.raises(PspTimeout):
        await failing(httpx.ReadTimeout).verify_settings()
