"""Demo: one customer's transactions against a running stack, printed as a timeline."""
