"""Errors that abort the start of a development stack."""

from integrator.admin.errors import OperatorError


class DevStackError(OperatorError):
    """Error the developer can act on; the message is complete and contains no secret."""
