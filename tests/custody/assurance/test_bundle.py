"""Bundles: made deterministically, verified alone, and no byte of them can change unseen."""

import hashlib
import io
import json
import shutil
import struct
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import Crypto
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.assurance import archive, bundle
from custody.audit import verify
from custody.core import canonical
from custody.core.db import Database
from custody.core.errors import InvalidInput, NotFound
from custody.core.ids import TenantId
from custody.parties import personal
from scripts.benches.verify_log import PAYEE
from tests.custody.assurance.story import Person, Story, payout
from tests.custody.audit.entries import AT, TENANT, LogSigner, add, sign_log

pytestmark = pytest.mark.postgres

KEY = LogSigner().key.vkey()


async def build(database: Database, **options: Any) -> bytes:
    async with database.snapshot() as s:
        return await bundle.build(s, KEY, **options)


async def told(database: Database, folder: Path, story: Story | None = None, **how: Any) -> bytes:
    """The bundle of a log that holds the story, 300 other entries and three checkpoints."""
    signer = LogSigner()
    await add(database, 100)
    await sign_log(database, signer, folder)
    await (story or Story()).tell(database, **how)
    await sign_log(database, signer, folder)
    await add(database, 200)
    await sign_log(database, signer, folder)
    return await build(database)


@pytest.fixture
async def good(database: Database, tmp_path: Path) -> bytes:
    return await told(database, tmp_path)


def outcome(data: bytes, **anchoring: Any) -> dict[str, str]:
    report = verify.verify_bundle(data, KEY, verify.Trust(**anchoring))
    return {s.name: s.status for s in report.steps}


def failures(data: bytes) -> str:
    report = verify.verify_bundle(data, KEY)
    assert not report.ok
    return " | ".join(f"{s.name} {s.where}: {s.detail}" for s in report.steps if s.status == "FAIL")


def files_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        return {i.filename: z.read(i) for i in z.infolist()}


def forged(files: dict[str, bytes]) -> bytes:
    """A bundle whose frame, checksums and manifest all fit: only the log's own proofs are left."""
    body = json.loads(files["manifest.json"])
    inner = {n: d for n, d in sorted(files.items()) if n != "manifest.json"}
    body["files"] = {name: hashlib.sha256(data).hexdigest() for name, data in inner.items()}
    return archive.write({"manifest.json": canonical.encode(body), **inner})


async def test_good_bundle_verifies_and_claims_what_it_shows(good: bytes) -> None:
    report = verify.verify_bundle(good, KEY)
    assert report.code == 0, verify.render(report)
    shown = [s.name for s in report.steps if s.status == "PASS"]
    assert sorted(report.claims) == sorted(shown)
    assert {s.status for s in report.steps} == {"PASS", "SKIP"}


async def test_same_rows_same_bytes(good: bytes, database: Database) -> None:
    assert await build(database) == good
    assert zipfile.ZipFile(io.BytesIO(good)).testzip() is None, "an ordinary zip as well"


