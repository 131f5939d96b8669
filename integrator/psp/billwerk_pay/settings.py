"""Settings form of a merchant of Billwerk+ Pay."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from integrator.psp.toolkit.secrets import Secret, Secrets
from integrator.psp.toolkit.settings import MerchantSettings

# Card types of Billwerk+ and their codes at the hosted page, which has none for Bancaire.
_CARD_TYPES = {
    "visa": "visa",
    "mastercard": "mc",
    "amex": "amex",
    "unionpay": "china_union_pay",
    "jcb": "jcb",
    "discover": "discover",
    "diners": "diners",
    "dankort": "dankort",
    "bancaire": None,
}


def _payment_methods(entered: Any) -> list[str]:
    names = [part.strip().lower() for part in str(entered).split(",") if part.strip()]
    if unknown := [name for name in names if name not in _CARD_TYPES]:
        raise ValueError(f"{len(unknown)} unknown card types")
    return [method for name in names if (method := _CARD_TYPES[name])] or ["card"]


class BillwerkPaySettings(MerchantSettings):
    """Settings of one Billwerk+ Pay account.

    `payment_methods` are the card types of the hosted page; all cards unless some are entered.
    """

    private_key: Secret = Field(
        alias="PrivateKey", title="Private API key", json_schema_extra={"placeHolder": "priv_..."}
    )
    webhook_secret: Secrets = Field(alias="WebhookSecret", title="Webhook secret")
    payment_methods: Annotated[list[str], BeforeValidator(_payment_methods)] = Field(
        default=["card"],
        alias="CardTypes",
        title="Card types",
        json_schema_extra={"placeHolder": "Visa, Mastercard, Dankort"},
    )
