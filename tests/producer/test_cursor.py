"""Cursors, and the ids of entries."""

from hypothesis import given
from hypothesis import strategies as st

from tailrace import EntryId, InvalidCursor


def test_ids_compare_as_redis_compares_them() -> None:
    assert EntryId(1, 99) < EntryId(2, 3) < EntryId(2, 10) < EntryId(10, 1)


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_a_cursor_comes_back_as_it_was_written(attempt: int, seq: int) -> None:
    entry_id = EntryId(attempt, seq)
    assert EntryId.parse(str(entry_id)) == entry_id == EntryId.decode(str(entry_id).encode())


@given(st.text())
def test_anything_else_is_no_cursor(text: str) -> None:
    try:
        assert EntryId.parse(text).attempt >= 0
    except InvalidCursor as error:
        assert repr(text) in str(error)
