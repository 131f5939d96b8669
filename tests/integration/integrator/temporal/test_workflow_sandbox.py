"""The sandbox returns no serialization context, so the converter must not depend on one."""

from temporalio.converter import SerializationContext, WorkflowSerializationContext

from integrator.crypto.keys import KeyRing, generate_key
from integrator.temporal.payload_codec import encrypting_converter

CONTEXT: SerializationContext = WorkflowSerializationContext(
    namespace="default", workflow_id="demo/payment/1"
)


def test_the_converter_does_not_depend_on_a_serialization_context() -> None:
    converter = encrypting_converter(KeyRing.parse(f"a:{generate_key()}"))
    assert converter.with_context(CONTEXT) is converter
    assert converter.external_storage is None
