"""What a holding is worth at one block, in base units of its underlying asset."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from chains.evm.calldata import decode_answer, encode_call
from chains.evm.client import At, EvmClient
from chains.evm.contracts.erc20 import erc20_balance_of
from chains.evm.contracts.treasury_guard import TreasuryGuard


class HoldingKind(StrEnum):
    """Where on chain a value can lie. Values are the `kind` of a ledger account's location."""

    NATIVE = "native"
    ERC20 = "erc20"
    AAVE = "aave"
    ERC4626 = "erc4626"
    STAKING = "staking"


@dataclass(frozen=True, slots=True)
class Holding:
    """A place. `token` is the token, aToken, vault or staking token; None for the native coin.

    For staking held by a TreasuryGuard, `venue` names it there: exits that were asked for and not
    yet claimed belong to the position, and only the guard knows them.
    """

    kind: HoldingKind
    holder: str
    token: str | None = None
    venue: str | None = None


async def value(client: EvmClient, holding: Holding, block: At) -> int:
    """Base units of the underlying at this block. Raises ChainError."""
    if holding.kind is HoldingKind.NATIVE:
        return await client.balance(holding.holder, block)
    if holding.token is None:
        raise ValueError(f"{holding.kind}: a holding of a token names it")
    balance = await client.erc20_balance(holding.token, holding.holder, block)
    if holding.kind is HoldingKind.ERC4626:
        data = encode_call("convertToAssets(uint256)", balance)
        answer = await client.call(holding.token, data, block)
        assets: int = decode_answer(("uint256",), answer)[0]
        return assets
    if holding.kind is HoldingKind.STAKING and holding.venue is not None:
        guard = TreasuryGuard(client, holding.holder)
        return balance + (await guard.venue(holding.venue, block)).requested
    # An aToken and a rebasing staking token count the underlying themselves.
    return balance


async def values(client: EvmClient, holdings: Sequence[Holding], block: At) -> list[int]:
    """`value` of each, all at the same block."""
    return [await value(client, holding, block) for holding in holdings]


async def token_balances(
    client: EvmClient, token: str, holders: Sequence[str], block: At
) -> list[int]:
    """Balances of many holders in one round trip."""
    answers = await client.calls([(token, erc20_balance_of(h)) for h in holders], block)
    return [decode_answer(("uint256",), a)[0] for a in answers]
