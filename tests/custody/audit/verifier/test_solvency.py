"""`me` and `solvency` on an epoch made by the document alone; what is false in it is found."""

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custody.audit import verify
from custody.core import canonical
from tests.custody.audit.verifier.paper_anchor import CHAIN_ID, CONTRACT
from tests.custody.audit.verifier.paper_epoch import ASSETS, COIN, GUARD, SAFE, SECOND, TOKEN, Epoch
from tests.custody.audit.verifier.test_anchors_and_forks import leaves_of, put

pytestmark = pytest.mark.unit

EPOCH = Epoch().make()
ME = f"cus_{7:032x}"


def trust(of: Epoch = EPOCH, **more: Any) -> verify.Trust:
    known = {
        "address": CONTRACT,
        "chain_id": CHAIN_ID,
        "block_hash": of.anchor["block"]["hash"],
        "blocks": of.blocks,
        "customer": ME,
    }
    return verify.Trust(**{**known, **more})


def me(body: Any, **more: Any) -> verify.Report:
    return verify.verify_me(canonical.encode(body), EPOCH.log.vkey, trust(**more))


def solvency(body: Any, epoch: Epoch = EPOCH, **more: Any) -> verify.Report:
    other = more.pop("other", None)
    raw = canonical.encode(body)
    return verify.verify_solvency(raw, epoch.log.vkey, trust(epoch, **more), other)


def failed(report: verify.Report) -> list[str]:
    return [s.name for s in report.steps if s.status == "FAIL"]


# --- one holder -------------------------------------------------------------------------------


def test_every_holder_can_check_the_own_balance() -> None:
    for customer, balances in EPOCH.owed.items():
        own = dict(zip(ASSETS, balances, strict=True))
        report = me(EPOCH.me(customer), customer=customer, balances=own, epoch=1)
        assert report.code == 0, verify.render(report)


def test_what_a_holder_sees() -> None:
    body = EPOCH.me(ME)
    other = f"cus_{8:032x}"
    assert failed(me(body, customer=other)) == ["id"], "another holder's proof"
    assert failed(me({**body, "customer": other}, customer=other)) == ["path"]
    assert failed(me({**body, "salt": "0x" + "00" * 32})) == ["path"]
    assert failed(me(body, balances={COIN: 1})) == ["balances"]
    assert failed(me(body, balances={"eip155:1/slip44:60": 1})) == ["balances"]
    assert me(body, balances={"eip155:1/slip44:60": 0}).code == 0
    assert failed(me(body, epoch=2)) == ["epoch"], "a replayed epoch"
    assert failed(me(body, customer=None)) == ["id"]


def test_without_an_anchor_the_question_is_open() -> None:
    body = {**EPOCH.me(ME), "anchor": None}
    assert me(body).code == 2
    assert me(body, anchor_needed=False).code == 0
    assert me(EPOCH.me(ME), block_hash=None, blocks={}).code == 2
    assert failed(me(EPOCH.me(ME), block_hash="0x" + "0" * 64)) == ["anchor header"]


def test_sums_beyond_128_bits_are_refused() -> None:
    """An overflow that would wrap to a small sum."""
    body = EPOCH.me(ME)
    for at in (0, 9):
        bad = put(body, ("path", at, "sums", 0), str(2**128 - 1))
        assert failed(me(bad)) == ["path"]
        assert failed(me(put(body, ("path", at, "sums", 0), str(2**128)))) == ["form"]
        assert failed(me(put(body, ("path", at, "sums", 0), "-1"))) == ["form"]


def test_a_root_beyond_128_bits_is_refused() -> None:
    """The one sum that no parent holds in its hash: two halves that do not fit together."""
    epoch = Epoch()
    epoch._open()
    everybody = sorted((f"cus_{i:032x}" for i in range(1, 64)), key=epoch.leaf_id)
    both = everybody[0], everybody[-1]
    epoch.owed = {customer: [2**127, 0, 0] for customer in both}
    epoch.finish()
    first, last = (epoch.order.index(epoch.leaf_id(c)) for c in both)
    assert first < 2 ** (verify.DEPTH_MIN_MAX[0] - 1) <= last, "one in each half"
    body = epoch.me(both[0])
    known = trust(epoch, customer=both[0])
    report = verify.verify_me(canonical.encode(body), epoch.log.vkey, known)
    assert failed(report) == ["path"]


@pytest.mark.parametrize("path", leaves_of(EPOCH.me(ME)), ids=lambda p: ".".join(map(str, p)))
def test_every_field_of_a_holders_proof_counts(path: tuple[Any, ...]) -> None:
    body = EPOCH.me(ME)
    old: Any = body
    for name in path:
        old = old[name]
    other = "1" if old[-1:] != "1" else "2"
    for value in (old[:-1] + other, old + "0", None, 7):
        assert me(put(body, path, value)).code == 1, f"{path} = {value!r} passes"


