"""Where Stripe is found. A deployment's choice, not a merchant's."""

from pydantic import Field, HttpUrl

from integrator.psp.toolkit.settings import DeploymentConfig

_STRIPE = "https://api.stripe.com"


class StripeConfig(DeploymentConfig):
    """`url` names a stand-in; without it Stripe itself is called, whose limits then are kept."""

    url: HttpUrl | None = Field(None, validation_alias="INTEGRATOR_STRIPE_URL")

    @property
    def base_url(self) -> str:
        """Without the version of the API."""
        return str(self.url or _STRIPE)
