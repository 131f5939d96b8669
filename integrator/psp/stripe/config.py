"""Address of Stripe, chosen by the deployment and not by a merchant."""

from pydantic import Field, HttpUrl

from integrator.psp.toolkit.settings import DeploymentConfig

_API_URL = "https://api.stripe.com"


class StripeConfig(DeploymentConfig):
    """`url` is that of an emulator; without it Stripe is called, within its rate limits."""

    url: HttpUrl | None = Field(None, validation_alias="INTEGRATOR_STRIPE_URL")

    @property
    def base_url(self) -> str:
        """Return the URL without the version of the API."""
        return str(self.url or _API_URL)
