"""What can happen to a Morpho market and to the MetaMorpho vault on top of them.

A market lends USDC and is named by the symbol of its collateral. Amounts are ints in base units,
shares of a whole in hundredths of a percent. What the protocol refuses is a DevnetError that
carries the protocol's own error.
"""

from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from chains.devnet.morpho import PARAMS, WAD
from chains.devnet.rpc import DevnetError, call, call_uint, send
from chains.devnet.scenario.chain import warp
from chains.devnet.scenario.lending import ABOVE_LIMIT_BPS, Usage, crashed, stranger
from chains.devnet.scenario.prices import BPS
from chains.devnet.world import World

MARKET = "(uint128,uint128,uint128,uint128,uint128,uint128)"
POSITION = "(uint256,uint128,uint128)"
ORACLE_SCALE = 10**36
VIRTUAL_SHARES = 10**6  # SharesMathLib's, as is the one virtual asset below
DUST = 10
"""Base units of a debt that may be left: shares are rounded, and the last of them cannot be met."""
LIQUIDATE = keccak(
    text="Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)"
)


@dataclass(frozen=True)
class Position:
    """What somebody owes in a market, rounded down, and what is pledged for it."""

    owed: int
    collateral: int


def usage(rpc_url: str, world: World, symbol: str) -> Usage:
    """Read at the latest block, as of the last time that interest was accrued."""
    supplied, _, borrowed, *_ = _market(rpc_url, world, symbol)
    return Usage(borrowed, supplied - borrowed)


def borrow_to_utilisation(rpc_url: str, world: World, symbol: str, bps: int) -> None:
    """Borrow or repay until `bps` of the market are lent out, give or take one.

    The loan is the borrower's, and the whale's in the market of TBTC. The whale repays, and pledges
    more collateral if the loan needs it. Raises DevnetError if less of the debt is the debtor's
    than is to be repaid.
    """
    _accrue(rpc_url, world, symbol)
    change = usage(rpc_url, world, symbol).to_borrow(bps)
    debtor = world.accounts.whale if symbol == "TBTC" else world.accounts.borrower
    if change > 0:
        _pledge_what_lacks(rpc_url, world, symbol, change, debtor)
        _borrow(rpc_url, world, symbol, change, debtor)
    elif change < 0:
        _repay(rpc_url, world, symbol, -change, debtor)
    reached = usage(rpc_url, world, symbol)
    if not reached.is_at(bps):
        raise DevnetError(f"the {symbol} market at Morpho is {reached}, not at {bps} bps")


def bad_debt(rpc_url: str, world: World, symbol: str, loan: int) -> int:
    """A stranger borrows `loan`, its collateral crashes and is seized; returns the lost part.

    Morpho takes the loss from all suppliers of the market at once. The price of the collateral is
    back when this returns; meanwhile it is low for everybody. Raises DevnetError if nothing was
    lost.
    """
    with stranger(rpc_url) as debtor:
        _pledge_what_lacks(rpc_url, world, symbol, loan, debtor)
        _borrow(rpc_url, world, symbol, loan, debtor)
    with crashed(rpc_url, world, symbol):
        lost = _liquidate(rpc_url, world, symbol, loan, debtor)
    if lost <= 0:
        raise DevnetError(f"nothing was lost of a loan of {loan} at the {symbol} market")
    return lost


def set_vault_cap(rpc_url: str, world: World, symbol: str, cap: int) -> None:
    """The most that the vault may have in a market; below what it has, it supplies no more.

    The vault lowers a cap at once. To raise one it waits: its time lock passes here, on the chain.
    """
    vault, admin = world.morpho.vault, world.morpho.vault_owner
    market = world.morpho.markets[symbol]
    market_id = bytes.fromhex(market.id[2:])
    now = call(rpc_url, vault, "config(bytes32)", market_id, returns="(uint184,bool,uint64)")[0]
    send(rpc_url, admin, vault, f"submitCap({PARAMS},uint256)", market.params, cap)
    if cap > now:
        warp(rpc_url, call_uint(rpc_url, vault, "timelock()"))
        send(rpc_url, admin, vault, f"acceptCap({PARAMS})", market.params)


