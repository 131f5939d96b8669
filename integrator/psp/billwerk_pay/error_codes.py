"""Mapping of the PSP's codes to the contract's (its §11.1), and of languages to locales."""

from integrator.contract.enums import PaymentChargebackReason as Reason
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.toolkit.code_table import build_code_table

_CODES = build_code_table(
    {
        # 7 is a missing permission, not a wrong key: PermissionDenied would switch the PSP off.
        Code.InvalidConfiguration: "7 20 21 62 acquirer_configuration_error",
        Code.InvalidData: "1 11 54",
        Code.InternalProviderError: "43 144",
        Code.InvalidAmount: "24 65 102 120 145 146 refund_amount_too_high "
        "authorization_amount_exceeded",
        Code.InvalidCurrency: "139",
        Code.InsufficientBalance: "insufficient_funds",
        Code.Rejected: "77 declined_by_acquirer acquirer_rejected_error "
        "acquirer_communication_error acquirer_error acquirer_integration_error sca_required "
        "settle_blocked",
        Code.BearerExpired: "credit_card_expired",
        # 19, 40, 42: card missing or not active; 147: the scheme forbids further use.
        Code.BearerInvalid: "19 40 42 147 credit_card_lost_or_stolen credit_card_suspected_fraud "
        "fraud_block acquirer_authentication_error emv_token_deleted emv_token_suspended",
        # The state of the object does not allow the operation.
        Code.InvalidPreconditions: "29 79 82 105 106 109 authorization_expired",
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
