"""Responses: only the PSP's own documented format decides; the rest leaves the outcome unknown."""

from collections.abc import Iterator

from integrator.psp.conformance import fault_transport, operations, setup
from integrator.psp.conformance.assertions import (
    describe,
    require,
    require_declined,
    require_equal,
    require_raises,
)
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.fault_transport import Fault
from integrator.psp.conformance.harness import ErrorCase, Refusal, StubResponse
from integrator.psp.conformance.operations import OperationKind, OperationVariant
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.errors import (
    CredentialsRejected,
    OutcomeUnknown,
    PspError,
    PspUnavailable,
    RateLimited,
)
from integrator.psp.types import Approved, Declined, Operation, Pending, RedirectRequired

_STATUSES = (400, 401, 402, 403, 404, 408, 409, 422, 429)
_RETRY_AFTER_SECONDS = 7
_OTHER_SERVER = "https://elsewhere.example/v1"
_VARIANTS = {
    Operation.CAPTURE: (OperationVariant.CAPTURE,),
    Operation.CHARGE: (OperationVariant.CHARGE,),
    Operation.REFUND: (OperationVariant.REFUND,),
    Operation.VOID: (OperationVariant.VOID,),
    Operation.AUTHORIZE: (
        OperationVariant.RESERVE,
        OperationVariant.SIGN_UP,
        OperationVariant.CHECKOUT,
    ),
}

_MALFORMED_RESPONSES = {
    "200-page": fault_transport.html_page(200),
    "200-empty": StubResponse(200, b""),
    "204": StubResponse(204, b""),
    "200-object": StubResponse.json(200, {}),
    "200-list": StubResponse.json(200, []),
    "200-null": StubResponse.json(200, None),
    "200-cut-off": StubResponse(200, b'{"id": "x_1", "status": "succe'),
    "200-not-utf8": StubResponse(200, b'{"id": "\xff\xfe"}', {"Content-Type": "application/json"}),
    "400-cut-off": StubResponse(400, b'{"error": {"type": '),
    "400-object": StubResponse.json(400, {}),
    "400-other-format": StubResponse.json(400, {"fault": {"faultstring": "Invalid ApiKey"}}),
    "502-page": fault_transport.html_page(502),
    "503-page": fault_transport.html_page(503),
}


