"""Personal data opened to an auditor: from HTTP to the verifier, after erasure, across tenants."""

import hashlib
import io
import json
import zipfile
from typing import Any

import httpx
import pytest

from custody.audit import checkpoint, sequence, verify
from custody.core.db import Database
from custody.core.ids import format_id, new_uuid7, parse_id
from custody.parties import personal, tokens
from tests.api.conftest import Party, World
from tests.api.support import FakeSigner

pytestmark = pytest.mark.postgres

ADA = {"name": "Ada Lovelace", "email": "ada@example.com", "country": "GB"}
PATH = "/v1/audit/disclosures"


def vkey(world: World) -> str:
    signer = world.deps.signer
    assert isinstance(signer, FakeSigner)
    return signer.log_key.vkey()


async def sign(world: World) -> None:
    """Number and sign all that was logged: what the worker does every 50 ms."""
    deps = world.deps
    await sequence.run_all(deps.db)
    folder = deps.settings.audit_folder
    await checkpoint.sign_once(deps.db, deps.signer, vkey(world), folder, deps.clock)


async def stored(world: World, party: Party, values: dict[str, str]) -> str:
    body = {"reference": new_uuid7().hex, "personal": values}
    made = await world.call("POST", "/v1/customers", party.tokens["treasury"], json=body)
    return str(made.json()["id"])


async def token_id(world: World, party: Party, name: str) -> str:
    async with world.deps.db.read() as s:
        found = await tokens.by_hash(s, tokens.hash_secret(party.tokens[name]))
    assert found is not None
    return format_id("token", found.id)


async def ask(world: World, customers: list[str], **changes: Any) -> httpx.Response:
    token = await token_id(world, world.ours, "auditor")
    body = {"customers": customers, "auditor": token, **changes}
    return await world.call("POST", PATH, world.ours.tokens["treasury"], json=body)


async def take(
    world: World, disclosure: str | None, name: str = "auditor", size: int | None = None
) -> httpx.Response:
    """A bundle with the token of our party of that name, or with that token."""
    token = world.ours.tokens.get(name, name)
    asked = {"disclosure": disclosure, "size": size}
    params = {k: v for k, v in asked.items() if v is not None}
    return await world.call("GET", "/v1/audit/bundle", token, params=params)


async def told(world: World, kind: str) -> list[dict[str, Any]]:
    async with world.deps.db.read() as s:
        rows = await s.all(
            "SELECT tenant_id, body FROM audit_entries WHERE kind = :kind ORDER BY id",
            {"kind": kind},
        )
    assert {row.tenant_id for row in rows} <= {world.ours.tenant}
    return [json.loads(bytes(row.body))["data"] for row in rows]


async def in_clear(db: Database, text: str) -> list[str]:
    """Tables with the text in any column, bytes included."""
    async with db.read() as s:
        names = [r.tablename for r in await s.all(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        )]  # fmt: skip
        like = {"text": f"%{text}%", "hex": f"%{text.encode().hex()}%"}
        found = []
        for name in names:
            query = f"SELECT count(*) FROM {name} t WHERE t::text LIKE :text OR t::text LIKE :hex"
            if name != "alembic_version" and await s.scalar(query.replace("::", "\\:\\:"), like):
                found.append(name)
    return found


def opened(data: bytes) -> list[dict[str, str]]:
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        lines: list[dict[str, str]] = json.loads(z.read("disclosures.json"))
    return lines


