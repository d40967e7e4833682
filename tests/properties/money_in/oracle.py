"""What ought to be credited, by the chain's own node and by what the outsiders know they sent."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from chains.devnet.rpc import encode_call, rpc
from custody.core.money import AssetId
from tests.fixtures.nodes import TRANSFER
from tests.properties.money_in.acts import Payment
from tests.properties.money_in.machine import Machine

Row = tuple[str, str, str, int, str]
"""Transaction, asset, address, base units that its owner gets, state."""


@dataclass(frozen=True, slots=True)
class _Claim:
    tx_hash: str
    block: int
    asset: AssetId
    address: str
    amount: int
    place: int = 0


def expected(m: Machine) -> Counter[Row]:
    """Every deposit that is on the chain now, and what the rules make of it."""
    plain: list[_Claim] = []
    measured: dict[tuple[int, str, str], list[_Claim]] = {}
    url, assets = m.town.anvil.rpc_url, m.town.registry.assets
    for payment in m.outsiders.payments:
        receipt = rpc(url, "eth_getTransactionReceipt", payment.tx_hash)
        if receipt is None or receipt["status"] != "0x1":
            continue
        for claim in _claims(payment, receipt):
            if not assets[claim.asset].measured:
                plain.append(claim)
            elif (said := _said(receipt, claim)).amount > 0:
                key = (claim.block, claim.asset, claim.address)
                measured.setdefault(key, []).append(said)
    found = Counter(_row(m, claim, claim.amount) for claim in plain)
    for claims in measured.values():
        for claim, got in _shares(sorted(claims, key=lambda c: c.place), _growth(url, claims[0])):
            found[_row(m, claim, got)] += 1
    return found


def _shares(claims: list[_Claim], grown: int) -> list[tuple[_Claim, int]]:
    """In proportion, rounded down; what is left over goes to the first, a unit each."""
    said = sum(c.amount for c in claims)
    there = min(grown, said)
    got = [there * c.amount // said for c in claims]
    left = there - sum(got)
    return [(c, n + (i < left)) for i, (c, n) in enumerate(zip(claims, got, strict=True))]


def _claims(payment: Payment, receipt: dict[str, Any]) -> list[_Claim]:
    block = int(receipt["blockNumber"], 16)
    return [
        _Claim(payment.tx_hash, block, asset, address, amount)
        for asset, address, amount in payment.parts
        if amount
    ]


def _said(receipt: dict[str, Any], claim: _Claim) -> _Claim:
    """The claim as the token's event makes it; of nothing if there is none."""
    token = claim.asset.rsplit(":", 1)[1]
    to = claim.address[2:].lower().rjust(64, "0")
    for x in receipt["logs"]:
        if x["address"] == token and x["topics"][0] == TRANSFER and x["topics"][2][2:] == to:
            return replace(claim, amount=int(x["data"], 16), place=int(x["logIndex"], 16))
    return replace(claim, amount=0)


def _growth(url: str, claim: _Claim) -> int:
    """Of the balance in that block. No sweep is in the same block as what it sweeps."""
    token = claim.asset.rsplit(":", 1)[1]
    ask = {"to": token, "data": encode_call("balanceOf(address)", claim.address)}
    before, after = (
        int(rpc(url, "eth_call", ask, hex(n)), 16) for n in (claim.block - 1, claim.block)
    )
    return max(0, after - before)


def _row(m: Machine, claim: _Claim, got: int) -> Row:
    minimum = m.town.registry.assets[claim.asset].minimum
    is_wallet = claim.address not in {**m.outsiders.native, **m.outsiders.token}
    enough = is_wallet or got >= minimum
    state = "quarantined" if got == 0 else "credited" if enough else "listed"
    return (claim.tx_hash, claim.asset, claim.address, got, state)


async def actual(m: Machine) -> Counter[Row]:
    """What the service has, without what reorgs took."""
    async with m.db.read() as s:
        rows = await s.all(
            "SELECT tx_hash, asset_id, address, coalesce(arrived, amount) AS got, state"
            " FROM deposits WHERE state <> 'orphaned'"
        )
    return Counter((r.tx_hash, r.asset_id, r.address, int(r.got), r.state) for r in rows)


async def owed(m: Machine) -> Counter[str]:
    """By asset: what customers have less what they owe because of a reorg."""
    async with m.db.read() as s:
        rows = await s.all(
            "SELECT asset_id, sum(credits_posted - debits_posted) AS net FROM accounts"
            " WHERE code LIKE 'liability:customer:%' OR code = 'receivable:reorg'"
            " GROUP BY asset_id"
        )
    return Counter({r.asset_id: int(r.net) for r in rows if r.net})


def credited(m: Machine, rows: Counter[Row]) -> Counter[str]:
    """By asset: what rows credit to customers."""
    customers = {**m.outsiders.native, **m.outsiders.token}
    found: Counter[str] = Counter()
    for (_, asset, address, got, state), count in rows.items():
        if state == "credited" and address in customers:
            found[asset] += got * count
    return found
