"""Errors that end a development stack's start."""

from integrator.admin.errors import OperatorError


class DevStackError(OperatorError):
    """A reason the developer can act on; the message is complete and shows no secret."""
