"""Settings from environment variables; no other module reads the environment."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from integrator import secret_files

PREFIX = "INTEGRATOR_"

Port = Annotated[int, Field(ge=1, le=65_535)]
PortOrNone = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """Settings of one process, from environment variables with the prefix `INTEGRATOR_`.

    Raises `pydantic.ValidationError`, which never contains the values.
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
        "HTTPS; `development` creates its own key in the data folder",
    )
    data_dir: Path = Field(
        Path(".data"), description="Folder for the data of a local run: databases, keys, logs"
    )
    database_url: SecretStr | None = Field(
        None,
        description="Database, such as `postgresql://user:password@host/name`; "
        "when not set, the SQLite file `integrator.db` in the data folder",
    )
    database_url_file: Path | None = Field(
        None, description="File with the database URL, instead of the URL itself"
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
    metrics_bind: str = Field(
        "127.0.0.1",
        description="Address on which each process serves its metrics; must be reachable for a "
        "Prometheus server on another machine",
    )
    metrics_port: PortOrNone = Field(
        9464,
        description="Port of the metrics of the API and of the codec server, at `/metrics`; "
        "`0` serves none",
    )
    worker_metrics_port: PortOrNone = Field(
        9465,
        description="Port of the worker's metrics, at `/metrics`, and of its health, at `/healthz` "
        "and `/readyz`; `0` serves neither",
    )
    otlp_endpoint: str | None = Field(
        None,
        description="OpenTelemetry collector that receives traces by OTLP over HTTP, such as "
        "`http://collector:4318`; when not set, there is no tracing",
    )
    trace_share: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0, description="Share of requests that are traced, `0` to `1`"
    )
    log_format: Literal["json", "text"] | None = Field(
        None,
        description="`json` writes one object per line, `text` plain lines; when not set, "
        "`json` in production",
    )
    demo_psp: str = Field(
        "sandbox",
        description="PSP of the merchant `demo` of a local run, emulated by the sandbox PSP",
    )
    codec_token: SecretStr | None = Field(
        None,
        description="Token with which operators use the codec server; a local run creates its own",
    )
    codec_token_file: Path | None = Field(
        None, description="File with the codec server's token, instead of the token itself"
    )
    temporal_address: str | None = Field(
        None,
        description="Temporal server to use, `host:port`; when not set, the local one",
    )
    temporal_namespace: str = Field("default", description="Temporal namespace")
    temporal_tls: bool | None = Field(
        None,
        description="Whether to use TLS to Temporal; when not set, only if an API key, a CA "
        "or a certificate is configured",
    )
    temporal_tls_ca_file: Path | None = Field(
        None,
        description="Certificates (PEM) of the authorities that must have issued Temporal's "
        "certificate; when not set, those of the system",
    )
    temporal_tls_cert_file: Path | None = Field(
        None, description="Client certificate chain (PEM) for Temporal (mTLS)"
    )
    temporal_tls_key_file: Path | None = Field(
        None, description="Private key (PEM, without a password) of that certificate"
    )
    temporal_tls_server_name: str | None = Field(
        None,
        description="Name in Temporal's certificate; when not set, the host of the address",
    )
    temporal_api_key: SecretStr | None = Field(
        None, description="API key for Temporal, for example for Temporal Cloud"
    )
    temporal_api_key_file: Path | None = Field(
        None,
        description="File with the API key, instead of the key itself; reloaded every minute",
    )
    temporal_bin: Path | None = Field(
        None,
        description="The `temporal` program for a local run; "
        "when not set, the one of the package `temporal-bin`",
    )
    temporal_ui: str | None = Field(
        None,
        description="Web UI of the Temporal server at `INTEGRATOR_TEMPORAL_ADDRESS`, for links",
    )
    task_queue: str = Field("integrator", description="Temporal task queue of the worker")
    worker_deployment: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] | None = Field(
        None,
        description="Name of the Temporal worker deployment of which a worker is a version. The "
        "first one promotes itself if no worker outside it polls, each later one gets no task "
        "before `integrator worker ramp` or `promote`. When not set, workers are not versioned",
    )
    worker_deployment_max_versions: Annotated[int, Field(ge=2)] = Field(
        100,
        description="Versions that the Temporal server keeps for a deployment, its "
        "`matching.maxVersionsInDeployment`, which it does not report; `integrator doctor` warns "
        "near it",
    )
    worker_build_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._+-]+$")] | None = Field(
        None,
        description="Identifier of the code that a worker runs; "
        "when not set, the package's version and a fingerprint of the code",
    )
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
        "reloaded on SIGHUP",
    )
    tls_key_file: Path | None = Field(
        None, description="Private key (PEM, without a password) of that certificate"
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses or networks of the proxies in front of the API or the codec server, "
        "separated by commas; `X-Forwarded-For` and `X-Forwarded-Proto` are accepted from "
        "them only",
    )
    rate_limit_per_token: str = Field(
        "3000/10 seconds",
        description="Limit of requests of one token or OAuth client to one API process",
    )
    rate_limit_per_notification_route: str = Field(
        "3000/10 seconds",
        description="Limit of notifications for one merchant account to one API process",
    )
    rate_limit_unauthenticated: str = Field(
        "300/minute",
        description="Limit of requests without a valid token or signature from one client address "
        "to one API process",
    )
    sync_budget_seconds: Seconds = Field(
        10.0, description="How long a call may wait for the PSP before the response is `Pending`"
    )
    drain_seconds: float = Field(
        0.0,
        ge=0,
        description="How long the API continues to serve requests after SIGTERM while it reports "
        "not ready, so that the load balancer notices",
    )
    query_timeout_seconds: Seconds = Field(
        1.0, description="How long a GET waits for a workflow before it reads the database instead"
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
        description="Networks such as `10.1.0.0/16` that PSPs and webhook targets may be in "
        "besides public addresses, separated by commas; `development` adds loopback",
    )
    reconcile_every_seconds: Seconds = Field(
        300.0,
        description="Interval between two comparisons of a merchant's transactions with the PSP's",
    )
    public_url: str | None = Field(
        None,
        description="Address at which PSPs and customers' browsers reach the API; "
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
        # Imported late, so that commands start without it.
        from limits import parse as parse_rate

        if parse_rate(rate).amount < 1:
            raise ValueError("a rate must allow at least one request, for example `300/minute`")
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

    @model_validator(mode="after")
    def _check_secret_files(self) -> Self:
        for name in _SECRETS:
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                variable = f"{PREFIX}{name.upper()}"
                raise ValueError(f"set {variable} or {variable}_FILE, not both")
            self._secret(name)
        return self

    @model_validator(mode="after")
    def _check_temporal(self) -> Self:
        cert, key = self.temporal_tls_cert_file, self.temporal_tls_key_file
        names = f"{_TEMPORAL_TLS}_CERT_FILE", f"{_TEMPORAL_TLS}_KEY_FILE"
        if (cert is None) != (key is None):
            raise ValueError(f"set both {names[0]} and {names[1]}, or none")
        if self.temporal_tls is False and self._temporal_tls_implied:
            raise ValueError(
                f"{_TEMPORAL_TLS} is off, but an API key, a CA or a certificate is configured"
            )
        if self.uses_temporal_tls and self.temporal_address is None:
            raise ValueError(
                f"TLS needs {PREFIX}TEMPORAL_ADDRESS: the local Temporal server has no TLS"
            )
        if self.temporal_tls_ca_file is not None:
            secret_files.check_authorities(self.temporal_tls_ca_file, f"{_TEMPORAL_TLS}_CA_FILE")
        if cert is not None and key is not None:
            secret_files.check_pair(cert, key, *names)
        return self

    @property
    def uses_temporal_tls(self) -> bool:
        """Return whether connections to Temporal use TLS."""
        return self.temporal_tls or self._temporal_tls_implied

    @property
    def _temporal_tls_implied(self) -> bool:
        options = (
            self.temporal_tls_ca_file,
            self.temporal_tls_cert_file,
            self.temporal_tls_server_name,
            self.temporal_api_key,
            self.temporal_api_key_file,
        )
        return any(option is not None for option in options)

    @property
    def resolved_temporal_api_key(self) -> str | None:
        """Return the current API key; raises `ValueError` when its file cannot be read."""
        return self._secret("temporal_api_key")

    @property
    def resolved_codec_token(self) -> str | None:
        """Return the token of the codec server, if one is configured."""
        return self._secret("codec_token")

    def _secret(self, name: str) -> str | None:
        """Return a secret from its setting or its file; raises `ValueError`."""
        value, file = getattr(self, name), getattr(self, f"{name}_file")
        if file is not None:
            return secret_files.read_secret(file, f"{PREFIX}{name.upper()}_FILE")
        return value.get_secret_value() if value is not None else None

    @property
    def resolved_database_url(self) -> str:
        """Return the URL for SQLAlchemy's async engine, including the password: never log it."""
        url = self._secret("database_url")
        if url is None:
            return f"sqlite+aiosqlite:///{self.data_dir.absolute() / 'integrator.db'}"
        scheme, separator, rest = url.partition("://")
        return f"{_DRIVERS.get(scheme, scheme)}{separator}{rest}"

    @property
    def resolved_log_format(self) -> Literal["json", "text"]:
        """Return the format of log lines."""
        return self.log_format or ("json" if self.profile == "production" else "text")

    @property
    def resolved_temporal_address(self) -> str:
        """Return `host:port` of the Temporal server."""
        return self.temporal_address or f"127.0.0.1:{self.temporal_port}"

    @property
    def reconcile_queue(self) -> str:
        """Return the task queue of reconciliation, separate so that payments do not wait for it."""
        return f"{self.task_queue}-reconcile"

    @property
    def resolved_public_url(self) -> str:
        """Return the public address of the API, without a trailing slash."""
        scheme = "http" if self.tls_cert_file is None else "https"
        return (self.public_url or f"{scheme}://127.0.0.1:{self.api_port}").rstrip("/")


_SECRETS = ("database_url", "codec_token", "temporal_api_key")
_TEMPORAL_TLS = f"{PREFIX}TEMPORAL_TLS"
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}


def configuration_table() -> str:
    """Render all settings as a Markdown table: variable, default and meaning."""
    rows = [
        f"| `{PREFIX}{name.upper()}` | {_default(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| Variable | Default | Meaning |", "|---|---|---|", *rows]) + "\n"


def _default(field: FieldInfo) -> str:
    value = field.default
    return "not set" if value is None or value == () else f"`{value}`"
