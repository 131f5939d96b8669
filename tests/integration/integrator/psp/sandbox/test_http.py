"""Connection errors, error responses and unreadable bodies in the sandbox adapter."""

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
from tests.integration.integrator.psp import builders
from tests.integration.integrator.psp.builders import REFERENCE, charge_json, session_json, settings

Handler = Callable[[httpx.Request], httpx.Response]
CONFIG = SandboxConfig.model_construct(url=HttpUrl("https://psp.example"), port=1)
HTML = "<html>please sign in sk_sandbox_unit</html>"


def connect(handler: Handler) -> Connection:
    # The client would follow redirects: the adapter itself must not send the API key along.
    http = httpx.AsyncClient(transport=httpx.MockTransport(handler), follow_redirects=True)
    return SandboxAdapter(CONFIG).connect(settings(), http)


def connect_with_response(status: int, body: Any = None, **headers: str) -> Connection:
    content = body if isinstance(body, str) else json.dumps(body)
    return connect(lambda _: httpx.Response(status, text=content, headers=headers))


def error_body(kind: str, code: str, **more: Any) -> dict[str, Any]:
    return {"error": {"type": kind, "code": code, "message": "No."}, **more}


def connect_with_failure(cause: type[httpx.RequestError]) -> Connection:
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
async def test_connection_errors(cause: type[httpx.RequestError], expected: type[PspError]) -> None:
    with pytest.raises(expected) as raised:
        await connect_with_failure(cause).charge(builders.charge())
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
        (201, charge_json(reference="another-transaction"), ProtocolError),
        (201, charge_json(currency="USD"), ProtocolError),
        (302, "", ProtocolError),
        (400, HTML, ProtocolError),
        (400, {"detail": "no"}, ProtocolError),
        (400, error_body("new_kind_of_error", "x"), ProtocolError),
        (400, error_body("invalid_request", "Not A Code!"), ProtocolError),
        (400, error_body("api_error", "internal_error"), ProtocolError),
        (401, HTML, ProtocolError),
        (401, error_body("invalid_request", "invalid_api_key"), ProtocolError),
        (403, error_body("authentication_error", "invalid_api_key"), ProtocolError),
        (403, error_body("invalid_request", "blocked"), ProtocolError),
        (404, HTML, ProtocolError),
        (408, error_body("invalid_request", "too_slow"), ProtocolError),
        (425, error_body("invalid_request", "too_early"), ProtocolError),
        (429, HTML, ProtocolError),
        (409, error_body("conflict", "idempotency_key_in_use"), OutcomeUnknown),
        (409, error_body("conflict", "idempotency_key_reused"), OutcomeUnknown),
        (409, error_body("conflict", "never_heard_of"), ProtocolError),
        (500, error_body("api_error", "internal_error"), OutcomeUnknown),
        (502, HTML, OutcomeUnknown),
        (503, error_body("invalid_request", "not_found"), OutcomeUnknown),
        (402, error_body("card_error", "card_declined"), None),
        (404, error_body("invalid_request", "not_found"), None),
        (401, error_body("authentication_error", "invalid_api_key"), CredentialsRejected),
    ],
)
async def test_only_the_psps_own_error_bodies_are_definite(
    status: int, body: Any, expected: type[PspError] | None
) -> None:
    connection = connect_with_response(status, body)
    call = builders.charge(ref=REFERENCE)
    if expected is None:
        assert isinstance(await connection.charge(call), Declined)
        return
    with pytest.raises(expected) as raised:
        await connection.charge(call)
    assert type(raised.value) is expected
    assert "sk_sandbox" not in str(raised.value)


@pytest.mark.parametrize(
    ("header", "requested_delay"),
    [
        ({"Retry-After": "2"}, 2.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"Retry-After": "nan"}, None),
        ({}, None),
    ],
)
async def test_a_rate_limit_carries_the_requested_delay(
    header: dict[str, str], requested_delay: float | None
) -> None:
    connection = connect_with_response(429, error_body("rate_limit", "too_many_requests"), **header)
    with pytest.raises(RateLimited) as raised:
        await connection.charge(builders.charge())
    assert raised.value.retry_after == requested_delay
    assert raised.value.psp_code == "too_many_requests"


