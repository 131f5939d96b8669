"""What an operator is told when a local run cannot go on."""

from operations.errors import OperatorError


class LocalError(OperatorError):
    """A reason the operator can act on; the message is complete and shows no secret."""
