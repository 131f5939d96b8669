"""Settings form of a GoCardless merchant."""

from typing import Literal

from pydantic import Field

from integrator.psp.toolkit.secrets import Secret, Secrets
from integrator.psp.toolkit.settings import MerchantSettings

Environment = Literal["live", "sandbox"]


class GoCardlessSettings(MerchantSettings):
    """Settings of one GoCardless account.

    The token needs read and write access. The webhook secret cannot be verified at GoCardless: if
    it is wrong, notifications are rejected.
    """

    access_token: Secret = Field(
        alias="AccessToken",
        title="Access token (read-write)",
        json_schema_extra={"placeHolder": "live_..."},
    )
    webhook_secret: Secrets = Field(alias="WebhookSecret", title="Webhook endpoint secret")
    environment: Environment = Field(
        "live",
        alias="Environment",
        title="Environment",
        json_schema_extra={"predefinedValues": {"live": "Live", "sandbox": "Sandbox"}},
    )
