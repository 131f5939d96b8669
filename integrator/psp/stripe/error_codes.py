"""Mapping of Stripe's codes to the contract's codes.

https://docs.stripe.com/declines/codes, https://docs.stripe.com/error-codes and, for disputes,
https://docs.stripe.com/disputes/categories.
"""

from integrator.contract.enums import PaymentChargebackReason as Reason
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.stripe.wire import ErrorDetail
from integrator.psp.toolkit.code_table import build_code_table

_CODES = build_code_table(
    {
        Code.InsufficientBalance: "insufficient_funds",
        Code.LimitExceeded: "card_velocity_exceeded withdrawal_count_limit_exceeded "
        "charge_exceeds_transaction_limit charge_exceeds_weekly_limit",
        Code.BearerExpired: "expired_card invalid_expiry_month invalid_expiry_year",
        Code.BearerInvalid: "lost_card stolen_card pickup_card restricted_card invalid_account "
        "new_account_information_available incorrect_number invalid_number card_not_supported "
        "revocation_of_authorization revocation_of_all_authorizations stop_payment_order "
        "account_closed bank_account_restricted bank_ownership_changed debit_not_authorized "
        "invalid_account_number_length no_account recipient_deceased "
        "payment_intent_mandate_invalid payment_method_not_available "
        "payment_method_customer_decline payment_method_unexpected_state lost_or_stolen_card "
        "expired_or_canceled_card payment_intent_incompatible_payment_method resource_missing",
        Code.Rejected: "authentication_required approve_with_id call_issuer card_declined "
        "do_not_honor do_not_try_again fraudulent generic_decline issuer_not_available "
        "merchant_blacklist no_action_taken not_permitted offline_pin_required pin_try_exceeded "
        "processing_error reenter_transaction security_violation service_not_allowed "
        "transaction_not_allowed try_again_later payment_intent_authentication_failure "
        "generic_could_not_process refer_to_customer declined payment_method_provider_decline",
        Code.InvalidAmount: "amount_too_large amount_too_small invalid_amount "
        "invalid_charge_amount charge_already_refunded",
        Code.InvalidCurrency: "currency_not_supported",
        Code.InvalidCountry: "country_unsupported country_code_invalid",
        Code.InvalidIBAN: "invalid_bank_account_iban invalid_iban account_number_invalid",
        Code.InvalidPreconditions: "payment_intent_unexpected_state charge_already_captured "
        "charge_expired_for_capture charge_disputed charge_not_refundable "
        "capture_unauthorized_payment balance_insufficient setup_intent_unexpected_state "
        "charge_for_pending_refund_disputed",
        Code.InvalidConfiguration: "payment_method_unactivated livemode_mismatch "
        "testmode_charges_only account_invalid platform_api_key_expired secret_key_required "
        "more_permissions_required",
    }
)
_PARAMETERS = {
    "amount": Code.InvalidAmount,
    "amount_to_capture": Code.InvalidAmount,
    "currency": Code.InvalidCurrency,
    "payment_method_data[sepa_debit][iban]": Code.InvalidIBAN,
}
_REASONS = build_code_table(
    {
        Reason.Rejected: "bank_cannot_process check_returned",
        Reason.Canceled: "debit_not_authorized",
        Reason.BearerInvalid: "incorrect_account_details",
        Reason.InsufficientBalance: "insufficient_funds",
        Reason.Unknown: "general",
    }
)


def error_code(error: ErrorDetail) -> Code:
    """Map the error of a refusal or a failed attempt.

    The issuer's own reason is the most precise. An unknown reason is a rejection for a card error,
    and invalid data otherwise.
    """
    for psp_code in (error.decline_code, error.code):
        if psp_code in _CODES:
            return _CODES[psp_code]
    if error.type == "card_error":
        return Code.Rejected
    return _PARAMETERS.get(error.param or "", Code.InvalidData)


def failure_code(psp_code: str | None) -> Code:
    """Map the code of a failed attempt."""
    return _CODES.get(psp_code or "", Code.Rejected)


def chargeback_reason(psp_code: str | None) -> Reason:
    """Map the reason of a dispute; an unlisted one is a request of the customer."""
    return _REASONS.get(psp_code, Reason.UserInitiated) if psp_code else Reason.Unknown
