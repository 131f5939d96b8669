"""Mapping of the PSP's codes to the contract's codes."""

import re

from integrator.contract.enums import PaymentChargebackReason as Reason
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.toolkit.code_table import build_code_table

_CODES = build_code_table(
    {
        Code.BearerExpired: "card_expired",
        Code.BearerInvalid: "card_not_supported",
        Code.InsufficientBalance: "insufficient_funds",
        Code.InvalidAmount: "amount_too_large",
        Code.InvalidCurrency: "currency_mismatch",
        Code.InvalidIBAN: "invalid_iban",
        Code.InvalidPreconditions: "invalid_state",
        Code.Rejected: "authentication_failed card_declined debit_failed processing_failed",
    }
)
# SEPA R-transaction codes (ISO 20022).
_REASONS = build_code_table(
    {
        Reason.BearerInvalid: "AC01 AC04 AC06 AC13 AG01 MD07",
        Reason.InsufficientBalance: "AM04",
        Reason.Canceled: "MD01 MS02",
        Reason.UserInitiated: "MD06",
        Reason.Rejected: "MS03 SL01",
    }
)
# Dispute codes of the card schemes for fraud and consumer disputes.
_DISPUTE = re.compile(r"1[03]\.[0-9]{1,2}")


def error_code(psp_code: str, *, default: Code) -> Code:
    """Map an error or failure code; `default` for an unknown one."""
    return _CODES.get(psp_code, default)


def chargeback_reason(psp_code: str | None) -> Reason:
    """Map the reason code of a chargeback."""
    if psp_code is not None and _DISPUTE.fullmatch(psp_code):
        return Reason.UserInitiated
    return _REASONS.get(psp_code or "", Reason.Unknown)
