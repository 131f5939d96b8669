"""Benchmark: the integrator compared with a bare Temporal workflow (`make bench`)."""
