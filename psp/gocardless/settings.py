"""What a merchant enters to use GoCardless, and where a deployment finds it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl
from pydantic_settings import BaseSettings, SettingsConfigDict

from psp.common.secrets import Secret, Secrets

Environment = Literal["live", "sandbox"]

_HOSTS: dict[Environment, str] = {
    "live": "https://api.gocardless.com",
    "sandbox": "https://api-sandbox.gocardless.com",
}


class GoCardlessSettings(BaseModel):
    """One merchant's account; the aliases are the keys of the settings form.

    The token needs read and write access. There is no way to ask GoCardless whether the webhook
    secret is right: a wrong one shows in refused notifications only.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

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


class GoCardlessConfig(BaseSettings):
    """A deployment's choice; the alias is the environment variable's name."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    url: HttpUrl | None = Field(None, validation_alias="INTEGRATOR_GOCARDLESS_URL")

    def base_url(self, environment: Environment) -> str:
        """Without a trailing slash."""
        return str(self.url or _HOSTS[environment]).rstrip("/")
