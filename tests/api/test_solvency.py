"""Solvency over HTTP: a holder's own proof and nobody else's, canonical bytes, a strict page."""

from typing import Any

import pytest

from custody.assurance.solvency import check, fsck, own, page
from custody.core import canonical
from custody.core.db import Database
from custody.core.serialization import loads
from tests.api.conftest import DEPOSITED, World
from tests.api.seed import plant
from tests.api.support import USDC

pytestmark = pytest.mark.postgres
ME, REPORT, PAGE = "/v1/solvency/me", "/v1/solvency/report", "/v1/solvency/page"


@pytest.fixture
async def world(world: World) -> World:
    await plant(world)
    return world


async def test_each_holder_gets_the_own_proof(world: World) -> None:
    """Property 55: and can check it offline; nothing in it names somebody else."""
    made = {}
    for name in ("alice", "bob"):
        answer = await world.call("GET", ME, world.ours.tokens[name])
        assert answer.status_code == 200, answer.text
        made[name] = loads(answer.content)
        assert canonical.encode(made[name]) == answer.content
        customer = world.ours.customers[name]
        check.own_leaf(made[name], customer)
        check.entries(made[name], world.deps.signer.log_key.vkey())  # type: ignore[attr-defined]
    roots = {check.root_of(found).hash for found in made.values()}
    published = loads(made["bob"]["published"]["entry"])["data"]
    assert {"0x" + r.hex() for r in roots} == {published["root"]}
    assert world.ours.customer("alice") not in canonical.encode(made["bob"]).decode()
    (asset,) = made["bob"]["context"]["assets"]
    assert (asset, made["bob"]["balances"]) == (USDC, [str(DEPOSITED)])


@pytest.mark.parametrize("name", ["treasury", "auditor"])
async def test_staff_gets_no_holders_proof(world: World, name: str) -> None:
    assert (await world.call("GET", ME, world.ours.tokens[name])).status_code == 403


async def test_a_report_is_given_out_in_pieces(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its very bytes, whatever a piece is, and its length before them."""
    whole = await world.call("GET", REPORT, world.ours.tokens["bob"])
    monkeypatch.setattr(own, "PIECE_BYTES", 97)
    answer = await world.call("GET", REPORT, world.ours.tokens["bob"])
    assert answer.content == whole.content == canonical.encode(loads(whole.content))
    assert answer.headers["content-length"] == str(len(answer.content))
    stored = canonical.encode(loads(answer.content)["report"])
    async with world.deps.db.read() as s:
        assert bytes(await s.scalar("SELECT report FROM solvency_epochs")) == stored


async def test_a_page_that_was_stored_is_given_out_as_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await world.call("GET", PAGE, world.ours.tokens["bob"])
    async with world.deps.db.write() as s:
        page_ = made.content + b"<!-- stored -->"
        await s.execute("UPDATE solvency_epochs SET page = :page", {"page": page_})
    monkeypatch.setattr(own, "PIECE_BYTES", 1_000)
    answer = await world.call("GET", PAGE, world.ours.tokens["bob"])
    assert answer.content == page_
    assert answer.headers["content-length"] == str(len(page_))
    assert answer.headers["content-security-policy"] == page.CONTENT_POLICY


async def test_another_tenant_has_another_book(world: World) -> None:
    for path in (ME, REPORT, "/v1/solvency/page"):
        answer = await world.call("GET", path, world.theirs.tokens["carol"])
        assert answer.status_code == 404, answer.text


@pytest.mark.parametrize(("epoch", "status"), [("1", 200), ("2", 404), ("0", 422), ("x", 422)])
async def test_an_epoch_by_number(world: World, epoch: str, status: int) -> None:
    answer = await world.call("GET", f"{REPORT}?epoch={epoch}", world.ours.tokens["bob"])
    assert answer.status_code in (status, 400), answer.text
    assert (answer.status_code == 200) == (status == 200)


async def test_not_before_the_anchor(world: World) -> None:
    async with world.deps.db.write() as s:
        await s.execute("UPDATE solvency_epochs SET state = 'logged'")
    for path in (f"{ME}?epoch=1", f"{REPORT}?epoch=1", "/v1/solvency/page?epoch=1"):
        answer = await world.call("GET", path, world.ours.tokens["alice"])
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict"), answer.text


async def test_the_page_is_strict(world: World) -> None:
    answer = await world.call("GET", "/v1/solvency/page", world.ours.tokens["alice"])
    assert answer.headers["content-security-policy"] == page.CONTENT_POLICY
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"safe_digest": "0x" + "ab" * 32, "signature": "0xzz"}, "signature"),
        ({"safe_digest": "ab", "signature": "0x"}, "safe_digest"),
    ],
)
async def test_a_bad_signature_names_its_field(
    world: World, body: dict[str, Any], field: str
) -> None:
    answer = await world.call(
        "POST", "/v1/solvency/statements", world.ours.tokens["treasury"], json=body
    )
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["field"] == field


@pytest.mark.tampers
@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("UPDATE solvency_chunks SET records = overlay(records PLACING '\\x01' FROM 40)", "chunk"),
        ("UPDATE solvency_chunks SET root = overlay(root PLACING '\\x01' FROM 40)", "tree"),
        ("DELETE FROM solvency_chunks", "tree"),
        ("UPDATE solvency_epochs SET report = '{}'", "report"),
    ],
)
async def test_fsck_finds_what_was_changed(
    world: World, owner_database: Database, statement: str, rule: str
) -> None:
    async with world.deps.db.snapshot() as s:
        assert await fsck.check(s) == []
    async with owner_database.write() as s:
        await s.execute(statement)
    async with world.deps.db.snapshot() as s:
        assert f"solvency_{rule}" in {b.rule for b in await fsck.check(s)}
