"""No message stops a transaction: every name with every fault, in every phase of its life.

A malformed message leaves no trace: the transaction ends as the same one without it, with the same
commands. `MESSAGE_TESTS=all` (`make message-tests`) tests every pair and 2,100 longer sequences;
without it they are samples.
"""

import logging
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from typing import TypeVar

import pytest

from tests.integration.workflows.message_scenarios import (
    LIVES,
    End,
    Fault,
    Life,
    Message,
    Player,
    list_messages,
    send,
)

EVERYTHING = os.environ.get("MESSAGE_TESTS") == "all"
SEED = int(os.environ.get("MESSAGE_SEED", "1"))
SEQUENCES = 700 if EVERYTHING else 15
SAMPLE = 2
"""Choices per phase of an ordinary test."""

pytestmark = pytest.mark.timeout(7_200 if EVERYTHING else 120)
by_life = pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
T = TypeVar("T")


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Log no message: there are hundreds of thousands."""
    with caplog.at_level(logging.ERROR):
        yield


@cache
def reference(index: int, phase: int, usable: tuple[Message, ...]) -> End:
    """Return the end of a life with these usable messages only."""
    end = LIVES[index].play(phase, usable)
    assert end.result in LIVES[index].ends
    return end


def expected(life: Life, phase: int, messages: Sequence[Message]) -> End:
    """Return how a life has to end with these messages."""
    usable = tuple(message for message in messages if message.usable)
    return reference(LIVES.index(life), phase, usable)


def phases(life: Life) -> range:
    return range(expected(life, 0, ()).steps)


def split(life: Life) -> tuple[list[Message], list[Message]]:
    """Return the usable and the malformed messages of a workflow."""
    messages = list_messages(life.cls)
    usable = [message for message in messages if message.usable]
    return usable, [message for message in messages if not message.usable]


def plain(message: Message, usable: Sequence[Message]) -> Message:
    """Return the message of the same name without arguments."""
    return next(one for one in usable if one.name == message.name and one.fault is Fault.NONE)


def choose(choices: Sequence[T], phase: int) -> Sequence[T]:
    """Return all choices, or in the ordinary test a sample of them."""
    if EVERYTHING:
        return choices
    return random.Random(f"{SEED}/{phase}").sample(choices, SAMPLE)  # noqa: S311


def report(capsys: pytest.CaptureFixture[str], life: Life, counts: Counter[str]) -> None:
    """Print the counts, also when the test passes."""
    numbers = ", ".join(f"{counts[name]:,} {name}" for name in counts)
    with capsys.disabled():
        sys.stdout.write(f"\n{life.name}: {len(phases(life))} phases, {numbers}\n")


@by_life
def test_a_single_message_leaves_the_transaction_right(
    life: Life, capsys: pytest.CaptureFixture[str]
) -> None:
    """One run takes all malformed messages of a phase; each is checked to have no effect."""
    usable, malformed = split(life)
    counts: Counter[str] = Counter()
    for phase in phases(life):
        player = Player(life, phase)
        for message in malformed:
            before = player.engine.state()
            message.send(player.engine)
            assert player.engine.state() == before, (phase, message)
        assert player.finish() == expected(life, phase, [])
        for message in usable:
            # Arguments of a message that takes none are ignored.
            assert life.play(phase, [message]) == expected(life, phase, [plain(message, usable)])
        counts += Counter(usable=len(usable), malformed=len(malformed))
    report(capsys, life, counts)


@by_life
def test_a_pair_of_malformed_messages_leaves_no_trace(
    life: Life, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both come at once; one run takes all pairs with the same first message."""
    _, malformed = split(life)
    counts: Counter[str] = Counter()
    for phase in phases(life):
        for first in choose(malformed, phase):
            player = Player(life, phase)
            before = player.engine.state()
            for second in malformed:
                send((first, second), player.engine)
            assert player.engine.state() == before, (phase, first)
            assert player.finish() == expected(life, phase, []), (phase, first)
            counts["pairs"] += len(malformed)
    report(capsys, life, counts)


@by_life
def test_a_pair_with_a_usable_message_leaves_the_transaction_right(
    life: Life, capsys: pytest.CaptureFixture[str]
) -> None:
    """Malformed messages come before and after a usable one; two usable ones after each other.

    Usable ones with ignored arguments are the same as those without (test of single messages).
    """
    usable, malformed = split(life)
    counts: Counter[str] = Counter()
    for phase in phases(life):
        for message in choose(usable, phase):
            sequence = (*malformed, message, *malformed)
            assert life.play(phase, sequence) == expected(life, phase, sequence), (phase, message)
            counts["pairs with a malformed message"] += 2 * len(malformed)
        without_arguments = [message for message in usable if message.fault is Fault.NONE]
        for pair in choose(list(product(without_arguments, without_arguments)), phase):
            assert life.play(phase, pair).result in life.ends, (phase, pair)
            counts["pairs of usable messages"] += 1
    report(capsys, life, counts)


@by_life
def test_a_long_sequence_of_messages_leaves_the_transaction_right(
    life: Life, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = list_messages(life.cls)
    counts: Counter[str] = Counter()
    for number in range(SEQUENCES):
        random_numbers = random.Random(f"{SEED}/{life.name}/{number}")  # noqa: S311
        phase = random_numbers.choice(phases(life))
        sequence = random_numbers.choices(messages, k=random_numbers.randint(3, 20))
        assert life.play(phase, sequence) == expected(life, phase, sequence), (phase, sequence)
        counts += Counter(sequences=1, messages=len(sequence))
    report(capsys, life, counts)
