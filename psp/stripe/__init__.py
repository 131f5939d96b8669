"""Adapter of Stripe: cards by hosted Checkout, SEPA direct debits by typed IBAN."""

from psp.stripe.adapter import StripeAdapter

__all__ = ["ADAPTER", "StripeAdapter"]

ADAPTER = StripeAdapter()
