"""The history checker accepts what one order explains, and nothing else."""

from __future__ import annotations

import pytest

from kybern.testing.history import Operation, Register, Seen, linearizable, register_step

GET = ("get",)


def explained(*history: Operation) -> bool:
    return linearizable(history, register_step, Register(0, None))


def put(begin: float, end: float, value: bytes, expected: int | None, revision: int | None) -> Operation:
    seen = None if revision is None else Seen(revision)
    return Operation(begin, end, ("put", value, expected), seen, lost=seen is None)


def get(begin: float, end: float, revision: int, value: bytes | None = None) -> Operation:
    return Operation(begin, end, GET, Seen(revision, value))


CREATED = put(0, 1, b"a", 0, 2)


def test_a_read_after_a_write_sees_it() -> None:
    assert explained(CREATED, get(2, 3, 2, b"a"))
    assert not explained(CREATED, get(2, 3, 0))


def test_a_read_beside_a_write_sees_either_state() -> None:
    assert explained(put(0, 5, b"a", 0, 2), get(1, 2, 0), get(3, 4, 2, b"a"))
    assert not explained(put(0, 5, b"a", 0, 2), get(1, 2, 2, b"a"), get(3, 4, 0))


def test_two_writers_cannot_both_replace_the_same_revision() -> None:
    assert not explained(CREATED, put(2, 5, b"b", 2, 3), put(2, 5, b"c", 2, 4))
    lost = Operation(2, 5, ("put", b"c", 2), Seen(3, failed=True))
    assert explained(CREATED, put(2, 5, b"b", 2, 3), lost)


def test_a_failed_compare_must_have_had_a_reason() -> None:
    assert not explained(CREATED, Operation(2, 3, ("put", b"b", 2), Seen(2, failed=True)))
    assert explained(CREATED, Operation(2, 3, ("put", b"b", 0), Seen(2, failed=True)))


def test_a_read_may_not_show_a_value_of_another_write() -> None:
    assert not explained(CREATED, get(2, 3, 2, b"b"))


@pytest.mark.parametrize(("revision", "value"), [(2, b"a"), (3, b"b")])
def test_a_write_without_an_answer_may_have_happened_or_not(revision: int, value: bytes) -> None:
    unanswered = put(2, 99, b"b", 2, None)
    assert explained(CREATED, unanswered, get(4, 5, revision, value))
    assert not explained(CREATED, unanswered, get(4, 5, 3, b"b"), get(6, 7, 2, b"a"))


def test_a_write_without_an_answer_cannot_happen_after_its_writer_died() -> None:
    unanswered = put(2, 5, b"b", 2, None)
    assert explained(CREATED, unanswered, get(3, 4, 2, b"a"), get(4.5, 7, 3, b"b"))
    assert not explained(CREATED, unanswered, get(6, 7, 2, b"a"), get(8, 9, 3, b"b"))


def test_a_delete_leaves_nothing() -> None:
    deleted = Operation(2, 3, ("delete", 2), Seen(0))
    assert explained(CREATED, deleted, get(4, 5, 0), put(6, 7, b"again", 0, 9))
    assert not explained(CREATED, deleted, get(4, 5, 2, b"a"))
