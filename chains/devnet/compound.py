"""A real market of Compound V2's shape: a Venus isolated pool, as its package compiled it.

Interest runs by the second, as on Venus's rollups: a devnet's blocks come at any pace.
"""

from dataclasses import dataclass

from chains.devnet.accounts import Accounts
from chains.devnet.artifacts import own_artifact, packaged
from chains.devnet.rpc import ZERO, Artifact, Deployer, encode_call, send
from chains.devnet.tokens import ETHER, USDC_UNIT, Token

PACKAGE = "@venusprotocol/isolated-pools/artifacts"
BEACONS = "@openzeppelin/contracts/proxy/beacon"
SOURCES = {
    "AccessControlManager": "@venusprotocol/governance-contracts/contracts/Governance",
    "BeaconProxy": BEACONS,
    "Comptroller": "contracts",
    "JumpRateModelV2": "contracts",
    "PoolRegistry": "contracts/Pool",
    "ProtocolShareReserve": "@venusprotocol/protocol-reserve/contracts/ProtocolReserve",
    "UpgradeableBeacon": BEACONS,
    "VToken": "contracts",
}
"""Where below PACKAGE each contract's artifact lies."""

WAD = 10**18
BY_SECOND = (True, 0)
BORROW_RATE_MAX = 5 * 10**12
"""A second, times 1e18; above it a market stops."""
LOOPS_MAX = 100
CLOSE_FACTOR = WAD * 50 // 100
LIQUIDATION_INCENTIVE = WAD * 110 // 100
COLLATERAL_MIN = 100 * WAD
"""USD: an account with less is healed, not liquidated."""
RATES = (0, WAD * 6 // 100, WAD * 250 // 100, WAD * 80 // 100)
"""Base, slope and jump slope a year, and the utilisation at which the jump begins."""
RESERVE_FACTOR = WAD * 10 // 100
V_TOKEN_DECIMALS = 8
ADD_MARKET = "addMarket((address,uint256,uint256,uint256,address,uint256,uint256))"
INITIALIZE_V_TOKEN = (
    "initialize(address,address,address,uint256,string,string,uint8,address,address,"
    "(address,address),uint256)"
)
REGISTRY_CALLS = (
    "setCloseFactor(uint256)",
    "setCollateralFactor(address,uint256,uint256)",
    "setLiquidationIncentive(uint256)",
    "setMarketBorrowCaps(address[],uint256[])",
    "setMarketSupplyCaps(address[],uint256[])",
    "setMinLiquidatableCollateral(uint256)",
)
ADMIN_CALLS = (
    *REGISTRY_CALLS,
    "addMarket(AddMarketInput)",
    "addPool(string,address,uint256,uint256,uint256)",
    "setActionsPaused(address[],uint256[],bool)",
    "setForcedLiquidation(address,bool)",
    "setInterestRateModel(address)",
    "setReduceReservesBlockDelta(uint256)",
    "setReserveFactor(uint256)",
)
RESERVES_EVERY_S = 24 * 3600


@dataclass(frozen=True)
class CompoundMarket:
    """A pool with Compound V2's functions: mint, redeem, borrow, repayBorrow, liquidateBorrow."""

    comptroller: str
    pool_registry: str
    access_control: str
    oracle: str
    """CompoundOracle: reads the world's price feeds."""
    share_reserve: str
    """Gets the reserve factor, once a day."""
    admin: str
    """May call ADMIN_CALLS; is also the account that clears bad debt."""
    v_tokens: dict[str, str]
    """By symbol of the underlying: USDC, WETH."""


@dataclass(frozen=True)
class Opening:
    """Factors are times 1e18, amounts base units."""

    collateral_factor: int
    liquidation_threshold: int
    seed: int
    """What the whale supplies as the market opens."""
    cap: int


LISTINGS = {
    "USDC": Opening(WAD * 80 // 100, WAD * 85 // 100, 6_000_000 * USDC_UNIT, 10**9 * USDC_UNIT),
    "WETH": Opening(WAD * 75 // 100, WAD * 80 // 100, 100 * ETHER, 10**6 * ETHER),
}
BORROWED = 4_500_000 * USDC_UNIT
PLEDGED = 3_000 * ETHER
WETH_BORROWED = 1_000 * ETHER


def deploy_compound(
    rpc_url: str, accounts: Accounts, tokens: dict[str, Token], feeds: dict[str, str]
) -> CompoundMarket:
    """Deploy the pool and open its markets with the whale's money; the admin governs it."""
    venus = Deployer(rpc_url, accounts.market_admin, _artifact)
    control, registry = _deploy_governance(venus)
    oracle = _deploy_oracle(venus, tokens, feeds)
    comptroller = _open_pool(venus, control, registry, oracle)
    reserve = _deploy_share_reserve(venus, control, registry)
    model = venus.deploy("JumpRateModelV2", *RATES, control, *BY_SECOND)
    logic = venus.deploy("VToken", *BY_SECOND, BORROW_RATE_MAX)
    beacon = venus.deploy("UpgradeableBeacon", logic)
    v_tokens = {}
    for symbol in LISTINGS:
        common = (comptroller, model, control, reserve)
        v_tokens[symbol] = _deploy_v_token(venus, beacon, tokens[symbol], *common)
        _open_market(venus, accounts.whale, registry, tokens[symbol], v_tokens[symbol])
    return CompoundMarket(
        comptroller=comptroller,
        pool_registry=registry,
        access_control=control,
        oracle=oracle,
        share_reserve=reserve,
        admin=venus.account,
        v_tokens=v_tokens,
    )


def populate_compound(
    rpc_url: str, accounts: Accounts, tokens: dict[str, Token], market: CompoundMarket
) -> None:
    """The borrower pledges WETH for three quarters of the USDC; the whale borrows WETH."""
    whale, borrower = accounts.whale, accounts.borrower
    usdc, weth = market.v_tokens["USDC"], market.v_tokens["WETH"]
    approve = "approve(address,uint256)"
    send(rpc_url, borrower, tokens["WETH"].address, approve, weth, PLEDGED)
    send(rpc_url, borrower, weth, "mint(uint256)", PLEDGED)
    send(rpc_url, borrower, market.comptroller, "enterMarkets(address[])", [weth])
    send(rpc_url, borrower, usdc, "borrow(uint256)", BORROWED)
    send(rpc_url, whale, market.comptroller, "enterMarkets(address[])", [usdc])
    send(rpc_url, whale, weth, "borrow(uint256)", WETH_BORROWED)


def _artifact(name: str) -> Artifact:
    if name == "CompoundOracle":
        return own_artifact(name)
    return packaged(f"{PACKAGE}/{SOURCES[name]}/{name}.sol/{name}.json")


def _behind_beacon(venus: Deployer, logic: str, signature: str, *args: object) -> str:
    return _proxy(venus, venus.deploy("UpgradeableBeacon", logic), signature, *args)


def _proxy(venus: Deployer, beacon: str, signature: str, *args: object) -> str:
    initialize = bytes.fromhex(encode_call(signature, *args)[2:])
    return venus.deploy("BeaconProxy", beacon, initialize)


def _deploy_governance(venus: Deployer) -> tuple[str, str]:
    """Access control and the pool registry, with the calls that each of them may make."""
    control = venus.deploy("AccessControlManager")
    logic = venus.deploy("PoolRegistry")
    registry = _behind_beacon(venus, logic, "initialize(address)", control)
    for account, signatures in ((registry, REGISTRY_CALLS), (venus.account, ADMIN_CALLS)):
        for signature in signatures:
            grant = "giveCallPermission(address,string,address)"
            venus.send(control, grant, ZERO, signature, account)  # zero: on every contract
    return control, registry


def _deploy_oracle(venus: Deployer, tokens: dict[str, Token], feeds: dict[str, str]) -> str:
    assets = [tokens[symbol].address for symbol in LISTINGS]
    return venus.deploy("CompoundOracle", assets, [feeds[symbol] for symbol in LISTINGS])


def _open_pool(venus: Deployer, control: str, registry: str, oracle: str) -> str:
    logic = venus.deploy("Comptroller", registry)
    initialize = "initialize(uint256,address)"
    comptroller = _behind_beacon(venus, logic, initialize, LOOPS_MAX, control)
    venus.send(comptroller, "setPriceOracle(address)", oracle)
    limits = (CLOSE_FACTOR, LIQUIDATION_INCENTIVE, COLLATERAL_MIN)
    add_pool = "addPool(string,address,uint256,uint256,uint256)"
    venus.send(registry, add_pool, "Devnet pool", comptroller, *limits)
    return comptroller


def _deploy_share_reserve(venus: Deployer, control: str, registry: str) -> str:
    # It also serves Venus's core pool, which is not here: any account stands for its three parts.
    logic = venus.deploy("ProtocolShareReserve", *[venus.account] * 3)
    initialize = "initialize(address,uint256)"
    reserve = _behind_beacon(venus, logic, initialize, control, LOOPS_MAX)
    venus.send(reserve, "setPoolRegistry(address)", registry)
    return reserve


def _deploy_v_token(
    venus: Deployer,
    beacon: str,
    token: Token,
    comptroller: str,
    model: str,
    control: str,
    reserve: str,
) -> str:
    # One whole vToken is worth one whole token at first.
    rate = 10 ** (18 + token.decimals - V_TOKEN_DECIMALS)
    names = (f"Venus devnet {token.symbol}", f"v{token.symbol}", V_TOKEN_DECIMALS)
    owned = (venus.account, control, (venus.account, reserve), RESERVE_FACTOR)
    terms = (token.address, comptroller, model, rate, *names, *owned)
    v_token = _proxy(venus, beacon, INITIALIZE_V_TOKEN, *terms)
    venus.send(v_token, "setReduceReservesBlockDelta(uint256)", RESERVES_EVERY_S)
    return v_token


def _open_market(venus: Deployer, whale: str, registry: str, token: Token, v_token: str) -> None:
    """The registry takes a market's first supply from its caller; the whale gets the vTokens."""
    item = LISTINGS[token.symbol]
    transfer = "transfer(address,uint256)"
    send(venus.rpc_url, whale, token.address, transfer, venus.account, item.seed)
    venus.send(token.address, "approve(address,uint256)", registry, item.seed)
    factors = (item.collateral_factor, item.liquidation_threshold)
    venus.send(registry, ADD_MARKET, (v_token, *factors, item.seed, whale, item.cap, item.cap))
