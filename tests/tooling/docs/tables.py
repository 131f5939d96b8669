"""Generated parts of the documents.

`python -m tests.tooling.docs.tables` regenerates them.
"""

import ast
import importlib.util
import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from devtools.campaign.fault_schedule import FAULT_KINDS, FaultGroup
from devtools.campaign.mutation_control import BUGS
from integrator.contract.errors import HTTP_STATUS
from integrator.contract.settings import MerchantSettingDescription
from integrator.psp import registry
from integrator.psp.integration_info import build_integration_info
from integrator.psp.stripe.notifications import RELEVANT_EVENT_TYPES
from integrator.psp.types import MethodCapability
from integrator.settings import configuration_table
from tests.support.paths import ROOT
from tests.tooling.docs.pages import pages, with_generated

MODULES = (
    *("integrator/contract", "integrator/psp", "workflows", "integrator/observability"),
    *("integrator/crypto", "integrator/store", "integrator/temporal", "integrator/transactions"),
    *("integrator/jobs", "activities", "integrator/admin", "integrator/operations", "api"),
    *("integrator/codec_server", "integrator/cli", "worker.py", "devtools"),
)
_PLANTED_BUGS = ROOT / "devtools/campaign/process_hook/planted_bugs.py"
_FAULT_GROUPS: dict[FaultGroup, str] = {
    "psp": "the PSP",
    "kill": "processes",
    "pause": "processes",
    "target": "Billwerk+",
    "workflow": "workflows, by an operator",
    "activity": "activities, by an operator",
    "signal": "malformed signals",
    "backup": "Temporal's data",
    "credentials": "credentials",
    "erasure": "customers",
}
PSPS = ("sandbox", "stripe", "gocardless", "billwerk_pay")


def settings(psp: str) -> str:
    """Return the table of a PSP's settings form."""
    cells = build_integration_info(registry.get_adapter(psp)).merchant_settings or ()
    return _format_table(
        ["Field", "Key", "Must be filled", "What it looks like"], map(_setting_row, cells)
    )


def methods() -> str:
    """Return the table of the payment methods of each PSP."""
    rows = (
        [f"`{psp}`", f"`{role.name}`", *_method_cells(method)]
        for psp in PSPS
        for role, method in registry.get_adapter(psp).capabilities.methods.items()
    )
    return _format_table(["PSP", "Role", "Customer signs up", "First payment", "Cancel"], rows)


def error_codes() -> str:
    """Return the table of error codes by HTTP status."""
    rows = []
    for status in sorted(set(HTTP_STATUS.values())):
        codes = [
            f"`{code.name}`" for code, code_status in HTTP_STATUS.items() if code_status == status
        ]
        rows.append([str(status), ", ".join(codes)])
    return _format_table(["HTTP", "Error codes"], rows)


def imports() -> str:
    """Return the table of imports between modules, in the order of `MODULES`."""
    rows = []
    for module in MODULES:
        cells = [f"`{name}`" for name in imported_modules(module)]
        rows.append([f"`{module}`", ", ".join(cells) or "no other module"])
    return _format_table(["Module", "Imports"], rows)


def imported_modules(module: str) -> list[str]:
    """Return the entries of `MODULES` that a module imports."""
    path = ROOT / module
    files = [path] if path.is_file() else path.rglob("*.py")
    imported = {_module_of(name) for file in files for name in _imported_names(file)}
    return [name for name in MODULES if name in imported and name != module]


def stripe_events() -> str:
    """Return the list of events a webhook endpoint at Stripe must send."""
    return "\n".join(f"- `{name}`" for name in sorted(RELEVANT_EVENT_TYPES))


def campaign_faults() -> str:
    """Return the table of the fault campaign's kinds of faults by what they affect."""
    kinds = ((_FAULT_GROUPS[kind.group], name) for name, kind in FAULT_KINDS.items())
    groups: dict[str, list[str]] = {}
    for group, name in kinds:
        groups.setdefault(group, []).append(name)
    return _format_table(["What", "Kinds"], ([g, ", ".join(names)] for g, names in groups.items()))


def planted_bugs() -> str:
    """Return the table of the control's planted bugs, with the column that detects each."""
    spec = importlib.util.spec_from_file_location("planted_bugs", _PLANTED_BUGS)
    if spec is None or spec.loader is None:
        raise ImportError(str(_PLANTED_BUGS))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = (
        [f"`{name}`", str(inspect.getdoc(module.BUGS[name])), planted.column.value]
        for name, planted in BUGS.items()
    )
    return _format_table(["Bug", "What the product then does", "Column"], rows)


PARTS: dict[str, Callable[[], str]] = {
    "campaign faults": campaign_faults,
    "planted bugs": planted_bugs,
    "configuration": configuration_table,
    "error codes": error_codes,
    "methods": methods,
    "events of stripe": stripe_events,
    "imports": imports,
    **{f"settings of {psp}": partial(settings, psp) for psp in PSPS},
}


def _imported_names(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module_of(name: str) -> str:
    """Return the entry of `MODULES` that contains an imported name; "" if there is none."""
    path = name.replace(".", "/") + "/"
    return next((folder for folder in MODULES if path.startswith(f"{folder}/")), "")


def _setting_row(setting: MerchantSettingDescription) -> list[str]:
    choices = setting.predefined_values or {}
    example = f"`{setting.place_holder}`" if setting.place_holder else ""
    cells = " or ".join(f"{label} (`{value}`)" for value, label in choices.items()) or example
    return [setting.display_name, f"`{setting.key_name}`", _yes_or_no(setting.required), cells]


def _method_cells(method: MethodCapability) -> list[str]:
    typed = "by IBAN typed at Billwerk+" if method.initial_bearer else ""
    page = "at the PSP's page" if method.redirect else ""
    first = "captures the preauth" if method.capture else "a charge of its own"
    return [", or ".join(filter(None, [typed, page])), first, _yes_or_no(method.cancel)]


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


def _format_table(headings: list[str], rows: Iterable[list[str]]) -> str:
    cells = [f"| {' | '.join(cells)} |" for cells in [headings, *rows]]
    cells.insert(1, "|---" * len(headings) + "|")
    return "\n".join(cells)


if __name__ == "__main__":
    for page in pages():
        text = page.text
        for name, generate in PARTS.items():
            text = with_generated(text, name, generate())
        if text != page.text:
            page.path.write_text(text)
