"""Addresses of the GoCardless API, chosen by the deployment and not by a merchant."""

from pydantic import Field, HttpUrl

from integrator.psp.gocardless.settings import Environment
from integrator.psp.toolkit.settings import DeploymentConfig

_HOSTS: dict[Environment, str] = {
    "live": "https://api.gocardless.com",
    "sandbox": "https://api-sandbox.gocardless.com",
}


class GoCardlessConfig(DeploymentConfig):
    """Address of an emulator; without it GoCardless is called."""

    url: HttpUrl | None = Field(None, validation_alias="INTEGRATOR_GOCARDLESS_URL")

    def base_url(self, environment: Environment) -> str:
        """Return the URL without a trailing slash."""
        return str(self.url or _HOSTS[environment]).rstrip("/")
