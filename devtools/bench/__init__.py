"""How far the integrator is from bare Temporal, measured side by side: `make bench`."""
