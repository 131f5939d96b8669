"""Bank accounts: which IBANs are real, and which of them misbehave."""

from stdnum import iban as iban_rules
from stdnum.exceptions import ValidationError

from devtools.sandbox_psp.errors import invalid_request
from devtools.sandbox_psp.magic_amounts import INSUFFICIENT_FUNDS, Outcome

FAILING_IBAN = "DE62370400440532013001"
CHARGED_BACK_IBAN = "DE35370400440532013002"


def normalize_iban(iban: str) -> str:
    """The IBAN in its compact form; PspError 422 if it is none."""
    try:
        compact: str = iban_rules.validate(iban)
    except ValidationError as error:
        raise invalid_request("invalid_iban", "This is not a valid IBAN.", status=422) from error
    return compact


def outcome_for(iban: str) -> Outcome:
    """What a debit from this account comes to: pending at first, always."""
    if iban == FAILING_IBAN:
        return Outcome("pending", INSUFFICIENT_FUNDS)
    return Outcome("pending", charged_back=iban == CHARGED_BACK_IBAN)