def test_every_byte_of_a_holders_proof_counts() -> None:
    rng, raw = random.Random(54), canonical.encode(EPOCH.me(ME))
    for _ in range(60):
        bad = bytearray(raw)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        report = verify.verify_me(bytes(bad), EPOCH.log.vkey, trust())
        assert failed(report)


# --- the report -------------------------------------------------------------------------------


def test_a_sound_report_holds() -> None:
    report = solvency(EPOCH.file())
    assert report.code == 0, verify.render(report)
    skipped = {s.name for s in report.steps if s.status == "SKIP"}
    assert skipped == {"read reserves", "stated reserves", "anchor code", "owners' code"}


def test_blocks_that_nobody_vouches_for_leave_it_open() -> None:
    report = solvency(EPOCH.file(), blocks={})
    assert (report.code, failed(report)) == (2, [])
    assert failed(solvency(EPOCH.file(), blocks={**EPOCH.blocks, SECOND: "0x" + "0" * 64}))[0] == (
        "chains"
    )


def test_an_owners_slots_count_in_code_that_is_known() -> None:
    """A token's balances may lie where a Safe has its owners: the code tells them apart."""
    code = EPOCH.second.accounts[SAFE].code_hash.hex()
    codes = {SAFE: "0x" + code, GUARD: "0x" + code}
    report = solvency(EPOCH.file(), codes=codes)
    assert ("owners' code", "PASS") in {(s.name, s.status) for s in report.steps}
    report = solvency(EPOCH.file(), codes={**codes, SAFE: "0x" + "0" * 64})
    assert failed(report) == ["owners' code"]


Change = Callable[[dict[str, Any]], None]


