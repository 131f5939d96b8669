"""The verification of settings, on which the platform switches a PSP on or off."""

from collections.abc import Iterator

from psp.errors import CredentialsRejected, OutcomeUnknown, PspError, PspUnavailable
from psp.kit import wire
from psp.kit.bench import PspAnswer, Said
from psp.kit.expect import raises, require
from psp.kit.registry import check
from psp.kit.verdicts import CannotBeProvoked, Violation
from psp.kit.wire import Fault
from psp.kit.world import World

_PAGES = (400, 401, 403, 404, 407, 429, 500, 502, 503)


def _pages(world: World) -> Iterator[tuple[str, PspAnswer]]:
    for status in _PAGES:
        yield f"{status}-page", wire.html(status)
    for status in (401, 403):
        yield f"{status}-empty", PspAnswer(status, b"")
        yield f"{status}-json", PspAnswer.json(status, {"message": "Forbidden"})


@check()
async def good_settings_open_the_roles(world: World) -> None:
    """A verification with good settings offers declared payment methods, and at least one."""
    found = await world.connection.verify_settings()
    require(found.roles, "Good settings offer no payment method.")
    require(found.roles <= set(world.sheet.methods), "A role is offered that is not declared.")


@check()
async def verification_changes_nothing(world: World) -> None:
    """A verification only reads."""
    await world.connection.verify_settings()
    require(world.wire.seen, "The PSP was not asked.")
    require(not world.wire.writes, "The verification sent something else than a GET.")


@check()
async def wrong_credentials_are_rejected(world: World) -> None:
    """Credentials that the PSP refuses raise CredentialsRejected."""
    if world.bench.wrong_form is None:
        raise CannotBeProvoked("the bench knows no wrong credentials")
    await raises(world.connect(world.bench.wrong_form).verify_settings(), CredentialsRejected)


@check()
async def the_psp_refuses_the_key(world: World) -> None:
    """The PSP's own words for a wrong key raise CredentialsRejected."""
    answer = world.bench.answer(Said.UNAUTHORIZED)
    if answer is None:
        raise CannotBeProvoked("the bench does not know how the PSP refuses a key")
    with world.wire.failing(Fault(wire.answering(answer), writes=False)):
        await raises(world.connection.verify_settings(), CredentialsRejected)


@check(_pages)
async def a_page_is_no_rejection(world: World, page: PspAnswer) -> None:
    """A proxy's 401 or 403 is never CredentialsRejected: it would switch the PSP off."""
    with world.wire.failing(Fault(wire.answering(page), writes=False)):
        await raises(world.connection.verify_settings(), OutcomeUnknown, PspUnavailable)


@check()
async def an_outage_is_no_answer(world: World) -> None:
    """When the PSP cannot be reached, a verification says neither yes nor no."""
    with world.wire.failing(Fault(wire.unreachable(), writes=False)):
        await raises(world.connection.verify_settings(), PspUnavailable)


@check()
async def a_wrong_webhook_secret_is_no_login_error(world: World) -> None:
    """A webhook secret that is not the PSP's offers nothing, if the PSP lets it be checked."""
    signature = world.bench.signature
    if signature is None:
        raise CannotBeProvoked("the PSP's notifications have no secret")
    form = {**world.bench.form, signature.setting: _other(world.bench.form[signature.setting])}
    try:
        found = await world.connect(form).verify_settings()
    except PspError as error:
        raise Violation(f"A wrong webhook secret raised {type(error).__name__}.") from error
    if found.roles:
        raise CannotBeProvoked("the PSP does not let a webhook secret be checked")


def _other(secret: str) -> str:
    return secret[:-1] + ("a" if secret[-1] != "a" else "b")
