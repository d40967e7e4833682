"""Reserves of every kind: a Safe by its owners, a guard by its allocator, a venue, an exchange."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chains.devnet import outside
from chains.devnet.rpc import call, rpc
from custody.assurance.solvency import check, check_report, signatures
from custody.assurance.solvency.layout import Context
from custody.assurance.solvency.nodes import Nodes
from custody.assurance.solvency.signatures import Wanted
from custody.assurance.solvency.states import State
from custody.core.errors import InvalidInput, NotFound
from custody.core.ids import AccountId, PoolId, TransferId, new_uuid7
from custody.ledger import accounts, chart
from custody.ledger.posting import Transfer, post_or_raise
from custody.parties import places
from custody.parties.places import Place
from tests.fixtures.cold import owners_of
from tests.fixtures.solvent import RULES, Prover, prover, verify
from tests.fixtures.town import ETHER, USDC, Town

pytestmark = pytest.mark.chain
IS_VALID = "0x1626ba7e"
POOL = PoolId(new_uuid7())


async def test_reserves_of_every_kind(town: Town, tmp_path: Path) -> None:
    made = prover(town, tmp_path, replace(RULES, signing_wait_s=3_600))
    made.deps = replace(made.deps, reads=replace(made.deps.reads, holdings=Exchange()))
    await town.deposit(await town.customer("alice"), town.eth, 2 * ETHER)
    exchange = await everywhere(town)
    await arrive(town, exchange, 35 * USDC)
    assert await made.step() == 1  # opened
    await arrive(town, exchange, 5 * USDC)
    await made.until(State.COMPUTED)
    assert await made.step() == 0  # the Safe's owners have not signed
    wanted = await statement(town)
    assert wanted.threshold == 2
    await refusals(town, wanted)
    for owner in owners_of(town):
        assert await made.step() == 0
        after = await hand_in(town, wanted, sign(town, wanted, owner))
    assert sorted(after.signed_by) == sorted(owners_of(town))
    assert accepted_by_the_safe(town, wanted)
    await made.until(State.SERVING)
    with pytest.raises(NotFound):
        await hand_in(town, wanted, sign(town, wanted, owners_of(town)[0]))

    file = await made.file()
    check_report.check(file, made.vkey, made.trusted(file))
    blocks = [f"--block={chain}={hash_}" for chain, hash_ in made.trusted(file).items()]
    asked = ["solvency", f"--log-key={made.vkey}", "--no-anchor", *blocks]
    assert verify(tmp_path, file, asked) == 0
    kinds = {(m["class"], m["evidence"]["kind"], m["counted"]) for m in file["report"]["reserves"]}
    assert kinds >= {
        ("cold", "storage", True),
        ("hot", "storage", True),
        ("deployed", "read", True),
        ("exchange", "stated", True),
    }
    (usdc,) = [t for t in file["report"]["totals"] if t["asset"] == town.usdc]
    assert (usdc["hot"], usdc["cold"]) == (str(20 * USDC), str(500 * USDC))
    assert (usdc["deployed"], usdc["exchange"]) == (str(7 * USDC), str(35 * USDC))
    spoiled(made, file)


async def test_a_safe_that_nobody_speaks_for_does_not_count(town: Town, tmp_path: Path) -> None:
    """Without its owners' word the money is in the report and covers nothing."""
    made = prover(town, tmp_path)
    made.deps = replace(made.deps, reads=replace(made.deps.reads, holdings=Exchange()))
    await town.deposit(await town.customer("alice"), town.eth, 2 * ETHER)
    await everywhere(town)
    await made.until(State.COMPUTED)
    wanted = await statement(town)
    await hand_in(town, wanted, sign(town, wanted, owners_of(town)[0]))  # one of two
    await made.until(State.SERVING)
    file = await made.file()
    check_report.check(file, made.vkey, made.trusted(file))
    (cold,) = [m for m in file["report"]["reserves"] if m["class"] == "cold"]
    assert cold["counted"] is False
    (usdc,) = [t for t in file["report"]["totals"] if t["asset"] == town.usdc]
    assert usdc["cold"] == "0"


class Exchange:
    async def holding(self, holder: str, asset_id: str) -> int:
        assert holder == "simulated/USDC001"
        return 40 * USDC