def of_kind(report: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(dict_ for dict_ in report["owners"] if dict_["kind"] == kind)


def reserve(report: dict[str, Any], class_: str) -> dict[str, Any]:
    return next(dict_ for dict_ in report["reserves"] if dict_["class"] == class_)


def swap_owner(report: dict[str, Any]) -> None:
    of_kind(report, "key")["signature"] = of_kind(report, "guard")["signature"]


def one_owner(report: dict[str, Any]) -> None:
    of_kind(report, "safe")["signatures"].pop()


def twice(report: dict[str, Any]) -> None:
    signatures = of_kind(report, "safe")["signatures"]
    signatures[1] = signatures[0]


def lower_threshold(report: dict[str, Any]) -> None:
    one_owner(report)
    of_kind(report, "safe")["threshold"]["value"] = f"0x{1:064x}"


def venue_as_cash(report: dict[str, Any]) -> None:
    line = reserve(report, "deployed")
    line["class"] = "hot"
    del line["venue"], line["tier"]


def again(report: dict[str, Any]) -> None:
    report["reserves"].insert(2, {**reserve(report, "cold"), "place": "asset:cold@3"})
    report["reserves"].sort(key=lambda r: (int(r["chain_id"]), r["asset"], r["address"].lower()))


def stated_again(report: dict[str, Any]) -> None:
    line = reserve(report, "exchange")
    at = report["reserves"].index(line) + 1
    report["reserves"].insert(at, {**line, "place": line["place"] + "2"})


def unowned(report: dict[str, Any]) -> None:
    report["owners"] = [o for o in report["owners"] if o["kind"] != "safe"]


LIES: dict[str, tuple[Change, str]] = {
    "a signature of somebody else": (swap_owner, "ownership"),
    "too few of the Safe's owners": (one_owner, "ownership"),
    "one owner twice": (twice, "ownership"),
    "a threshold that is not the Safe's": (lower_threshold, "ownership"),
    "another allocator": (
        lambda r: of_kind(r, "guard").update(by=of_kind(r, "key")["by"]),
        "ownership",
    ),
    "an address twice": (lambda r: r["owners"].append(r["owners"][-1]), "ownership"),
    "more than is there": (lambda r: reserve(r, "hot").update(amount="9" * 19), "reserves"),
    "more in storage": (lambda r: reserve(r, "cold").update(amount="1000001"), "reserves"),
    "another mapping": (
        lambda r: reserve(r, "cold")["evidence"].update(mapping="8"),
        "reserves",
    ),
    "a flag taken for money": (
        lambda r: reserve(r, "cold")["evidence"].update(bits="256"),
        "reserves",
    ),
    "a venue's position as cash": (venue_as_cash, "reserves"),
    "one balance counted twice": (again, "reserves"),
    "an exchange's word counted twice": (stated_again, "reserves"),
    "counted, though nobody owns it": (unowned, "reserves"),
    "an exchange's word as cash": (
        lambda r: reserve(r, "exchange").update({"class": "hot"}),
        "reserves",
    ),
    "of another chain": (lambda r: reserve(r, "hot").update(chain_id=str(SECOND)), "reserves"),
    "owed less": (lambda r: r["totals"][0].update(owed="1"), "totals"),
    "covered, though it is not": (
        lambda r: r["totals"][0].update(covered=not r["totals"][0]["covered"]),
        "totals",
    ),
    "less owed than the tree": (lambda r: r["sums"].__setitem__(0, "1"), "report"),
    "another pinned block": (lambda r: r["chains"].reverse(), "chains"),
    "another challenge": (lambda r: r["challenge"].update(block_number="101"), "challenge"),
    "another window": (lambda r: r["challenge"].update(window="33"), "challenge"),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_that_are_published_as_they_are(lie: str) -> None:
    """The log names the false report by its hash, so that only its content speaks against it."""
    change, step = LIES[lie]
    epoch = Epoch().make()
    report = copy.deepcopy(epoch.report)
    change(report)
    found = failed(solvency(epoch.file(report), epoch))
    assert found[:1] == [step], found


def test_a_report_that_the_log_does_not_name() -> None:
    body = EPOCH.file()
    bad = copy.deepcopy(body)
    bad["report"]["reserves"][0]["amount"] = "1"
    assert "report" in failed(solvency(bad))


def test_not_covered_fails() -> None:
    epoch = Epoch(owed={ME: [10**30, 0, 0]}).make()
    assert failed(solvency(epoch.file(), epoch)) == ["covered"]


def test_share_prices_are_owed_rounded_up() -> None:
    total = next(t for t in EPOCH.report["totals"] if t["asset"] == TOKEN)
    shares, tokens = (
        sum(b[ASSETS.index(a)] for b in EPOCH.owed.values()) for a in (ASSETS[2], TOKEN)
    )
    assert int(total["owed"]) == tokens + shares + 1


def test_money_moved_between_chains_during_the_snapshot() -> None:
    """Chains that are shown at two moments; a spread is for clocks that a devnet moved."""
    epoch = Epoch().make()
    epoch.headers[SECOND] = epoch._pair(epoch.second, 777, 1_800_000_001)
    epoch.report = epoch._report()
    epoch._publish()
    assert failed(solvency(epoch.file(), epoch)) == ["moment"]
    assert solvency(epoch.file(), epoch, spread_s=1).code == 0
    epoch.headers[SECOND] = epoch._pair(epoch.second, 777, 1_800_000_000 - 12)
    epoch.report = epoch._report()
    epoch._publish()
    assert failed(solvency(epoch.file(), epoch)) == ["moment"]


def test_one_address_for_two_entities() -> None:
    """Double-pledged: the other entity's report claims the Safe, too."""
    other = copy.deepcopy(EPOCH.report)
    other["context"]["entity"] = "log.other/ten_1"
    raw = canonical.encode(other)
    assert "ownership" in failed(solvency(EPOCH.file(), other=raw))
    other["owners"], other["reserves"] = [], []
    assert solvency(EPOCH.file(), other=canonical.encode(other)).code == 0


def test_statements_of_another_epoch_are_none() -> None:
    """Borrowed for one epoch, or signed in advance: the challenge is in what is signed."""
    first, second = Epoch(number=1).make(), Epoch(number=2).make()
    report = copy.deepcopy(second.report)
    report["owners"] = first.report["owners"]
    assert failed(solvency(second.file(report), second))[:1] == ["ownership"]


def test_every_byte_of_a_report_counts() -> None:
    rng, raw = random.Random(54), canonical.encode(EPOCH.file())
    for _ in range(25):
        bad = bytearray(raw)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        assert failed(verify.verify_solvency(bytes(bad), EPOCH.log.vkey, trust()))


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "me").write_bytes(canonical.encode(EPOCH.me(ME)))
    (tmp_path / "report").write_bytes(canonical.encode(EPOCH.file()))
    own = ["--anchor-address", CONTRACT, "--chain-id", str(CHAIN_ID), "--json"]
    known = ["--log-key", EPOCH.log.vkey, "--block-hash", EPOCH.anchor["block"]["hash"], *own]
    balance = ["--balance", f"{COIN}={EPOCH.owed[ME][0]}"]
    assert verify.main(["me", str(tmp_path / "me"), *known, "--customer", ME, *balance]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {s["status"] for s in shown["steps"] if s["name"] != "anchor code"} == {"PASS"}
    assert verify.main(["me", str(tmp_path / "me"), *known]) == 2, "a holder says who he is"
    blocks = [f"--block={chain}={hash_}" for chain, hash_ in EPOCH.blocks.items()]
    mapping = ["--mapping", f"{TOKEN}=9"]
    assert verify.main(["solvency", str(tmp_path / "report"), *known, *blocks, *mapping]) == 0
    assert verify.main(["solvency", str(tmp_path / "report"), *known]) == 2
    mapping = ["--mapping", f"{TOKEN}=8"]
    assert verify.main(["solvency", str(tmp_path / "report"), *known, *blocks, *mapping]) == 1
