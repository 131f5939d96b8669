"""Addresses of the PSP's two APIs, chosen by the deployment and not by a merchant."""

from pydantic import Field, HttpUrl

from integrator.psp.toolkit.settings import DeploymentConfig

_API = HttpUrl("https://api.reepay.com")
_CHECKOUT = HttpUrl("https://checkout-api.reepay.com")


class BillwerkPayConfig(DeploymentConfig):
    """Addresses of an emulator; without them the PSP is called.

    Test and live accounts have the same addresses.
    """

    url: HttpUrl | None = Field(None, validation_alias="INTEGRATOR_BILLWERK_PAY_URL")
    checkout_url: HttpUrl | None = Field(
        None, validation_alias="INTEGRATOR_BILLWERK_PAY_CHECKOUT_URL"
    )

    @property
    def addresses(self) -> tuple[str, str]:
        """Return the URLs of the API and of the checkout API, without the version."""
        return str(self.url or _API), str(self.checkout_url or _CHECKOUT)
