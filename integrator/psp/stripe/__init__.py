"""Adapter of Stripe: cards by hosted Checkout, SEPA direct debits by typed IBAN."""

from integrator.psp.stripe.adapter import StripeAdapter

__all__ = ["ADAPTER", "StripeAdapter"]

ADAPTER = StripeAdapter()
