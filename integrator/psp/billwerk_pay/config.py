"""Where the PSP's two APIs are found. A deployment's choice, not a merchant's."""

from pydantic import Field, HttpUrl

from integrator.psp.toolkit.settings import DeploymentConfig

_API = HttpUrl("https://api.reepay.com")
_CHECKOUT = HttpUrl("https://checkout-api.reepay.com")


class BillwerkPayConfig(DeploymentConfig):
    """The PSP itself, unless URLs are given; its test and live accounts share both addresses."""

    url: HttpUrl | None = Field(None, validation_alias="INTEGRATOR_BILLWERK_PAY_URL")
    checkout_url: HttpUrl | None = Field(
        None, validation_alias="INTEGRATOR_BILLWERK_PAY_CHECKOUT_URL"
    )

    @property
    def addresses(self) -> tuple[str, str]:
        """Of the API and of the checkout API, without the version."""
        return str(self.url or _API), str(self.checkout_url or _CHECKOUT)
