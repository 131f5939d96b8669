"""The PSP's codes and sentences in the words of the contract."""

import re

from contract.enums import PaymentChargebackReason as Reason
from contract.enums import PaymentErrorCode as Code

_CODES = {
    "amount_too_large": Code.InvalidAmount,
    "authentication_failed": Code.Rejected,
    "card_declined": Code.Rejected,
    "card_expired": Code.BearerExpired,
    "card_not_supported": Code.BearerInvalid,
    "currency_mismatch": Code.InvalidCurrency,
    "debit_failed": Code.Rejected,
    "insufficient_funds": Code.InsufficientBalance,
    "invalid_iban": Code.InvalidIBAN,
    "invalid_state": Code.InvalidPreconditions,
    "processing_failed": Code.Rejected,
}
# SEPA R-transaction codes (ISO 20022) and the card schemes' fraud and consumer disputes.
_REASONS = {
    "AC01": Reason.BearerInvalid,
    "AC04": Reason.BearerInvalid,
    "AC06": Reason.BearerInvalid,
    "AC13": Reason.BearerInvalid,
    "AG01": Reason.BearerInvalid,
    "AM04": Reason.InsufficientBalance,
    "MD01": Reason.Canceled,
    "MD06": Reason.UserInitiated,
    "MD07": Reason.BearerInvalid,
    "MS02": Reason.Canceled,
    "MS03": Reason.Rejected,
    "SL01": Reason.Rejected,
}
_DISPUTE = re.compile(r"1[03]\.[0-9]{1,2}")


def error_code(psp_code: str, *, default: Code) -> Code:
    """What an error or failure code means; `default` for one this adapter has never heard of."""
    return _CODES.get(psp_code, default)


def chargeback_reason(psp_code: str | None) -> Reason:
    """Why a bank took money back."""
    if psp_code is not None and _DISPUTE.fullmatch(psp_code):
        return Reason.UserInitiated
    return _REASONS.get(psp_code or "", Reason.Unknown)
