"""The sandbox is not asked what a payload is about: nothing of ours may want to know."""

from temporalio.converter import SerializationContext, WorkflowSerializationContext

from integrator.crypto.keys import KeyRing, generate_key
from integrator.temporal.payload_codec import encrypting_converter

CONTEXT: SerializationContext = WorkflowSerializationContext(
    namespace="default", workflow_id="demo/payment/1"
)


def test_our_payloads_are_treated_alike_whatever_they_are_about() -> None:
    converter = encrypting_converter(KeyRing.parse(f"a:{generate_key()}"))
    assert converter.with_context(CONTEXT) is converter
    assert converter.external_storage is None
