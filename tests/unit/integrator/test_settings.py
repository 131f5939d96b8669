"""Settings from environment variables."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from integrator.settings import Settings, configuration_table

KEYS = SecretStr("k:not-shown")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"INTEGRATOR_{field.upper()}", raising=False)


def test_the_defaults_are_a_local_run() -> None:
    settings = Settings()
    database = Path(".data").absolute() / "integrator.db"
    assert settings.resolved_database_url == f"sqlite+aiosqlite:///{database}"
    assert settings.resolved_temporal_address == "127.0.0.1:7233"
    assert settings.resolved_public_url == "http://127.0.0.1:8080"


def test_ports_move_the_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEGRATOR_API_PORT", "9000")
    monkeypatch.setenv("INTEGRATOR_TEMPORAL_PORT", "9001")
    monkeypatch.setenv("INTEGRATOR_DATA_DIR", "/srv/data")
    settings = Settings()
    assert settings.resolved_public_url == "http://127.0.0.1:9000"
    assert settings.resolved_temporal_address == "127.0.0.1:9001"
    assert settings.resolved_database_url == "sqlite+aiosqlite:////srv/data/integrator.db"


@pytest.mark.parametrize(
    ("url", "resolved"),
    [
        ("postgresql://u:p%40@h/db?x=1", "postgresql+asyncpg://u:p%40@h/db?x=1"),
        ("postgres://h/db", "postgresql+asyncpg://h/db"),
        ("postgresql+asyncpg://h/db", "postgresql+asyncpg://h/db"),
        ("sqlite:////srv/x.db", "sqlite+aiosqlite:////srv/x.db"),
        ("sqlite+aiosqlite:////srv/x.db", "sqlite+aiosqlite:////srv/x.db"),
    ],
)
def test_database_urls_get_the_async_driver(url: str, resolved: str) -> None:
    assert Settings(database_url=SecretStr(url)).resolved_database_url == resolved


def test_explicit_addresses_override_the_defaults() -> None:
    settings = Settings(temporal_address="temporal:7233", public_url="https://pay.example/")
    assert settings.resolved_temporal_address == "temporal:7233"
    assert settings.resolved_public_url == "https://pay.example"


def test_hosts_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEGRATOR_WEBHOOK_ALLOWED_HOSTS", "Billwerk.com, hooks.example,")
    assert Settings().webhook_allowed_hosts == ("billwerk.com", "hooks.example")


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEGRATOR_DATABASE_URL", "")
    monkeypatch.setenv("INTEGRATOR_WEBHOOK_ALLOWED_HOSTS", "")
    assert Settings() == Settings(database_url=None, webhook_allowed_hosts=())


def test_production_needs_keys() -> None:
    with pytest.raises(ValidationError, match="INTEGRATOR_KEYS or INTEGRATOR_KEYS_FILE"):
        Settings(profile="production")
    assert Settings(profile="production", keys=KEYS).keys == KEYS


def test_two_sources_of_keys_are_rejected() -> None:
    with pytest.raises(ValidationError, match="not both") as caught:
        Settings(keys=KEYS, keys_file=Path("keys"))
    assert "not-shown" not in str(caught.value)


def test_no_representation_shows_a_password() -> None:
    settings = Settings(keys=KEYS, database_url=SecretStr("postgresql://u:hidden@h/db"))
    assert "not-shown" not in repr(settings)
    assert "hidden" not in repr(settings)


def test_invalid_values_are_rejected_without_showing_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEGRATOR_API_PORT", "80800")
    monkeypatch.setenv("INTEGRATOR_KEYS", "k:not-shown")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "api_port" in str(caught.value)
    assert "not-shown" not in str(caught.value)


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().api_port = 1  # type: ignore[misc]


def test_every_setting_is_in_the_table() -> None:
    lines = configuration_table().splitlines()
    assert len(lines) == 2 + len(Settings.model_fields)
    assert "| `INTEGRATOR_API_PORT` | `8080` | Port of the API |" in lines
    assert all(field.description for field in Settings.model_fields.values())
    assert not any("None" in line for line in lines)


@pytest.mark.parametrize("rate", ["many", "0/minute", "", "5 apples"])
def test_a_rate_has_a_number_and_a_time(rate: str) -> None:
    with pytest.raises(ValidationError, match="rate_limit_per_token"):
        Settings(rate_limit_per_token=rate)


def test_proxies_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEGRATOR_TRUSTED_PROXIES", "10.0.0.1, 10.1.0.0/16,")
    assert Settings().trusted_proxies == ("10.0.0.1", "10.1.0.0/16")


def test_with_a_certificate_the_address_is_https() -> None:
    settings = Settings(tls_cert_file=Path("c.pem"), tls_key_file=Path("k.pem"))
    assert settings.resolved_public_url == "https://127.0.0.1:8080"


class TestSecretsInFiles:
    def test_are_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, secret in (
            ("DATABASE_URL", "postgresql://u:p@h/db\n"),
            ("CODEC_TOKEN", " token\n"),
            ("TEMPORAL_API_KEY", "key"),
        ):
            (tmp_path / name).write_text(secret)
            monkeypatch.setenv(f"INTEGRATOR_{name}_FILE", str(tmp_path / name))
        monkeypatch.setenv("INTEGRATOR_TEMPORAL_ADDRESS", "temporal.example:7233")
        settings = Settings()
        assert settings.resolved_database_url == "postgresql+asyncpg://u:p@h/db"
        assert settings.resolved_codec_token == "token"
        assert settings.resolved_temporal_api_key == "key"
        assert "u:p" not in repr(settings)

    def test_unreadable_files_are_reported_at_the_start(self, tmp_path: Path) -> None:
        with pytest.raises(ValidationError, match=r"DATABASE_URL_FILE \(No such file"):
            Settings(database_url_file=tmp_path / "none")
        empty = tmp_path / "empty"
        empty.touch()
        with pytest.raises(ValidationError, match="INTEGRATOR_CODEC_TOKEN_FILE is empty"):
            Settings(codec_token_file=empty)

    def test_have_one_source(self, tmp_path: Path) -> None:
        file = tmp_path / "url"
        file.write_text("postgresql://u:not-shown@h/db")
        url = SecretStr("postgresql://h/db")
        with pytest.raises(ValidationError, match="not both") as caught:
            Settings(database_url=url, database_url_file=file)
        assert "not-shown" not in str(caught.value)
