"""Test the mapping of PSP errors to application errors."""

from datetime import timedelta

import pytest
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError

from activities.errors import LONGEST_RETRY_AFTER, application_error, psp_errors
from integrator.contract.enums import PaymentErrorCode
from integrator.psp.errors import (
    BearerRefused,
    CredentialsRejected,
    NotificationRejected,
    OutcomeUnknown,
    ProtocolError,
    PspError,
    PspTimeout,
    PspUnavailable,
    RateLimited,
)
from workflows.messages import PspFailure

MAPPED: list[tuple[PspError, PspFailure, bool]] = [
    (PspUnavailable("x"), PspFailure.UNAVAILABLE, False),
    (RateLimited("x"), PspFailure.UNAVAILABLE, False),
    (RateLimited("x", retry_after=2), PspFailure.UNAVAILABLE, False),
    (OutcomeUnknown("x"), PspFailure.UNKNOWN, False),
    (PspTimeout("x"), PspFailure.TIMEOUT, False),
    (ProtocolError("x"), PspFailure.UNKNOWN, False),
    (CredentialsRejected("x"), PspFailure.CREDENTIALS, True),
    (NotificationRejected("x"), PspFailure.UNKNOWN, False),
    (BearerRefused("x", code=PaymentErrorCode.InvalidIBAN), PspFailure.UNKNOWN, False),
    (PspError("x"), PspFailure.UNKNOWN, False),
]


@pytest.mark.parametrize(
    ("error", "expected", "final"), MAPPED, ids=[type(error).__name__ for error, _, _ in MAPPED]
)
def test_each_error_has_its_type_and_only_rejected_credentials_are_not_retried(
    error: PspError, expected: PspFailure, final: bool
) -> None:
    mapped = application_error(error)
    assert (mapped.type, mapped.non_retryable, mapped.message) == (expected, final, "x")


@pytest.mark.parametrize(
    ("retry_after", "delay"),
    [
        (2, timedelta(seconds=2)),
        (0.25, timedelta(seconds=0.25)),
        (86_400, LONGEST_RETRY_AFTER),
        (float("inf"), LONGEST_RETRY_AFTER),
        (float("nan"), None),
        (0, None),
        (-5, None),
        (None, None),
    ],
)
def test_a_throttling_psps_retry_after_sets_the_delay(
    retry_after: float | None, delay: timedelta | None
) -> None:
    assert application_error(RateLimited("x", retry_after=retry_after)).next_retry_delay == delay


@pytest.mark.parametrize("error", [PspUnavailable("x"), OutcomeUnknown("x"), PspTimeout("x")])
def test_other_errors_use_the_retry_policys_delay(error: PspError) -> None:
    assert application_error(error).next_retry_delay is None


def raise_chained_error() -> None:
    with psp_errors():
        try:
            raise ValueError("https://psp.example/v1?key=sk_very_secret")
        except ValueError as error:
            raise OutcomeUnknown("The PSP's response was lost") from error


async def test_the_chain_of_causes_does_not_reach_the_history() -> None:
    with pytest.raises(ApplicationError) as caught:
        raise_chained_error()
    failure = Failure()
    await DataConverter.default.encode_failure(caught.value, failure)
    assert not failure.HasField("cause")
    assert "sk_very_secret" not in str(failure)


def test_other_errors_pass_untranslated() -> None:
    with pytest.raises(KeyError), psp_errors():
        raise KeyError


def test_a_block_without_errors_raises_nothing() -> None:
    with psp_errors():
        assert True
