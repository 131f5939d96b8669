"""Settings of the sandbox PSP: address, data folder and delays."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings read from the environment; the aliases are the variables' names."""

    model_config = SettingsConfigDict(populate_by_name=True, extra="ignore")

    host: str = Field("127.0.0.1", validation_alias="INTEGRATOR_BIND")
    port: int = Field(8090, validation_alias="INTEGRATOR_SANDBOX_PORT")
    data_dir: Path = Field(Path(".data"), validation_alias="INTEGRATOR_DATA_DIR")
    settle_seconds: float = Field(2.0, ge=0, validation_alias="SANDBOX_SETTLE_SECONDS")
    session_seconds: float = Field(1800.0, gt=0, validation_alias="SANDBOX_SESSION_SECONDS")
    slow_seconds: float = Field(15.0, ge=0, validation_alias="SANDBOX_SLOW_SECONDS")
    key_seconds: float = Field(86400.0, gt=0, validation_alias="SANDBOX_KEY_SECONDS")
    webhook_ca_file: Path | None = Field(None, validation_alias="SANDBOX_WEBHOOK_CA_FILE")

    @property
    def database(self) -> Path:
        """Return the path of the SQLite file; its folder is created on start."""
        return self.data_dir / "sandbox_psp.db"
