"""Settings form of a merchant of Stripe."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from integrator.psp.toolkit.secrets import Secret, Secrets
from integrator.psp.toolkit.settings import MerchantSettings


def _require_secret_key(key: SecretStr) -> SecretStr:
    if key.get_secret_value().startswith("pk_"):
        raise ValueError("a secret or restricted key, not the publishable one")
    return key


class StripeSettings(MerchantSettings):
    """Settings of one Stripe account.

    A restricted key needs write access to Checkout Sessions, Customers, PaymentIntents, Refunds and
    SetupIntents, and read access to Balance, Charges, Disputes, Events, Mandates, PaymentMethods.
    """

    api_key: Annotated[Secret, AfterValidator(_require_secret_key)] = Field(
        alias="ApiKey",
        title="Secret or restricted API key",
        json_schema_extra={"placeHolder": "rk_live_..."},
    )
    webhook_secret: Secrets = Field(
        alias="WebhookSecret",
        title="Signing secret of the webhook endpoint",
        json_schema_extra={"placeHolder": "whsec_..."},
    )
