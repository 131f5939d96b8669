"""Where Stripe is found. A deployment's choice, not a merchant's."""

from pydantic import Field, HttpUrl
from pydantic_settings import BaseSettings, SettingsConfigDict

_STRIPE = "https://api.stripe.com"


class StripeConfig(BaseSettings):
    """The value comes from the environment; the alias is the variable's name.

    `url` names a stand-in; without it Stripe itself is called, whose limits then are kept.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    url: HttpUrl | None = Field(None, validation_alias="INTEGRATOR_STRIPE_URL")

    @property
    def base_url(self) -> str:
        """Without the version of the API."""
        return str(self.url or _STRIPE)
