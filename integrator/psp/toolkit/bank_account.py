"""Validation of bank accounts typed by a customer, without calling the PSP."""

from collections.abc import Mapping

from stdnum import iban as iban_rules
from stdnum.exceptions import ValidationError

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.errors import BearerRefused


def parse_bank_account(bearer: Mapping[str, str] | None) -> tuple[str, str]:
    """Return holder and compact IBAN. Raises `BearerRefused`.

    Checked are the IBAN's check digits, length and structure, not the national check digits in it:
    banks issue accounts without them, such as BE08 5100 0754 7063.
    """
    holder = (bearer or {}).get("Holder", "").strip()
    iban = (bearer or {}).get("IBAN", "").strip()
    if not holder or not iban:
        raise BearerRefused("A debit needs 'Holder' and 'IBAN'.", code=Code.BearerInvalid)
    try:
        return holder, iban_rules.validate(iban, check_country=False)
    except ValidationError:
        raise BearerRefused("The IBAN is not valid.", code=Code.InvalidIBAN) from None
