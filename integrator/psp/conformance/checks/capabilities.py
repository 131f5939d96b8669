"""The capability sheet and what is made of it: IntegrationInfo and the settings form."""

from collections.abc import Iterator

from pydantic import BaseModel

from integrator.psp import port
from integrator.psp.conformance.assertions import equal, require
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.integration_info import (
    SettingsRefused,
    integration_info,
    parse_settings,
    setting_keys,
    settings_response,
)
from integrator.psp.types import IdempotencyMode, SettingsCheck

_LONGEST_NAME = 32


def _required(world: CheckContext) -> Iterator[tuple[str, str]]:
    fields = world.adapter.settings_model.model_fields
    for name, found in fields.items():
        if found.is_required():
            yield found.alias or name, found.alias or name


def _secret_keys(world: CheckContext) -> Iterator[tuple[str, str]]:
    for key in setting_keys(world.adapter):
        if world.bench.form.get(key) in world.secrets:
            yield key, key


@check()
async def the_adapter_is_described(world: CheckContext) -> None:
    """An adapter has a short name in lower case, a model of its settings and payment methods."""
    name = world.adapter.name
    require(name.isascii() and name == name.lower() and len(name) <= _LONGEST_NAME, "bad name")
    require(issubclass(world.adapter.settings_model, BaseModel), "settings_model is no model")
    require(world.sheet.methods, "The adapter declares no payment method.")


@check()
async def every_operation_is_there(world: CheckContext) -> None:
    """A connection has every operation of the port, whether or not the PSP offers it."""
    made = world.adapter.connect(world.settings, world.http)
    missing = [
        name
        for name in vars(port.Connection)
        if not name.startswith("_") and not callable(getattr(made, name, None))
    ]
    require(not missing, f"The connection lacks {', '.join(missing)}.")


@check()
async def connecting_asks_nobody(world: CheckContext) -> None:
    """Opening a connection makes no call: the worker opens one for every activity."""
    world.connect(world.bench.form)
    require(not world.wire.seen, "connect() called the PSP.")


@check()
async def integration_info_follows_from_the_sheet(world: CheckContext) -> None:
    """IntegrationInfo can be made from the sheet, and says what the sheet says."""
    info = integration_info(world.adapter)
    methods = world.sheet.methods.values()
    shown = [
        info.credit_card_method_info,
        info.debit_method_info,
        info.black_label_method_info,
        info.on_account_method_info,
        info.betalingsservice_method_info,
        info.autogiro_method_info,
        info.avtalegiro_method_info,
    ]
    require(any(part is not None for part in shown), "No payment method would be offered.")
    equal(info.support_refunds, world.sheet.refunds, "support_refunds")
    equal(info.requires_return_url, any(m.redirect for m in methods), "requires_return_url")
    equal(
        [s.key_name for s in info.merchant_settings or ()], setting_keys(world.adapter), "the form"
    )


@check()
async def every_role_can_be_offered(world: CheckContext) -> None:
    """For each declared role a verification can switch a payment method of the platform on."""
    for role in world.sheet.methods:
        answer = settings_response(SettingsCheck(roles=frozenset({role})))
        offered = [value for name, value in answer.model_dump().items() if value is True]
        require(offered, f"The platform has no switch for {role.name}.")


@check()
async def every_setting_has_a_title(world: CheckContext) -> None:
    """Every field of the form has a title for people and a key for the platform."""
    for setting in integration_info(world.adapter).merchant_settings or ():
        require(setting.display_name.strip(), f"{setting.key_name} has no title.")
        require(setting.key_name.isidentifier(), f"{setting.key_name} is no key.")


@check(_required)
async def a_required_setting_is_missed(world: CheckContext, key: str) -> None:
    """A form without a required value is refused, naming its key."""
    form = {name: text for name, text in world.bench.form.items() if name != key}
    try:
        parse_settings(world.adapter, form)
    except SettingsRefused as refusal:
        require(key in str(refusal), "The refusal does not name the missing key.")
        return
    raise Violation(f"A form without {key} was accepted.")


@check(_secret_keys)
async def a_secret_is_hidden(world: CheckContext, key: str) -> None:
    """Settings show no secret when they are printed."""
    shown = f"{world.settings!r} {world.settings}"
    require(world.bench.form[key] not in shown, f"{key} shows in the settings' repr.")


@check(_secret_keys)
async def an_unusable_secret_is_refused(world: CheckContext, key: str) -> None:
    """A pasted secret that no header can carry is refused in the form, and not shown."""
    pasted = f"{world.bench.form[key]}\u2028\u00fc"
    try:
        parse_settings(world.adapter, {**world.bench.form, key: pasted})
    except SettingsRefused as refusal:
        require(pasted not in str(refusal), "The refusal shows the secret.")
        return
    raise Violation(f"{key} takes a line separator and an umlaut; use psp.common.secrets.")


@check()
async def keys_last_long_enough(world: CheckContext) -> None:
    """The PSP recognises repetitions for a while, or the adapter says that it does not."""
    semantics = world.sheet.idempotency
    if semantics.style is IdempotencyMode.NONE:
        raise NotApplicable("the PSP recognises no repetition (KeyStyle.NONE)")
    require(semantics.window_seconds >= 60, "A window below a minute protects no retry.")
