"""The whole system on one machine: start, supervise, seed, and show what it does."""
