"""Content of `run.json`: addresses, merchants and pids of a running stack, for tools and tests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from devtools.devstack.address import Addresses


@dataclass(frozen=True)
class MerchantAccess:
    """Credentials for calling the API as a merchant."""

    token: str = field(repr=False)
    psp: str
    psp_settings_id: str


@dataclass(frozen=True)
class RunInfo:
    """Addresses of a stack and the merchants it was seeded with."""

    addresses: Addresses
    merchants: Mapping[str, MerchantAccess]

    def to_json(self, pids: Mapping[str, int]) -> dict[str, Any]:
        """Return the content of `run.json`."""
        addresses = self.addresses
        return {
            "api": addresses.api,
            "temporal": addresses.temporal,
            "temporal_ui": addresses.temporal_ui,
            "sandbox_psp": addresses.sandbox_psp,
            "codec_server": addresses.codec_server,
            "metrics": {"api": addresses.api_metrics, "worker": addresses.worker_metrics},
            "merchants": {name: vars(access) for name, access in self.merchants.items()},
            "pids": dict(pids),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Parse the content of `run.json`; raises `KeyError` or `TypeError` if it is malformed."""
        names = ("api", "sandbox_psp", "temporal", "temporal_ui", "codec_server")
        metrics = {f"{name}_metrics": value["metrics"][name] for name in ("api", "worker")}
        return cls(
            Addresses(**{name: value[name] for name in names}, **metrics),
            {name: MerchantAccess(**access) for name, access in value["merchants"].items()},
        )
