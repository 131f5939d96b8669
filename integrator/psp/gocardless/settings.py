"""What a merchant enters to use GoCardless, and where a deployment finds it."""

from typing import Literal

from pydantic import Field, HttpUrl

from integrator.psp.toolkit.secrets import Secret, Secrets
from integrator.psp.toolkit.settings import DeploymentConfig, MerchantSettings

Environment = Literal["live", "sandbox"]

_HOSTS: dict[Environment, str] = {
    "live": "https://api.gocardless.com",
    "sandbox": "https://api-sandbox.gocardless.com",
}


class GoCardlessSettings(MerchantSettings):
    """One merchant's account.

    The token needs read and write access. There is no way to ask GoCardless whether the webhook
    secret is right: a wrong one shows in refused notifications only.
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


class GoCardlessConfig(DeploymentConfig):
    """GoCardless itself, unless a URL is given."""

    url: HttpUrl | None = Field(None, validation_alias="INTEGRATOR_GOCARDLESS_URL")

    def base_url(self, environment: Environment) -> str:
        """Without a trailing slash."""
        return str(self.url or _HOSTS[environment]).rstrip("/")
