"""The settings and the keys that they lead to."""

from collections.abc import Iterator

from pydantic import ValidationError

from integrator.admin.errors import configuration_problems
from integrator.crypto.keys import KeyConfigurationError, KeyRing
from integrator.operations.checks.result import CheckResult, ok, problem, warning
from integrator.settings import PREFIX, Settings


def read() -> tuple[Settings | None, list[CheckResult]]:
    """The settings, None when they are not valid, and what is to be said of them."""
    try:
        settings = Settings()
    except ValidationError as error:
        advice = "Set it right in the environment; the README lists all settings."
        problems = configuration_problems(error)
        return None, [problem("configuration", text, advice) for text in problems]
    return settings, list(_of(settings))


def keys(settings: Settings) -> tuple[KeyRing | None, CheckResult]:
    """The key ring, None when it cannot be read."""
    try:
        ring = KeyRing.from_settings(settings)
    except (KeyConfigurationError, OSError) as error:
        advice = f"Set {PREFIX}KEYS or {PREFIX}KEYS_FILE; `integrator keys generate` makes a key."
        return None, problem("keys", f"the key ring cannot be read: {_named(error)}", advice)
    others = f", {len(ring.ids) - 1} more to decrypt" if len(ring.ids) > 1 else ""
    return ring, ok("keys", f"{ring.ids[0]} encrypts{others}")


def _of(settings: Settings) -> Iterator[CheckResult]:
    yield ok("configuration", f"all settings are valid; profile {settings.profile}")
    if settings.profile != "production":
        yield ok("profile", "development: plain HTTP and loopback addresses are let through")
        return
    if settings.tls_cert_file is None and not settings.trusted_proxies:
        yield problem(
            "profile",
            "production is served over HTTPS only; the API refuses to start",
            f"Set {PREFIX}TLS_CERT_FILE and {PREFIX}TLS_KEY_FILE, or {PREFIX}TRUSTED_PROXIES.",
        )
    if settings.database_url is None:
        yield warning(
            "profile",
            "the database is a SQLite file in the data folder",
            f"Set {PREFIX}DATABASE_URL to a PostgreSQL that is backed up.",
        )
    if settings.temporal_address is None:
        yield warning(
            "profile",
            "Temporal is looked for on this machine",
            f"Set {PREFIX}TEMPORAL_ADDRESS to a server that keeps its data elsewhere.",
        )
    if settings.public_url is None:
        yield warning(
            "profile",
            "PSPs and customers are sent to a loopback address",
            f"Set {PREFIX}PUBLIC_URL to the API's address from outside.",
        )


def _named(error: Exception) -> str:
    # An OSError's own words name the file, and nothing of what is in it.
    return str(error) if isinstance(error, KeyConfigurationError) else type(error).__name__
