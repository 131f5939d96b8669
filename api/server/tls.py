"""TLS certificate of an API that serves HTTPS itself."""

import logging
import ssl
from pathlib import Path
from typing import NoReturn

from cryptography import x509

from api import metrics
from api.server.https import ConfigurationError
from integrator.settings import Settings

log = logging.getLogger(__name__)


class Certificate:
    """A TLS context whose certificate can be replaced while connections are open."""

    def __init__(self, cert_file: Path, key_file: Path) -> None:
        """Load the certificate. Raises `ConfigurationError`."""
        self._files = (cert_file, key_file)
        self.context = self._load()

    def reload(self) -> None:
        """Reload the files for new connections; keep the old certificate if they are invalid."""
        try:
            self._load()  # into a separate context: half a change would break every connection
            self.context.load_cert_chain(*self._files, password=_no_password)
        except (ConfigurationError, OSError) as error:
            metrics.CERTIFICATE_FAILURES.inc()
            log.error("The certificate was not replaced: %s", error)
        else:
            log.info("The certificate was reloaded.")

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(*self._files, password=_no_password)
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            cert, key = self._files
            raise ConfigurationError(
                f"the certificate {cert} and the key {key} cannot be used ({error})"
            ) from error
        expires = x509.load_pem_x509_certificate(self._files[0].read_bytes()).not_valid_after_utc
        metrics.CERTIFICATE_EXPIRES.set(expires.timestamp())
        return context


def load_certificate(settings: Settings) -> Certificate | None:
    """Load the certificate if the API serves HTTPS itself. Raises `ConfigurationError`."""
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    return Certificate(settings.tls_cert_file, settings.tls_key_file)


def _no_password() -> NoReturn:
    """Refuse a protected key; without this, OpenSSL would ask for the password on the terminal."""
    raise ValueError("the key is protected by a password")
