"""Helpers shared by the adapters; independent of any one PSP.

`docs/writing-an-adapter.md` lists the modules.
"""
