"""Bank accounts: validation of IBANs, and test accounts whose debits fail."""

from stdnum import iban as iban_rules
from stdnum.exceptions import ValidationError

from devtools.sandbox_psp.errors import invalid_request
from devtools.sandbox_psp.magic_amounts import INSUFFICIENT_FUNDS, Outcome

FAILING_IBAN = "DE62370400440532013001"
CHARGED_BACK_IBAN = "DE35370400440532013002"


def normalize_iban(iban: str) -> str:
    """Return the IBAN in its compact form; PspError 422 if it is invalid.

    National check digits are not checked: banks issue accounts without them.
    """
    try:
        compact: str = iban_rules.validate(iban, check_country=False)
    except ValidationError as error:
        raise invalid_request("invalid_iban", "This is not a valid IBAN.", status=422) from error
    return compact


def outcome_for(iban: str) -> Outcome:
    """Return the outcome of a debit from this account: always pending at first."""
    if iban == FAILING_IBAN:
        return Outcome("pending", INSUFFICIENT_FUNDS)
    return Outcome("pending", charged_back=iban == CHARGED_BACK_IBAN)
