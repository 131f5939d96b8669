"""What an operator is told when something cannot be done."""


class OperatorError(Exception):
    """A reason the operator can act on; the message is complete and shows no secret."""


def describe_error(error: Exception) -> str | None:
    """What to tell an operator of an error; None for one that is a mistake of ours."""
    if isinstance(error, OperatorError):
        return str(error)
    # Imported only now: a command that succeeds has no use for them.
    from pydantic import ValidationError
    from sqlalchemy.exc import SQLAlchemyError

    from integrator.crypto.keys import DecryptionError, KeyConfigurationError
    from integrator.store.errors import StoreUnavailable

    if isinstance(error, ValidationError):
        return "\n".join(configuration_problems(error)) if error.title == "Settings" else None
    if isinstance(error, KeyConfigurationError):
        return str(error)
    if isinstance(error, DecryptionError):
        return f"{error}. Are these the encryption keys that the database was written with?"
    if isinstance(error, StoreUnavailable):
        return f"The database does not answer ({error}). Has `integrator migrate` been run?"
    if isinstance(error, SQLAlchemyError | OSError):
        # Without the statement, its parameters or the address, which may hold secrets.
        cause = getattr(error, "orig", None) or error
        return f"It did not work: {type(cause).__name__}: {cause}"
    return None


def configuration_problems(error: Exception) -> list[str]:
    """One line for each setting that is not valid, without the value given."""
    from pydantic import ValidationError

    from integrator.settings import PREFIX

    if not isinstance(error, ValidationError):
        raise TypeError(type(error).__name__)
    return [
        "".join(f"{PREFIX}{part}".upper() + ": " for part in problem["loc"][:1]) + problem["msg"]
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]
