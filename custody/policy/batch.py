"""A batch of payouts, taken apart: each as it would be judged alone after the ones before it.

Pure; `evaluate.py` asks the rules about each part. SEMANTICS.md says it in words.
"""

from collections.abc import Iterator
from dataclasses import replace

from custody.core.facts import NO_FACTS, Facts, Moved, Scope, Windows
from custody.core.intents import Intent, IntentKind

_NOTHING = Moved(0, 0)


def parts(intent: Intent, facts: Facts) -> Iterator[tuple[Intent, Facts]]:
    """Each payout as an intent of kind `payout`, with the facts that it is judged by.

    What concerns the recipient comes from `facts.each`; the rest is the batch's, with the earlier
    payouts counted as moved and gone from the balance.
    """
    told = len(facts.each) == len(intent.payouts)
    before = _NOTHING
    to: dict[str, Moved] = {}
    for number, payout in enumerate(intent.payouts):
        own = facts.each[number] if told else NO_FACTS
        there = to.get(payout.recipient, _NOTHING)
        single = replace(
            intent,
            kind=IntentKind.PAYOUT,
            amount=payout.amount,
            beneficiary=payout.recipient,
            payouts=(),
        )
        yield (
            single,
            replace(
                facts,
                book=own.book,
                code=own.code,
                look_alike=own.look_alike,
                balance=None if facts.balance is None else max(0, facts.balance - before.amount),
                moved=_moved(facts.moved, before, own.moved, there),
                each=(),
            ),
        )
        before = _plus(before, payout.amount)
        to[payout.recipient] = _plus(there, payout.amount)


def _moved(
    everywhere: Windows | None, before: Moved, there: Windows | None, to_it: Moved
) -> Windows | None:
    """Windows of the tenant from the batch's facts, of the destination from the payout's own."""
    if everywhere is None:
        return None
    found = {key: _sum(m, before) for key, m in everywhere.items() if key[0] is Scope.TENANT}
    found |= {
        key: _sum(m, to_it) for key, m in (there or {}).items() if key[0] is Scope.DESTINATION
    }
    return found


def _plus(moved: Moved, amount: int) -> Moved:
    return _sum(moved, Moved(amount, 1))


def _sum(a: Moved, b: Moved) -> Moved:
    return Moved(a.amount + b.amount, a.count + b.count)
