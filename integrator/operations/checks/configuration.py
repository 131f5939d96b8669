"""Checks of the settings and the key ring."""

from collections.abc import Iterator

from pydantic import ValidationError

from integrator.admin.errors import configuration_problems
from integrator.crypto.keys import KeyConfigurationError, KeyRing
from integrator.operations.checks.result import CheckResult, ok, problem, warning
from integrator.settings import PREFIX, Settings


def check_settings() -> tuple[Settings | None, list[CheckResult]]:
    """Return the settings, None if invalid, and the results about them."""
    try:
        settings = Settings()
    except ValidationError as error:
        advice = "Correct it in the environment; the README lists all settings."
        problems = configuration_problems(error)
        return None, [problem("configuration", text, advice) for text in problems]
    return settings, list(_check_profile(settings))


def check_keys(settings: Settings) -> tuple[KeyRing | None, CheckResult]:
    """Return the key ring, None if it cannot be read, and the result about it."""
    try:
        ring = KeyRing.from_settings(settings)
    except (KeyConfigurationError, OSError) as error:
        advice = f"Set {PREFIX}KEYS or {PREFIX}KEYS_FILE; `integrator keys generate` makes a key."
        return None, problem("keys", f"the key ring cannot be read: {_describe(error)}", advice)
    others = f", {len(ring.ids) - 1} more to decrypt" if len(ring.ids) > 1 else ""
    return ring, ok("keys", f"{ring.ids[0]} encrypts{others}")


def _check_profile(settings: Settings) -> Iterator[CheckResult]:
    yield ok("configuration", f"all settings are valid; profile {settings.profile}")
    if settings.profile != "production":
        yield ok("profile", "development: plain HTTP and loopback addresses are allowed")
        return
    if settings.tls_cert_file is None and not settings.trusted_proxies:
        yield problem(
            "profile",
            "production is served over HTTPS only; the API refuses to start",
            f"Set {PREFIX}TLS_CERT_FILE and {PREFIX}TLS_KEY_FILE, or {PREFIX}TRUSTED_PROXIES.",
        )
    if settings.resolved_database_url.startswith("sqlite"):
        yield warning(
            "profile",
            "the database is a SQLite file in the data folder",
            f"Set {PREFIX}DATABASE_URL or {PREFIX}DATABASE_URL_FILE to a PostgreSQL that is "
            "backed up.",
        )
    if settings.temporal_address is None:
        yield warning(
            "profile",
            "Temporal is expected on this machine",
            f"Set {PREFIX}TEMPORAL_ADDRESS to a server that keeps its data elsewhere.",
        )
    if settings.public_url is None:
        yield warning(
            "profile",
            "PSPs and customers are sent to a loopback address",
            f"Set {PREFIX}PUBLIC_URL to the API's address from outside.",
        )


def _describe(error: Exception) -> str:
    # Only the type: an OSError's message names the key file.
    return str(error) if isinstance(error, KeyConfigurationError) else type(error).__name__
