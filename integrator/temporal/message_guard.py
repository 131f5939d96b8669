"""Guard in front of each workflow: what cannot be used reaches neither the SDK nor a handler.

The SDK itself drops a signal whose argument has the wrong type. It fails the workflow task, again
and again, where the number of arguments is wrong or a payload cannot be decrypted: the transaction
would stop for ever.

The verdict on a signal is the same in every replay. It depends on the payload, on the time of the
workflow task and on since when a key is known, which never changes. So a signal that was dropped
because no process knew its key stays dropped when a ring has gained this key.
"""

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import PayloadConverter

from integrator import sealing
from integrator.observability.metrics import counter

log = logging.getLogger(__name__)

UNUSABLE_MESSAGES = counter(
    "integrator_unusable_messages_total",
    "Messages to workflows that were dropped (signals) or refused (updates, queries): `name` "
    "unknown, wrong number of `arguments`, wrong `type`, or `unreadable` with every key of ours",
    *("kind", "reason"),
)
UNSEALED_RESULTS = counter(
    "integrator_unsealed_results_total",
    "Activities that something else than a worker `completed` or `failed`: this is no evidence",
    "result",
)
MISSING_KEYS = counter(
    "integrator_missing_keys_total",
    "Workflow tasks that failed because the key ring lacks the key `key_id`, which is in use",
    "key_id",
)


class Problem(StrEnum):
    """Why a message cannot be used."""

    NAME = "name"
    ARGUMENTS = "arguments"
    TYPE = "type"
    UNREADABLE = "unreadable"


class MissingKeyError(Exception):
    """The key ring lacks a key that another process has: the workflow task is to be retried."""

    def __init__(self, key_id: str) -> None:
        """Take the id of the key."""
        super().__init__(
            f"A message is encrypted with the key {key_id!r}, which is in use and missing in this "
            "worker's key ring. Add the key to INTEGRATOR_KEYS and restart the worker."
        )
        self.key_id = key_id


class MessageGuard:
    """Screens the activations of one workflow run; decides without state of its own."""

    def __init__(self, definition: Any, converter: PayloadConverter, info: workflow.Info) -> None:
        """Take the SDK's definition of the workflow, its payload converter and the run's info."""
        self._definition = definition
        self._converter = converter
        self._info = info
        self._seals = sealing.seals_required(converter)

    def screen(self, activation: Any) -> None:
        """Remove unusable signals, refuse updates and queries, and empty unsealed failures.

        Raises `MissingKeyError`, which fails the workflow task.
        """
        dropped: list[int] = []
        for index, job in enumerate(activation.jobs):
            variant = job.WhichOneof("variant")
            if variant == "signal_workflow":
                if self._screen_signal(job.signal_workflow, activation):
                    dropped.append(index)
            elif variant == "do_update":
                self._screen_update(job.do_update, activation)
            elif variant == "query_workflow":
                self._screen_query(job.query_workflow)
            elif variant == "resolve_activity" and self._seals:
                self._screen_result(job.resolve_activity, activation)
        for index in reversed(dropped):
            del activation.jobs[index]

    # --- messages ---------------------------------------------------------------------------

    def _screen_signal(self, signal: Any, activation: Any) -> bool:
        """Return whether to drop a signal."""
        name, payloads = signal.signal_name, signal.input
        is_too_early = any(_is_too_early(payload, activation.timestamp) for payload in payloads)
        problem = self._find_problem(self._definition.signals, name, payloads)
        if problem is None and is_too_early:
            problem = Problem.UNREADABLE
        if problem is Problem.UNREADABLE:
            _require_keys(payloads, activation.timestamp)
        if problem is not None and not activation.is_replaying:
            self._note("signal", name, problem)
        return problem is not None

    def _screen_update(self, update: Any, activation: Any) -> None:
        """Refuse an update that is new; one that was accepted before has to be readable."""
        problem = self._find_problem(self._definition.updates, update.name, update.input)
        if problem is Problem.UNREADABLE:
            _require_keys(update.input, None)
        if problem is None or not update.run_validator:
            return
        self._note("update", update.name, problem)
        _refuse(update.input, update.name, problem)

    def _screen_query(self, query: Any) -> None:
        if query.query_type.startswith("__"):  # the SDK's own
            return
        problem = self._find_problem(self._definition.queries, query.query_type, query.arguments)
        if problem is None:
            return
        self._note("query", query.query_type, problem)
        _refuse(query.arguments, query.query_type, problem)

    def _find_problem(
        self, handlers: Mapping[str | None, Any], name: str, payloads: Any
    ) -> Problem | None:
        handler = handlers.get(name)
        if handler is None:
            return Problem.NAME
        if any(p.metadata.get("encoding") == sealing.UNREADABLE for p in payloads):
            return Problem.UNREADABLE
        fewest, most = _count_arguments(handler.fn)
        if most == 0:
            # The SDK ignores them, and histories contain such messages.
            del payloads[:]
        if not fewest <= len(payloads) <= most:
            return Problem.ARGUMENTS
        try:
            self._converter.from_payloads(payloads, (handler.arg_types or [])[: len(payloads)])
        except Exception:  # noqa: BLE001 - the SDK drops a signal for any error of a converter
            return Problem.TYPE
        return None

    def _note(self, kind: str, name: str, problem: Problem) -> None:
        UNUSABLE_MESSAGES.labels(kind, problem.value).inc()
        log.warning(
            "An unusable %s %.100r to workflow %s was %s: %s",
            kind,
            name,
            self._info.workflow_id,
            "dropped" if kind == "signal" else "refused",
            _REASONS[problem],
        )

    # --- results of activities --------------------------------------------------------------

    def _screen_result(self, job: Any, activation: Any) -> None:
        """Note results and empty failures that no worker sealed.

        `ActivityPlan` decides what they mean. Local activities run in the worker itself.
        """
        if job.is_local:
            return
        kind = job.result.WhichOneof("status")
        if kind == "completed":
            unsealed = not sealing.is_sealed(job.result.completed.result)
        elif kind == "failed":
            unsealed = _distrust(job.result.failed.failure)
        else:  # cancelled, as the workflow had requested
            job.result.cancelled.failure.canceled_failure_info.ClearField("details")
            return
        if unsealed and not activation.is_replaying:
            UNSEALED_RESULTS.labels(kind).inc()
            log.warning(
                "An activity of workflow %s was %s by something else than a worker: this is no "
                "evidence",
                self._info.workflow_id,
                kind,
            )


