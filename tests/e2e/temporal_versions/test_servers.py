"""Test SDK, worker and API against the oldest and the newest supported Temporal server.

Worker versions and search attributes are tested by the tests of the default server, which this
module runs again on its own servers.
"""

import json
import subprocess
import sys

import pytest
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest

from tests.e2e.stack.environment import CARD, IBAN, Environment, announcement, outcome, wait_until
from tests.e2e.stack.test_searching import (
    test_a_payment_is_found_by_each_of_its_attributes,
    test_delivery_and_attention_are_searchable,
    test_every_query_of_the_guide_is_valid,
)
from tests.e2e.temporal_versions.conftest import Server
from tests.integration.integrator.operations.test_worker_versions import (
    settings,
    test_a_build_without_workers_gets_no_tasks,
    test_a_full_ramp_takes_running_transactions_to_the_new_version_and_back,
    test_a_version_gets_nothing_before_its_promotion_and_everything_after,
    test_pruning_keeps_what_works_or_is_needed_for_a_rollback,
    test_without_a_deployment_every_polling_worker_gets_tasks,
)
from tests.support.stack import Stack
from tests.support.versions import documented_servers

__all__ = [
    "settings",
    "test_a_build_without_workers_gets_no_tasks",
    "test_a_full_ramp_takes_running_transactions_to_the_new_version_and_back",
    "test_a_payment_is_found_by_each_of_its_attributes",
    "test_a_version_gets_nothing_before_its_promotion_and_everything_after",
    "test_delivery_and_attention_are_searchable",
    "test_every_query_of_the_guide_is_valid",
    "test_pruning_keeps_what_works_or_is_needed_for_a_rollback",
    "test_without_a_deployment_every_polling_worker_gets_tasks",
]

pytestmark = pytest.mark.e2e


async def test_the_server_has_the_documented_version(server: Server) -> None:
    info = await server.client.workflow_service.get_system_info(GetSystemInfoRequest())
    assert info.server_version == documented_servers()[server.role].version


def test_every_operation_succeeds(environment: Environment) -> None:
    billwerk = environment.billwerk
    preauth = environment.authorized("49.90")
    capture = environment.capture(preauth, "49.90")
    assert environment.play("Payment", capture).booked == ["capture"]
    payment = environment.paid("20.00")
    refund = environment.play("Refund", billwerk.refund(payment["transactionId"], "5.00"))
    assert (refund.last, refund.booked) == ("Succeeded", ["refund"])
    refunded = billwerk.get("Payment", payment["transactionId"]).json()
    assert (refunded["refundedAmount"], refunded["refundableAmount"]) == (5, 15)

    reserved = environment.authorized("30.00")
    cancelled = billwerk.post(f"Preauth/{reserved['transactionId']}/Cancel", {})
    assert cancelled.json()["cancellationStatus"] == "Succeeded"
    assert "void" in environment.psp.kinds(reserved["transactionId"])


def test_a_psp_notification_changes_the_state_and_is_announced(environment: Environment) -> None:
    debit = environment.billwerk.debit(environment.agreements[IBAN], "30.00")
    settled = environment.play("Payment", debit, webhooks=1)
    assert (settled.first, settled.last) == ("Pending", "Succeeded")
    assert settled.webhooks == [announcement("payment", settled.id)]

    paid = environment.paid("12.00")["transactionId"]
    environment.psp.charge_back(paid, 500)
    wait_until(lambda: environment.billwerk.webhooks_of(paid) != [], "the chargeback")
    [chargeback] = environment.billwerk.get("Payment", paid).json()["chargebacks"]
    assert chargeback["amount"] == 5


def test_a_repeated_request_books_nothing_more(environment: Environment) -> None:
    body = environment.billwerk.payment(environment.agreements[CARD], "7.00")
    answers = [outcome(environment.billwerk.post("Payment", body)) for _ in range(3)]
    assert answers == ["Succeeded"] * 3
    assert environment.psp.kinds(body["transactionId"]) == ["charge"]


def test_doctor_accepts_the_server(server: Server, stack: Stack) -> None:
    command = [sys.executable, "-m", "integrator.cli", "doctor", "--json"]
    done = subprocess.run(command, env=stack.env, capture_output=True, text=True, check=False)
    findings = {item["check"]: item for item in json.loads(done.stdout)["findings"]}
    version = documented_servers()[server.role].version
    assert f"version {version}" in findings["Temporal"]["text"]
    about_temporal = ("Temporal", "namespace", "search attributes", "clock")
    assert {findings[name]["level"] for name in about_temporal} == {"ok"}, done.stdout
