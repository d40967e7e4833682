"""The auditor's reading of `log.restored`: what two people of treasury signed, about entries that
stand there, and no older journals than those of seals that were put back."""

from typing import Any

import pytest

from custody.audit import verify
from custody.audit.events import validated
from custody.core.clock import iso_us
from custody.core.ids import format_id, new_uuid7
from custody.keys.people import sign_approval
from custody.policy import two_people
from tests.custody.audit.test_two_people import NOW, TENANT, entries
from tests.custody.audit.test_two_people import PEOPLE as STAFF

pytestmark = pytest.mark.unit

Data = dict[str, Any]
ORIGIN = "moorage.test/log"
ANOTHER = "ten_" + "2" * 32
LEAVES = [bytes([n]) * 32 for n in range(12)]
TREE = verify.Tree(LEAVES)
COUNTS = {3: ("1", "2"), 6: ("2", "3"), 8: ("3", "1")}
"""Number of the entry -> its seal, with how many journals."""
SEALS = [{"first": "2", "last": "3", "journals": "4"}]


def root(size: int) -> str:
    return "sha256:" + TREE.root(size).hex()


def restored(*signers: int, entry: Data | None = None, **changed: Any) -> Data:
    """`changed` is in the document, `entry` in what the log says beside it alone."""
    said: Data = {"origin": ORIGIN, "numbered": "6", "size": "9", "root": root(9), "seals": SEALS}
    said |= {name: changed[name] for name in said if name in changed}
    document = {"schema": "moorage.log-restore/1", "tenant": TENANT, "entries": [], **said}
    document |= changed
    digest = two_people.digest(document)
    end = NOW.replace(hour=23)
    people = [STAFF[n] for n in signers or (0, 1)]
    return {
        **said,
        **(entry or {}),
        "digest": digest,
        "document": document,
        "approvals": [sign_approval(key, id_, digest, end).to_json() for id_, key, _ in people],
        "decided_at": iso_us(NOW),
    }


def sealed(seal: str, count: str) -> Data:
    first = format_id("transfer", new_uuid7())
    of_it = {"seal": seal, "start": "0", "count": count, "first": first, "last": first}
    return {**of_it, "totals": {}, "root": "sha256:" + "7" * 64}


def bundle(data: Data, at: int = 10, tenant_of_seals: str = TENANT) -> verify.Bundle:
    made = verify.Bundle(b"", verify.LogKey(ORIGIN, bytes(32), bytes(4)), verify.Trust())
    made.tree, made.leaves = TREE, list(LEAVES)
    found = entries("log.restored", data)
    found[-1].seq = at
    for seq, (seal, count) in COUNTS.items():
        told = validated("ledger.sealed", sealed(seal, count))[1]
        found.append(
            verify.Entry(seq, str(seq), tenant_of_seals, "ledger.sealed", iso_us(NOW), told)
        )
    for entry in sorted(found, key=lambda e: e.seq):
        made.kinds.setdefault(entry.kind, []).append(entry)
    return made


def test_what_two_signed_is_believed() -> None:
    made = bundle(restored())
    assert "entries 6 to 8" in made.log_restores()
    told = bundle(restored()).log_restores()
    assert "without journals of seals 2 to 3" in told
    assert all(format_id("person", id_) in told for id_, _, role in STAFF if role == "treasury")
    told_of = [plain(seq) for seq in (5, 6, 8, 9)]
    assert [made.forgotten(e, 9) for e in told_of] == [False, True, True, False]
    assert not made.forgotten(plain(6), 8), "what was put back does not tell itself again"


@pytest.mark.parametrize(
    ("tenant", "first", "expected"),
    [
        (TENANT, None, True),
        (ANOTHER, None, False),
        (ANOTHER, (0, ANOTHER), False),
        (ANOTHER, (1, TENANT), False),
        (ANOTHER, (0, TENANT), True),
    ],
    ids=["own", "another's", "founder's", "founder not shown", "accepted by the founder"],
)
def test_people_speak_for_their_tenant_and_the_founders_for_all(
    tenant: str, first: tuple[int, str] | None, expected: bool
) -> None:
    """Property 16: two people of one tenant do not let another's payments be told twice."""
    made = bundle(restored())
    made.log_restores()
    made.entries = [plain(*first)] if first else []
    assert made.forgotten(plain(6, tenant), 9) is expected
    assert made._told_again(plain(10, tenant), plain(6, tenant)) is expected


