"""Mapping of GoCardless' schemes, error codes and causes to the contract's.

Causes are mapped instead of `reason_code`, which differs between banks. Causes that are not listed
were found in no official source and get the caller's default.
"""

from collections.abc import Sequence

from integrator.contract.enums import PaymentChargebackReason as Reason
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.toolkit.code_table import build_code_table

SCHEMES = {
    Role.Debit: "sepa_core",
    Role.Autogiro: "autogiro",
    Role.Betalingsservice: "betalingsservice",
}
CREDITOR_SCHEMES = {role: {name, name.removesuffix("_core")} for role, name in SCHEMES.items()}
CURRENCIES = {Role.Debit: "EUR", Role.Autogiro: "SEK", Role.Betalingsservice: "DKK"}
REFERENCE_SIZES = {Role.Debit: 140, Role.Autogiro: 11, Role.Betalingsservice: 30}
# Languages of e-mails and pages; others are refused.
LANGUAGES = frozenset({"da", "de", "en", "es", "fr", "it", "nb", "nl", "pt", "sl", "sv"})

# docs/psp-gocardless.md names the source of each row.
_REASONS = build_code_table(
    {
        Code.InsufficientBalance: "available_refund_amount_insufficient",
        Code.BearerInvalid: "bank_account_disabled bank_account_not_found customer_data_removed "
        "mandate_is_inactive mandate_replaced",
        # "forbidden" is not PermissionDenied, which would switch the PSP off for every customer.
        Code.InvalidConfiguration: "feature_disabled forbidden insufficient_permissions",
    }
)
_FIELDS = build_code_table(
    {
        Code.BearerInvalid: "account_holder_name mandate",
        Code.InvalidAmount: "amount",
        Code.InvalidCountry: "country_code",
        Code.InvalidCurrency: "currency",
        Code.InvalidIBAN: "account_number bank_code branch_code iban",
        Code.InvalidNationalIdNumber: "danish_identity_number swedish_identity_number",
    }
)
_TYPES = {"invalid_state": Code.InvalidPreconditions, "validation_failed": Code.InvalidData}
_FAILURES = build_code_table(
    {
        Code.BearerExpired: "mandate_expired",
        Code.BearerInvalid: "bank_account_closed bank_account_disabled bank_account_transferred "
        "direct_debit_not_enabled invalid_bank_details mandate_cancelled "
        "mandate_suspended_by_payer",
        Code.InsufficientBalance: "insufficient_funds",
    }
)
_CHARGEBACKS = build_code_table(
    {
        Reason.BearerInvalid: "bank_account_closed bank_account_transferred "
        "direct_debit_not_enabled invalid_bank_details",
        Reason.Canceled: "mandate_cancelled mandate_expired",
        Reason.InsufficientBalance: "insufficient_funds",
        Reason.Rejected: "refer_to_payer",
        Reason.UserInitiated: "authorisation_disputed refund_requested",
    }
)


def refusal_code(problems: Sequence[tuple[str | None, str]], error_type: str) -> Code:
    """Map the reasons and fields of a refused request; the first with a meaning decides.

    `InternalError` for a malformed request.
    """
    codes = (_REASONS.get(reason or "") or _FIELDS.get(field) for reason, field in problems)
    return next(filter(None, codes), None) or _TYPES.get(error_type, Code.InternalError)


def failure_code(cause: str | None, *, default: Code = Code.Rejected) -> Code:
    """Map the cause of a failed payment."""
    return _FAILURES.get(cause or "", default)


def chargeback_reason(cause: str | None) -> Reason:
    """Map the cause of a chargeback."""
    return _CHARGEBACKS.get(cause or "", Reason.Unknown)
