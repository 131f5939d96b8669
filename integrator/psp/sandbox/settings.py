"""Settings form of a merchant of the sandbox PSP."""

from pydantic import Field

from integrator.psp.toolkit.secrets import Secret, Secrets
from integrator.psp.toolkit.settings import MerchantSettings


class SandboxSettings(MerchantSettings):
    """Settings of one account at the sandbox PSP."""

    api_key: Secret = Field(
        alias="ApiKey",
        title="API key",
        json_schema_extra={"placeHolder": "sk_sandbox_..."},
    )
    webhook_secret: Secrets = Field(alias="WebhookSecret", title="Webhook secret")
