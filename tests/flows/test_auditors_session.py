"""An auditor's session, as README tells it, from start to end.

The auditor has the verifier from the published source, the log's key and the anchor contract from
when the log began, and asks a node that is not the operator's for the hash of a block. The desk is
an empty folder with a Python that has pycryptodome and nothing else.
"""

import json
import shutil
import subprocess
import venv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import Crypto
import pytest

from custody.assurance import bundle, evidence
from custody.assurance.evidence import Evidence, Leaf
from custody.assurance.solvency.states import State
from custody.audit import merkle, note, verify
from custody.audit.checkpoint import Checkpoint
from custody.core import canonical
from custody.core.ids import CustomerId, format_id
from custody.core.serialization import loads
from custody.ledger import seal
from custody.withdrawals.states import State as Payment
from tests.custody.audit.entries import sign_log
from tests.fixtures.paying import approve, ask, funded, run_until
from tests.fixtures.solvent import Prover, prover
from tests.fixtures.town import USDC, Town
from tests.flows.anchored import AnchoredTown, anchored_town

pytestmark = pytest.mark.chain


@dataclass
class Operator(Prover):
    """The service: anchors for real, and keeps the proof of what the chain then holds."""

    place: AnchoredTown | None = None

    async def anchor(self) -> None:
        assert self.place is not None
        await seal.run_all(self.town.db, self.deps.reads.clock)
        await sign_log(self.town.db, self.log, self.folder)
        await self.place.step()
        await self.place.settle()
        await self.place.evidence()


