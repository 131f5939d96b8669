"""Fault campaign: run payments under injected faults, then check that three ledgers agree.

Runs outside the product: it starts a stack, simulates Billwerk+ and its customers, injects faults
into processes, connections and the PSP, and at the end compares the states recorded by Billwerk+,
the integrator and the PSP.
"""