async def test_an_auditor_takes_away_what_treasury_opened(world: World) -> None:
    ada = await stored(world, world.ours, ADA)
    other = await stored(world, world.ours, {"name": "Somebody Else"})
    made = await ask(world, [ada])
    assert made.status_code == 201, made.text
    await sign(world)
    taken = await take(world, made.json()["id"])
    assert (taken.status_code, taken.headers["cache-control"]) == (200, "no-store"), taken.text

    report = verify.verify_bundle(taken.content, vkey(world))
    steps = {s.name: s for s in report.steps}
    assert (report.code, steps["disclosures"].status) == (0, "PASS"), verify.render(report)
    assert {line["field"]: line["value"] for line in opened(taken.content)} == ADA
    assert b"Somebody" not in taken.content
    lied = taken.content.replace(b"Ada Lovelace", b"Eve Lovelace")
    assert not verify.verify_bundle(lied, vkey(world)).ok
    assert b"Lovelace" not in (await take(world, None)).content, "who does not ask gets none"

    treasury = await told(world, "disclosure.opened")
    person = format_id("person", world.ours.person_key.id)
    auditor = await token_id(world, world.ours, "auditor")
    assert [(e["by"], e["token"], e["subjects"]) for e in treasury] == [(person, auditor, [ada])]
    (entry,) = await told(world, "disclosure.taken")
    assert (entry["token"], entry["subjects"]) == (auditor, [ada])
    assert entry["bundle"] == "sha256:" + hashlib.sha256(taken.content).hexdigest()
    assert other not in json.dumps([*treasury, entry])
    assert "audit_entries" in await in_clear(world.deps.db, '"reference":"bob"'), "it is found"
    for value in (ADA["name"], ADA["email"]):
        assert await in_clear(world.deps.db, value) == []


async def test_an_erased_person_is_opened_to_nobody(world: World) -> None:
    ada = await stored(world, world.ours, ADA)
    bea = await stored(world, world.ours, {"name": "Bea Brown"})
    made = await ask(world, [ada, bea])
    await sign(world)
    treasury = world.ours.tokens["treasury"]
    erased = await world.call("DELETE", f"/v1/customers/{ada}/personal", treasury)
    assert erased.json()["erased"]
    await sign(world)
    for size in (None, await first_size(world)):
        answer = await take(world, made.json()["id"], size=size)
        assert (answer.status_code, answer.json()["field"]) == (422, "disclosure"), answer.text
        assert "on file" in answer.json()["rule"]
        assert not [text for text in ("Ada", "ada@", "Bea") if text in answer.text]
    assert await told(world, "disclosure.taken") == []
    again = await ask(world, [ada])
    assert (again.status_code, again.json()["field"]) == (422, "customers"), again.text
    world.deps.clock.advance(1)  # type: ignore[attr-defined]
    async with world.deps.db.write() as s:
        id_, now = parse_id("customer", ada), world.deps.clock.now()
        await personal.store(s, world.ours.tenant, id_, {"name": "Ada Anew"}, at=now)
    await sign(world)
    assert (await take(world, made.json()["id"])).status_code == 422, "this was not opened"
    only = await take(world, (await ask(world, [bea])).json()["id"])
    assert verify.verify_bundle(only.content, vkey(world)).code == 0
    assert [line["value"] for line in opened(only.content)] == ["Bea Brown"]


async def first_size(world: World) -> int:
    async with world.deps.db.read() as s:
        return int(await s.scalar("SELECT min(size) FROM audit_checkpoints"))


async def test_another_tenant_neither_opens_nor_takes(world: World) -> None:
    ada, cid = await stored(world, world.ours, ADA), await stored(world, world.theirs, ADA)
    made = (await ask(world, [ada])).json()["id"]
    await sign(world)
    theirs = await token_id(world, world.theirs, "auditor")
    for changes, field in (
        ({"customers": [cid]}, "customers"),
        ({"customers": [ada, cid]}, "customers"),
        ({"customers": [ada], "auditor": theirs}, "auditor"),
    ):
        answer = await ask(world, **changes)
        assert (answer.status_code, answer.json()["field"]) == (404, field), answer.text
    for name in ("auditor", "treasury"):
        answer = await take(world, made, world.theirs.tokens[name])
        assert (answer.status_code, answer.json()["field"]) == (404, "disclosure")
        listed = await world.call("GET", PATH, world.theirs.tokens[name])
        assert listed.json()["items"] == []
    closed = await world.call("DELETE", f"{PATH}/{made}", world.theirs.tokens["treasury"])
    assert closed.status_code == 404
    assert len(await told(world, "disclosure.opened")) == 1
    assert (await take(world, made)).status_code == 200


