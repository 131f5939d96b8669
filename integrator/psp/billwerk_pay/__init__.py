"""Adapter of Billwerk+ Pay, which was called Reepay and is now called Frisbii Pay."""

from integrator.psp.billwerk_pay.adapter import BillwerkPayAdapter

__all__ = ["ADAPTER", "BillwerkPayAdapter"]

ADAPTER = BillwerkPayAdapter()
