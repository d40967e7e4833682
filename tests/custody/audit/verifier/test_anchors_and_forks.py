"""Anchors and forks: what a chain on paper holds, and every way in which a proof can be false."""

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.audit import proof, verify
from custody.audit.checkpoint import Checkpoint
from custody.core import canonical
from tests.custody.audit.entries import customer_created
from tests.custody.audit.verifier.paper_anchor import ADDRESS, CHAIN_ID, CONTRACT, document, world
from tests.custody.audit.verifier.paper_log import PaperLog

pytestmark = pytest.mark.unit


def told(entries: int = 7) -> PaperLog:
    log = PaperLog()
    for _ in range(entries):
        log.add("customer.created", customer_created())
    log.sign()
    return log


LOG = told()
HEAD = LOG.signed[-1]
GOOD = document(HEAD)
TRUST = {
    "address": CONTRACT.upper().replace("0X", "0x"),
    "chain_id": CHAIN_ID,
    "block_hash": GOOD["block"]["hash"],
}


def trust(**more: Any) -> verify.Trust:
    return verify.Trust(**{**TRUST, **more})


def anchor(body: Any, note: str | None = None, **more: Any) -> verify.Report:
    raw = None if note is None else note.encode()
    return verify.verify_anchor(canonical.encode(body), LOG.vkey, trust(**more), raw)


def said(report: verify.Report) -> dict[str, str]:
    return {s.name.removeprefix("anchor "): s.status for s in report.steps}


def test_an_anchor_holds() -> None:
    report = anchor(GOOD, HEAD.note, code_hash=GOOD["account"]["code_hash"])
    assert (report.code, set(said(report).values())) == (0, {"PASS"})


def test_what_the_auditor_does_not_know_is_not_passed() -> None:
    """No block hash, or no contract: the question is open, and the exit code says so."""
    for more, step in (({"block_hash": None}, "header"), ({"address": None}, "contract")):
        report = anchor(GOOD, **more)
        assert (said(report)[step], report.code) == ("SKIP", 2)
    assert anchor(GOOD).code == 0, "the code's hash is for who wants to compare it"


@pytest.mark.parametrize(
    ("more", "step"),
    [
        ({"address": "0x" + "60" * 20}, "contract"),
        ({"chain_id": 1}, "contract"),
        ({"block_hash": "0x" + "00" * 32}, "header"),
        ({"code_hash": "0x" + "00" * 32}, "code"),
    ],
)
def test_another_chain_contract_block_or_code_fails(more: dict[str, Any], step: str) -> None:
    report = anchor(GOOD, **more)
    assert (said(report)[step], report.code) == ("FAIL", 1)


def test_another_log_or_checkpoint_fails() -> None:
    assert said(anchor(GOOD, told().signed[0].note))["checkpoint"] == "FAIL"
    stranger = PaperLog(origin="log.other").vkey
    report = verify.verify_anchor(canonical.encode(GOOD), stranger, trust())
    assert said(report)["form"] == "FAIL"


def test_a_frozen_log_is_reported_and_a_forked_one_fails() -> None:
    frozen, forked = document(HEAD, state=1), document(HEAD, state=2)
    report = anchor(frozen, block_hash=frozen["block"]["hash"])
    assert report.code == 0
    assert "frozen" in verify.render(report)
    report = anchor(forked, block_hash=forked["block"]["hash"])
    assert (said(report)["head"], report.code) == ("FAIL", 1)


def test_no_code_at_the_address_is_no_contract() -> None:
    chain = world(HEAD)
    chain.accounts[ADDRESS].code_hash = verify.Account().code_hash
    body = document(HEAD, chain=chain)
    assert said(anchor(body, block_hash=body["block"]["hash"]))["code"] == "FAIL"