_REASONS = {
    Problem.NAME: "the workflow has no message of this name",
    Problem.ARGUMENTS: "the number of its arguments is wrong",
    Problem.TYPE: "its argument has the wrong type or encoding",
    Problem.UNREADABLE: "no key of this system can decrypt it",
}

_REMEDIES = {
    Problem.NAME: "Check the name.",
    Problem.ARGUMENTS: "Send as many arguments as the message takes.",
    Problem.TYPE: "Send the message with `integrator`, or check the argument.",
    Problem.UNREADABLE: "Send it with a key of this system's key ring.",
}


@cache
def _count_arguments(handler: Callable[..., Any]) -> tuple[int, int]:
    """Return the smallest and the largest number of arguments of a handler, without `self`."""
    parameters = list(inspect.signature(handler).parameters.values())[1:]
    required = sum(p.default is inspect.Parameter.empty for p in parameters)
    return required, len(parameters)


def _is_too_early(payload: Payload, now: Timestamp) -> bool:
    """Return whether a message was handled before its key was known: then it was dropped."""
    since = payload.metadata.get(sealing.KNOWN_SINCE)
    return since is not None and int(since) > now.ToMicroseconds()


def _require_keys(payloads: Sequence[Payload], now: Timestamp | None) -> None:
    """Raise `MissingKeyError` if a key that was known at `now` is missing; at any time for None."""
    for payload in payloads:
        if payload.metadata.get("encoding") != sealing.UNREADABLE:
            continue
        key_id = payload.metadata.get(sealing.KEY_ID)
        if key_id is not None and (now is None or not _is_too_early(payload, now)):
            MISSING_KEYS.labels(key_id.decode()).inc()
            raise MissingKeyError(key_id.decode())


def _refuse(arguments: Any, name: str, problem: Problem) -> None:
    """Replace arguments by one whose conversion raises the error for the sender."""
    text = f"The message {name[:100]!r} is refused: {_REASONS[problem]}. {_REMEDIES[problem]}"
    del arguments[:]
    arguments.append(Payload(metadata={"encoding": sealing.REFUSED}, data=text.encode()))


def _distrust(failure: Failure) -> bool:
    """Empty the parts of a failure that no worker sealed; return whether there were any.

    Timeouts come from the server, which adds the last attempt's failure as their cause.
    """
    for part in _chain(failure):
        if part.HasField("timeout_failure_info"):
            part.timeout_failure_info.ClearField("last_heartbeat_details")
            part.ClearField("encoded_attributes")
        elif part.HasField("activity_failure_info") or part.HasField("server_failure_info"):
            part.ClearField("encoded_attributes")
        elif not sealing.is_failure_sealed(part):
            part.Clear()
            part.message = "The failure was not reported by a worker."
            part.application_failure_info.type = sealing.UNSEALED_FAILURE
            part.application_failure_info.non_retryable = True
            return True
    return False


def _chain(failure: Failure) -> Iterator[Failure]:
    """Yield a failure and its causes, the first one first."""
    yield failure
    while failure.HasField("cause"):
        failure = failure.cause
        yield failure