async def test_older_size_and_no_size(database: Database, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await build(database)
    await told(database, tmp_path)
    old = await build(database, size=100)
    assert verify.verify_bundle(old, KEY).ok
    with pytest.raises(NotFound):
        await build(database, size=101)


async def test_other_tenants_are_withheld_yet_counted(database: Database, tmp_path: Path) -> None:
    other = uuid4()
    await add(database, 5, other)
    await told(database, tmp_path)
    own = await build(database, tenant_id=TENANT)
    report = verify.verify_bundle(own, KEY)
    assert report.ok
    assert "5 withheld" in next(s.detail for s in report.steps if s.name == "entries")
    assert other.hex.encode() not in own


async def test_flip_in_an_entry_names_file_and_entry(good: bytes) -> None:
    """Property 54."""
    data = bytearray(good)
    at = good.index(b'"kind":"withdrawal.settled"') + 10
    data[at] ^= 1
    found = failures(bytes(data))
    assert "archive entries/000000.jsonl" in found
    assert "entries/000000.jsonl line 112 (entry 111)" in found


async def test_forged_entry_is_found_by_number_and_root(good: bytes) -> None:
    """Property 54: with every checksum made to fit, the leaf and the signed root still object."""
    files = files_of(good)
    name = "entries/000000.jsonl"
    files[name] = files[name].replace(b'"net":"1000"', b'"net":"9000"', 1)
    found = failures(forged(files))
    assert "(entry 103)" in found
    index = 103 * 32
    lines = files[name].split(b"\n")
    leaves = files["tile/0/000"]
    leaf = verify.leaf_hash(lines[103])
    files["tile/0/000"] = leaves[:index] + leaf + leaves[index + 32 :]
    assert "do not have the root signed" in failures(forged(files))


def drop_last(lines: list[bytes]) -> list[bytes]:
    return lines[:-1]


def drop_middle(lines: list[bytes]) -> list[bytes]:
    return lines[:7] + lines[8:]


def swap(lines: list[bytes]) -> list[bytes]:
    return [lines[1], lines[0], *lines[2:]]


def repeat(lines: list[bytes]) -> list[bytes]:
    return [*lines, lines[-1]]


def withhold(lines: list[bytes]) -> list[bytes]:
    return [*lines[:-1], b"#" + b"0" * 64]


@pytest.mark.parametrize("edit", [drop_last, drop_middle, swap, repeat, withhold])
@pytest.mark.parametrize("leaves_too", [False, True])
async def test_removed_moved_or_repeated_entries_are_found(
    good: bytes, edit: Callable[[list[bytes]], list[bytes]], leaves_too: bool
) -> None:
    """Property 54: deletion, reorder and truncation, with and without fitting leaf hashes."""
    files = files_of(good)
    name = "entries/000001.jsonl"
    lines = edit(files[name].split(b"\n")[:-1])
    files[name] = b"".join(line + b"\n" for line in lines)
    if leaves_too:
        hashes = [
            bytes.fromhex(line[1:].decode()) if line[:1] == b"#" else verify.leaf_hash(line)
            for line in lines
        ]
        files["tile/0/001.p/56"] = b"".join(hashes)
    assert "entries" in failures(forged(files))


@pytest.mark.parametrize(
    "name",
    ["entries/000001.jsonl", "tile/0/000", "people.json", "checkpoint", "anchors.json"],
)
async def test_missing_files_are_found(good: bytes, name: str) -> None:
    files = files_of(good)
    del files[name]
    assert failures(forged(files))


async def test_personal_data_is_opened_to_whom_it_is_disclosed(
    database: Database, tmp_path: Path
) -> None:
    customer = uuid4()
    await told(database, tmp_path)
    async with database.write() as s:
        values = {"name": "Ada", "email": "ada@example.com"}
        await personal.store(s, TenantId(TENANT), customer, values, at=AT)
    await sign_log(database, LogSigner(), tmp_path)
    assert b"Ada" not in await build(database, tenant_id=TENANT)
    data = await build(database, tenant_id=TENANT, disclose=[customer])
    assert outcome(data)["disclosures"] == "PASS"
    lines = json.loads(files_of(data)["disclosures.json"])
    assert {line["field"]: line["value"] for line in lines} == values
    for name, value in (("value", "Eve"), ("salt", "0" * 64), ("field", "country"), ("seq", "1")):
        changed = [{**lines[0], name: value}]
        files = {**files_of(data), "disclosures.json": canonical.encode(changed)}
        assert "disclosures" in failures(forged(files))
    with pytest.raises(InvalidInput):
        await build(database, disclose=[customer])
    async with database.write() as s:
        await personal.erase(s, TenantId(TENANT), customer, at=AT)
    with pytest.raises(NotFound):
        await build(database, tenant_id=TENANT, disclose=[customer])


async def test_an_older_bundle_does_not_open_what_was_changed_since(
    database: Database, tmp_path: Path
) -> None:
    """What was asked for and is not of its entries is an error, not an empty list."""
    customer, tenant, signer, sizes = uuid4(), TenantId(TENANT), LogSigner(), []
    for name in ("Ada", "Ada Byron"):
        async with database.write() as s:
            await personal.store(s, tenant, customer, {"name": name}, at=AT)
        head = await sign_log(database, signer, tmp_path)
        assert head is not None
        sizes.append(head.size)
    with pytest.raises(InvalidInput, match="newer than this checkpoint") as refused:
        await build(database, tenant_id=TENANT, disclose=[customer], size=sizes[0])
    assert refused.value.field == "size"
    data = await build(database, tenant_id=TENANT, disclose=[customer], size=sizes[1])
    assert outcome(data)["disclosures"] == "PASS"
    assert json.loads(files_of(data)["disclosures.json"])[0]["value"] == "Ada Byron"


async def test_cut_bundle_is_refused(good: bytes) -> None:
    for end in (0, 10, len(good) // 2, len(good) - 1):
        assert "archive" in failures(good[:end])
    assert "archive" in failures(good + b"\x00")
    assert "archive" in failures(b"PK" + good)


async def test_fork_signed_by_another_key_is_refused(good: bytes) -> None:
    report = verify.verify_bundle(good, LogSigner(b"\x08" * 32).key.vkey())
    failed = [s.name for s in report.steps if s.status == "FAIL"]
    assert failed[:2] == ["log policy", "checkpoint"]


def clear(proofs: Any) -> None:
    proofs[0]["hashes"] = []


def zero(proofs: Any) -> None:
    proofs[0]["hashes"][0] = "0" * 64


def move(proofs: Any) -> None:
    proofs[0]["index"] = "0"


def wrong_size(proofs: Any) -> None:
    proofs[0]["new"] = "101"


def fewer(proofs: Any) -> None:
    proofs.pop()


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        *[("proofs/inclusion.json", edit) for edit in (clear, zero, move)],
        *[("proofs/consistency.json", edit) for edit in (clear, zero, wrong_size, fewer)],
    ],
)
async def test_false_proofs_are_refused(
    good: bytes, name: str, edit: Callable[[Any], None]
) -> None:
    """Property 54: empty proofs, wrong sizes, zero hashes."""
    files = files_of(good)
    body = json.loads(files[name])
    edit(body)
    files[name] = canonical.encode(body)
    assert name in failures(forged(files))


