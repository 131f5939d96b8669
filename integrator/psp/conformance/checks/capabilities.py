"""The declared capabilities, and the IntegrationInfo and settings form that follow from them."""

from collections.abc import Iterator

from pydantic import BaseModel

from integrator.psp import port
from integrator.psp.conformance.assertions import require, require_equal, require_raises
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.connecting import accepts_budget, open_connection
from integrator.psp.errors import LocallyRateLimited
from integrator.psp.integration_info import (
    SettingsRefused,
    build_integration_info,
    build_settings_response,
    parse_settings,
    setting_keys,
)
from integrator.psp.types import IdempotencyMode, SettingsCheck

_MAX_NAME_LENGTH = 32


class _Budget:
    """Budget of a number of requests; `requests` says of each whether it was a write."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.requests: list[bool] = []

    async def acquire(self, *, write: bool) -> None:
        """Count a request, or refuse it beyond the limit."""
        if len(self.requests) >= self._limit:
            raise LocallyRateLimited("The budget of the check is used up", retry_after=1)
        self.requests.append(write)


def _required(context: CheckContext) -> Iterator[tuple[str, str]]:
    fields = context.adapter.settings_model.model_fields
    for name, field in fields.items():
        if field.is_required():
            yield field.alias or name, field.alias or name


def _secret_keys(context: CheckContext) -> Iterator[tuple[str, str]]:
    for key in setting_keys(context.adapter):
        if context.harness.form.get(key) in context.secrets:
            yield key, key


@check()
async def the_adapter_has_name_settings_and_methods(context: CheckContext) -> None:
    """An adapter has a short lower-case name, a settings model and payment methods."""
    name = context.adapter.name
    require(
        name.isascii() and name == name.lower() and len(name) <= _MAX_NAME_LENGTH,
        f"The name is not short lower-case ASCII: {name!r}",
    )
    require(
        issubclass(context.adapter.settings_model, BaseModel),
        "settings_model is not a pydantic model.",
    )
    require(context.capabilities.methods, "The adapter declares no payment method.")


@check()
async def every_operation_is_implemented(context: CheckContext) -> None:
    """A connection implements every operation of the port, even those the PSP lacks."""
    connection = open_connection(context.adapter, context.settings, context.http)
    missing = [
        name
        for name in vars(port.Connection)
        if not name.startswith("_") and not callable(getattr(connection, name, None))
    ]
    require(not missing, f"The connection lacks {', '.join(missing)}.")


@check()
async def connecting_makes_no_request(context: CheckContext) -> None:
    """Opening a connection makes no request: the worker opens one for every activity."""
    context.connect(context.harness.form)
    require(not context.transport.requests, "connect() made a request.")


@check()
async def a_budget_is_asked_before_every_request(context: CheckContext) -> None:
    """A rate budget that is handed in is asked once for each request, before it is sent."""
    if not accepts_budget(context.adapter):
        raise NotApplicable("connect() accepts no budget")
    budget = _Budget(limit=100)
    await context.connect(context.harness.form, budget).verify_settings()
    require_equal(budget.requests, [False] * len(context.transport.requests), "the budget's uses")
    sent = len(context.transport.requests)
    exhausted = context.connect(context.harness.form, _Budget(limit=0))
    await require_raises(exhausted.verify_settings(), LocallyRateLimited)
    require_equal(len(context.transport.requests), sent, "the requests beyond the budget")


@check()
async def integration_info_matches_the_capabilities(context: CheckContext) -> None:
    """IntegrationInfo can be built from the capabilities and agrees with them."""
    info = build_integration_info(context.adapter)
    methods = context.capabilities.methods.values()
    method_infos = [
        info.credit_card_method_info,
        info.debit_method_info,
        info.black_label_method_info,
        info.on_account_method_info,
        info.betalingsservice_method_info,
        info.autogiro_method_info,
        info.avtalegiro_method_info,
    ]
    require(
        any(part is not None for part in method_infos), "IntegrationInfo offers no payment method."
    )
    require_equal(info.support_refunds, context.capabilities.refunds, "support_refunds")
    require_equal(info.requires_return_url, any(m.redirect for m in methods), "requires_return_url")
    require_equal(
        [s.key_name for s in info.merchant_settings or ()],
        setting_keys(context.adapter),
        "the settings form",
    )


@check()
async def every_role_can_be_activated(context: CheckContext) -> None:
    """For each declared role, a verification can activate a payment method of Billwerk+."""
    for role in context.capabilities.methods:
        response = build_settings_response(SettingsCheck(roles=frozenset({role})))
        activated = [value for name, value in response.model_dump().items() if value is True]
        require(activated, f"Billwerk+ cannot activate {role.name}.")


@check()
async def every_setting_has_a_title(context: CheckContext) -> None:
    """Every field of the settings form has a title and a valid key."""
    for setting in build_integration_info(context.adapter).merchant_settings or ():
        require(setting.display_name.strip(), f"{setting.key_name} has no title.")
        require(setting.key_name.isidentifier(), f"{setting.key_name} is not a valid key.")


@check(_required)
async def a_missing_setting_is_refused(context: CheckContext, key: str) -> None:
    """A form without a required value is refused, naming its key."""
    form = {name: text for name, text in context.harness.form.items() if name != key}
    try:
        parse_settings(context.adapter, form)
    except SettingsRefused as refusal:
        require(key in str(refusal), "The refusal does not name the missing key.")
        return
    raise Violation(f"A form without {key} was accepted.")


@check(_secret_keys)
async def a_secret_is_not_printed(context: CheckContext, key: str) -> None:
    """Printed settings contain no secret."""
    printed = f"{context.settings!r} {context.settings}"
    require(context.harness.form[key] not in printed, f"{key} appears in the settings' repr.")


@check(_secret_keys)
async def an_unusable_secret_is_refused(context: CheckContext, key: str) -> None:
    """A pasted secret that no header can carry is refused in the form, and not shown."""
    pasted = f"{context.harness.form[key]}\u2028\u00fc"
    try:
        parse_settings(context.adapter, {**context.harness.form, key: pasted})
    except SettingsRefused as refusal:
        require(pasted not in str(refusal), "The refusal shows the secret.")
        return
    raise Violation(
        f"{key} accepts a line separator and an umlaut; use integrator.psp.toolkit.secrets."
    )


@check()
async def the_idempotency_window_is_long_enough(context: CheckContext) -> None:
    """The PSP recognises repetitions for at least a minute, or declares that it does not."""
    semantics = context.capabilities.idempotency
    if semantics.style is IdempotencyMode.NONE:
        raise NotApplicable("the PSP recognises no repetition (IdempotencyMode.NONE)")
    require(
        semantics.window_seconds >= 60, "An idempotency window below a minute protects no retry."
    )