@dataclass
class Desk:
    """Where the auditor works: one folder, one Python."""

    folder: Path
    python: Path

    def put(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)

    def run(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Exit code and report of the verifier, alone and isolated."""
        command = [str(self.python), "-I", "verify.py", *arguments, "--json"]
        done = subprocess.run(
            command, cwd=self.folder, env={}, capture_output=True, check=False, timeout=120
        )
        assert not done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Step 1: the verifier, from the published source."""
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    site = next((tmp_path / "bare").glob("lib/python*/site-packages"))
    shutil.copytree(Path(Crypto.__file__).parent, site / "Crypto")
    folder = tmp_path / "desk"
    folder.mkdir()
    shutil.copy(verify.__file__, folder / "verify.py")
    return Desk(folder, tmp_path / "bare" / "bin" / "python")


async def busy_town(town: Town, folder: Path) -> tuple[Operator, CustomerId]:
    """A deposit, a payment that a person approved, an epoch of solvency: sealed and anchored."""
    alice = await funded(town, 1_000 * USDC)
    place = await anchored_town(town, folder)
    made = prover(town, folder)
    operator = Operator(town, made.deps, place.signer, folder, place=place)
    payment = await ask(town, alice, 400 * USDC)
    await approve(town, payment)
    await run_until(town, payment, Payment.SETTLED)
    await operator.anchor()
    await operator.until(State.SERVING)
    return operator, alice


def block_hash(town: Town, document: dict[str, Any]) -> str:
    """What a node that is not the operator's says of the block that the proof names."""
    number = hex(int(document["block"]["number"]))
    return str(town.anvil.rpc("eth_getBlockByNumber", number, False)["hash"])


def steps(report: dict[str, Any], status: str) -> list[str]:
    return [s["name"] for s in report["steps"] if s["status"] == status]


async def test_an_auditors_session(town: Town, tmp_path: Path, desk: Desk) -> None:
    operator, alice = await busy_town(town, tmp_path / "log")
    place = operator.place
    assert place is not None
    known = ["--log-key", operator.vkey]
    contract = ["--anchor-address", place.contract, "--chain-id", str(town.chain_id)]

    # Step 2: the bundle, and the hash of the block that its newest anchor names.
    async with town.db.snapshot() as s:
        data = await bundle.build(s, operator.vkey, tenant_id=town.tenant_id)
    desk.put("bundle.zip", data)
    files = verify.read_archive(data)[0]
    newest = json.loads(files[max(n for n in files if n.startswith("anchors/"))])
    on_chain = [*contract, "--block-hash", block_hash(town, newest)]

    # Step 3: all that the bundle claims holds; without the block's hash that stays open.
    code, report = desk.run("bundle", "bundle.zip", *known, *on_chain)
    assert (code, steps(report, "FAIL")) == (0, []), report
    claimed = json.loads(files["manifest.json"])["claims"]
    assert sorted(claimed) == sorted(steps(report, "PASS"))
    assert {"ledger", "approvals", "withdrawals", "anchor checkpoint"} < set(claimed)
    code, report = desk.run("bundle", "bundle.zip", *known)
    assert (code, "anchor header" in report["claimed_not_shown"]) == (2, True)

    # Step 4: the report on what is owed and what is there; its blocks by the other node, too.
    file = await operator.file()
    desk.put("report.json", canonical.encode(file))
    anchored = [*contract, "--block-hash", block_hash(town, file["anchor"])]
    blocks = [f"--block={chain}={hash_}" for chain, hash_ in operator.trusted(file).items()]
    code, report = desk.run("solvency", "report.json", *known, *anchored, *blocks)
    assert (code, steps(report, "FAIL")) == (0, []), report

    # Step 5: one holder's own balance in it.
    desk.put("me.json", canonical.encode(await operator.own(alice)))
    me = ["--customer", format_id("customer", alice)]
    balance = ["--balance", f"{town.usdc}={600 * USDC}"]
    code, report = desk.run("me", "me.json", *known, *anchored, *me, *balance)
    assert (code, steps(report, "FAIL")) == (0, []), report
    code, report = desk.run(
        "me", "me.json", *known, *anchored, *me, "--balance", f"{town.usdc}={601 * USDC}"
    )
    assert (code, steps(report, "FAIL")) == (1, ["balances"])

    # Step 6: a tampered copy fails, and says where: the payment's amount, in an entry of the log.
    at = data.index(b'"net":"', data.index(b"entries/000000.jsonl{")) + len(b'"net":"')
    other = b"1" if data[at : at + 1] != b"1" else b"2"
    desk.put("tampered.zip", data[:at] + other + data[at + 1 :])
    code, report = desk.run("bundle", "tampered.zip", *known, *on_chain)
    wrong = [s for s in report["steps"] if s["status"] == "FAIL"]
    assert (code, wrong[0]["name"]) == (1, "archive")
    assert any(s["name"] == "entries" and "(entry " in s["where"] for s in wrong)

    # Step 7: another history, signed by the log's own key and coherent in itself: the chain has the
    # true one, and refuses the other.
    desk.put("rewritten.zip", await rewritten(operator, files))
    code, report = desk.run("bundle", "rewritten.zip", *known, *on_chain)
    assert (code, steps(report, "FAIL")) == (1, ["anchor checkpoint"])
    assert "the log was rewritten" in str(report)
    leaves = [merkle.leaf_hash(b"another history %d" % i) for i in range(int(newest["size"]) + 1)]
    assert place.steal_the_key(leaves, int(newest["size"]), len(leaves)) == "reverted"


async def rewritten(operator: Operator, files: dict[str, bytes]) -> bytes:
    """The bundle with one entry of a past payment changed and all that follows made to fit."""
    lines = [
        line
        for name in sorted(files)
        if name.startswith("entries/")
        for line in files[name].split(b"\n")[:-1]
    ]
    leaves: list[Leaf] = []
    for line in lines:
        leaves.append(_leaf(line, leaves))
    sizes = sorted({int(n[12:]) for n in files if n.startswith("checkpoints/")} | {len(lines)})
    key = note.LogKey.parse(operator.vkey)
    roots = {size: merkle.root([leaf.leaf_hash for leaf in leaves[:size]]) for size in sizes}
    heads = [_signed(operator, key, size, roots[size]) for size in sizes]
    anchors = json.loads(files["anchors.json"])
    for anchor in anchors:
        anchor["root"] = "sha256:" + roots[int(anchor["size"])].hex()
    proofs = {n: d for n, d in files.items() if n.startswith("anchors/")}
    told = Evidence(operator.vkey, heads[-1], heads[:-1], leaves, anchors, proofs)
    return evidence.pack(replace(told, ledger=files["ledger.csv"]))


def _leaf(line: bytes, before: list[Leaf]) -> Leaf:
    """What nothing else rests on is told differently: a customer's reference. What the log says of
    its own anchors follows, so that it does not contradict itself."""
    if line.startswith(b"#"):
        return Leaf(len(before), bytes.fromhex(line[1:].decode()), "", None)
    body = loads(line)
    if body["kind"] == "customer.created":
        body["data"]["reference"] = "somebody else"
    if body["kind"] == "checkpoint.anchored":
        root = merkle.root([leaf.leaf_hash for leaf in before[: int(body["data"]["size"])]])
        body["data"]["root"] = "sha256:" + root.hex()
    line = canonical.encode(body)
    return Leaf(len(before), merkle.leaf_hash(line), body["kind"], line)


def _signed(operator: Operator, key: note.LogKey, size: int, root: bytes) -> Checkpoint:
    text = note.TreeHead(key.name, size, root).text()
    signed = note.encode(text, key, operator.log._key.sign(text.encode()))
    return Checkpoint(size, root, signed, operator.town.now())


def test_the_desk_has_nothing_of_ours(desk: Desk) -> None:
    assert sorted(p.name for p in desk.folder.iterdir()) == ["verify.py"]
    code = subprocess.run(
        [str(desk.python), "-I", "-c", "import custody"], capture_output=True, check=False
    ).returncode
    assert code == 1