async def everywhere(town: Town) -> tuple[AccountId, AccountId]:
    """USDC in the Safe, in a guard, at a venue and at an exchange, as the ledger would have it; the
    exchange's account and what stands against it."""
    token, url = town.world.tokens["USDC"].address, town.anvil.rpc_url
    safe, guard = (await town.role(places.SAFE)).address, await guard_of(town)
    for holder, amount in ((safe, 500), (guard, 20)):
        town.mined(outside.send_usdc(url, town.world, holder, amount * USDC))
    receipt = next(t for name, t in town.world.tokens.items() if name not in ("USDC", "WETH"))
    symbol = next(name for name, t in town.world.tokens.items() if t is receipt)
    town.mined(outside.send_token(url, town.world, symbol, guard, 7 * USDC))
    chain = town.chain_id
    spots = {
        chart.wallet("safe", chain): chart.location("erc20", chain, token, safe),
        chart.guard(POOL): chart.location("erc20", chain, token, guard),
        chart.venue(POOL, "aave"): {
            **chart.location("aave", chain, receipt.address, guard), "venue": "0x01"
        },
        chart.exchange("earn"): {
            **chart.location("exchange", None, None, "simulated/USDC001"), "asset": "USDC"
        },
    }  # fmt: skip
    async with town.db.write() as s:
        await places.add(s, Place(town.tenant_id, chain, places.guard(POOL.hex), guard, None))
        made = {
            code: await accounts.ensure(s, town.tenant_id, code, town.usdc, "asset", location=at)
            for code, at in spots.items()
        }
        equity = await accounts.ensure(
            s, town.tenant_id, chart.OPERATOR_EQUITY, town.usdc, "equity", may_go_negative=True
        )
    return made[chart.exchange("earn")], equity


async def arrive(town: Town, accounts_: tuple[AccountId, AccountId], amount: int) -> None:
    """The ledger's side of money that has come to the exchange."""
    debit, credit = accounts_
    came = Transfer(
        id=TransferId(new_uuid7()), tenant_id=town.tenant_id, debit=debit, credit=credit,
        amount=amount, code="test.arrived", event_at=town.now(),
    )  # fmt: skip
    async with town.db.write() as s:
        await post_or_raise(s, [came])


async def guard_of(town: Town) -> str:
    async with town.db.read() as s:
        document = await s.scalar("SELECT document FROM policies")
    guards = document["places"][str(town.chain_id)]["guards"]
    return str(next(iter(guards)))


async def statement(town: Town) -> Wanted:
    async with town.db.read() as s:
        (found,) = await signatures.wanted(s, town.tenant_id)
    return found


async def hand_in(town: Town, wanted: Wanted, signature: bytes) -> Wanted:
    async with town.db.write() as s:
        return await signatures.add(s, town.tenant_id, wanted.safe_digest, signature, at=town.now())


def sign(town: Town, wanted: Wanted, owner: str) -> bytes:
    """What the owner's wallet makes of the typed data, whose hash the node computes itself."""
    typed = {
        "types": {
            "EIP712Domain": [
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "SafeMessage": [{"name": "message", "type": "bytes"}],
        },
        "primaryType": "SafeMessage",
        "domain": {"chainId": wanted.chain_id, "verifyingContract": wanted.address},
        "message": {"message": wanted.digest},
    }
    made = rpc(town.anvil.rpc_url, "eth_signTypedData_v4", owner, typed)
    return bytes.fromhex(made[2:])


def accepted_by_the_safe(town: Town, wanted: Wanted) -> bool:
    """EIP-1271 on the chain itself agrees with what is proved without it."""
    signers = sorted(owners_of(town), key=str.lower)
    packed = b"".join(sign(town, wanted, owner) for owner in signers)
    (answer,) = call(
        town.anvil.rpc_url,
        wanted.address,
        "isValidSignature(bytes32,bytes)",
        bytes.fromhex(wanted.digest[2:]),
        packed,
        returns="(bytes4)",
    )
    return "0x" + bytes(answer).hex() == IS_VALID


async def refusals(town: Town, wanted: Wanted) -> None:
    owner = owners_of(town)[0]
    stranger = sign(town, wanted, town.world.accounts.whale)
    other = sign(town, replace(wanted, digest="0x" + "01" * 32), owner)
    for bad in (stranger, other, b"\x01" * 65, b""):
        with pytest.raises(InvalidInput, match=r"signature|65 bytes"):
            await hand_in(town, wanted, bad)
    with pytest.raises(NotFound):
        unknown = replace(wanted, safe_digest="0x" + "02" * 32)
        await hand_in(town, unknown, sign(town, wanted, owner))


def spoiled(made: Prover, file: dict[str, Any]) -> None:
    """One owner fewer, the same owner twice, another owner's slot: each is seen."""
    report = file["report"]
    roots = check_roots(made, file)
    context = Context.from_json(report["context"])
    (safe,) = [o for o in report["owners"] if o["kind"] == "safe"]
    (guard,) = [o for o in report["owners"] if o["kind"] == "guard"]
    first, second = safe["signatures"]
    for bad, words in (
        (safe | {"signatures": [first]}, "too few owners"),
        (safe | {"signatures": [first, first]}, "each once"),
        (safe | {"signatures": [second, first]}, "in order"),
        (safe | {"signatures": [first, second | {"signature": first["signature"]}]}, "is not"),
        (safe | {"signatures": [first, second | {"slot": first["slot"]}]}, "another slot"),
        (guard | {"slot": safe["threshold"]}, "another slot"),
        (guard | {"by": first["owner"]}, "not the guard's allocator"),
    ):
        with pytest.raises(ValueError, match=words):
            check_report.ownership({"owners": [bad]}, context, roots)


def check_roots(made: Prover, file: dict[str, Any]) -> dict[str, Nodes]:
    opened, published = check.entries(file, made.vkey)
    return check_report.chains(file["report"], opened, published, made.trusted(file))
