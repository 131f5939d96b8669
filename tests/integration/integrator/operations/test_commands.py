"""Test the commands' documents, exit codes and imports."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from integrator.cli import main as cli
from integrator.contract.enums import PaymentTransactionStatus, PublicPaymentProviderRole
from integrator.crypto.keys import KeyRing
from integrator.settings import Settings
from integrator.store import NewDecision, RecordUpdate, Store
from tests.integration.activities.conftest import NOW
from tests.integration.integrator.store.builders import new_transaction
from tests.support.paths import ROOT
from workflows.state import PaymentState

SEND_AT = datetime(2027, 2, 15, 0, 20, tzinfo=UTC)
PENDING = PaymentState(
    transaction_id="t1",
    external_id="x1",
    role=PublicPaymentProviderRole.Debit,
    currency="EUR",
    requested_amount=Decimal("10.50"),
    status=PaymentTransactionStatus.Pending,
    version=1,
    due_date=date(2027, 3, 1),
    send_at=SEND_AT,
    last_updated=NOW,
).model_dump_json()

COMMANDS = (
    *("explain", "list", "attention", "resolve", "decisions", "reconcile", "doctor"),
    *("heal", "webhook redeliver"),
)


@pytest.fixture(autouse=True)
def in_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace `os._exit` by an exit code of Typer."""

    def raise_exit(code: int) -> None:
        raise typer.Exit(code)

    monkeypatch.setattr("os._exit", raise_exit)


@pytest.fixture
def filled(folder: Path) -> None:
    async def fill() -> None:
        settings = Settings()
        keys = KeyRing.from_settings(settings)
        async with Store(settings.resolved_database_url, keys) as store:
            merchant = await store.merchants.add("demo", "sandbox")
            for number in range(5):
                await store.transactions.add(new_transaction(merchant, f"t{number}"))
            await store.transactions.record(RecordUpdate("demo", "t1", "Pending", 1, PENDING))
            id = await store.decisions.add(
                NewDecision("demo", "acknowledge", "ada", "looked", transaction_id="t1")
            )
            await store.decisions.record_outcome(id, "done", status_after="Pending")

    asyncio.run(fill())


def call(*arguments: str, code: int = 0, text: str | None = None) -> Result:
    result = CliRunner().invoke(cli.app, arguments, input=text)
    assert result.exit_code == code, result.output
    return result


def document(*arguments: str, code: int = 0) -> Any:
    return json.loads(call(*arguments, "--json", code=code).stdout)