def _market(rpc_url: str, world: World, symbol: str) -> tuple[int, ...]:
    """Supplied assets and shares, borrowed assets and shares, time of the last accrual, fee."""
    market_id = bytes.fromhex(world.morpho.markets[symbol].id[2:])
    return call(rpc_url, world.morpho.blue, "market(bytes32)", market_id, returns=MARKET)


def _position(rpc_url: str, world: World, symbol: str, who: str) -> Position:
    market_id = bytes.fromhex(world.morpho.markets[symbol].id[2:])
    signature = "position(bytes32,address)"
    _, shares, collateral = call(
        rpc_url, world.morpho.blue, signature, market_id, who, returns=POSITION
    )
    _, _, borrowed, borrow_shares, *_ = _market(rpc_url, world, symbol)
    return Position(shares * (borrowed + 1) // (borrow_shares + VIRTUAL_SHARES), collateral)


def _act(
    rpc_url: str, world: World, symbol: str, sender: str, function: str, types: str, *args: Any
) -> dict[str, Any]:
    """A call of Morpho Blue that begins with the market; its receipt."""
    params = world.morpho.markets[symbol].params
    signature = f"{function}({PARAMS}{types})"
    return send(rpc_url, sender, world.morpho.blue, signature, params, *args)


def _accrue(rpc_url: str, world: World, symbol: str) -> None:
    _act(rpc_url, world, symbol, world.accounts.whale, "accrueInterest", "")


def _borrow(rpc_url: str, world: World, symbol: str, amount: int, debtor: str) -> None:
    types = ",uint256,uint256,address,address"
    _act(rpc_url, world, symbol, debtor, "borrow", types, amount, 0, debtor, debtor)


def _repay(rpc_url: str, world: World, symbol: str, amount: int, debtor: str) -> None:
    """The whale repays for `debtor`."""
    owed = _position(rpc_url, world, symbol, debtor).owed
    if owed + DUST < amount:
        raise DevnetError(f"{debtor} owes {owed} at Morpho, {amount} were to be repaid")
    _whale_allows(rpc_url, world, world.morpho.markets[symbol].loan_token, amount)
    whale, types = world.accounts.whale, ",uint256,uint256,address,bytes"
    _act(rpc_url, world, symbol, whale, "repay", types, min(owed, amount), 0, debtor, b"")


def _pledge_what_lacks(rpc_url: str, world: World, symbol: str, loan: int, debtor: str) -> None:
    """The whale pledges for `debtor`."""
    market = world.morpho.markets[symbol]
    position = _position(rpc_url, world, symbol, debtor)
    worth = call_uint(rpc_url, market.oracle, "price()") * market.lltv * BPS
    owed = (position.owed + loan) * ORACLE_SCALE * WAD * ABOVE_LIMIT_BPS
    pledge = -(-owed // worth) - position.collateral
    if pledge > 0:
        _whale_allows(rpc_url, world, market.collateral_token, pledge)
        whale, types = world.accounts.whale, ",uint256,address,bytes"
        _act(rpc_url, world, symbol, whale, "supplyCollateral", types, pledge, debtor, b"")


def _liquidate(rpc_url: str, world: World, symbol: str, most: int, debtor: str) -> int:
    """The whale seizes all collateral, for `most` base units; returns the debt that is left."""
    whale, loan_token = world.accounts.whale, world.morpho.markets[symbol].loan_token
    collateral = _position(rpc_url, world, symbol, debtor).collateral
    _whale_allows(rpc_url, world, loan_token, most)
    types = ",address,uint256,uint256,bytes"
    receipt = _act(rpc_url, world, symbol, whale, "liquidate", types, debtor, collateral, 0, b"")
    _whale_allows(rpc_url, world, loan_token, 0)
    topic = "0x" + LIQUIDATE.hex()
    data = next(log["data"] for log in receipt["logs"] if log["topics"][0] == topic)
    return int(data[2 + 3 * 64 : 2 + 4 * 64], 16)


def _whale_allows(rpc_url: str, world: World, token: str, amount: int) -> None:
    whale, blue = world.accounts.whale, world.morpho.blue
    send(rpc_url, whale, token, "approve(address,uint256)", blue, amount)
