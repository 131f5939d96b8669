"""The verification of settings, on which the platform switches a PSP on or off."""

from collections.abc import Iterator

from integrator.psp.conformance import fault_transport
from integrator.psp.conformance.assertions import raises, require
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.fault_transport import Fault
from integrator.psp.conformance.harness import ErrorCase, PspAnswer
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.errors import CredentialsRejected, OutcomeUnknown, PspError, PspUnavailable

_PAGES = (400, 401, 403, 404, 407, 429, 500, 502, 503)


def _pages(world: CheckContext) -> Iterator[tuple[str, PspAnswer]]:
    for status in _PAGES:
        yield f"{status}-page", fault_transport.html(status)
    for status in (401, 403):
        yield f"{status}-empty", PspAnswer(status, b"")
        yield f"{status}-json", PspAnswer.json(status, {"message": "Forbidden"})


@check()
async def good_settings_open_the_roles(world: CheckContext) -> None:
    """A verification with good settings offers declared payment methods, and at least one."""
    found = await world.connection.verify_settings()
    require(found.roles, "Good settings offer no payment method.")
    require(found.roles <= set(world.sheet.methods), "A role is offered that is not declared.")


@check()
async def verification_changes_nothing(world: CheckContext) -> None:
    """A verification only reads."""
    await world.connection.verify_settings()
    require(world.wire.seen, "The PSP was not asked.")
    require(not world.wire.writes, "The verification sent something else than a GET.")


@check()
async def wrong_credentials_are_rejected(world: CheckContext) -> None:
    """Credentials that the PSP refuses raise CredentialsRejected."""
    if world.bench.wrong_form is None:
        raise NotApplicable("the bench knows no wrong credentials")
    await raises(world.connect(world.bench.wrong_form).verify_settings(), CredentialsRejected)


@check()
async def the_psp_refuses_the_key(world: CheckContext) -> None:
    """The PSP's own words for a wrong key raise CredentialsRejected."""
    answer = world.bench.answer(ErrorCase.UNAUTHORIZED)
    if answer is None:
        raise NotApplicable("the bench does not know how the PSP refuses a key")
    with world.wire.failing(Fault(fault_transport.answering(answer), writes=False)):
        await raises(world.connection.verify_settings(), CredentialsRejected)


@check(_pages)
async def a_page_is_no_rejection(world: CheckContext, page: PspAnswer) -> None:
    """A proxy's 401 or 403 is never CredentialsRejected: it would switch the PSP off."""
    with world.wire.failing(Fault(fault_transport.answering(page), writes=False)):
        await raises(world.connection.verify_settings(), OutcomeUnknown, PspUnavailable)


@check()
async def an_outage_is_no_answer(world: CheckContext) -> None:
    """When the PSP cannot be reached, a verification says neither yes nor no."""
    with world.wire.failing(Fault(fault_transport.unreachable(), writes=False)):
        await raises(world.connection.verify_settings(), PspUnavailable)


@check()
async def a_wrong_webhook_secret_is_no_login_error(world: CheckContext) -> None:
    """A webhook secret that is not the PSP's offers nothing, if the PSP lets it be checked."""
    signature = world.bench.signature
    if signature is None:
        raise NotApplicable("the PSP's notifications have no secret")
    form = {**world.bench.form, signature.setting: _other(world.bench.form[signature.setting])}
    try:
        found = await world.connect(form).verify_settings()
    except PspError as error:
        raise Violation(f"A wrong webhook secret raised {type(error).__name__}.") from error
    if found.roles:
        raise NotApplicable("the PSP does not let a webhook secret be checked")


def _other(secret: str) -> str:
    return secret[:-1] + ("a" if secret[-1] != "a" else "b")
