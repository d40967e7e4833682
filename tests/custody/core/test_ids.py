"""Ids: ordered in time, never twice, in their printed form and back."""

import multiprocessing
import threading
from uuid import UUID

import pytest

from custody.core.errors import InvalidInput
from custody.core.ids import format_id, new_uuid7, parse_id


def test_form_and_order() -> None:
    """RFC 9562, 5.7: version 7, variant 10; each is larger than the one before."""
    made = [new_uuid7() for _ in range(5_000)]
    assert made == sorted(made)
    assert len({id_.int & (1 << 62) - 1 for id_ in made}) == 5_000  # the random bits, too
    for id_ in made:
        assert (id_.version, id_.int >> 62 & 0b11) == (7, 0b10)
    assert all(UUID(str(id_)) == id_ for id_ in made)


def test_threads_share_no_id() -> None:
    made: list[UUID] = []

    def work() -> None:
        mine = [new_uuid7() for _ in range(3_000)]
        assert mine == sorted(mine)
        made.extend(mine)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 12_000


def test_a_forked_child_draws_other_random_bits() -> None:
    """The random bits are drawn ahead: a child that went on with its parent's would repeat them."""
    new_uuid7()
    forked = multiprocessing.get_context("fork").Pool(1)
    with forked as pool:
        theirs = pool.apply(_random_bits, (600,))
    assert not set(theirs) & set(_random_bits(600))


def _random_bits(count: int) -> list[int]:
    return [new_uuid7().int & (1 << 62) - 1 for _ in range(count)]


def test_printed_form() -> None:
    id_ = new_uuid7()
    assert parse_id("transfer", format_id("transfer", id_)) == id_
    with pytest.raises(InvalidInput, match="to"):
        parse_id("transfer", f"cus_{id_.hex}", "to")
