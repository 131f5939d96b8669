"""Change notification: asks Billwerk+ to read a transaction again."""

from enum import StrEnum

from pydantic import Field

from integrator.contract import json_codec
from integrator.contract.base import WireModel
from integrator.contract.enums import WebhookType


class ChangeNotification(WireModel):
    """A transaction has changed; carries its id and no state."""

    transaction_id: str = Field(description="The platform's id of the changed transaction")
    agreement_id: str | None = Field(None, description="Only for type Agreement")
    type: WebhookType = Field(description="Which resource to read")


class WebhookForm(StrEnum):
    """JSON forms of a change notification; the one Billwerk+ reads is not documented."""

    PASCAL = "pascal"
    """PascalCase names, type as a number, nulls written: what the vendor's sample sends."""
    CAMEL = "camel"
    """camelCase names, type by name, nulls left out: as the rest of the contract."""


def encode_webhook(
    notification: ChangeNotification, form: WebhookForm = WebhookForm.PASCAL
) -> bytes:
    """Return the JSON text of a change notification in UTF-8."""
    if form is WebhookForm.CAMEL:
        return json_codec.encode(notification)
    return json_codec.dump(
        {
            "TransactionId": notification.transaction_id,
            "AgreementId": notification.agreement_id,
            "Type": notification.type.value,
        }
    )
