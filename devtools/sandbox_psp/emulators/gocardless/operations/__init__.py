"""Run GoCardless' POSTs with the engine's operations."""
