"""What an operator is told when a local run cannot go on."""


class LocalError(Exception):
    """A reason the operator can act on; the message is complete and shows no secret."""
