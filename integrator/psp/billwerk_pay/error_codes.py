"""Mapping of the PSP's codes to the contract's (its §11.1), and of languages to locales."""

from integrator.contract.enums import PaymentChargebackReason as Reason
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.toolkit.code_table import build_code_table

# docs/psp-billwerk-pay.md names the source of each row.
_CODES = build_code_table(
    {
        # 7 is a missing permission, not a wrong key: PermissionDenied would switch the PSP off.
        Code.InvalidConfiguration: "7 20 21 62 138 acquirer_configuration_error",
        Code.InvalidData: "1 11 18 31 54 70 99 107 112",
        Code.InternalProviderError: "43 144",
        Code.InvalidAmount: "24 65 100 102 120 130 132 145 146 refund_amount_too_high "
        "authorization_amount_exceeded",
        Code.InvalidCurrency: "72 139",
        Code.InsufficientBalance: "insufficient_funds",
        Code.Rejected: "77 declined_by_acquirer acquirer_rejected_error "
        "acquirer_communication_error acquirer_error acquirer_integration_error sca_required "
        "settle_blocked",
        Code.BearerExpired: "credit_card_expired",
        # The card or its customer is missing, deleted, not active or not reusable; 147: the
        # scheme forbids further use.
        Code.BearerInvalid: "9 19 34 35 40 42 71 76 110 140 147 credit_card_lost_or_stolen "
        "credit_card_suspected_fraud fraud_block acquirer_authentication_error emv_token_deleted "
        "emv_token_suspended",
        # The state of the object, or its payment method, does not allow the operation.
        Code.InvalidPreconditions: "29 30 64 79 81 82 105 106 109 128 129 131 141 "
        "authorization_expired",
        Code.Canceled: "authorization_voided risk_filter_block",
    }
)
_REASONS = {
    "insufficient_funds": Reason.InsufficientBalance,
    "other": Reason.Unknown,
}
_LOCALES = {
    locale[:2]: locale
    for locale in (
        *("en_US", "da_DK", "sv_SE", "no_NO", "nb_NO", "fi_FI", "is_IS", "de_DE"),
        *("es_ES", "fr_FR", "it_IT", "nl_NL", "pl_PL", "hu_HU", "ro_RO"),
    )
}


def error_code(psp_code: str | None) -> Code:
    """Map the number of an API error or the code of a transaction error."""
    return _CODES.get(psp_code or "", Code.UnmappedError)


def chargeback_reason(psp_reason: str | None) -> Reason:
    """Map the reason of a dispute; unlisted reasons are complaints by the payer."""
    return _REASONS.get(psp_reason, Reason.UserInitiated) if psp_reason else Reason.Unknown


def locale(language: str | None) -> str:
    """Return the locale of the hosted page; English for an unsupported language."""
    return _LOCALES.get((language or "").lower(), "en_US")
