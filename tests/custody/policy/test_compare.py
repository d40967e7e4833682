"""What counts as a tightening: a table. Random policies: tests/properties/test_tightening.py."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from custody.policy.compare import is_tightening
from custody.policy.document import parse
from tests.custody.policy.documents import CHAIN, OTHER_ASSET, TOKEN_ASSET, address, document

pytestmark = pytest.mark.unit

ONE = [{"roles": ["treasury"], "approvals": 1}]
TWO = [{"roles": ["treasury"], "approvals": 2}]
Doc = dict[str, Any]


def rule(name: str, when: Doc, quorum: list[Doc], effect: str = "allow") -> Doc:
    kind = "payout"
    return {
        "name": name, "effect": effect, "kind": kind, "asset": "*", "when": when, "quorum": quorum,
    }  # fmt: skip


def base() -> Doc:
    """Up to 100 alone, up to 1000 to known addresses by one, the rest by two; never to 0x…08."""
    return {
        **document(),
        "schema": "moorage.policy/2",
        "rules": [
            rule("never", {"destination": [address(8)]}, [], "deny"),
            rule("small", {"amount_max": "100"}, []),
            rule("known", {"amount_max": "1000", "book": ["active", "cooling"]}, ONE),
            rule("large", {}, TWO),
        ],
        "limits": [{"asset": "*", "window_s": 3600, "amount_max": "500"}],
        "book": {"cooling_s": 3600},
        "change": {"delay_s": 3600, "approvals": 3},
        "hot_limits": [{"asset": TOKEN_ASSET, "amount_max": "700"}],
    }


def at(doc: Doc, *path: Any, to: Any) -> None:
    for step in path[:-1]:
        doc = doc[step]
    doc[path[-1]] = to


def without(doc: Doc, *path: Any) -> None:
    for step in path[:-1]:
        doc = doc[step]
    del doc[path[-1]]


PLACES = ("places", str(CHAIN))
EXTRA = rule("extra", {"amount_max": "1"}, [])
TABLE: list[tuple[str, bool, Callable[[Doc], object]]] = [
    ("nothing", True, lambda d: None),
    ("less from the hot wallet", True, lambda d: at(d, "hot_limits", 0, "amount_max", to="600")),
    ("more from the hot wallet", False, lambda d: at(d, "hot_limits", 0, "amount_max", to="701")),
    ("no hot limit", False, lambda d: at(d, "hot_limits", to=[])),
    ("hot limits not named", False, lambda d: without(d, "hot_limits")),
    (
        "a hot limit for one more asset",
        True,
        lambda d: d["hot_limits"].append({"asset": OTHER_ASSET, "amount_max": "1"}),
    ),
    ("another name", True, lambda d: at(d, "rules", 1, "name", to="tiny")),
    ("another denial", True, lambda d: d["rules"].append(
        rule("no", {"amount_above": "5"}, [], "deny"))),
    ("a denial gone", False, lambda d: without(d, "rules", 0)),
    ("a denial narrower", False, lambda d: at(d, "rules", 0, "when", "amount_above", to="5")),
    ("amount lower, the rest to more people", True, lambda d: at(
        d, "rules", 1, "when", "amount_max", to="99")),
    ("amount higher", False, lambda d: at(d, "rules", 1, "when", "amount_max", to="101")),
    ("one condition more", True, lambda d: at(
        d, "rules", 1, "when", "destination", to=[address(9)])),
    ("one condition less", False, lambda d: without(d, "rules", 2, "when", "amount_max")),
    ("narrower in what is not always known", False, lambda d: at(
        d, "rules", 2, "when", "book", to=["active"])),
    ("last rule gone", True, lambda d: without(d, "rules", 3)),
    ("first permission gone, the next asks more", True, lambda d: without(d, "rules", 1)),
    ("order turned", False, lambda d: d["rules"].reverse()),
    ("one more permission", False, lambda d: d["rules"].append(EXTRA)),
    ("more people", True, lambda d: at(d, "rules", 3, "quorum", 0, "approvals", to=3)),
    ("fewer people", False, lambda d: at(d, "rules", 3, "quorum", to=ONE)),
    ("nobody", False, lambda d: at(d, "rules", 3, "quorum", to=[])),
    ("other people", False, lambda d: at(d, "rules", 3, "quorum", 0, "roles", to=["clerk"])),
    ("one group more", True, lambda d: at(
        d, "rules", 3, "quorum", to=[*TWO, {"roles": ["owner"], "approvals": 1}])),
    ("of one asset only", True, lambda d: at(d, "rules", 3, "asset", to=TOKEN_ASSET)),
    ("another kind", False, lambda d: at(d, "rules", 3, "kind", to="release")),
    ("limit lower", True, lambda d: at(d, "limits", 0, "amount_max", to="499")),
    ("limit higher", False, lambda d: at(d, "limits", 0, "amount_max", to="501")),
    ("a window more", True, lambda d: d["limits"].append(
        {"asset": "*", "window_s": 60, "amount_max": "900"})),
    ("own limit instead of the common one", False, lambda d: d["limits"].append(
        {"asset": TOKEN_ASSET, "window_s": 3600, "amount_max": "1"})),
    ("chain gone", True, lambda d: at(d, "places", to={})),
    ("payee more", False, lambda d: at(d, *PLACES, "payees", to=[address(9)])),
    ("another treasury", False, lambda d: at(d, *PLACES, "treasury", to=address(9))),
    ("guard gone", False, lambda d: at(d, *PLACES, "guards", to={})),
    ("cooling longer", True, lambda d: at(d, "book", "cooling_s", to=3601)),
    ("cooling shorter", False, lambda d: at(d, "book", "cooling_s", to=3599)),
    ("wait longer", True, lambda d: at(d, "change", "delay_s", to=3601)),
    ("wait shorter", False, lambda d: at(d, "change", "delay_s", to=3599)),
    ("fewer to agree", False, lambda d: at(d, "change", "approvals", to=2)),
    ("nobody to agree", False, lambda d: without(d, "change")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "tighter", "edit"), TABLE, ids=[t[0] for t in TABLE])
def test_table(name: str, tighter: bool, edit: Callable[[Doc], object]) -> None:
    draft = copy.deepcopy(base())
    edit(draft)
    assert is_tightening(parse(base()), parse(draft)) is tighter


def test_removing_a_rule_before_a_laxer_one_is_loosening() -> None:
    """What the strict rule held would fall through to the lax one."""
    strict = [rule("strict", {"amount_above": "50"}, TWO), rule("lax", {}, [])]
    old = parse({**base(), "rules": strict})
    assert not is_tightening(old, parse({**base(), "rules": strict[1:]}))
    assert is_tightening(old, parse({**base(), "rules": strict[:1]}))


def test_the_older_schema_is_compared_too() -> None:
    lower = document()
    lower["rules"][1]["amount_max"] = "999"
    assert is_tightening(parse(document()), parse(lower))
    assert not is_tightening(parse(lower), parse(document()))
    assert not is_tightening(parse(document()), parse({**document(), "schema": "moorage.policy/2",
                                                       "rules": []}))  # fmt: skip
