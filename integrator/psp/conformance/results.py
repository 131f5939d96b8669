"""How a check ends that does not pass."""


class NotApplicable(Exception):
    """The check does not apply to this adapter or bench; the text says why."""


class Violation(AssertionError):
    """The adapter breaks a rule of the port; the text says which and how."""