def plain(seq: int, tenant: str = TENANT) -> verify.Entry:
    final = {"tx_hash": "0x" + "1" * 64}
    return verify.Entry(seq, f"e{seq}", tenant, "transfer.final", iso_us(NOW), final)


def test_who_was_enrolled_just_before_is_believed() -> None:
    assert len(bundle(restored(numbered="2")).log_restores().split(" and ")) == 2


def test_nothing_lost_but_entries() -> None:
    made = bundle(restored(seals=[]))
    assert made.log_restores().startswith("1 accepted")
    assert list(made.restores[0].lost) == []


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (restored(0), "two persons of treasury"),
        (restored(0, 0), "two persons of treasury"),
        (restored(0, 2), "two persons of treasury"),
        (restored(numbered="1"), "two of treasury who were enrolled before entry 1"),
        (restored(numbered="0"), "two of treasury who were enrolled before entry 0"),
        (restored(entry={"seals": [{"first": "1", "last": "3", "journals": "6"}]}), "its seals"),
        (restored(entry={"numbered": "0"}), "its numbered"),
        (restored(entry={"size": "10"}), "its size"),
        (restored(origin="moorage.test/other"), "another log"),
        (restored(numbered="9"), "do not stand before"),
        (restored(size="11", root=root(11)), "do not stand before"),
        (restored(root=root(8)), "another root"),
        (restored(tenant="ten_" + "1" * 32), "decides something else"),
        (restored(schema="moorage.fork-dismissal/1"), "decides something else"),
        (restored(seals=[{"first": "1", "last": "3", "journals": "6"}]), "not among the entries"),
        (restored(seals=[{"first": "3", "last": "4", "journals": "1"}]), "not among the entries"),
        (restored(seals=[{"first": "3", "last": "2", "journals": "0"}]), "not among the entries"),
        (restored(seals=[{"first": "2", "last": "3", "journals": "5"}]), "another number of"),
        (restored(seals=[{"first": "2", "last": "3"}]), "no object of"),
        (restored(seals=[*SEALS, *SEALS]), "do not follow"),
    ],
)
def test_anything_else_is_not(data: Data, match: str) -> None:
    """Properties 16 and 54."""
    made = bundle(data)
    with pytest.raises(verify.Wrong, match=match):
        made.log_restores()
    assert made.restores == []


def test_seals_of_another_tenant_cannot_be_given_up() -> None:
    with pytest.raises(verify.Wrong, match="not among the entries"):
        bundle(restored(), tenant_of_seals="ten_" + "2" * 32).log_restores()


def test_an_entry_before_what_it_names_is_wrong() -> None:
    with pytest.raises(verify.Wrong, match="do not stand before"):
        bundle(restored(), at=7).log_restores()


def policy(version: int, previous: str | None, text: str = "") -> Data:
    document: Data = {"schema": "moorage.policy/1", "version": version, "text": text}
    said: Data = {"version": str(version), "hash": verify.digest_of(document)}
    return {**said, "document": document, **({"previous": previous} if previous else {})}


@pytest.mark.parametrize(
    ("number", "of", "wrong"),
    [(2, 0, False), (3, 1, False), (3, 0, False), (2, 1, True), (1, 0, True), (4, 2, True)],
)
def test_policies_go_on_from_what_the_database_still_had(number: int, of: int, wrong: bool) -> None:
    """Version 1 stands before the backup, version 2 was lost: the next one follows either."""
    made = bundle(restored())
    made.log_restores()
    one = policy(1, None)
    two = policy(2, one["hash"])
    none = "sha256:" + "9" * 64
    last = policy(number, (one["hash"], two["hash"], none)[of], "last")
    for seq, data in ((4, one), (7, two), (11, last)):
        entry = verify.Entry(seq, f"p{seq}", TENANT, "policy.loaded", iso_us(NOW), data)
        made.kinds.setdefault("policy.loaded", []).append(entry)
        made.files[f"policies/{seq:012d}.json"] = verify.canonical(data["document"])
    if wrong:
        with pytest.raises(verify.Wrong, match="does not follow"):
            made.policies()
    else:
        assert made.policies().startswith("3 documents")
