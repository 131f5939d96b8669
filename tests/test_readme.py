"""The README says only what is true."""

import json
import re
from pathlib import Path

from contract import wire
from contract.base import WireModel
from contract.requests import PaymentRequest, PreauthRequest, RefundRequest
from runtime.settings import configuration_table

README = (Path(__file__).parent.parent / "README.md").read_text()
MODELS: dict[str, type[WireModel]] = {
    "Preauth": PreauthRequest,
    "Payment": PaymentRequest,
    "Refund": RefundRequest,
}


def test_the_configuration_table_is_the_settings_own() -> None:
    shown = README.split("<!-- configuration -->")[1].split("<!-- /configuration -->")[0]
    assert shown.strip() == configuration_table().strip()


def test_the_example_requests_are_valid() -> None:
    examples = re.findall(r"api (\w+) -d '(\{.*?\})'", README, re.DOTALL)
    assert [name for name, _ in examples] == ["Preauth", "Payment", "Refund"]
    for name, body in examples:
        json.loads(body)
        wire.parse(MODELS[name], body.encode())


def test_every_linked_file_exists() -> None:
    links = re.findall(r"\]\(((?!https?:)[^)#]+)", README)
    root = Path(__file__).parent.parent
    assert links
    assert [link for link in links if not (root / link).exists()] == []
