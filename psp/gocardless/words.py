"""GoCardless' schemes, codes and causes in the words of the contract.

Causes, not `reason_code`: that one is each bank's own. Those not listed here were found in no
official source; they stay what the caller's default says.
"""

from contract.enums import PaymentChargebackReason as Reason
from contract.enums import PaymentErrorCode as Code
from contract.enums import PublicPaymentProviderRole as Role

SCHEMES = {
    Role.Debit: "sepa_core",
    Role.Autogiro: "autogiro",
    Role.Betalingsservice: "betalingsservice",
}
CREDITOR_SCHEMES = {role: {name, name.removesuffix("_core")} for role, name in SCHEMES.items()}
CURRENCIES = {Role.Debit: "EUR", Role.Autogiro: "SEK", Role.Betalingsservice: "DKK"}
REFERENCE_SIZES = {Role.Debit: 140, Role.Autogiro: 11, Role.Betalingsservice: 30}
# For e-mails and pages; anything else is refused.
LANGUAGES = frozenset({"da", "de", "en", "es", "fr", "it", "nb", "nl", "pt", "sl", "sv"})

_REASONS = {
    "available_refund_amount_insufficient": Code.InsufficientBalance,
    "bank_account_disabled": Code.BearerInvalid,
    "bank_account_not_found": Code.BearerInvalid,
    "customer_data_removed": Code.BearerInvalid,
    "feature_disabled": Code.InvalidConfiguration,
    # Not PermissionDenied, which would switch the PSP off for every customer of the merchant.
    "forbidden": Code.InvalidConfiguration,
    "insufficient_permissions": Code.InvalidConfiguration,
    "mandate_is_inactive": Code.BearerInvalid,
    "mandate_replaced": Code.BearerInvalid,
}
_FIELDS = {
    "account_holder_name": Code.BearerInvalid,
    "account_number": Code.InvalidIBAN,
    "amount": Code.InvalidAmount,
    "bank_code": Code.InvalidIBAN,
    "branch_code": Code.InvalidIBAN,
    "country_code": Code.InvalidCountry,
    "currency": Code.InvalidCurrency,
    "danish_identity_number": Code.InvalidNationalIdNumber,
    "iban": Code.InvalidIBAN,
    "mandate": Code.BearerInvalid,
    "swedish_identity_number": Code.InvalidNationalIdNumber,
}
_TYPES = {"invalid_state": Code.InvalidPreconditions, "validation_failed": Code.InvalidData}
_FAILURES = {
    "bank_account_closed": Code.BearerInvalid,
    "bank_account_disabled": Code.BearerInvalid,
    "bank_account_transferred": Code.BearerInvalid,
    "direct_debit_not_enabled": Code.BearerInvalid,
    "insufficient_funds": Code.InsufficientBalance,
    "invalid_bank_details": Code.BearerInvalid,
    "mandate_cancelled": Code.BearerInvalid,
    "mandate_expired": Code.BearerExpired,
    "mandate_suspended_by_payer": Code.BearerInvalid,
}
_CHARGEBACKS = {
    "authorisation_disputed": Reason.UserInitiated,
    "bank_account_closed": Reason.BearerInvalid,
    "bank_account_transferred": Reason.BearerInvalid,
    "direct_debit_not_enabled": Reason.BearerInvalid,
    "insufficient_funds": Reason.InsufficientBalance,
    "invalid_bank_details": Reason.BearerInvalid,
    "mandate_cancelled": Reason.Canceled,
    "mandate_expired": Reason.Canceled,
    "refer_to_payer": Reason.Rejected,
    "refund_requested": Reason.UserInitiated,
}


def refusal_code(reason: str | None, field: str | None, kind: str) -> Code:
    """Why a request was refused; what is wrong with its form is a fault of this adapter."""
    named = _REASONS.get(reason or "") or _FIELDS.get(field or "")
    return named or _TYPES.get(kind, Code.InternalError)


def failure_code(cause: str | None, *, default: Code = Code.Rejected) -> Code:
    """Why a payment was not collected."""
    return _FAILURES.get(cause or "", default)


def chargeback_reason(cause: str | None) -> Reason:
    """Why a payer's bank took money back."""
    return _CHARGEBACKS.get(cause or "", Reason.Unknown)
