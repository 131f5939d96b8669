"""The conformance kit: checks that every PSP adapter has to pass, run with `pytest --psp=<name>`.

Only the plugin needs pytest. `docs/writing-an-adapter.md` explains how to use the kit.
"""
