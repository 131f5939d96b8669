"""What an operator can configure, and nothing else that reads the environment."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "INTEGRATOR_"

Port = Annotated[int, Field(ge=1, le=65_535)]
Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """The settings of one process, from environment variables with the prefix `INTEGRATOR_`.

    Raises `pydantic.ValidationError`, which never shows the values given.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    profile: Literal["development", "production"] = Field(
        "development",
        description="`production` refuses to start without encryption keys, and the API without "
        "HTTPS; `development` makes a key of its own in the data folder",
    )
    data_dir: Path = Field(
        Path(".data"), description="Folder of everything a local run keeps: databases, keys, logs"
    )
    database_url: SecretStr | None = Field(
        None,
        description="Database, such as `postgresql://user:password@host/name`; "
        "when not set, the SQLite file `integrator.db` in the data folder",
    )
    bind: str = Field("127.0.0.1", description="Address the servers listen on")
    api_port: Port = Field(8080, description="Port of the API")
    temporal_port: Port = Field(7233, description="Port of the local Temporal server")
    temporal_ui_port: Port = Field(8233, description="Port of the local Temporal Web UI")
    sandbox_port: Port = Field(8090, description="Port of the sandbox PSP")
    codec_port: Port = Field(
        8081,
        description="Port of the codec server, which decrypts payloads for the Temporal Web UI",
    )
    demo_psp: str = Field(
        "sandbox",
        description="PSP of the merchant `demo` of a local run; the sandbox PSP plays it",
    )
    codec_token: SecretStr | None = Field(
        None,
        description="Token with which operators let the codec server decrypt; "
        "a local run makes one of its own",
    )
    temporal_address: str | None = Field(
        None,
        description="Temporal server to use, `host:port`; when not set, the local one",
    )
    temporal_namespace: str = Field("default", description="Temporal namespace")
    temporal_bin: Path | None = Field(
        None,
        description="The `temporal` program of a local run; "
        "when not set, the one of the package `temporal-bin`",
    )
    temporal_ui: str | None = Field(
        None,
        description="Web UI of the Temporal server at `INTEGRATOR_TEMPORAL_ADDRESS`, for links",
    )
    task_queue: str = Field("integrator", description="Temporal task queue of the worker")
    keys: SecretStr | None = Field(
        None,
        description="Encryption keys, `id:base64` of 32 bytes each, separated by commas; the first "
        "one encrypts, all of them decrypt",
    )
    keys_file: Path | None = Field(
        None, description="File with the encryption keys, instead of the keys themselves"
    )
    tls_cert_file: Path | None = Field(
        None,
        description="Certificate chain (PEM) with which the API serves HTTPS itself; "
        "read again on SIGHUP",
    )
    tls_key_file: Path | None = Field(
        None, description="Private key (PEM, without a password) of that certificate"
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses or networks of the proxies in front of the API, separated by "
        "commas; `X-Forwarded-For` and `X-Forwarded-Proto` are believed from them alone",
    )
    rate_limit_per_token: str = Field(
        "3000/10 seconds",
        description="Requests that one token or OAuth client may make of one API process",
    )
    rate_limit_per_notification_route: str = Field(
        "3000/10 seconds",
        description="Notifications that one API process takes for one merchant account",
    )
    rate_limit_unauthenticated: str = Field(
        "300/minute",
        description="Requests without a valid token or signature that one client address "
        "may make of one API process",
    )
    sync_budget_seconds: Seconds = Field(
        10.0, description="How long a call may wait for the PSP before it answers `Pending`"
    )
    query_timeout_seconds: Seconds = Field(
        1.0, description="How long a GET waits for a workflow before the database answers"
    )
    webhook_form: Literal["pascal", "camel"] = Field(
        "pascal", description="Spelling of the property names in change webhooks"
    )
    webhook_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Hosts that change webhooks may be sent to, separated by commas; "
        "when not set, any host",
    )
    outbound_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Networks such as `10.1.0.0/16` that PSPs and webhook targets may be in, "
        "separated by commas, besides public addresses; `development` adds loopback",
    )
    reconcile_every_seconds: Seconds = Field(
        300.0, description="Pause between two comparisons of a merchant's books with its PSP's"
    )
    public_url: str | None = Field(
        None,
        description="Address of the API as PSPs and customers' browsers reach it; "
        "when not set, `http(s)://127.0.0.1:<API port>`",
    )

    @field_validator("webhook_allowed_hosts", "outbound_networks", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip().lower() for part in value.split(",") if part.strip())

    @field_validator("outbound_networks", "trusted_proxies")
    @classmethod
    def _check_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            ip_network(network)
        return networks

    @field_validator(
        "rate_limit_per_token", "rate_limit_per_notification_route", "rate_limit_unauthenticated"
    )
    @classmethod
    def _check_rate(cls, rate: str) -> str:
        # Only where a rate is set: commands start without it.
        from limits import parse as parse_rate

        if parse_rate(rate).amount < 1:
            raise ValueError("a rate allows at least one request, as `300/minute` does")
        return rate

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError(f"set both {PREFIX}TLS_CERT_FILE and {PREFIX}TLS_KEY_FILE, or none")
        return self

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if self.keys is not None and self.keys_file is not None:
            raise ValueError(f"set {PREFIX}KEYS or {PREFIX}KEYS_FILE, not both")
        if self.profile == "production" and self.keys is None and self.keys_file is None:
            raise ValueError(
                f"the production profile needs encryption keys: set {PREFIX}KEYS or "
                f"{PREFIX}KEYS_FILE"
            )
        return self

    @property
    def resolved_database_url(self) -> str:
        """The URL for SQLAlchemy's async engine, password included: never log it."""
        if self.database_url is None:
            return f"sqlite+aiosqlite:///{self.data_dir.absolute() / 'integrator.db'}"
        url = self.database_url.get_secret_value()
        scheme, separator, rest = url.partition("://")
        return f"{_DRIVERS.get(scheme, scheme)}{separator}{rest}"

    @property
    def resolved_temporal_address(self) -> str:
        """`host:port` of the Temporal server."""
        return self.temporal_address or f"127.0.0.1:{self.temporal_port}"

    @property
    def reconcile_queue(self) -> str:
        """A task queue of its own, so that reconciliation takes nobody's place in the main one."""
        return f"{self.task_queue}-reconcile"

    @property
    def resolved_public_url(self) -> str:
        """The API's address from outside, without a slash at its end."""
        scheme = "http" if self.tls_cert_file is None else "https"
        return (self.public_url or f"{scheme}://127.0.0.1:{self.api_port}").rstrip("/")


_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}


def configuration_table() -> str:
    """All settings as a Markdown table: variable, default and meaning."""
    rows = [
        f"| `{PREFIX}{name.upper()}` | {_default(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| Variable | Default | Meaning |", "|---|---|---|", *rows]) + "\n"


def _default(field: FieldInfo) -> str:
    value = field.default
    return "not set" if value is None or value == () else f"`{value}`"