def _each_variant(context: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    """Yield each variant once: its responses are parsed alike for all payment methods."""
    yielded: set[OperationVariant] = set()
    for label, kind in operations.kinds(context):
        if kind.variant not in yielded:
            yielded.add(kind.variant)
            yield label, kind


def _pages(context: CheckContext) -> Iterator[tuple[str, tuple[OperationKind, StubResponse]]]:
    for label, kind in _each_variant(context):
        for status in _STATUSES:
            yield f"{label}-{status}-page", (kind, fault_transport.html_page(status))


def _malformed_responses(
    context: CheckContext,
) -> Iterator[tuple[str, tuple[OperationKind, StubResponse]]]:
    for label, kind in _each_variant(context):
        for name, response in _MALFORMED_RESPONSES.items():
            yield f"{label}-{name}", (kind, response)


def _redirects(context: CheckContext) -> Iterator[tuple[str, tuple[OperationKind, int]]]:
    for label, kind in _each_variant(context):
        for status in (301, 302, 303, 307, 308):
            yield f"{label}-{status}", (kind, status)


def _server_errors(context: CheckContext) -> Iterator[tuple[str, tuple[OperationKind, int]]]:
    for label, kind in _each_variant(context):
        for status in (500, 503):
            yield f"{label}-{status}", (kind, status)


def _refusals(context: CheckContext) -> Iterator[tuple[str, Refusal]]:
    for row in context.harness.refusals():
        yield f"{row.operation.value}-{row.role.name}-{row.label}", row


def _codeless_refusals(context: CheckContext) -> Iterator[tuple[str, Refusal]]:
    for row in context.harness.codeless_refusals():
        yield f"{row.operation.value}-{row.role.name}-{row.label}", row


def _look_up_responses(context: CheckContext) -> Iterator[tuple[str, StubResponse]]:
    for status in (*_STATUSES, 500, 503):
        yield f"{status}-page", fault_transport.html_page(status)
    yield from _MALFORMED_RESPONSES.items()


@check(_pages)
async def an_html_page_is_not_an_outcome(
    context: CheckContext, case: tuple[OperationKind, StubResponse]
) -> None:
    """A 4xx in HTML comes from a proxy: it is no decline and no rejection of the key."""
    kind, page = case
    prepared = await operations.prepare_unsent(context, kind)
    errors = (OutcomeUnknown, RateLimited) if page.status == 429 else (OutcomeUnknown,)
    with context.transport.inject(Fault(fault_transport.respond_with(page), times=99)):
        await require_raises(prepared.execute(context), *errors, never=[CredentialsRejected])


@check(_malformed_responses)
async def a_malformed_response_is_not_an_outcome(
    context: CheckContext, case: tuple[OperationKind, StubResponse]
) -> None:
    """A response that is not the PSP's leaves the outcome unknown, regardless of its status."""
    kind, response = case
    prepared = await operations.prepare_unsent(context, kind)
    with context.transport.inject(Fault(fault_transport.respond_with(response), times=99)):
        await require_raises(prepared.execute(context), OutcomeUnknown, never=[CredentialsRejected])


@check(_redirects)
async def a_redirect_is_not_followed(
    context: CheckContext, case: tuple[OperationKind, int]
) -> None:
    """A redirect is not followed: it would send the key and the call to another server."""
    kind, status = case
    prepared = await operations.prepare_unsent(context, kind)
    redirect = StubResponse(status, b"", {"Location": _OTHER_SERVER})
    with context.transport.inject(Fault(fault_transport.respond_with(redirect), times=99)):
        await require_raises(prepared.execute(context), OutcomeUnknown)
    followed = [
        request for request in context.transport.requests if request.url.host == "elsewhere.example"
    ]
    require(not followed, "The redirect was followed.")


@check(_each_variant)
async def throttling_is_not_an_outcome(context: CheckContext, kind: OperationKind) -> None:
    """The PSP's own 429 is RateLimited with the requested delay, and the next call succeeds."""
    response = _error_response(context, ErrorCase.THROTTLED)
    prepared = await operations.prepare(context, kind)
    with_delay = StubResponse(
        429, response.body, {**response.headers, "Retry-After": str(_RETRY_AFTER_SECONDS)}
    )
    with context.transport.inject(Fault(fault_transport.respond_with(with_delay))):
        error = await require_raises(prepared.execute(context), RateLimited)
    require_equal(error.retry_after, float(_RETRY_AFTER_SECONDS), "the delay requested by the PSP")
    without_delay = StubResponse(429, response.body, response.headers)
    with context.transport.inject(Fault(fault_transport.respond_with(without_delay))):
        await require_raises(prepared.execute(context), RateLimited)
    outcome = await prepared.execute(context)
    require(
        outcome.outcome != "declined",
        f"The call after the throttling was declined: {describe(outcome)}",
    )


@check(_each_variant)
async def a_rejected_key_is_not_a_decline(context: CheckContext, kind: OperationKind) -> None:
    """The PSP's own rejection of the key is CredentialsRejected, in every operation."""
    response = _error_response(context, ErrorCase.UNAUTHORIZED)
    prepared = await operations.prepare_unsent(context, kind)
    with context.transport.inject(Fault(fault_transport.respond_with(response))):
        await require_raises(prepared.execute(context), CredentialsRejected)


@check(_each_variant)
async def an_undocumented_refusal_is_not_an_approval(
    context: CheckContext, kind: OperationKind
) -> None:
    """An undocumented code is a decline or unknown; it never blames the credentials."""
    response = _error_response(context, ErrorCase.UNDOCUMENTED)
    prepared = await operations.prepare_unsent(context, kind)
    with context.transport.inject(Fault(fault_transport.respond_with(response))):
        try:
            outcome = await prepared.execute(context)
        except CredentialsRejected as error:
            raise Violation("An undocumented code became CredentialsRejected.") from error
        except PspError:
            return
    if isinstance(outcome, Approved | Pending | RedirectRequired):
        raise Violation(f"An undocumented refusal became {describe(outcome)}")
    require_declined(outcome)


@check(_server_errors)
async def a_refusal_with_5xx_is_not_an_outcome(
    context: CheckContext, case: tuple[OperationKind, int]
) -> None:
    """A refusal in the PSP's format decides nothing if its status is a server error."""
    kind, status = case
    response = _error_response(context, ErrorCase.UNDOCUMENTED)
    prepared = await operations.prepare_unsent(context, kind)
    broken = StubResponse(status, response.body, response.headers)
    with context.transport.inject(Fault(fault_transport.respond_with(broken))):
        await require_raises(prepared.execute(context), OutcomeUnknown)


@check(_refusals)
async def a_refusal_has_its_documented_result(context: CheckContext, row: Refusal) -> None:
    """Each documented refusal becomes the code or the error in the harness's table."""
    await _require_result(context, row)


@check(_codeless_refusals)
async def a_refusal_without_a_code_is_understood(context: CheckContext, row: Refusal) -> None:
    """Where the PSP names no code, the meaning of a refusal decides about the result."""
    await _require_result(context, row)


async def _require_result(context: CheckContext, row: Refusal) -> None:
    prepared = await operations.prepare_unsent(context, _kind(context, row))
    response = (
        row.response if isinstance(row.response, StubResponse) else row.response(prepared.call)
    )
    with context.transport.inject(
        Fault(fault_transport.respond_with(response), path_part=row.path_part)
    ) as fault:
        if row.error is not None:
            never = [] if row.error is CredentialsRejected else [CredentialsRejected]
            await require_raises(prepared.execute(context), row.error, never=never)
        else:
            outcome = await prepared.execute(context)
            require(isinstance(outcome, Declined), f"Expected Declined, got {describe(outcome)}")
            require_equal(getattr(outcome, "code", None), row.code, "the code of the decline")
    require(fault.hits, f"No request's path contains {row.path_part!r}.")


@check(_look_up_responses)
async def a_malformed_response_is_not_a_look_up_result(
    context: CheckContext, response: StubResponse
) -> None:
    """Only the PSP's own response is "not found": an HTML page with 404 has no meaning."""
    if not context.capabilities.can_read:
        raise NotApplicable("the PSP does not offer look-ups (can_read)")
    _, method = next(setup.each_method(context))
    call, outcome = await setup.shared_payment(context, method)
    for psp_id in (None, setup.require_psp_id(outcome)):
        with context.transport.inject(
            Fault(fault_transport.respond_with(response), writes_only=False, times=99)
        ):
            await require_raises(
                setup.fetch_outcome(context, call, psp_id),
                OutcomeUnknown,
                PspUnavailable,
                never=[CredentialsRejected],
            )


def _error_response(context: CheckContext, case: ErrorCase) -> StubResponse:
    response = context.harness.error_response(case)
    if response is None:
        raise NotApplicable(f"the harness has no error response for the case {case.value}")
    return response


def _kind(context: CheckContext, row: Refusal) -> OperationKind:
    for _, kind in operations.kinds(context):
        if kind.variant in _VARIANTS[row.operation] and kind.method.role is row.role:
            return kind
    raise NotApplicable(f"{row.role.name} has no {row.operation.value}")
