"""Adapter of Billwerk+ Pay (formerly Reepay, now Frisbii Pay)."""

from integrator.psp.billwerk_pay.adapter import BillwerkPayAdapter

__all__ = ["ADAPTER", "BillwerkPayAdapter"]

ADAPTER = BillwerkPayAdapter()
