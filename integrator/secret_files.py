"""Secret and certificate files named in settings, checked at the start of a process."""

import ssl
from pathlib import Path
from typing import NoReturn


def read_secret(file: Path, variable: str) -> str:
    """Return the text of a file that holds one secret, without surrounding white space.

    Raises `ValueError`, which names `variable` and never contains the secret.
    """
    try:
        secret = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read the file of {variable} ({_reason(error)})") from None
    if not secret:
        raise ValueError(f"the file of {variable} is empty")
    return secret


def read_pem(file: Path, variable: str) -> bytes:
    """Return the bytes of a PEM file; raises `ValueError`, which names `variable`."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read the file of {variable} ({_reason(error)})") from None


def check_authorities(file: Path, variable: str) -> None:
    """Check that the file contains PEM certificates; raises `ValueError`."""
    read_pem(file, variable)
    try:
        ssl.create_default_context(cafile=str(file))
    except ssl.SSLError as error:
        raise ValueError(f"{variable} holds no certificate in PEM ({_reason(error)})") from None


def check_pair(cert_file: Path, key_file: Path, cert_variable: str, key_variable: str) -> None:
    """Check that key and certificate (both PEM) match; raises `ValueError`."""
    read_pem(cert_file, cert_variable)
    read_pem(key_file, key_variable)
    try:
        ssl.create_default_context().load_cert_chain(cert_file, key_file, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(
            f"the certificate of {cert_variable} cannot be used with the key of {key_variable} "
            f"({_reason(error)})"
        ) from None


def _no_password() -> NoReturn:
    """Raise for a key with a password; without this, OpenSSL would ask at the terminal."""
    raise ValueError("the key is protected by a password")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "not PEM"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
