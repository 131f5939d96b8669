"""Exceptions by which a check ends without passing."""


class NotApplicable(Exception):
    """The check does not apply to this adapter or harness; the text gives the reason."""


class Violation(AssertionError):
    """The adapter breaks a rule of the port; the text names the rule and the actual behavior."""