def set_in(kind: str, *path: str, value: Any) -> Callable[[str, dict[str, Any]], None]:
    def change(this: str, data: dict[str, Any]) -> None:
        if this == kind:
            for name in path[:-1]:
                data = data[name]
            data[path[-1]] = value

    return change


LIES = {
    "paid somebody else": (
        set_in("withdrawal.requested", "destination", value="0x" + "c" * 40),
        "withdrawals",
    ),
    "paid another amount": (set_in("withdrawal.settled", "net", value="999"), "withdrawals"),
    "another transaction": (
        set_in("withdrawal.settled", "tx_hash", value="0x" + "9" * 64),
        "withdrawals",
    ),
    "body changed after approval": (
        set_in("intent.created", "body", "amount", value="5"),
        "intents",
    ),
    "document changed after loading": (
        set_in("policy.loaded", "document", "version", value=9),
        "policies",
    ),
    "false signature": (
        set_in("approval.recorded", "signature", value="0" * 128),
        "approvals",
    ),
    "fewer approvals asked than the rule": (
        set_in("decision.made", "decision", "approvals_required", value=1),
        "approvals",
    ),
    "another rule named": (
        set_in("decision.made", "decision", "rule", value="small"),
        "approvals",
    ),
    "decided under another policy": (
        set_in("decision.made", "decision", "policy", value="sha256:" + "0" * 64),
        "approvals",
    ),
    "signed without being allowed": (
        set_in("decision.made", "decision", "outcome", value="needs_approval"),
        "signatures follow decisions",
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_true_log_of_a_false_story_is_refused(
    database: Database, tmp_path: Path, lie: str
) -> None:
    """A log that proves itself may still tell of a payment that nobody allowed."""
    change, step = LIES[lie]
    data = await told(database, tmp_path, change=change)
    assert failures(data).startswith(step)


STORIES = {
    "too few people": Story(approvers=1),
    "expired approval": Story(expiry_s=-1),
    "wrong role": Story(people=[Person(), Person(role="auditor")]),
    "one person twice": Story(people=[person := Person(), person]),
}


@pytest.mark.parametrize("name", STORIES)
async def test_decision_without_enough_evidence_is_refused(
    database: Database, tmp_path: Path, name: str
) -> None:
    """Property 15, seen from the auditor's desk."""
    story = STORIES[name]
    story.intent = payout()
    assert "approvals" in failures(await told(database, tmp_path, story))


TOKEN = "0x" + "d" * 40
CALL = f"0xa9059cbb{PAYEE[2:]:0>64}{1000:064x}"
AS_TOKEN: dict[str, Any] = {
    "asset_id": f"eip155:31337/erc20:{TOKEN}",
    "to": TOKEN,
    "value": 0,
    "data": CALL,
}


async def test_token_payout_is_read_from_its_call(database: Database, tmp_path: Path) -> None:
    data = await told(database, tmp_path, Story(intent=payout(**AS_TOKEN)))
    assert verify.verify_bundle(data, KEY).ok


@pytest.mark.parametrize(
    "changed",
    [
        {"to": TOKEN},
        {"value": 999},
        {"data": "0x00"},
        {**AS_TOKEN, "data": CALL.replace("bb" * 20, "cc" * 20)},
        {**AS_TOKEN, "data": CALL[:-1] + "9"},
        {**AS_TOKEN, "data": CALL + "00"},
        {**AS_TOKEN, "value": 1},
        {**AS_TOKEN, "to": PAYEE},
    ],
)
async def test_call_that_pays_otherwise_is_refused(
    database: Database, tmp_path: Path, changed: dict[str, Any]
) -> None:
    """Property 17, seen from the auditor's desk: what was approved says one thing, does another."""
    data = await told(database, tmp_path, Story(intent=payout(**changed)))
    assert failures(data).startswith("withdrawals")


async def test_asked_for_anchor_must_be_there(good: bytes) -> None:
    assert outcome(good, chain_id=31337)["anchors"] == "FAIL"


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has pycryptodome and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    shutil.copytree(Path(Crypto.__file__).parent, site / "Crypto")
    return folder / "bin" / "python"


async def test_verifier_runs_alone(good: bytes, bare_python: Path, tmp_path: Path) -> None:
    """One file in an empty folder, isolated mode, only pycryptodome: nothing of ours is needed."""
    desk = tmp_path / "desk"
    desk.mkdir()
    shutil.copy(verify.__file__, desk / "verify.py")
    (desk / "b.zip").write_bytes(good)

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [str(bare_python), "-I", "verify.py", *args]
        return subprocess.run(command, cwd=desk, capture_output=True, text=True, env={}, timeout=60)

    answer = run("bundle", "b.zip", "--log-key", KEY)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.endswith("\nverified\n")
    at = good.index(b"entries/000000.jsonl{") + 5000
    (desk / "c.zip").write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
    answer = run("bundle", "c.zip", "--log-key", KEY, "--json")
    report = json.loads(answer.stdout)
    assert (answer.returncode, report["ok"]) == (1, False)
    assert any("entries/000000.jsonl line" in s["where"] for s in report["steps"])
    assert run("bundle", "absent.zip", "--log-key", KEY).returncode == 2
    assert run("bundle", "b.zip", "--log-key", "nonsense").returncode == 2
    assert run("bundle", "b.zip").returncode == 2


def test_verifier_imports_only_what_an_auditor_has() -> None:
    source = Path(verify.__file__).read_text()
    lines = [x for x in source.splitlines() if x.startswith(("import ", "from "))]
    roots = {line.split()[1].split(".")[0] for line in lines} - {"__future__"}
    assert roots - set(sys.stdlib_module_names) == {"Crypto"}


def test_archive_bounds() -> None:
    with pytest.raises(ValueError, match="too large"):
        archive.write({str(i): b"" for i in range(archive.FILES_MAX + 1)})
    assert struct.unpack("<H", archive.write({"a": b""})[-12:-10]) == (1,)


@given(
    st.dictionaries(st.text("abc/", min_size=1, max_size=9), st.binary(max_size=20), max_size=5),
    st.integers(1, 30),
)
def test_an_archive_in_pieces_is_the_archive(files: dict[str, bytes], piece: int) -> None:
    """As a zip reader has it, in the order that it was given, and as long as was said."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(archive, "PIECE_BYTES", piece)
        pieces = list(archive.pieces(files))
    assert max(map(len, pieces[:-2]), default=0) <= max(piece, 30 + 9)
    assert b"".join(pieces) == archive.write(files)
    assert archive.size(files) == len(archive.write(files))
    with zipfile.ZipFile(io.BytesIO(archive.write(files))) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == files
