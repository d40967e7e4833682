"""What can happen to an Aave reserve: its use, its administrators, its bad debts.

A reserve is named by its symbol. Amounts are ints in base units, rates and shares in hundredths of
a percent. What the protocol refuses is a DevnetError that carries the protocol's own error.
"""

from chains.devnet.rpc import DevnetError, call, call_uint, send
from chains.devnet.scenario.lending import ABOVE_LIMIT_BPS, Usage, crashed, stranger
from chains.devnet.scenario.prices import BPS, price
from chains.devnet.world import World

VIRTUAL_BALANCE = "getVirtualUnderlyingBalance(address)"
VARIABLE_RATE = 2
CONFIGURATION = "(uint256,uint256,uint256,uint256,uint256,bool,bool,bool,bool,bool)"
"""Decimals, loan to value, liquidation threshold, ...; as the data provider answers."""


def usage(rpc_url: str, world: World, symbol: str) -> Usage:
    """Read at the latest block."""
    reserve = world.aave.reserves[symbol]
    debt = call_uint(rpc_url, world.aave.data_provider, "getTotalDebt(address)", reserve.asset)
    available = call_uint(rpc_url, world.aave.pool, VIRTUAL_BALANCE, reserve.asset)
    return Usage(debt, available)


def borrow_to_utilisation(rpc_url: str, world: World, symbol: str, bps: int) -> None:
    """Borrow or repay until `bps` of the reserve are lent out, give or take one.

    The loan is the borrower's, and of WETH the whale's, whose own the other tokens are. The whale
    repays, and pledges WETH for the borrower or TBTC for itself if the loan needs more collateral.
    Raises DevnetError if less of the debt is the debtor's than is to be repaid.
    """
    change = usage(rpc_url, world, symbol).to_borrow(bps)
    debtor = world.accounts.whale if symbol == "WETH" else world.accounts.borrower
    if change > 0:
        _pledge_what_lacks(rpc_url, world, symbol, change, debtor)
        _borrow(rpc_url, world, symbol, change, debtor)
    elif change < 0:
        _repay(rpc_url, world, symbol, -change, debtor)
    reached = usage(rpc_url, world, symbol)
    if not reached.is_at(bps):
        raise DevnetError(f"{symbol} at Aave is {reached}, not at {bps} bps")


def set_paused(rpc_url: str, world: World, symbol: str, paused: bool) -> None:
    """A paused reserve takes no supply, loan, repayment, withdrawal or liquidation."""
    _configure(rpc_url, world, world.aave.emergency_admin, "setReservePause", symbol, paused)


def set_frozen(rpc_url: str, world: World, symbol: str, frozen: bool) -> None:
    """A frozen reserve takes no supply and no loan; one may still leave it."""
    _configure(rpc_url, world, world.aave.risk_admin, "setReserveFreeze", symbol, frozen)


def set_supply_cap(rpc_url: str, world: World, symbol: str, cap: int | None) -> None:
    """The most that all suppliers may have, in whole tokens; None for no cap."""
    _cap(rpc_url, world, "setSupplyCap", symbol, cap)


def set_borrow_cap(rpc_url: str, world: World, symbol: str, cap: int | None) -> None:
    """The most that all borrowers may owe, in whole tokens; None for no cap."""
    _cap(rpc_url, world, "setBorrowCap", symbol, cap)


def bad_debt(rpc_url: str, world: World, symbol: str, loan: int) -> int:
    """A stranger borrows `loan`, its collateral crashes and is seized; returns the lost part.

    The collateral is TDAI, and for a loan of TDAI it is TBTC. Its price is back when this returns;
    meanwhile it is low for everybody. Raises DevnetError if nothing was lost.
    """
    collateral = "TBTC" if symbol == "TDAI" else "TDAI"
    before = _deficit(rpc_url, world, symbol)
    loan_usd = _value_up(rpc_url, world, symbol, loan)
    pledge = _pledge_for(rpc_url, world, loan_usd, collateral)
    with stranger(rpc_url) as debtor:
        _supply(rpc_url, world, collateral, pledge, debtor)
        _borrow(rpc_url, world, symbol, loan, debtor)
    with crashed(rpc_url, world, collateral):
        _liquidate(rpc_url, world, collateral, symbol, loan, debtor)
    lost = _deficit(rpc_url, world, symbol) - before
    if lost <= 0:
        raise DevnetError(f"nothing was lost of a loan of {loan} base units of {symbol}")
    return lost


def _configure(
    rpc_url: str, world: World, admin: str, function: str, symbol: str, value: int | bool
) -> None:
    kind = "bool" if isinstance(value, bool) else "uint256"
    asset = world.aave.reserves[symbol].asset
    send(rpc_url, admin, world.aave.configurator, f"{function}(address,{kind})", asset, value)


