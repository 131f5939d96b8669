"""Bank accounts: which IBANs are real, and which of them misbehave."""

from stdnum import iban as iban_rules
from stdnum.exceptions import ValidationError

from devtools.sandbox_psp.errors import invalid
from devtools.sandbox_psp.magic_amounts import INSUFFICIENT_FUNDS, Plan

FAILS_AT_SETTLEMENT = "DE62370400440532013001"
IS_CHARGED_BACK = "DE35370400440532013002"


def checked(iban: str) -> str:
    """The IBAN in its compact form; PspError 422 if it is none."""
    try:
        compact: str = iban_rules.validate(iban)
    except ValidationError as error:
        raise invalid("invalid_iban", "This is not a valid IBAN.", status=422) from error
    return compact


def plan(iban: str) -> Plan:
    """What a debit from this account comes to: pending at first, always."""
    if iban == FAILS_AT_SETTLEMENT:
        return Plan("pending", INSUFFICIENT_FUNDS)
    return Plan("pending", charged_back=iban == IS_CHARGED_BACK)