async def test_only_the_named_auditor_takes_and_only_while_it_is_open(world: World) -> None:
    ada = await stored(world, world.ours, ADA)
    treasury, auditor = world.ours.tokens["treasury"], world.ours.tokens["auditor"]
    second = await world.call("POST", "/v1/tokens", treasury, json={"role": "auditor"})
    made, short = [(await ask(world, [ada], **t)).json()["id"] for t in ({}, {"ttl_s": 60})]
    await sign(world)
    for token in (treasury, second.json()["token"]):
        answer = await take(world, made, token)
        assert (answer.status_code, answer.json()["field"]) == (422, "disclosure")
        assert "opened to" in answer.json()["rule"]
    own = (await world.call("GET", PATH, auditor)).json()["items"]
    assert [item["id"] for item in own] == [made, short]
    assert (await world.call("GET", PATH, second.json()["token"])).json()["items"] == []
    for _ in range(2):
        closed = await world.call("DELETE", f"{PATH}/{made}", treasury)
        assert closed.json()["closed_at"] is not None
    assert len(await told(world, "disclosure.closed")) == 1
    world.deps.clock.advance(60)  # type: ignore[attr-defined]
    for which, rule in ((made, "closed"), (short, "expired")):
        answer = await take(world, which)
        assert (answer.status_code, answer.json()["field"]) == (422, "disclosure")
        assert rule in answer.json()["rule"]
    assert await told(world, "disclosure.taken") == []


async def test_bad_input_names_field_and_rule(world: World) -> None:
    ada, bob = await stored(world, world.ours, ADA), world.ours.customer("bob")
    treasury = world.ours.tokens["treasury"]
    revoked = (await world.call("POST", "/v1/tokens", treasury, json={"role": "auditor"})).json()
    await world.call("DELETE", f"/v1/tokens/{revoked['id']}", treasury)
    own = await token_id(world, world.ours, "treasury")
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"customers": []}, 422, "customers"),
        ({"customers": [ada] * 101}, 422, "customers"),
        ({"customers": [ada, ada]}, 400, "customers"),
        ({"customers": [ada, "cus_1"]}, 400, "customers.1"),
        ({"customers": [ada, bob]}, 422, "customers"),
        ({"customers": [format_id("customer", new_uuid7())]}, 404, "customers"),
        ({"auditor": "tok_1"}, 400, "auditor"),
        ({"auditor": format_id("token", new_uuid7())}, 404, "auditor"),
        ({"auditor": own}, 422, "auditor"),
        ({"auditor": revoked["id"]}, 422, "auditor"),
        ({"ttl_s": 59}, 422, "ttl_s"),
        ({"ttl_s": 31 * 86_400 + 1}, 422, "ttl_s"),
    ]
    for changes, status, field in cases:
        answer = await ask(world, **{"customers": [ada], **changes})
        problem = answer.json()
        assert (answer.status_code, problem["field"]) == (status, field), (changes, answer.text)
        assert problem["rule"]
    assert await told(world, "disclosure.opened") == []
    for which, status in (("dsc_1", 400), (format_id("disclosure", new_uuid7()), 404)):
        answer = await take(world, which)
        assert (answer.status_code, answer.json()["field"]) == (status, "disclosure")


async def test_a_checkpoint_before_the_data_cannot_open_it(world: World) -> None:
    await sign(world)
    size = await first_size(world)
    made = (await ask(world, [await stored(world, world.ours, ADA)])).json()["id"]
    await sign(world)
    answer = await take(world, made, size=size)
    assert (answer.status_code, answer.json()["field"]) == (400, "size"), answer.text
    answer = await take(world, made, size=size + 1)
    assert (answer.status_code, answer.json()["field"]) == (404, "size"), "not a checkpoint's size"
    assert await told(world, "disclosure.taken") == []
    assert (await take(world, made)).status_code == 200
