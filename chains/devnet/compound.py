"""A real market of Compound V2's shape: a Venus isolated pool, as its package compiled it.

Interest runs by the second, as on Venus's rollups: a devnet's blocks come at any pace.
"""

from dataclasses import dataclass

from chains.devnet.accounts import Accounts
from chains.devnet.artifacts import own_artifact, packaged
from chains.devnet.rpc import ZERO, Artifact, Linker, deploy, encode_call, send
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
class Listing:
    """Factors are times 1e18, amounts base units."""

    collateral_factor: int
    liquidation_threshold: int
    seed: int
    """What the whale supplies as the market opens."""
    cap: int


LISTINGS = {
    "USDC": Listing(WAD * 80 // 100, WAD * 85 // 100, 6_000_000 * USDC_UNIT, 10**9 * USDC_UNIT),
    "WETH": Listing(WAD * 75 // 100, WAD * 80 // 100, 100 * ETHER, 10**6 * ETHER),
}
BORROWED = 4_500_000 * USDC_UNIT
PLEDGED = 3_000 * ETHER
WETH_BORROWED = 1_000 * ETHER


def deploy_compound(
    rpc_url: str, accounts: Accounts, tokens: dict[str, Token], feeds: dict[str, str]
) -> CompoundMarket:
    """Deploy the pool and open its markets with the whale's money; the admin governs it."""
    admin = accounts.market_admin
    linker = Linker(rpc_url, admin, _venus)
    control = linker.deploy("AccessControlManager")
    registry = _behind_beacon(linker, linker.deploy("PoolRegistry"), "initialize(address)", control)
    comptroller = _behind_beacon(
        *(linker, linker.deploy("Comptroller", registry)),
        *("initialize(uint256,address)", LOOPS_MAX, control),
    )
    _grant(rpc_url, admin, control, registry, REGISTRY_CALLS)
    _grant(rpc_url, admin, control, admin, ADMIN_CALLS)
    assets = [tokens[symbol].address for symbol in LISTINGS]
    sources = [feeds[symbol] for symbol in LISTINGS]
    oracle = deploy(rpc_url, admin, own_artifact("CompoundOracle"), assets, sources)
    send(rpc_url, admin, comptroller, "setPriceOracle(address)", oracle)
    pool = ("Devnet pool", comptroller, CLOSE_FACTOR, LIQUIDATION_INCENTIVE, COLLATERAL_MIN)
    send(rpc_url, admin, registry, "addPool(string,address,uint256,uint256,uint256)", *pool)
    reserve = _deploy_share_reserve(rpc_url, admin, linker, control, registry)
    model = linker.deploy("JumpRateModelV2", *RATES, control, *BY_SECOND)
    beacon = linker.deploy(
        "UpgradeableBeacon", linker.deploy("VToken", *BY_SECOND, BORROW_RATE_MAX)
    )
    v_tokens = {}
    for symbol in LISTINGS:
        common = (comptroller, model)
        rest = (admin, control, (admin, reserve), RESERVE_FACTOR)
        v_token = _deploy_v_token(linker, beacon, tokens[symbol], common, rest)
        send(rpc_url, admin, v_token, "setReduceReservesBlockDelta(uint256)", RESERVES_EVERY_S)
        _open_market(rpc_url, accounts, registry, tokens[symbol], v_token)
        v_tokens[symbol] = v_token
    return CompoundMarket(
        comptroller=comptroller,
        pool_registry=registry,
        access_control=control,
        oracle=oracle,
        share_reserve=reserve,
        admin=admin,
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


def _venus(name: str) -> Artifact:
    return packaged(f"{PACKAGE}/{SOURCES[name]}/{name}.sol/{name}.json")


def _behind_beacon(linker: Linker, logic: str, signature: str, *args: object) -> str:
    beacon = linker.deploy("UpgradeableBeacon", logic)
    return _proxy(linker, beacon, signature, *args)


def _proxy(linker: Linker, beacon: str, signature: str, *args: object) -> str:
    initialize = bytes.fromhex(encode_call(signature, *args)[2:])
    return linker.deploy("BeaconProxy", beacon, initialize)


def _grant(
    rpc_url: str, admin: str, control: str, account: str, signatures: tuple[str, ...]
) -> None:
    """Let `account` make these calls to any contract of the pool."""
    for signature in signatures:
        grant = "giveCallPermission(address,string,address)"
        send(rpc_url, admin, control, grant, ZERO, signature, account)


def _deploy_share_reserve(
    rpc_url: str, admin: str, linker: Linker, control: str, registry: str
) -> str:
    # It also serves Venus's core pool, which is not here: any account stands for its three parts.
    logic = linker.deploy("ProtocolShareReserve", admin, admin, admin)
    reserve = _behind_beacon(linker, logic, "initialize(address,uint256)", control, LOOPS_MAX)
    send(rpc_url, admin, reserve, "setPoolRegistry(address)", registry)
    return reserve


def _deploy_v_token(
    linker: Linker,
    beacon: str,
    token: Token,
    common: tuple[str, str],
    rest: tuple[object, ...],
) -> str:
    # One whole vToken is worth one whole token at first.
    rate = 10 ** (18 + token.decimals - V_TOKEN_DECIMALS)
    names = (f"Venus devnet {token.symbol}", f"v{token.symbol}", V_TOKEN_DECIMALS)
    terms = (token.address, *common, rate, *names, *rest)
    return _proxy(linker, beacon, INITIALIZE_V_TOKEN, *terms)


def _open_market(
    rpc_url: str, accounts: Accounts, registry: str, token: Token, v_token: str
) -> None:
    """The registry takes a market's first supply from its caller; the whale gets the vTokens."""
    item, admin, whale = LISTINGS[token.symbol], accounts.market_admin, accounts.whale
    send(rpc_url, whale, token.address, "transfer(address,uint256)", admin, item.seed)
    send(rpc_url, admin, token.address, "approve(address,uint256)", registry, item.seed)
    factors = (item.collateral_factor, item.liquidation_threshold)
    terms = (v_token, *factors, item.seed, whale, item.cap, item.cap)
    send(rpc_url, admin, registry, ADD_MARKET, terms)