async def test_a_decline_keeps_the_psps_record_and_reason() -> None:
    body = error_body("card_error", "insufficient_funds", object=charge_json("declined"))
    assert await connect_with_response(402, body).charge(builders.charge()) == Declined(
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
async def test_refused_captures_are_declined(
    status: int, kind: str, psp_code: str, code: Code
) -> None:
    outcome = await connect_with_response(status, error_body(kind, psp_code)).capture(
        builders.capture()
    )
    assert isinstance(outcome, Declined)
    assert (outcome.code, outcome.psp_code) == (code, psp_code)


async def test_a_missing_payment_method_is_an_invalid_bearer() -> None:
    connection = connect_with_response(404, error_body("invalid_request", "not_found"))
    upgrade = builders.authorize(initial=False, instrument=builders.CARD)
    for outcome in (
        await connection.charge(builders.charge()),
        await connection.authorize(upgrade),
    ):
        assert isinstance(outcome, Declined)
        assert outcome.code is Code.BearerInvalid


async def test_a_request_contains_key_and_credentials() -> None:
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


async def test_ids_are_escaped_in_the_path() -> None:
    paths: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path)
        return httpx.Response(404, json=error_body("invalid_request", "not_found"))

    await connect(handler).capture(builders.capture(authorization_id="auth_1/../../x?y=z"))
    assert paths == [b"/v1/authorizations/auth_1%2F..%2F..%2Fx%3Fy%3Dz/capture"]


@pytest.mark.parametrize("token", ["", "..", "../account", "pm_1?x=1", "pm_", "pm_1\n"])
async def test_a_malformed_migration_token_is_not_sent(token: str) -> None:
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
async def test_an_unsupported_authorization_is_not_sent(call: Authorize, code: Code) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing to send")

    outcome = await connect(handler).authorize(call)
    assert isinstance(outcome, Declined)
    assert outcome.code is code


async def test_other_unsupported_calls_are_not_sent() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing to send")

    connection = connect(handler)
    empty = Instrument(token={}, bearer={})
    for outcome in (
        await connection.capture(builders.capture(authorization_id="mdt_1")),
        await connection.void(builders.void("mdt_1")),
        await connection.charge(builders.charge(instrument=empty)),
        await connection.refund(builders.refund("1.001")),
    ):
        assert isinstance(outcome, Declined)


async def test_a_void_closes_an_open_checkout() -> None:
    paths: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return httpx.Response(200, json=session_json("cancelled"))

    assert await connect(handler).void(builders.void("cs_1")) == Approved(psp_id="cs_1")
    assert paths == ["/v1/checkout_sessions/cs_1/cancel"]


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_refused_read_is_a_protocol_error(status: int) -> None:
    connection = connect_with_response(status, error_body("invalid_request", "parameter_invalid"))
    for request in (builders.lookup(), builders.lookup(psp_id="ch_1")):
        with pytest.raises(ProtocolError):
            await connection.fetch_payment(request)


async def test_a_refused_id_is_not_treated_as_unknown() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/charges":
            return httpx.Response(200, json={"data": []})
        return httpx.Response(400, json=error_body("invalid_request", "parameter_invalid"))

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


async def test_a_search_without_a_list_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        await connect_with_response(200, {}).fetch_refund(builders.lookup())


async def test_rejected_credentials_are_raised_by_the_settings_check() -> None:
    connection = connect_with_response(401, error_body("authentication_error", "invalid_api_key"))
    with pytest.raises(CredentialsRejected):
        await connection.verify_settings()


@pytest.mark.parametrize("body", [{"id": "acc_1"}, {"id": "acc_1", "webhook_secret_sha256": "é"}])
async def test_an_account_with_another_secret_is_an_empty_check(body: dict[str, str]) -> None:
    assert await connect_with_response(200, body).verify_settings() == SettingsCheck()


async def test_a_proxys_error_does_not_reject_the_credentials() -> None:
    for status in (401, 403, 404):
        with pytest.raises(ProtocolError):
            await connect_with_response(status, HTML).verify_settings()
    with pytest.raises(ProtocolError):
        await connect_with_response(
            404, error_body("invalid_request", "not_found")
        ).verify_settings()
    with pytest.raises(PspUnavailable):
        await connect_with_failure(httpx.ConnectError).verify_settings()
    with pytest.raises(PspTimeout):
        await connect_with_failure(httpx.ReadTimeout).verify_settings()
