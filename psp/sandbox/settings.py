"""What a merchant enters to use the sandbox PSP."""

from pydantic import BaseModel, ConfigDict, Field

from psp.common.secrets import Secret, Secrets


class SandboxSettings(BaseModel):
    """One merchant's account at the sandbox PSP; the aliases are the keys of the settings form."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    api_key: Secret = Field(
        alias="ApiKey",
        title="API key",
        json_schema_extra={"placeHolder": "sk_sandbox_..."},
    )
    webhook_secret: Secrets = Field(alias="WebhookSecret", title="Webhook secret")
