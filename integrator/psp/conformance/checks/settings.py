"""The verification of settings, by which Billwerk+ switches a PSP on or off."""

from collections.abc import Iterator

from integrator.psp.conformance import fault_transport
from integrator.psp.conformance.assertions import require, require_raises
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.fault_transport import Fault
from integrator.psp.conformance.harness import ErrorCase, StubResponse
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.errors import CredentialsRejected, OutcomeUnknown, PspError, PspUnavailable

_PAGE_STATUSES = (400, 401, 403, 404, 407, 429, 500, 502, 503)


def _proxy_responses(context: CheckContext) -> Iterator[tuple[str, StubResponse]]:
    for status in _PAGE_STATUSES:
        yield f"{status}-page", fault_transport.html_page(status)
    for status in (401, 403):
        yield f"{status}-empty", StubResponse(status, b"")
        yield f"{status}-json", StubResponse.json(status, {"message": "Forbidden"})


@check()
async def valid_settings_offer_roles(context: CheckContext) -> None:
    """A verification with valid settings offers at least one, and only declared roles."""
    result = await context.connection.verify_settings()
    require(result.roles, "Valid settings offer no payment method.")
    require(
        result.roles <= set(context.capabilities.methods), "A role is offered that is not declared."
    )


@check()
async def verification_only_reads(context: CheckContext) -> None:
    """A verification makes read requests only."""
    await context.connection.verify_settings()
    require(context.transport.requests, "The verification made no request.")
    require(not context.transport.write_requests, "The verification sent a request other than GET.")


@check()
async def wrong_credentials_are_rejected(context: CheckContext) -> None:
    """Credentials that the PSP refuses raise CredentialsRejected."""
    if context.harness.wrong_form is None:
        raise NotApplicable("the harness has no invalid credentials (wrong_form)")
    await require_raises(
        context.connect(context.harness.wrong_form).verify_settings(), CredentialsRejected
    )


@check()
async def a_refused_key_is_rejected(context: CheckContext) -> None:
    """The PSP's own response to a wrong key raises CredentialsRejected."""
    response = context.harness.error_response(ErrorCase.UNAUTHORIZED)
    if response is None:
        raise NotApplicable("the harness has no error response for a rejected key")
    with context.transport.inject(Fault(fault_transport.respond_with(response), writes_only=False)):
        await require_raises(context.connection.verify_settings(), CredentialsRejected)


@check(_proxy_responses)
async def an_html_page_is_not_a_rejection(context: CheckContext, page: StubResponse) -> None:
    """A proxy's 401 or 403 is never CredentialsRejected: it would switch the PSP off."""
    with context.transport.inject(Fault(fault_transport.respond_with(page), writes_only=False)):
        await require_raises(context.connection.verify_settings(), OutcomeUnknown, PspUnavailable)


@check()
async def an_outage_is_not_a_result(context: CheckContext) -> None:
    """When the PSP cannot be reached, a verification has no result."""
    with context.transport.inject(Fault(fault_transport.connection_refused(), writes_only=False)):
        await require_raises(context.connection.verify_settings(), PspUnavailable)


@check()
async def a_wrong_webhook_secret_is_not_a_login_error(context: CheckContext) -> None:
    """A wrong webhook secret offers no roles, if the PSP can verify it."""
    signature = context.harness.signature
    if signature is None:
        raise NotApplicable("the PSP's notifications have no secret")
    form = {
        **context.harness.form,
        signature.setting: _different_secret(context.harness.form[signature.setting]),
    }
    try:
        result = await context.connect(form).verify_settings()
    except PspError as error:
        raise Violation(f"A wrong webhook secret raised {type(error).__name__}.") from error
    if result.roles:
        raise NotApplicable("the PSP cannot verify a webhook secret")


def _different_secret(secret: str) -> str:
    return secret[:-1] + ("a" if secret[-1] != "a" else "b")