def leaves_of(body: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(body, dict):
        return [p for k, v in body.items() for p in leaves_of(v, (*path, k))]
    if isinstance(body, list):
        return [p for i, v in enumerate(body) for p in leaves_of(v, (*path, i))]
    return [path]


def put(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    body = copy.deepcopy(body)
    at = body
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    return body


@pytest.mark.parametrize("path", leaves_of(GOOD), ids=lambda p: ".".join(map(str, p)))
def test_every_field_counts(path: tuple[Any, ...]) -> None:
    """Each value of the document, changed in one digit, missing, or of another type."""
    old: Any = GOOD
    for name in path:
        old = old[name]
    last = "1" if old[-1:] != "1" else "2"
    values: tuple[Any, ...] = (old[:-1] + last, old + "0", "", None, 7, [], "0x", "-1", "1e3")
    for value in values:
        if value != old:
            assert anchor(put(GOOD, path, value)).code == 1, f"{path} = {value!r} passes"


def test_extra_keys_and_missing_ones_fail() -> None:
    for name in GOOD:
        assert anchor({k: v for k, v in GOOD.items() if k != name}).code == 1
    assert anchor({**GOOD, "more": "1"}).code == 1
    assert anchor(put(GOOD, ("storage",), GOOD["storage"][::-1])).code == 1
    assert anchor(put(GOOD, ("storage",), GOOD["storage"][:1])).code == 1


def test_every_byte_counts() -> None:
    rng, raw = random.Random(54), canonical.encode(GOOD)
    for _ in range(120):
        bad = bytearray(raw)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        report = verify.verify_anchor(bytes(bad), LOG.vkey, trust())
        failed = [s for s in report.steps if s.status == "FAIL"]
        assert failed, "a changed byte passes"
        assert all(s.where for s in failed)


# --- forks ------------------------------------------------------------------------------------


def rewritten() -> tuple[PaperLog, Checkpoint]:
    """The same log up to entry 3, then another history of the same size."""
    other = PaperLog()
    for leaf in LOG.leaves[:3]:
        assert leaf.body is not None
        other.add_raw(leaf.kind, leaf.body)
    for _ in range(4):
        other.add("customer.created", customer_created())
    return other, other.sign()


OTHER, THEIRS = rewritten()


def fork(**more: Any) -> dict[str, Any]:
    body = {
        "schema": "moorage.fork/1",
        "origin": LOG.origin,
        "log_key": LOG.vkey,
        "size": str(HEAD.size),
        "ours": {"note": HEAD.note, "root": "sha256:" + HEAD.root.hex(), "consistency": []},
        "theirs": {
            "kind": "checkpoint",
            "root": "sha256:" + THEIRS.root.hex(),
            "note": THEIRS.note,
        },
        "found_at": "2026-11-27T17:30:00.000000Z",
        "source": "a witness",
    }
    return {**body, **more}


def ask(body: Any, **more: Any) -> verify.Report:
    return verify.verify_fork(canonical.encode(body), LOG.vkey, trust(**more))


def test_two_signed_roots_are_a_fork() -> None:
    report = ask(fork())
    assert report.code == 0
    assert "IT WAS FORKED" in verify.render(report)


def test_a_later_checkpoint_stands_for_the_smaller_size() -> None:
    log = copy.deepcopy(LOG)
    for _ in range(6):
        log.add("customer.created", customer_created())
    head = log.sign()
    hashes = proof.consistency(log.node(head.size), HEAD.size, head.size).to_json()["hashes"]
    ours = {"note": head.note, "root": "sha256:" + HEAD.root.hex(), "consistency": hashes}
    assert ask(fork(ours=ours)).code == 0
    assert ask(fork(ours={**ours, "root": "sha256:" + THEIRS.root.hex()})).code == 1
    assert ask(fork(ours={**ours, "consistency": hashes[:-1]})).code == 1


def anchored(with_proof: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    held = document(THEIRS)
    theirs = {
        "kind": "anchor",
        "root": "sha256:" + THEIRS.root.hex(),
        "proof": held if with_proof else None,
        "chain_id": str(CHAIN_ID),
        "contract": CONTRACT,
        "block_number": held["block"]["number"],
        "block_hash": held["block"]["hash"],
    }
    return fork(theirs=theirs), held


def test_another_root_on_a_chain_is_a_fork() -> None:
    body, held = anchored()
    assert ask(body, block_hash=held["block"]["hash"]).code == 0
    assert ask(body).code == 1, "at a block that is not trusted"
    assert ask(body, block_hash=None).code == 2, "no block is trusted"
    assert ask(anchored(with_proof=False)[0]).code == 2


def test_a_forked_contract_is_evidence_and_no_fault() -> None:
    body, held = fork(), document(THEIRS, state=2)
    theirs = {**anchored()[0]["theirs"], "proof": held}
    assert ask({**body, "theirs": theirs}, block_hash=held["block"]["hash"]).code == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b.update(theirs={**b["theirs"], "note": HEAD.note}),
        lambda b: b.update(
            theirs={"kind": "checkpoint", "root": b["ours"]["root"], "note": HEAD.note}
        ),
        lambda b: b.update(size="6"),
        lambda b: b.update(origin="log.other"),
        lambda b: b.update(schema="moorage.fork/2"),
        lambda b: b.update(more="1"),
        lambda b: b["ours"].update(note=HEAD.note.replace("7", "8", 1)),
        lambda b: b["theirs"].update(kind="rumour"),
    ],
)
def test_what_is_no_fork_fails(change: Callable[[Any], None]) -> None:
    body = copy.deepcopy(fork())
    change(body)
    assert ask(body).code == 1


def test_another_key_cannot_accuse_this_log() -> None:
    stranger = PaperLog(key=Ed25519PrivateKey.from_private_bytes(b"\x0a" * 32))
    claimed = stranger.statement(HEAD.size, THEIRS.root)
    theirs = {"kind": "checkpoint", "root": "sha256:" + THEIRS.root.hex(), "note": claimed.note}
    assert ask(fork(theirs=theirs)).code == 1


# --- the command line -------------------------------------------------------------------------


def test_commands_and_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, body in (("anchor", GOOD), ("fork", fork())):
        (tmp_path / name).write_bytes(canonical.encode(body))
    (tmp_path / "note").write_text(HEAD.note)
    key = ["--log-key", LOG.vkey, "--json"]
    own = ["--anchor-address", CONTRACT, "--chain-id", str(CHAIN_ID)]
    block = ["--block-hash", GOOD["block"]["hash"]]
    asked = {
        0: [
            ["anchor", str(tmp_path / "anchor"), *key, *own, *block],
            ["anchor", str(tmp_path / "anchor"), *key, *own, "--block", f"{CHAIN_ID}={block[1]}"],
            ["fork", str(tmp_path / "fork"), *key],
            ["checkpoint", str(tmp_path / "note"), *key],
        ],
        1: [["anchor", str(tmp_path / "fork"), *key, *own, *block]],
        2: [
            ["anchor", str(tmp_path / "anchor"), *key, *own],
            ["anchor", str(tmp_path / "anchor"), *key, *block],
            ["anchor", str(tmp_path / "anchor"), *key, *own, "--block-hash", "0x12"],
            ["anchor", str(tmp_path / "anchor"), *key, *own, "--block", "17"],
            ["anchor", str(tmp_path / "absent"), *key, *own],
            ["anchor", str(tmp_path / "anchor"), "--log-key", "x"],
            ["anchor"],
        ],
    }
    for code, commands in asked.items():
        for command in commands:
            assert verify.main(command) == code, command
            out = capsys.readouterr().out
            assert not out or json.loads(out)["code"] == code


def test_a_chains_report_cannot_be_proved_offline() -> None:
    theirs = {
        "kind": "report",
        "root": "sha256:" + THEIRS.root.hex(),
        "roots": ["sha256:" + HEAD.root.hex(), "sha256:" + THEIRS.root.hex()],
        "tx_hash": "0x" + "1" * 64,
        "chain_id": str(CHAIN_ID),
        "contract": CONTRACT,
        "block_number": "9",
        "block_hash": "0x" + "2" * 64,
    }
    assert ask(fork(theirs=theirs)).code == 2
    nothing: dict[str, Any] = {"note": None, "root": None, "consistency": []}
    assert ask(fork(theirs=theirs, ours=nothing)).code == 2
