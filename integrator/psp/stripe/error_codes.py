"""Mapping of Stripe's codes to the contract's codes."""

from integrator.contract.enums import PaymentChargebackReason as Reason
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.stripe.refusals import meaning_of_message, meaning_of_parameter
from integrator.psp.stripe.wire import ErrorDetail
from integrator.psp.toolkit.code_table import build_code_table

# https://docs.stripe.com/declines/codes: of the issuer, in `decline_code`.
_DECLINES = {
    Code.InsufficientBalance: "insufficient_funds",
    Code.LimitExceeded: "card_velocity_exceeded withdrawal_count_limit_exceeded",
    Code.BearerExpired: "expired_card invalid_expiry_month invalid_expiry_year",
    Code.BearerInvalid: "lost_card stolen_card pickup_card restricted_card invalid_account "
    "new_account_information_available incorrect_number invalid_number card_not_supported "
    "revocation_of_authorization revocation_of_all_authorizations stop_payment_order "
    "incorrect_cvc invalid_cvc incorrect_zip incorrect_address incorrect_pin invalid_pin "
    "testmode_decline",
    Code.Rejected: "authentication_required approve_with_id call_issuer do_not_honor "
    "do_not_try_again duplicate_transaction fraudulent generic_decline issuer_not_available "
    "merchant_blacklist no_action_taken not_permitted offline_pin_required "
    "online_or_offline_pin_required pin_try_exceeded processing_error reenter_transaction "
    "security_violation service_not_allowed transaction_not_allowed try_again_later",
    Code.InvalidAmount: "invalid_amount",
    Code.InvalidCurrency: "currency_not_supported",
    Code.InvalidConfiguration: "live_mode_test_card test_mode_live_card",
}
# https://docs.stripe.com/error-codes: of Stripe, in `code`.
_ERRORS = {
    Code.LimitExceeded: "charge_exceeds_transaction_limit charge_exceeds_weekly_limit "
    "charge_exceeds_source_limit card_decline_rate_limit_exceeded",
    Code.BearerExpired: "expired_payment_method",
    Code.BearerInvalid: "account_closed bank_account_restricted bank_account_unusable "
    "bank_account_declined bank_account_unverified bank_account_verification_failed "
    "payment_method_bank_account_blocked payment_method_restricted sepa_unsupported_account "
    "debit_not_authorized no_account payment_intent_mandate_invalid setup_intent_mandate_invalid "
    "billing_invalid_mandate india_recurring_payment_mandate_canceled "
    "payment_method_not_available payment_method_customer_decline "
    "payment_method_unexpected_state payment_intent_incompatible_payment_method "
    "incorrect_postal_code invalid_card_type invalid_source_usage missing token_already_used "
    "resource_missing",
    Code.Rejected: "card_declined payment_intent_authentication_failure "
    "payment_intent_action_required payment_intent_payment_attempt_failed "
    "payment_intent_payment_attempt_expired setup_attempt_failed "
    "setup_intent_authentication_failure setup_intent_setup_attempt_expired refer_to_customer "
    "authentication_failure payment_method_provider_decline payment_method_provider_timeout "
    "three_d_secure_authentication_not_supported three_d_secure_authentication_upstream_error "
    "action_blocked approval_required request_blocked",
    Code.InvalidAmount: "amount_too_large amount_too_small invalid_charge_amount "
    "charge_already_refunded",
    Code.InvalidCurrency: "payment_method_currency_mismatch",
    Code.InvalidCountry: "country_unsupported country_code_invalid",
    Code.InvalidIBAN: "invalid_bank_account_iban account_number_invalid",
    Code.InvalidPreconditions: "payment_intent_unexpected_state charge_already_captured "
    "charge_expired_for_capture charge_disputed charge_not_refundable "
    "capture_unauthorized_payment capture_charge_authorization_expired balance_insufficient "
    "setup_intent_unexpected_state intent_invalid_state status_transition_invalid "
    "refund_disputed_payment charge_for_pending_refund_disputed",
    Code.InvalidConfiguration: "payment_method_unactivated payment_method_unsupported_type "
    "payment_method_configuration_failures livemode_mismatch testmode_charges_only "
    "account_invalid api_key_expired platform_api_key_expired secret_key_required "
    "capability_not_active more_permissions_required",
}
# https://docs.stripe.com/api/charges/object#charge_object-failure_code and .../refunds/object
# #refund_object-failure_reason: of banks, after the payment or refund was accepted.
_FAILURES = {
    Code.BearerInvalid: "bank_ownership_changed invalid_account_number_length recipient_deceased "
    "lost_or_stolen_card expired_or_canceled_card",
    Code.Rejected: "generic_could_not_process declined",
}
# Not documented: https://github.com/stripe/openapi/issues/144
_REPORTED = {Code.BearerInvalid: "invalid_owner_name", Code.InvalidIBAN: "invalid_iban"}
_CODES = {
    psp_code: code
    for table in (_FAILURES, _REPORTED, _ERRORS, _DECLINES)
    for psp_code, code in build_code_table(table).items()
}
# https://docs.stripe.com/disputes/categories
_REASONS = build_code_table(
    {
        Reason.Rejected: "bank_cannot_process check_returned",
        Reason.Canceled: "debit_not_authorized",
        Reason.BearerInvalid: "incorrect_account_details",
        Reason.InsufficientBalance: "insufficient_funds",
        Reason.Unknown: "general",
    }
)


def error_code(error: ErrorDetail, otherwise: Code = Code.Rejected) -> Code:
    """Map the error of a refusal or a failed attempt.

    The issuer's own reason is the most precise. A code that is missing, new or general is explained
    by the parameter or the message. An unknown reason is a rejection for a card error, and
    `otherwise` for any other.
    """
    for psp_code in (error.decline_code, error.code):
        if psp_code in _CODES:
            return _CODES[psp_code]
    meaning = meaning_of_parameter(error.param) or meaning_of_message(error.message)
    if meaning is not None:
        return meaning
    return Code.Rejected if error.type == "card_error" else otherwise


def failure_code(psp_code: str | None) -> Code:
    """Map the code of a failed attempt."""
    return _CODES.get(psp_code or "", Code.Rejected)


def chargeback_reason(psp_code: str | None) -> Reason:
    """Map the reason of a dispute; an unlisted one is a request of the customer."""
    return _REASONS.get(psp_code, Reason.UserInitiated) if psp_code else Reason.Unknown
