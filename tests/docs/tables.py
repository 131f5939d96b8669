"""The parts of the documents that are made from the code.

`python -m tests.docs.tables` writes them anew.
"""

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from integrator.contract.errors import HTTP_STATUS
from integrator.contract.settings import MerchantSettingDescription
from integrator.psp import registry
from integrator.psp.integration_info import integration_info
from integrator.psp.stripe.notifications import RELEVANT
from integrator.psp.types import MethodCapability
from integrator.settings import configuration_table
from tests.docs.pages import ROOT, pages, with_generated

MODULES = (
    *("integrator/contract", "integrator/psp", "workflows", "integrator/observability"),
    *("integrator/crypto", "integrator/store", "integrator/temporal", "integrator/transactions"),
    *("integrator/jobs", "activities", "integrator/admin", "integrator/operations", "api"),
    *("integrator/codec_server", "integrator/cli", "worker.py", "devtools"),
)
PSPS = ("sandbox", "stripe", "gocardless", "billwerk_pay")


def settings(psp: str) -> str:
    """The settings form of one PSP."""
    shown = integration_info(registry.adapter(psp)).merchant_settings or ()
    return _table(["Field", "Key", "Must be filled", "What it looks like"], map(_setting, shown))


def methods() -> str:
    """What each PSP offers for each role."""
    rows = (
        [f"`{psp}`", f"`{role.name}`", *_method(method)]
        for psp in PSPS
        for role, method in registry.adapter(psp).capabilities.methods.items()
    )
    return _table(["PSP", "Role", "Customer signs up", "First payment", "Cancel"], rows)


def error_codes() -> str:
    """The HTTP status of every error code."""
    rows = []
    for status in sorted(set(HTTP_STATUS.values())):
        codes = [f"`{code.name}`" for code, own in HTTP_STATUS.items() if own == status]
        rows.append([str(status), ", ".join(codes)])
    return _table(["HTTP", "Error codes"], rows)


def imports() -> str:
    """What each module imports of the others, in `MODULES`' order."""
    rows = []
    for module in MODULES:
        path = ROOT / module
        files = [path] if path.is_file() else path.rglob("*.py")
        used = {_folder(name) for file in files for name in _imported(file)}
        shown = [f"`{name}`" for name in MODULES if name in used and name != module]
        rows.append([f"`{module}`", ", ".join(shown) or "nothing of ours"])
    return _table(["Module", "Imports"], rows)


def stripe_events() -> str:
    """The events a webhook endpoint at Stripe has to send."""
    return "\n".join(f"- `{name}`" for name in sorted(RELEVANT))


PARTS: dict[str, Callable[[], str]] = {
    "configuration": configuration_table,
    "error codes": error_codes,
    "methods": methods,
    "events of stripe": stripe_events,
    "imports": imports,
    **{f"settings of {psp}": partial(settings, psp) for psp in PSPS},
}


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _folder(name: str) -> str:
    """The entry of `MODULES` that an imported name belongs to; empty if none."""
    path = name.replace(".", "/") + "/"
    return next((folder for folder in MODULES if path.startswith(f"{folder}/")), "")


def _setting(setting: MerchantSettingDescription) -> list[str]:
    choices = setting.predefined_values or {}
    example = f"`{setting.place_holder}`" if setting.place_holder else ""
    shown = " or ".join(f"{label} (`{value}`)" for value, label in choices.items()) or example
    return [setting.display_name, f"`{setting.key_name}`", _yes(setting.required), shown]


def _method(method: MethodCapability) -> list[str]:
    typed = "by IBAN typed at Billwerk+" if method.initial_bearer else ""
    page = "at the PSP's page" if method.redirect else ""
    first = "captures the preauth" if method.capture else "a charge of its own"
    return [", or ".join(filter(None, [typed, page])), first, _yes(method.cancel)]


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    shown = [f"| {' | '.join(cells)} |" for cells in [head, *rows]]
    shown.insert(1, "|---" * len(head) + "|")
    return "\n".join(shown)


if __name__ == "__main__":
    for page in pages():
        text = page.text
        for name, made in PARTS.items():
            text = with_generated(text, name, made())
        if text != page.text:
            page.path.write_text(text)
