"""A merchant's PSP settings: reading, verifying and saving them."""

import asyncio
from collections.abc import Mapping

from pydantic import BaseModel

from api.context import Context
from api.errors import RequestRejected, invalid_data
from integrator.contract import (
    IntegrationSettingsResponse,
    MerchantSettingValue,
    PaymentErrorCode,
    ThirdPartyMerchantPspSettings,
)
from integrator.observability.psp_metrics import InstrumentedConnection
from integrator.psp.connecting import open_connection
from integrator.psp.errors import CredentialsRejected, PspError, PspTimeout
from integrator.psp.integration_info import (
    SettingsRefused,
    build_settings_response,
    parse_settings,
    secret_keys,
    setting_keys,
)
from integrator.psp.port import Adapter
from integrator.psp.types import SettingsCheck
from integrator.store import Merchant

MASK = "********"
"""Shown in place of a saved secret; sent back, it leaves the secret unchanged."""


def parse_saved_settings(adapter: Adapter, values: Mapping[str, str] | None) -> BaseModel:
    """Return the saved settings as the adapter's model.

    Raises `RequestRejected` with `InvalidConfiguration`.
    """
    if values is None:
        raise RequestRejected(
            PaymentErrorCode.InvalidConfiguration, "No PSP settings are saved yet."
        )
    try:
        return parse_settings(adapter, values)
    except SettingsRefused as error:
        raise RequestRejected(PaymentErrorCode.InvalidConfiguration, str(error)) from error


async def get_masked_settings(
    context: Context, merchant: Merchant, adapter: Adapter
) -> ThirdPartyMerchantPspSettings:
    """Return one entry per key of the form, in its order; without a value where none is saved.

    Secrets are masked.
    """
    values = await context.store.merchants.get_settings(merchant.id) or {}
    values |= {key: MASK for key in secret_keys(adapter) if key in values}
    entries = tuple(
        MerchantSettingValue(key_name=key, key_value=values.get(key))
        for key in setting_keys(adapter)
    )
    return ThirdPartyMerchantPspSettings(merchant_settings=entries)


async def verify_and_save(
    context: Context, merchant: Merchant, adapter: Adapter, form: ThirdPartyMerchantPspSettings
) -> IntegrationSettingsResponse:
    """Verify the settings with the PSP; save them only if it accepts them.

    A masked secret stands for the saved one.
    """
    form_values = {
        entry.key_name: (entry.key_value or "").strip() for entry in form.merchant_settings
    }
    masked = {key for key in secret_keys(adapter) if form_values.get(key) == MASK}
    if masked:
        saved = await context.store.merchants.get_settings(merchant.id) or {}
        form_values |= {key: saved.get(key, "") for key in masked}
    try:
        settings = parse_settings(adapter, form_values)
    except SettingsRefused as error:
        raise invalid_data(str(error)) from error
    check = await _verify(context, adapter, settings)
    if check.roles:
        values = {key: form_values[key] for key in setting_keys(adapter) if form_values.get(key)}
        await context.store.merchants.save_settings(merchant.id, values, check.account)
    return build_settings_response(check)


async def _verify(context: Context, adapter: Adapter, settings: BaseModel) -> SettingsCheck:
    connection = InstrumentedConnection(
        open_connection(adapter, settings, context.http), adapter.name
    )
    try:
        async with asyncio.timeout(context.settings.sync_budget_seconds):
            return await connection.verify_settings()
    except CredentialsRejected:
        return SettingsCheck()
    except (PspTimeout, TimeoutError) as error:
        message = "The PSP did not answer in time; the settings were not saved."
        raise RequestRejected(PaymentErrorCode.PSPConnectionTimeout, message) from error
    except PspError as error:
        message = "The PSP could not be reached; the settings were not saved."
        raise RequestRejected(PaymentErrorCode.PSPConnectionProblem, message) from error
