"""Every named result of `post`, the order of its checks, groups and replays."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from custody.core.errors import Conflict, InsufficientFunds, InvalidInput, Refused
from custody.core.ids import TransferId, new_uuid7
from custody.core.money import AMOUNT_MAX
from custody.ledger import accounts
from custody.ledger.posting import Outcome, derived_id, post, post_or_raise
from tests.fixtures.ledger import FUTURE, PAST, TOKEN, Books, linked

pytestmark = pytest.mark.postgres

PLAIN = [
    # debit, credit, amount, outcome
    ("ann", "bob", 100, "ok"),
    ("ann", "bob", 101, "insufficient_funds"),
    ("cash", "bob", AMOUNT_MAX, "ok"),
    ("bob", "cash", 1, "insufficient_funds"),
    ("gas", "cash", 1000, "ok"),
    ("cash", "gas", 1, "insufficient_funds"),
    ("operator", "ann", 5000, "ok"),
    ("ann", "nobody", 1, "unknown_account"),
    ("nobody", "ann", 1, "unknown_account"),
    ("ann", "ann", 1, "same_account"),
    ("ann", "token", 1, "asset_mismatch"),
    ("ann", "foreign", 1, "tenant_mismatch"),
    ("foreign", "ann", 1, "tenant_mismatch"),
    ("ann", "bob", 0, "amount_invalid"),
    ("ann", "bob", -1, "amount_invalid"),
    ("ann", "bob", None, "amount_invalid"),
    ("ann", "bob", AMOUNT_MAX + 1, "amount_invalid"),
    ("frozen", "bob", 1, "account_frozen"),
    ("ann", "frozen", 1, "ok"),
    ("ann", "closed", 1, "account_closed"),
    ("closed", "ann", 1, "account_closed"),
    # two faults and more: the first of the order is named
    ("nobody", "token", 0, "unknown_account"),
    ("closed", "closed", 0, "same_account"),
    ("token", "foreign", 0, "asset_mismatch"),
    ("closed", "foreign", 0, "tenant_mismatch"),
    ("frozen", "closed", 0, "amount_invalid"),
    ("frozen", "closed", 51, "account_frozen"),
    ("bob", "closed", 1, "account_closed"),
]


@pytest.fixture
async def odd_books(books: Books) -> Books:
    """With a frozen and a closed account, and one of another tenant."""
    other = Books(books.database)
    books.ids["foreign"] = await other.open("foreign", "liability")
    async with books.database.write() as s:
        await accounts.set_status(s, books.tenant, books.ids["frozen"], "frozen")
        await accounts.set_status(s, books.tenant, books.ids["closed"], "closed")
    return books


@pytest.mark.parametrize("kind", ["posted", "pending"])
@pytest.mark.parametrize(("debit", "credit", "amount", "outcome"), PLAIN)
async def test_result(
    odd_books: Books, debit: str, credit: str, amount: int | None, outcome: str, kind: str
) -> None:
    """Property 3. A hold is checked as the transfer it stands for."""
    before = await odd_books.available("cash", "ann", "bob", "frozen", "rest")
    transfer = odd_books.transfer(debit, credit, amount, kind=kind)
    assert await odd_books.outcomes(transfer) == [outcome]
    if outcome != "ok":
        assert await odd_books.available("cash", "ann", "bob", "frozen", "rest") == before
        assert await odd_books.outcomes(transfer) == [outcome]  # nothing of it was stored


HOLD_ENDS: list[tuple[str, dict[str, Any], str, int | None, list[str]]] = [
    # the hold's options, then: kind and amount of its end, results of doing that twice
    ("whole", {}, "post", None, ["ok", "hold_already_posted"]),
    ("exact", {}, "post", 60, ["ok", "hold_already_posted"]),
    ("part", {}, "post", 1, ["ok", "hold_already_posted"]),
    ("over", {}, "post", 61, ["amount_over_hold", "amount_over_hold"]),
    ("none", {}, "post", 0, ["amount_invalid", "amount_invalid"]),
    ("void", {}, "void", None, ["ok", "hold_already_voided"]),
    ("void with an amount", {}, "void", 999, ["ok", "hold_already_voided"]),
    ("in time", {"expires_at": FUTURE}, "post", None, ["ok", "hold_already_posted"]),
    ("late", {"expires_at": PAST}, "post", None, ["hold_expired", "hold_expired"]),
    ("late and over", {"expires_at": PAST}, "post", 61, ["hold_expired", "hold_expired"]),
    ("late void", {"expires_at": PAST}, "void", None, ["ok", "hold_already_voided"]),
]


@pytest.mark.parametrize("together", [True, False], ids=["one call", "three calls"])
@pytest.mark.parametrize(
    ("options", "kind", "amount", "outcomes"),
    [case[1:] for case in HOLD_ENDS],
    ids=[case[0] for case in HOLD_ENDS],
)
async def test_end_of_a_hold(
    books: Books,
    options: dict[str, Any],
    kind: str,
    amount: int | None,
    outcomes: list[str],
    together: bool,
) -> None:
    hold = books.hold("ann", "bob", 60, **options)
    steps = [hold, books.end(hold, kind, amount), books.end(hold, kind, amount)]
    if together:
        results = await books.outcomes(*steps)
    else:
        results = [(await books.outcomes(step))[0] for step in steps]
    assert results == ["ok", *outcomes]
    ended = outcomes[0] == "ok"
    moved = 0 if not ended or kind == "void" else amount or 60
    ann, bob = await books.balance("ann"), await books.balance("bob")
    assert (ann.posted, bob.posted) == (100 - moved, moved)
    assert (ann.pending_out, bob.pending_in) == ((0, 0) if ended else (60, 60))


async def test_hold_counts_against_what_is_available(books: Books) -> None:
    assert await books.outcomes(
        books.hold("ann", "bob", 60),
        books.hold("ann", "bob", 41),
        books.transfer("ann", "bob", 41),
        books.transfer("ann", "bob", 40),
        books.transfer("bob", "rest", 41),  # what is held to come is not there yet
    ) == ["ok", "insufficient_funds", "insufficient_funds", "ok", "insufficient_funds"]


async def test_hold_is_found_only_where_it_is(books: Books) -> None:
    """Of another tenant, between other accounts, a plain transfer, or nowhere."""
    hold, plain = books.hold("ann", "bob", 10), books.transfer("ann", "bob", 10)
    await books.post(hold, plain)
    stranger = Books(books.database)
    ends = [
        books.end(plain, "post"),
        books.end(replace(hold, id=TransferId(new_uuid7())), "post"),
        replace(books.end(hold, "post"), debit=books.ids["rest"], credit=books.ids["bob"]),
        replace(books.end(hold, "void"), credit=books.ids["rest"]),
    ]
    assert await books.outcomes(*ends) == ["hold_not_found"] * 4
    assert await stranger.outcomes(stranger.end(hold, "void")) == ["hold_not_found"]
    named = replace(books.end(hold, "post"), debit=books.ids["ann"], credit=books.ids["bob"])
    assert await books.outcomes(named) == ["ok"]


async def test_frozen_account_still_ends_its_holds_and_takes_reversals(books: Books) -> None:
    """What has already happened on chain is booked; a wrong credit can be taken back."""
    hold, wrong = books.hold("ann", "bob", 60), books.transfer("cash", "ann", 5)
    await books.post(hold, wrong)
    async with books.database.write() as s:
        await accounts.set_status(s, books.tenant, books.ids["ann"], "frozen")
    assert await books.outcomes(
        books.transfer("ann", "cash", 5),
        books.transfer("ann", "cash", 5, reverses_id=wrong.id),
        books.end(hold, "post"),
    ) == ["account_frozen", "ok", "ok"]


async def test_same_id_same_content_gives_the_stored_answer(books: Books) -> None:
    """Property 4."""
    hold = books.hold("ann", "bob", 60, expires_at=FUTURE, reference="wdr_1")
    part = books.end(hold, "post", 20, chain_id=31337, block_number=7)
    first = await books.post(hold, part)
    again = await books.post(hold, part, part)
    assert [r.outcome for r in first] == ["ok", "ok"]
    assert [r.outcome for r in again] == ["exists"] * 3
    assert [replace(r, outcome=Outcome.OK) for r in again] == [*first, first[1]]
    assert await books.available("ann", "bob") == [80, 20]


CHANGES: list[dict[str, Any]] = [
    {"amount": 11},
    {"code": "other"},
    {"reference": "r2"},
    {"reference": None},
    {"event_at": FUTURE},
    {"chain_id": 1},
    {"block_number": 2},
    {"group_id": uuid4()},
    {"reverses_id": TransferId(new_uuid7())},
    {"kind": "pending"},
    {"kind": "pending", "expires_at": FUTURE},
    {"amount": 0},
]


@pytest.mark.parametrize("together", [True, False], ids=["one call", "two calls"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda c: ",".join(c))
async def test_same_id_other_content(books: Books, change: dict[str, Any], together: bool) -> None:
    """Property 4. It is named before every other fault."""
    first = books.transfer(
        "ann", "bob", 10, reference="r", chain_id=31337, block_number=1, group_id=None
    )
    other = replace(first, **change)
    if together:
        results = await books.outcomes(first, other)
    else:
        results = await books.outcomes(first) + await books.outcomes(other)
    assert results == ["ok", "exists_with_different_content"]
    assert await books.available("ann", "bob") == [90, 10]


async def test_ids_are_a_tenants_own(books: Books) -> None:
    stranger = Books(books.database)
    await stranger.open("cash", "asset")
    await stranger.open("zoe", "liability")
    mine = books.transfer("ann", "bob", 10)
    theirs = replace(stranger.transfer("cash", "zoe", 7), id=mine.id)
    assert await books.outcomes(mine, theirs, mine, theirs) == ["ok", "ok", "exists", "exists"]


async def test_refused_id_can_be_used_again(books: Books) -> None:
    transfer = books.transfer("bob", "ann", 10)
    assert await books.outcomes(transfer, books.transfer("ann", "bob", 10), transfer) == [
        "insufficient_funds",
        "ok",
        "ok",
    ]


async def test_earlier_transfers_count_for_later_ones(books: Books) -> None:
    """Credit a customer and hold the same; use in a group what the group has just brought."""
    credit = books.transfer("cash", "bob", 30)
    hold = books.hold("bob", "ann", 30)
    onward = books.transfer("ann", "rest", 130)
    assert (
        await books.outcomes(*linked([credit, hold, books.end(hold, "post"), onward])) == ["ok"] * 4
    )
    assert await books.available("ann", "bob") == [0, 0]


GROUPS = [
    # the group's transfers, their results
    ([("ann", "bob", 60), ("ann", "bob", 40)], ["ok", "ok"]),
    ([("ann", "bob", 60), ("ann", "bob", 41)], ["linked_failed", "insufficient_funds"]),
    ([("ann", "bob", 101), ("cash", "ann", 1)], ["insufficient_funds", "linked_failed"]),
    # a member's own fault is named, what depends on the others is not
    ([("ann", "bob", 101), ("ann", "ann", 1)], ["insufficient_funds", "same_account"]),
    ([("ann", "bob", 101), ("bob", "rest", 9)], ["insufficient_funds", "linked_failed"]),
    (
        [("ann", "bob", 50), ("ann", "nobody", 1), ("bob", "ann", 50)],
        ["linked_failed", "unknown_account", "linked_failed"],
    ),
]


@pytest.mark.parametrize(("members", "outcomes"), GROUPS)
async def test_group_is_all_or_none(
    books: Books, members: list[tuple[str, str, int]], outcomes: list[str]
) -> None:
    """Its neighbours do not notice."""
    group = linked([books.transfer(*member) for member in members])
    before, after = books.transfer("cash", "rest", 1), books.transfer("rest", "cash", 851)
    assert await books.outcomes(before, *group, after) == ["ok", *outcomes, "ok"]
    if "linked_failed" in outcomes:
        assert await books.available("ann", "bob") == [100, 0]


async def test_group_again(books: Books) -> None:
    """The whole group again: its answer. A new member of a stored group: refused."""
    group = linked([books.transfer("ann", "bob", 10), books.hold("ann", "bob", 10)])
    late = replace(books.transfer("ann", "bob", 1), group_id=group[0].group_id)
    assert await books.outcomes(*group) == ["ok", "ok"]
    assert await books.outcomes(*group) == ["exists", "exists"]
    assert await books.outcomes(*group, late) == ["exists", "exists", "linked_failed"]
    assert await books.outcomes(late, *group) == ["linked_failed", "exists", "exists"]


async def test_replay_inside_a_failing_group_is_not_answered_as_stored(books: Books) -> None:
    first, bad = linked([books.transfer("ann", "bob", 10), books.transfer("ann", "bob", 999)])
    assert await books.outcomes(first, first, bad) == [
        "linked_failed",
        "linked_failed",
        "insufficient_funds",
    ]
    assert await books.outcomes(first) == ["ok"]


async def test_hold_of_a_failed_group_is_gone(books: Books) -> None:
    hold, bad = linked([books.hold("ann", "bob", 10), books.transfer("ann", "bob", 999)])
    assert await books.outcomes(hold, bad, books.end(hold, "post")) == [
        "linked_failed",
        "insufficient_funds",
        "hold_not_found",
    ]


async def test_end_of_a_hold_in_a_failed_group_is_undone(books: Books) -> None:
    hold = books.hold("ann", "bob", 10)
    await books.post(hold)
    group = linked([books.end(hold, "post"), books.transfer("ann", "bob", 999)])
    assert await books.outcomes(*group) == ["linked_failed", "insufficient_funds"]
    assert (await books.balance("ann")).pending_out == 10
    assert await books.outcomes(books.end(hold, "void")) == ["ok"]


async def test_members_of_a_group_stand_together(books: Books) -> None:
    first, second = linked([books.transfer("ann", "bob", 1), books.transfer("ann", "bob", 2)])
    with pytest.raises(InvalidInput, match="next to each other"):
        await books.post(first, books.transfer("ann", "bob", 3), second)


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"event_at": None}, "event_at"),
    ({"event_at": datetime(2030, 1, 1)}, "event_at"),  # noqa: DTZ001
    ({"amount": 1.0}, "amount"),
    ({"amount": True}, "amount"),
    ({"kind": "post"}, "pending_id"),
    ({"pending_id": TransferId(uuid4())}, "pending_id"),
    ({"expires_at": FUTURE}, "expires_at"),
]


@pytest.mark.parametrize(("change", "field"), MALFORMED)
async def test_malformed(books: Books, change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        await books.post(replace(books.transfer("ann", "bob", 1), **change))
    assert error.value.field == field


async def test_post_or_raise(books: Books) -> None:
    """It names field and rule; of a group, the member that is at fault."""
    transfer = books.transfer("ann", "bob", 10)
    group = linked([books.transfer("ann", "bob", 1), books.transfer("ann", "bob", 999)])
    async with books.database.write() as s:
        results = await post_or_raise(s, [transfer, transfer])
        assert [r.stored for r in results] == [True, True]
        with pytest.raises(Conflict):
            await post_or_raise(s, [replace(transfer, amount=11)])
        with pytest.raises(Refused) as refused:
            await post_or_raise(s, [books.transfer("ann", "nobody", 1)])
        with pytest.raises(InsufficientFunds) as short:
            await post_or_raise(s, group)
    assert (refused.value.field, refused.value.rule) == ("account", "must exist")
    assert short.value.values["transfer"] == str(group[1].id)


async def test_the_callers_transaction_decides(books: Books) -> None:
    """A later error of the caller takes the posting with it."""
    transfer = books.transfer("ann", "bob", 10)
    with pytest.raises(RuntimeError):
        async with books.database.write() as s:
            assert (await post(s, [transfer]))[0].stored
            raise RuntimeError("the caller fails")
    assert await books.available("ann", "bob") == [100, 0]
    assert await books.outcomes(transfer) == ["ok"]


async def test_amounts_are_exact_up_to_the_last_unit(empty_books: Books) -> None:
    """Property 6. And a counter never leaves its 78 digits."""
    await empty_books.open("cash", "asset", TOKEN)
    await empty_books.open("ann", "liability", TOKEN)
    results = [await empty_books.outcomes(empty_books.transfer("cash", "ann", 1))]
    assert (await empty_books.balance("ann")).posted == 1
    for _ in range(9):
        results.append(await empty_books.outcomes(empty_books.transfer("cash", "ann", AMOUNT_MAX)))
    assert results == [["ok"]] * 9 + [["amount_invalid"]]
    assert (await empty_books.balance("ann")).posted == 8 * AMOUNT_MAX + 1


async def test_a_call_is_one_moment(books: Books) -> None:
    results = await books.post(*[books.transfer("ann", "bob", 1) for _ in range(5)])
    (later,) = await books.post(books.transfer("ann", "bob", 1))
    (at,) = {r.created_at for r in results}
    assert at is not None
    assert later.created_at is not None
    assert later.created_at >= at


async def test_nothing_to_post(books: Books) -> None:
    async with books.database.write() as s:
        assert await post(s, []) == []


@pytest.mark.unit
def test_derived_id_is_the_same_again_and_keeps_the_time() -> None:
    base = new_uuid7()
    one, other = derived_id(base, "credit"), derived_id(base, "sweep")
    assert one == derived_id(base, "credit")
    assert one != other
    assert one.version == other.version == 7
    assert one.int >> 80 == base.int >> 80
