"""What adapters share, each module for itself. Nothing here knows a PSP.

`docs/writing-an-adapter.md` has a table of it.
"""