def _cap(rpc_url: str, world: World, function: str, symbol: str, cap: int | None) -> None:
    whole, rest = divmod(cap or 0, _unit(world, symbol))
    # The protocol takes whole tokens, and reads zero as no cap.
    if cap is not None and (whole <= 0 or rest):
        raise DevnetError(f"a cap of {cap} base units of {symbol}: no whole tokens")
    _configure(rpc_url, world, world.aave.risk_admin, function, symbol, whole)


def _supply(rpc_url: str, world: World, symbol: str, amount: int, holder: str) -> None:
    """The whale supplies for `holder`."""
    supply = "supply(address,uint256,address,uint16)"
    _whale_pays(rpc_url, world, symbol, amount, supply, holder, 0)


def _repay(rpc_url: str, world: World, symbol: str, amount: int, debtor: str) -> None:
    """The whale repays for `debtor`."""
    owed = call_uint(rpc_url, world.aave.reserves[symbol].debt_token, "balanceOf(address)", debtor)
    if owed < amount:
        raise DevnetError(f"{debtor} owes {owed} {symbol} at Aave, {amount} were to be repaid")
    repay = "repay(address,uint256,uint256,address)"
    _whale_pays(rpc_url, world, symbol, amount, repay, VARIABLE_RATE, debtor)


def _whale_pays(
    rpc_url: str, world: World, symbol: str, amount: int, signature: str, *rest: int | str
) -> None:
    """A call of the pool that begins with asset and amount."""
    whale, asset = world.accounts.whale, world.aave.reserves[symbol].asset
    send(rpc_url, whale, asset, "approve(address,uint256)", world.aave.pool, amount)
    send(rpc_url, whale, world.aave.pool, signature, asset, amount, *rest)


def _borrow(rpc_url: str, world: World, symbol: str, amount: int, debtor: str) -> None:
    asset = world.aave.reserves[symbol].asset
    signature = "borrow(address,uint256,uint256,uint16,address)"
    send(rpc_url, debtor, world.aave.pool, signature, asset, amount, VARIABLE_RATE, 0, debtor)


def _liquidate(
    rpc_url: str, world: World, collateral: str, symbol: str, most: int, debtor: str
) -> None:
    """The whale pays what the collateral is worth, at `most` base units of debt."""
    whale, pool = world.accounts.whale, world.aave.pool
    asset, pledged = (world.aave.reserves[s].asset for s in (symbol, collateral))
    send(rpc_url, whale, asset, "approve(address,uint256)", pool, most)
    signature = "liquidationCall(address,address,address,uint256,bool)"
    send(rpc_url, whale, pool, signature, pledged, asset, debtor, most, False)
    send(rpc_url, whale, asset, "approve(address,uint256)", pool, 0)


def _deficit(rpc_url: str, world: World, symbol: str) -> int:
    asset = world.aave.reserves[symbol].asset
    return call_uint(rpc_url, world.aave.pool, "getReserveDeficit(address)", asset)


def _pledge_what_lacks(rpc_url: str, world: World, symbol: str, loan: int, debtor: str) -> None:
    signature, pool = "getUserAccountData(address)", world.aave.pool
    collateral_usd, debt_usd, _, _, loan_to_value_bps, _ = call(
        rpc_url, pool, signature, debtor, returns="(" + ",".join(["uint256"] * 6) + ")"
    )
    loan_usd = _value_up(rpc_url, world, symbol, loan)
    lacking_usd = debt_usd + loan_usd - collateral_usd * loan_to_value_bps // BPS
    if lacking_usd > 0:
        collateral = "TBTC" if symbol == "WETH" else "WETH"
        pledge = _pledge_for(rpc_url, world, lacking_usd, collateral)
        _supply(rpc_url, world, collateral, pledge, debtor)


def _value_up(rpc_url: str, world: World, symbol: str, amount: int) -> int:
    """USD with 8 decimals, rounded up."""
    return -(-amount * price(rpc_url, world, symbol) // _unit(world, symbol))


def _pledge_for(rpc_url: str, world: World, loan_usd: int, collateral: str) -> int:
    """Base units of collateral that allow a loan of this value, and little more; rounded up."""
    configuration = call(
        rpc_url,
        world.aave.data_provider,
        "getReserveConfigurationData(address)",
        world.aave.reserves[collateral].asset,
        returns=CONFIGURATION,
    )
    loan_to_value_bps = int(configuration[1])
    worth = price(rpc_url, world, collateral) * loan_to_value_bps
    if worth <= 0:  # a frozen reserve lends nothing on what it holds
        raise DevnetError(f"{collateral} at Aave is no collateral now")
    return -(-loan_usd * _unit(world, collateral) * ABOVE_LIMIT_BPS // worth)


def _unit(world: World, symbol: str) -> int:
    """Base units of one whole token."""
    return int(10 ** world.tokens[symbol].decimals)
