"""Errors shown to operators."""


class OperatorError(Exception):
    """An error the operator can act on; the message is complete and contains no secret."""


def describe_error(error: Exception) -> str | None:
    """Return an error's message for operators; None for a programming error."""
    if isinstance(error, OperatorError):
        return str(error)
    # Imported here: a command that succeeds does not need them.
    from pydantic import ValidationError
    from sqlalchemy.exc import SQLAlchemyError

    from integrator.crypto.keys import DecryptionError, KeyConfigurationError
    from integrator.store.errors import SchemaOutdated, StoreUnavailable

    if isinstance(error, ValidationError):
        return "\n".join(configuration_problems(error)) if error.title == "Settings" else None
    if isinstance(error, KeyConfigurationError | SchemaOutdated):
        return str(error)
    if isinstance(error, DecryptionError):
        return f"{error}. Configure the encryption keys that the database was written with."
    if isinstance(error, StoreUnavailable):
        return f"The database is unavailable ({error}). Start it, or run `integrator migrate`."
    if isinstance(error, SQLAlchemyError | OSError):
        # Without the statement, its parameters or the address, which may hold secrets.
        cause = getattr(error, "orig", None) or error
        return f"The command failed: {type(cause).__name__}: {cause}"
    return None


def configuration_problems(error: Exception) -> list[str]:
    """Return one line for each invalid setting, without its value."""
    from pydantic import ValidationError

    from integrator.settings import PREFIX

    if not isinstance(error, ValidationError):
        raise TypeError(type(error).__name__)
    return [
        "".join(f"{PREFIX}{part}".upper() + ": " for part in problem["loc"][:1]) + problem["msg"]
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]
