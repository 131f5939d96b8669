"""Every request of a kit run of the Stripe adapter, sent to stripe-mock, Stripe's own mock server.

stripe-mock answers from Stripe's description of its API and refuses what that does not have: a
parameter, a type, a value of an enumeration, a missing parameter, a path. It keeps no state, so
that any well-formed id exists there. `.ci/run` builds it; `STRIPE_MOCK_BIN` names it.
"""

import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest

from devtools.devstack.ports import find_free
from integrator.psp.conformance import runner
from integrator.psp.conformance.context import KitRun
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.stripe.client import VERSION
from tests.conformance.harness_stripe import harness
from tests.integration.integrator.psp.stripe import contract

BINARY = os.environ.get("STRIPE_MOCK_BIN", "")
START_SECONDS = 30
FORM = "application/x-www-form-urlencoded"

# stripe-mock describes the API version before the adapter's. The official library of the adapter's
# version, to which `contract.py` compares every request, has this parameter of Checkout Sessions.
NEWER_PARAMETER = "allowed_payment_method_types"
# An id of the checks that is made to leave its place in a path; there is no route to refuse it.
HOSTILE_IDS = ("..%2F", "%2F..", "%3F", "%252e", "%20", "%C3%A4")

pytestmark = [
    pytest.mark.skipif(
        not Path(BINARY).is_file(),
        reason="STRIPE_MOCK_BIN names no stripe-mock; .ci/run builds it where there is a go",
    ),
    # The first test waits for a whole run of the kit, minutes on a loaded machine.
    pytest.mark.timeout(900),
]


class RecordingTransport(httpx.AsyncHTTPTransport):
    """Transport that keeps the requests."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Keep and forward the request."""
        await request.aread()
        self.requests.append(request)
        return await super().handle_async_request(request)


@pytest.fixture(scope="module")
async def kit_requests() -> list[httpx.Request]:
    """Return the adapter's requests in a run of the kit; `test_sandbox_kit` judges its results."""
    async with RecordingTransport() as transport, harness(None) as stripe:
        kit_run = KitRun(stripe, stripe.adapter, transport)
        for case in await runner.collect_cases(kit_run):
            try:
                await runner.run_case(kit_run, case)
            except (NotApplicable, Violation):
                continue
        return transport.requests


@pytest.fixture(scope="module")
def mock_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run stripe-mock, and yield its address."""
    (port,) = find_free("127.0.0.1", 1)
    log_file = tmp_path_factory.mktemp("stripe-mock") / "log"
    with log_file.open("wb") as log:
        command = [BINARY, "-http-addr", f"127.0.0.1:{port}"]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_answering(url, process, log_file)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
async def mock(mock_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of stripe-mock."""
    async with httpx.AsyncClient(base_url=mock_url, trust_env=False, timeout=20) as client:
        yield client


async def test_stripe_mock_accepts_every_request_of_the_kit(
    kit_requests: list[httpx.Request], mock: httpx.AsyncClient
) -> None:
    routes, refused = set(), set()
    for request in kit_requests:
        if not has_hostile_id(request):
            routes.add(contract.get_route(request))
            response = await mirror(mock, allow_known_exceptions(request))
            refused |= refusal(request, response)
    assert refused == set()
    # As many as the adapter has: a run that sent nothing has nothing accepted.
    assert routes >= set(contract.PARAMETERS) - {"GET setup_intents/*"}


async def test_stripe_mock_refuses_a_wrong_request(
    kit_requests: list[httpx.Request], mock: httpx.AsyncClient
) -> None:
    for route, name, text in (
        ("POST payment_intents", "capture_method", "later"),
        ("POST refunds", "amount", "1.00"),
        ("POST payment_intents/*/confirm", "card_holder", "Mia Kern"),
    ):
        request = next(one for one in kit_requests if contract.get_route(one) == route)
        response = await mirror(mock, with_parameter(request, name, text))
        assert response.status_code == 400, (route, name, response.text)


async def test_the_known_exceptions_are_still_needed(
    kit_requests: list[httpx.Request], mock: httpx.AsyncClient
) -> None:
    """A newer stripe-mock accepts more: then the exception goes."""
    needed = {
        message
        for request in kit_requests
        if has_hostile_id(request) or allow_known_exceptions(request) is not request
        for _, _, message in refusal(request, await mirror(mock, request))
    }
    kinds = ("additional properties", "Content-Type", "Unrecognized request URL")
    assert [kind for kind in kinds if any(kind in message for message in needed)] == list(kinds)


def has_hostile_id(request: httpx.Request) -> bool:
    """Return whether the path holds an id that no object of Stripe can have."""
    return any(part in request.url.raw_path.decode().partition("?")[0] for part in HOSTILE_IDS)


def allow_known_exceptions(request: httpx.Request) -> httpx.Request:
    """Return the request without what this stripe-mock wrongly refuses; the same one if nothing."""
    if request.method == "POST" and not request.content:
        # Stripe takes a POST without parameters as it is.
        return _copy(request, b"")
    if request.url.path.endswith("/checkout/sessions"):
        form = parse_qsl(request.content.decode(), keep_blank_values=True)
        supported = [(name, text) for name, text in form if not name.startswith(NEWER_PARAMETER)]
        if supported != form:
            return _copy(request, urlencode(supported).encode())
    return request


def with_parameter(request: httpx.Request, name: str, text: str) -> httpx.Request:
    """Return the request with another value of a parameter."""
    form = dict(parse_qsl(request.content.decode(), keep_blank_values=True))
    return _copy(request, urlencode({**form, name: text}).encode())


async def mirror(mock: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """Send the request to stripe-mock, which has no accounts and so accepts any test key."""
    assert request.headers["Stripe-Version"] == VERSION
    headers = {k: v for k, v in request.headers.items() if k not in ("host", "content-length")}
    path = request.url.raw_path.decode().partition("/stripe")[2]
    return await mock.request(request.method, path, headers=headers, content=request.content)


def refusal(request: httpx.Request, response: httpx.Response) -> set[tuple[str, int, str]]:
    """Return route, status and message of a refusal; nothing for an accepted request."""
    if response.is_success:
        return set()
    message = json.loads(response.text)["error"]["message"]
    return {(contract.get_route(request), response.status_code, message)}


def _copy(request: httpx.Request, content: bytes) -> httpx.Request:
    headers = {k: v for k, v in request.headers.items() if k != "content-length"}
    headers["content-type"] = FORM
    return httpx.Request(request.method, request.url, headers=headers, content=content)


def _wait_until_answering(url: str, process: "subprocess.Popen[bytes]", log_file: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(url, trust_env=False)
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RuntimeError(f"stripe-mock did not start:\n{log_file.read_text()[-2000:]}")