def test_help_imports_no_heavy_modules() -> None:
    code = (
        "import integrator.cli.main, sys;"
        "heavy = {'temporalio', 'sqlalchemy', 'pydantic', 'httpx', 'fastapi'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    assert "--json" in call(*command.split(), "--help").output


@pytest.mark.usefixtures("filled")
def test_pages_of_a_list_are_contiguous() -> None:
    first = document("list", "--limit", "3")
    rest = document("list", "--limit", "3", "--cursor", first["cursor"])
    ids = [row["transaction_id"] for row in first["transactions"] + rest["transactions"]]
    assert ids == ["t4", "t3", "t2", "t1", "t0"]
    assert rest["cursor"] is None
    assert first["transactions"][0]["requested_amount"] == "10.50"
    call("list", "--cursor", "nonsense", code=1)


@pytest.mark.usefixtures("filled")
def test_a_list_is_filtered() -> None:
    def ids(*options: str) -> list[str]:
        return [row["transaction_id"] for row in document("list", *options)["transactions"]]

    assert ids("--status", "pending") == ["t1"]
    assert len(ids("--merchant", "demo", "--kind", "payment", "--since", "1h")) == 5
    assert ids("--until", "1h") == ids("--merchant", "other") == ids("--webhook", "delivered") == []
    assert "t1" in call("list", "--status", "Pending").output


@pytest.mark.usefixtures("filled")
def test_debits_that_wait_are_listed_with_their_day() -> None:
    async def let_wait() -> None:
        settings = Settings()
        url, keys = settings.resolved_database_url, KeyRing.from_settings(settings)
        async with Store(url, keys) as store:
            change = RecordUpdate("demo", "t1", "Pending", 2, PENDING, send_at=SEND_AT)
            await store.transactions.record(change)

    asyncio.run(let_wait())
    (row,) = document("list", "--waiting")["transactions"]
    assert (row["transaction_id"], row["due_date"]) == ("t1", "2027-03-01")
    assert row["send_at"].startswith("2027-02-15T00:20")
    output = call("list", "--waiting").output
    assert "2027-03-01" in output
    assert "2027-02-15 00:20:00" in output


@pytest.mark.usefixtures("filled")
def test_decisions_are_listed() -> None:
    (decision,) = document("decisions")["decisions"]
    assert (decision["decided_by"], decision["reason"]) == ("ada", "looked")
    assert "looked" in call("decisions", "--merchant", "demo").output
    assert document("decisions", "--merchant", "other") == {"decisions": []}


@pytest.mark.usefixtures("filled")
def test_attention_is_empty_without_items() -> None:
    listed = document("attention")
    assert listed["waiting"] == []
    assert [(group["reason"], group["count"]) for group in listed["undecided"]] == [
        ("unanswered", 5)
    ]
    text = call("attention").output
    assert "Nothing needs attention" in text
    assert "5, the oldest since" in text


MISUSE = [
    "list --status nonsense",
    "list --since yesterday",
    "list --kind nonsense",
    "reconcile",
    "reconcile --merchant demo --until 2h",
    "reconcile t1 --since 2h",
    "heal --rate 0",
    "webhook redeliver",
    "webhook redeliver t1 --undelivered",
    "resolve t1 failed",
    "resolve t1 nonsense --reason x",
    "resolve --stray s1 --reason x",
    "resolve t1 --reason x",
    "resolve t1 failed --reason x --json",
    "resolve t1 succeeded --reason x --psp-id p --amount -1",
]


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("line", MISUSE)
def test_misuse_exits_with_code_2(line: str) -> None:
    call(*line.split(), code=2)


@pytest.mark.usefixtures("filled")
def test_failures_are_explained() -> None:
    assert "Transaction 'unknown' does not exist" in call("explain", "unknown", code=1).stderr
    assert (
        "Merchant 'unknown' does not exist"
        in call("reconcile", "--merchant", "unknown", code=1).stderr
    )
    assert "is unreachable" in call("webhook", "redeliver", "t1", code=1).stderr
    assert "Aborted" in call("resolve", "t1", "failed", "--reason", "x", code=1, text="n\n").stderr


@pytest.mark.usefixtures("filled")
def test_heal_leaves_young_transactions_alone() -> None:
    assert document("heal")["examined"] == 5
    assert "Nothing is left behind." in call("heal", "--apply").stdout
    assert document("heal", "--until", "2020-01-01")["examined"] == 0
    assert "'unknown' does not exist" in call("heal", "--merchant", "unknown", code=1).stderr


@pytest.mark.usefixtures("filled")
def test_heal_without_temporal_says_where_to_continue(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrator.operations.healing.run.PAGE_SIZE", 1)
    with closing(sqlite3.connect(folder / "integrator.db")) as connection:
        statement = "UPDATE transactions SET updated_at = '2026-01-15 09:00:00.000000' WHERE "
        connection.execute(statement + "transaction_id = 't1'")
        (created_at,) = connection.execute(
            "SELECT created_at FROM transactions WHERE transaction_id = 't0'"
        ).fetchone()
        connection.commit()
    error = call("heal", code=1).stderr
    assert "is unreachable" in error
    assert f"Continue with: --since {created_at.replace(' ', 'T')}+00:00" in error


def levels(document: Any) -> dict[str, str]:
    return {result["check"]: result["level"] for result in document["findings"]}


@pytest.mark.usefixtures("filled")
def test_doctor_reports_missing_parts(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    report = document("doctor", code=1)
    assert not report["healthy"]
    assert levels(report)["database"] == levels(report)["encryption"] == "ok"
    assert (levels(report)["merchant demo"], levels(report)["Temporal"]) == ("warning", "problem")
    assert all(result["advice"] for result in report["findings"] if result["level"] != "ok")
    other = KeyRing({"other": bytes(32)})
    assert other.ids == ("other",)
    secret = "b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyMDA="
    monkeypatch.setenv("INTEGRATOR_KEYS", f"other:{secret}")
    wrong_key = call("doctor", code=1)
    assert "problem   encryption: the keys do not decrypt all of" in wrong_key.stdout
    assert secret not in wrong_key.output
    (folder / "integrator.db").unlink()
    assert levels(document("doctor", code=1))["database"] == "problem"


def test_doctor_checks_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEGRATOR_PROFILE", "production")
    monkeypatch.setenv("INTEGRATOR_API_PORT", "99999999")
    (finding,) = document("doctor", code=1)["findings"]
    assert (finding["check"], finding["level"]) == ("configuration", "problem")
    assert "INTEGRATOR_API_PORT" in finding["text"]
    assert "99999999" not in finding["text"]
    monkeypatch.setenv("INTEGRATOR_API_PORT", "8080")
    monkeypatch.setenv("INTEGRATOR_KEYS", "k:b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyMDA=")
    assert levels(document("doctor", code=1))["profile"] in {"problem", "warning"}
