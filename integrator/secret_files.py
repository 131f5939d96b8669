"""Files named in settings: read and checked at the start, while there is somebody to tell."""

import ssl
from pathlib import Path
from typing import NoReturn


def read_secret(file: Path, variable: str) -> str:
    """The text of a file that holds one secret, without white space around it.

    Raises `ValueError`, which names `variable` and never shows the content.
    """
    try:
        secret = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read the file of {variable} ({_reason(error)})") from None
    if not secret:
        raise ValueError(f"the file of {variable} is empty")
    return secret


def read_pem(file: Path, variable: str) -> bytes:
    """The bytes of a certificate or key; raises `ValueError`, which names `variable`."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read the file of {variable} ({_reason(error)})") from None


def check_authorities(file: Path, variable: str) -> None:
    """Raises `ValueError` unless the file holds certificates in PEM."""
    read_pem(file, variable)
    try:
        ssl.create_default_context(cafile=str(file))
    except ssl.SSLError as error:
        raise ValueError(f"{variable} holds no certificate in PEM ({_reason(error)})") from None


def check_pair(cert_file: Path, key_file: Path, cert_variable: str, key_variable: str) -> None:
    """Raises `ValueError` unless key and certificate (both PEM) belong together."""
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
    """Asked for only when the key has one; without this, OpenSSL would ask the terminal."""
    raise ValueError("the key is protected by a password")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "not PEM"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
