"""Answers: only the PSP's own words decide, and everything else leaves the outcome open."""

from collections.abc import Iterator

from integrator.psp.conformance import fault_transport, operations, setup
from integrator.psp.conformance.assertions import declined, equal, raises, require, shown
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.fault_transport import Fault
from integrator.psp.conformance.harness import ErrorCase, PspAnswer, Refusal
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
_WISH = 7
_ELSEWHERE = "https://elsewhere.example/v1"
_WAYS = {
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

_GARBAGE = {
    "200-page": fault_transport.html(200),
    "200-empty": PspAnswer(200, b""),
    "204": PspAnswer(204, b""),
    "200-object": PspAnswer.json(200, {}),
    "200-list": PspAnswer.json(200, []),
    "200-null": PspAnswer.json(200, None),
    "200-cut-off": PspAnswer(200, b'{"id": "x_1", "status": "succe'),
    "200-not-utf8": PspAnswer(200, b'{"id": "\xff\xfe"}', {"Content-Type": "application/json"}),
    "400-cut-off": PspAnswer(400, b'{"error": {"type": '),
    "400-object": PspAnswer.json(400, {}),
    "400-other-words": PspAnswer.json(400, {"fault": {"faultstring": "Invalid ApiKey"}}),
    "502-page": fault_transport.html(502),
    "503-page": fault_transport.html(503),
}


def _each_way(world: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    """One payment method for each way: what is said to all of them is read in one place."""
    seen: set[OperationVariant] = set()
    for label, kind in operations.kinds(world):
        if kind.way not in seen:
            seen.add(kind.way)
            yield label, kind


def _pages(world: CheckContext) -> Iterator[tuple[str, tuple[OperationKind, PspAnswer]]]:
    for label, kind in _each_way(world):
        for status in _STATUSES:
            yield f"{label}-{status}-page", (kind, fault_transport.html(status))


def _garbage(world: CheckContext) -> Iterator[tuple[str, tuple[OperationKind, PspAnswer]]]:
    for label, kind in _each_way(world):
        for name, answer in _GARBAGE.items():
            yield f"{label}-{name}", (kind, answer)


def _redirects(world: CheckContext) -> Iterator[tuple[str, tuple[OperationKind, int]]]:
    for label, kind in _each_way(world):
        for status in (301, 302, 303, 307, 308):
            yield f"{label}-{status}", (kind, status)


def _broken(world: CheckContext) -> Iterator[tuple[str, tuple[OperationKind, int]]]:
    for label, kind in _each_way(world):
        for status in (500, 503):
            yield f"{label}-{status}", (kind, status)


def _refusals(world: CheckContext) -> Iterator[tuple[str, Refusal]]:
    for row in world.bench.refusals():
        yield f"{row.operation.value}-{row.role.name}-{row.label}", row


def _read_pages(world: CheckContext) -> Iterator[tuple[str, PspAnswer]]:
    for status in (*_STATUSES, 500, 503):
        yield f"{status}-page", fault_transport.html(status)
    yield from _GARBAGE.items()


@check(_pages)
async def a_page_decides_nothing(
    world: CheckContext, case: tuple[OperationKind, PspAnswer]
) -> None:
    """A 4xx in HTML comes from somebody on the way: no decline, no rejection of the key."""
    kind, page = case
    act = await operations.unspent(world, kind)
    errors = (OutcomeUnknown, RateLimited) if page.status == 429 else (OutcomeUnknown,)
    with world.wire.failing(Fault(fault_transport.answering(page), times=99)):
        await raises(act.carry_out(world), *errors, never=[CredentialsRejected])


@check(_garbage)
async def garbage_decides_nothing(
    world: CheckContext, case: tuple[OperationKind, PspAnswer]
) -> None:
    """An answer that is not the PSP's, whatever its status, leaves the outcome unknown."""
    kind, answer = case
    act = await operations.unspent(world, kind)
    with world.wire.failing(Fault(fault_transport.answering(answer), times=99)):
        await raises(act.carry_out(world), OutcomeUnknown, never=[CredentialsRejected])


@check(_redirects)
async def a_redirect_is_not_followed(world: CheckContext, case: tuple[OperationKind, int]) -> None:
    """A redirect is not followed: it would take the key and the order to another server."""
    kind, status = case
    act = await operations.unspent(world, kind)
    moved = PspAnswer(status, b"", {"Location": _ELSEWHERE})
    with world.wire.failing(Fault(fault_transport.answering(moved), times=99)):
        await raises(act.carry_out(world), OutcomeUnknown)
    strays = [request for request in world.wire.seen if request.url.host == "elsewhere.example"]
    require(not strays, "The redirect was followed.")


@check(_each_way)
async def throttling_is_no_outcome(world: CheckContext, kind: OperationKind) -> None:
    """The PSP's own 429 is RateLimited, with the pause it asks for, and then it works."""
    answer = _said(world, ErrorCase.THROTTLED)
    act = await operations.prepare(world, kind)
    named = PspAnswer(429, answer.body, {**answer.headers, "Retry-After": str(_WISH)})
    with world.wire.failing(Fault(fault_transport.answering(named))):
        error = await raises(act.carry_out(world), RateLimited)
    equal(error.retry_after, float(_WISH), "the pause the PSP asks for")
    bare = PspAnswer(429, answer.body, answer.headers)
    with world.wire.failing(Fault(fault_transport.answering(bare))):
        await raises(act.carry_out(world), RateLimited)
    outcome = await act.carry_out(world)
    require(outcome.outcome != "declined", f"Afterwards it was declined: {shown(outcome)}")


@check(_each_way)
async def a_refused_key_is_no_decline(world: CheckContext, kind: OperationKind) -> None:
    """The PSP's own refusal of the key is CredentialsRejected, in every operation."""
    answer = _said(world, ErrorCase.UNAUTHORIZED)
    act = await operations.unspent(world, kind)
    with world.wire.failing(Fault(fault_transport.answering(answer))):
        await raises(act.carry_out(world), CredentialsRejected)


@check(_each_way)
async def an_unheard_of_refusal_is_no_approval(world: CheckContext, kind: OperationKind) -> None:
    """A code that is not documented is a decline or unknown; it never blames the credentials."""
    answer = _said(world, ErrorCase.UNHEARD_OF)
    act = await operations.unspent(world, kind)
    with world.wire.failing(Fault(fault_transport.answering(answer))):
        try:
            outcome = await act.carry_out(world)
        except CredentialsRejected as error:
            raise Violation("An unknown code was taken for a wrong key.") from error
        except PspError:
            return
    if isinstance(outcome, Approved | Pending | RedirectRequired):
        raise Violation(f"An unknown refusal became {shown(outcome)}")
    declined(outcome)


@check(_broken)
async def a_refusal_with_5xx_decides_nothing(
    world: CheckContext, case: tuple[OperationKind, int]
) -> None:
    """A refusal in the PSP's words is none when its status says that the PSP broke."""
    kind, status = case
    answer = _said(world, ErrorCase.UNHEARD_OF)
    act = await operations.unspent(world, kind)
    broken = PspAnswer(status, answer.body, answer.headers)
    with world.wire.failing(Fault(fault_transport.answering(broken))):
        await raises(act.carry_out(world), OutcomeUnknown)


@check(_refusals)
async def a_refusal_has_its_meaning(world: CheckContext, row: Refusal) -> None:
    """Each documented refusal becomes the contract's code or the error of the bench's table."""
    act = await operations.unspent(world, _kind(world, row))
    answer = row.answer if isinstance(row.answer, PspAnswer) else row.answer(act.call)
    with world.wire.failing(Fault(fault_transport.answering(answer), at=row.at)) as fault:
        if row.error is not None:
            never = [] if row.error is CredentialsRejected else [CredentialsRejected]
            await raises(act.carry_out(world), row.error, never=never)
        else:
            outcome = await act.carry_out(world)
            require(isinstance(outcome, Declined), f"It became {shown(outcome)}")
            equal(getattr(outcome, "code", None), row.code, "the code of the decline")
    require(fault.struck, f"No request was made at {row.at!r}.")


@check(_read_pages)
async def a_look_up_takes_no_garbage(world: CheckContext, answer: PspAnswer) -> None:
    """Only the PSP's own words are "not found": a page with 404 is nothing at all."""
    if not world.sheet.can_read:
        raise NotApplicable("the PSP cannot be asked for a transaction (can_read)")
    _, money = next(setup.first_moneys(world))
    call, outcome = await setup.payment(world, money)
    for psp_id in (None, setup.known_as(outcome)):
        with world.wire.failing(Fault(fault_transport.answering(answer), writes=False, times=99)):
            await raises(
                setup.fetched(world, call, psp_id),
                OutcomeUnknown,
                PspUnavailable,
                never=[CredentialsRejected],
            )


def _said(world: CheckContext, said: ErrorCase) -> PspAnswer:
    answer = world.bench.answer(said)
    if answer is None:
        raise NotApplicable(f"the bench does not know how the PSP says {said.value}")
    return answer


def _kind(world: CheckContext, row: Refusal) -> OperationKind:
    for _, kind in operations.kinds(world):
        if kind.way in _WAYS[row.operation] and kind.money.role is row.role:
            return kind
    raise NotApplicable(f"{row.role.name} has no {row.operation.value}")
