"""What stands on deposit addresses by the ledger, and what the chain says of each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chains.evm import parse
from chains.evm.calldata import decode_answer
from chains.evm.client import EvmClient, block_param
from chains.evm.contracts import erc20, sweeper
from chains.types import BlockRef
from custody.core.db import ReadSession
from custody.core.ids import TenantId
from custody.core.money import AssetId

ASSET_MAX = 200
"""Addresses of one asset that are looked at in one step, the fullest first."""
_ASKED_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Candidate:
    """Base units by the ledger. `path` is `branch/index`; `faults` counts its last sweeps that
    went wrong, in a row."""

    tenant_id: TenantId
    chain_id: int
    address: str
    path: str
    asset_id: AssetId
    amount: int
    faults: int = 0

    @property
    def token(self) -> str | None:
        """In lower case, as the asset's id has it; None for the chain's coin."""
        return self.asset_id.partition("/erc20:")[2] or None

    @property
    def is_native_branch(self) -> bool:
        """Of the branch for the chain's coin, whose addresses are never delegated."""
        return self.path.startswith("0/")


@dataclass(frozen=True, slots=True)
class Standing:
    """What the chain has at an address: base units of the asset, wei, where its code points, and
    its own nonce."""

    balance: int
    wei: int
    delegate: str | None
    nonce: int


_CANDIDATES = """
SELECT * FROM (
SELECT a.tenant_id, d.address, d.branch, d.index, a.asset_id,
       a.debits_posted - a.credits_posted AS amount, coalesce(last.faults, 0) AS faults,
       row_number() OVER (PARTITION BY a.tenant_id, a.asset_id
                          ORDER BY a.debits_posted - a.credits_posted DESC, d.address) AS place
FROM accounts a
JOIN deposit_addresses d ON d.address = a.location ->> 'holder' AND d.chain_id = :chain
  AND (a.location ->> 'token' IS NOT NULL OR d.branch = 0)
LEFT JOIN LATERAL (
  SELECT w.faults, w.retry_at FROM sweeps w WHERE w.chain_id = :chain
  AND w.address = d.address AND w.asset_id = a.asset_id ORDER BY w.created_at DESC LIMIT 1
) last ON true
WHERE a.kind = 'asset' AND a.code LIKE 'asset:deposit:%'
  AND CAST(a.location ->> 'chain_id' AS bigint) = :chain
  AND a.debits_posted - a.credits_posted
    > CASE WHEN a.location ->> 'token' IS NULL THEN 0 ELSE 1 END
  AND (last.retry_at IS NULL OR last.retry_at <= :now)
  AND NOT EXISTS (
      SELECT FROM sweeps w WHERE w.chain_id = :chain AND w.address = d.address
      AND w.state IN ('open', 'final') AND (w.asset_id = a.asset_id OR w.strategy = ANY(:own)))
) ranked WHERE place <= :most ORDER BY place, address
"""
"""The fullest of each asset. Coin on a token's address is what is left of gas, and stays; one unit
of a token is what was left on purpose, and is not asked the chain about at every step."""


async def candidates(s: ReadSession, chain_id: int, *, now: datetime) -> list[Candidate]:
    """What is not under way and has not just failed."""
    found = await s.all(
        _CANDIDATES,
        {"chain": chain_id, "now": now, "most": ASSET_MAX, "own": ["native", "funded", "gas"]},
    )
    return [
        Candidate(
            TenantId(r.tenant_id),
            chain_id,
            r.address,
            f"{r.branch}/{r.index}",
            AssetId(r.asset_id),
            int(r.amount),
            int(r.faults),
        )
        for r in found
    ]


async def look(
    client: EvmClient, token: str | None, addresses: Sequence[str], block: BlockRef
) -> dict[str, Standing]:
    """What a block has at each address, many in one question. Raises ChainError."""
    found: dict[str, Standing] = {}
    for start in range(0, len(addresses), _ASKED_AT_ONCE):
        part = addresses[start : start + _ASKED_AT_ONCE]
        found |= await _look(client, token, part, block)
    return found


async def _look(
    client: EvmClient, token: str | None, addresses: Sequence[str], block: BlockRef
) -> dict[str, Standing]:
    at = block_param(block)
    asked: list[tuple[str, list[Any]]] = []
    for address in addresses:
        asked += [
            ("eth_getBalance", [address, at]),
            ("eth_getCode", [address, at]),
            ("eth_getTransactionCount", [address, at]),
        ]
        if token is not None:
            data = "0x" + erc20.erc20_balance_of(address).hex()
            asked.append(("eth_call", [{"to": token, "data": data}, at]))
    each = 3 if token is None else 4

    def read(results: list[Any]) -> dict[str, Standing]:
        return {
            address: _standing(results[each * i : each * (i + 1)])
            for i, address in enumerate(addresses)
        }

    return await client.agreed(asked, read)


def _standing(answers: list[Any]) -> Standing:
    wei = parse.quantity(answers[0], "balance")
    balance = wei
    if len(answers) == 4:
        balance = decode_answer(("uint256",), parse.data_bytes(answers[3]))[0]
    delegate = sweeper.delegate_of(parse.data_bytes(answers[1]))
    return Standing(balance, wei, delegate, parse.quantity(answers[2], "nonce"))
