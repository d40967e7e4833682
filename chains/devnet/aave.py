"""A real Aave V3.6 market with its ERC-4626 wrappers, compiled from Aave's own package."""

from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from chains.devnet.accounts import Accounts
from chains.devnet.artifacts import compiled
from chains.devnet.rpc import ZERO, Linker, call_address, encode_call, send
from chains.devnet.tokens import ETHER, TBTC_UNIT, USDC_UNIT, Token

REWARDS_ID = keccak(text="INCENTIVES_CONTROLLER")
RESERVE_FACTOR_BPS = 1_000
LIQUIDATION_BONUS_BPS = 10_500
LIQUIDATION_PROTOCOL_FEE_BPS = 1_000
FLASH_LOAN_PREMIUM_BPS = 5
PRICE_UNIT = 10**8
VARIABLE_RATE = 2
STATA_SEED = 1_000_000 * USDC_UNIT
INIT_RESERVES = "initReserves((address,address,address,string,string,string,string,bytes,bytes)[])"


@dataclass(frozen=True)
class AaveReserve:
    """One asset on Aave: the token, what suppliers hold, what borrowers owe."""

    asset: str
    a_token: str
    debt_token: str
    """Variable debt, the only kind; it cannot be transferred."""
    stata: str
    """StataTokenV2: an ERC-4626 vault that holds the aToken; its shares do not rebase."""


@dataclass(frozen=True)
class AaveMarket:
    """An Aave V3.6 market and the accounts that hold its roles."""

    pool: str
    configurator: str
    """Pause, freeze, caps and rates of a reserve are set here."""
    addresses_provider: str
    data_provider: str
    acl_manager: str
    oracle: str
    """AaveOracle: reads the world's price feeds."""
    rate_strategy: str
    rewards_controller: str
    emission_manager: str
    stata_factory: str
    pool_admin: str
    emergency_admin: str
    risk_admin: str
    reserves: dict[str, AaveReserve]
    """By symbol."""


@dataclass(frozen=True)
class Listing:
    """A reserve to list. Rates are simple and annual; all in hundredths of a percent."""

    optimal_usage_bps: int
    slope1_bps: int
    slope2_bps: int
    ltv_bps: int
    threshold_bps: int


LISTINGS = {
    "USDC": Listing(9_000, 550, 6_000, 7_500, 7_800),
    "TDAI": Listing(9_000, 550, 7_500, 7_500, 7_800),
    "WETH": Listing(9_000, 270, 8_000, 8_000, 8_250),
    "TBTC": Listing(8_000, 400, 9_000, 7_300, 7_800),
}


def deploy_aave(
    rpc_url: str, accounts: Accounts, tokens: dict[str, Token], feeds: dict[str, str]
) -> AaveMarket:
    """Deploy the market and list every token of LISTINGS; the market admin keeps every role."""
    admin = accounts.market_admin
    linker = Linker(rpc_url, admin, lambda name: compiled("aave", name))
    provider = linker.deploy("PoolAddressesProvider", "Devnet", admin)
    acl = _deploy_roles(rpc_url, admin, linker, provider)
    oracle = _deploy_oracle(rpc_url, admin, linker, provider, tokens, feeds)
    strategy = linker.deploy("DefaultReserveInterestRateStrategyV2", provider)
    send(
        *(rpc_url, admin, provider, "setPoolImpl(address)"),
        linker.deploy("PoolInstance", provider, strategy),
    )
    send(
        *(rpc_url, admin, provider, "setPoolConfiguratorImpl(address)"),
        linker.deploy("PoolConfiguratorInstance"),
    )
    pool = call_address(rpc_url, provider, "getPool()")
    configurator = call_address(rpc_url, provider, "getPoolConfigurator()")
    data_provider = linker.deploy("AaveProtocolDataProvider", provider)
    send(rpc_url, admin, provider, "setPoolDataProvider(address)", data_provider)
    emission, rewards = _deploy_rewards(rpc_url, admin, linker, provider)
    implementations = (
        linker.deploy("ATokenInstance", pool, rewards, accounts.collector),
        linker.deploy("VariableDebtTokenInstance", pool, rewards),
    )
    assets = {symbol: tokens[symbol].address for symbol in LISTINGS}
    _list_reserves(rpc_url, admin, configurator, implementations, assets)
    factory = _deploy_stata_factory(rpc_url, admin, linker, pool, rewards)
    send(rpc_url, admin, factory, "createStataTokens(address[])", list(assets.values()))
    reserves = {symbol: _reserve(rpc_url, pool, factory, asset) for symbol, asset in assets.items()}
    return AaveMarket(
        pool=pool,
        configurator=configurator,
        addresses_provider=provider,
        data_provider=data_provider,
        acl_manager=acl,
        oracle=oracle,
        rate_strategy=strategy,
        rewards_controller=rewards,
        emission_manager=emission,
        stata_factory=factory,
        pool_admin=admin,
        emergency_admin=admin,
        risk_admin=admin,
        reserves=reserves,
    )


def _deploy_roles(rpc_url: str, admin: str, linker: Linker, provider: str) -> str:
    send(rpc_url, admin, provider, "setACLAdmin(address)", admin)
    acl = linker.deploy("ACLManager", provider)
    send(rpc_url, admin, provider, "setACLManager(address)", acl)
    for grant in ("addPoolAdmin(address)", "addEmergencyAdmin(address)", "addRiskAdmin(address)"):
        send(rpc_url, admin, acl, grant, admin)
    return acl


def _deploy_oracle(
    rpc_url: str,
    admin: str,
    linker: Linker,
    provider: str,
    tokens: dict[str, Token],
    feeds: dict[str, str],
) -> str:
    assets = [tokens[symbol].address for symbol in LISTINGS]
    sources = [feeds[symbol] for symbol in LISTINGS]
    oracle = linker.deploy("AaveOracle", provider, assets, sources, ZERO, ZERO, PRICE_UNIT)
    send(rpc_url, admin, provider, "setPriceOracle(address)", oracle)
    return oracle


def _deploy_rewards(rpc_url: str, admin: str, linker: Linker, provider: str) -> tuple[str, str]:
    """No rewards run at first; `emission` is where a test starts some."""
    emission = linker.deploy("EmissionManager", admin)
    logic = linker.deploy("RewardsController", emission)
    send(rpc_url, admin, provider, "setAddressAsProxy(bytes32,address)", REWARDS_ID, logic)
    rewards = call_address(rpc_url, provider, "getAddress(bytes32)", REWARDS_ID)
    send(rpc_url, admin, emission, "setRewardsController(address)", rewards)
    return emission, rewards


def _list_reserves(
    rpc_url: str,
    admin: str,
    configurator: str,
    implementations: tuple[str, str],
    assets: dict[str, str],
) -> None:
    inputs = [_reserve_input(implementations, symbol, asset) for symbol, asset in assets.items()]
    send(rpc_url, admin, configurator, INIT_RESERVES, inputs)
    for symbol, asset in assets.items():
        item = LISTINGS[symbol]
        limits = (item.ltv_bps, item.threshold_bps, LIQUIDATION_BONUS_BPS)
        settings: tuple[tuple[str, tuple[int | bool, ...]], ...] = (
            ("configureReserveAsCollateral(address,uint256,uint256,uint256)", limits),
            ("setReserveBorrowing(address,bool)", (True,)),
            ("setReserveFlashLoaning(address,bool)", (True,)),
            ("setReserveFactor(address,uint256)", (RESERVE_FACTOR_BPS,)),
            ("setLiquidationProtocolFee(address,uint256)", (LIQUIDATION_PROTOCOL_FEE_BPS,)),
        )
        for signature, values in settings:
            send(rpc_url, admin, configurator, signature, asset, *values)
    premium = "updateFlashloanPremium(uint128)"
    send(rpc_url, admin, configurator, premium, FLASH_LOAN_PREMIUM_BPS)


def _reserve_input(implementations: tuple[str, str], symbol: str, asset: str) -> tuple[object, ...]:
    names = (
        *(f"Aave devnet {symbol}", f"a{symbol}"),
        *(f"Aave devnet variable debt {symbol}", f"variableDebt{symbol}"),
    )
    item = LISTINGS[symbol]
    curve = (item.optimal_usage_bps, 0, item.slope1_bps, item.slope2_bps)
    rates = encode(["uint16", "uint32", "uint32", "uint32"], curve)
    return (*implementations, asset, *names, b"", rates)


def _deploy_stata_factory(rpc_url: str, admin: str, linker: Linker, pool: str, rewards: str) -> str:
    proxies = linker.deploy("TransparentProxyFactory")
    logic = linker.deploy("StataTokenV2", pool, rewards)
    factory_logic = linker.deploy("StataTokenFactory", pool, admin, proxies, logic)
    initialize = bytes.fromhex(encode_call("initialize()")[2:])
    create = "createDeterministic(address,address,bytes,bytes32)"
    terms = (factory_logic, admin, initialize, bytes(32))
    factory = call_address(rpc_url, proxies, create, *terms)  # asked first, the answer is the same
    send(rpc_url, admin, proxies, create, *terms)
    return factory


def _reserve(rpc_url: str, pool: str, factory: str, asset: str) -> AaveReserve:
    return AaveReserve(
        asset=asset,
        a_token=call_address(rpc_url, pool, "getReserveAToken(address)", asset),
        debt_token=call_address(rpc_url, pool, "getReserveVariableDebtToken(address)", asset),
        stata=call_address(rpc_url, factory, "getStataToken(address)", asset),
    )


def populate_aave(rpc_url: str, accounts: Accounts, market: AaveMarket) -> None:
    """Suppliers and borrowers, so that every reserve really pays: USDC is 70 % lent out."""
    whale, borrower = accounts.whale, accounts.borrower
    stata = market.reserves["USDC"].stata
    asset = market.reserves["USDC"].asset
    send(rpc_url, whale, asset, "approve(address,uint256)", stata, STATA_SEED)
    send(rpc_url, whale, stata, "deposit(uint256,address)", STATA_SEED, whale)
    supplies = (
        (whale, "USDC", 10_000_000 * USDC_UNIT - STATA_SEED),
        (whale, "TDAI", 10_000_000 * ETHER),
        (whale, "TBTC", 100 * TBTC_UNIT),
        (borrower, "WETH", 10_000 * ETHER),
    )
    for who, symbol, amount in supplies:
        asset = market.reserves[symbol].asset
        send(rpc_url, who, asset, "approve(address,uint256)", market.pool, amount)
        supply = "supply(address,uint256,address,uint16)"
        send(rpc_url, who, market.pool, supply, asset, amount, who, 0)
    borrows = (
        (borrower, "USDC", 7_000_000 * USDC_UNIT),
        (borrower, "TDAI", 6_000_000 * ETHER),
        (borrower, "TBTC", 30 * TBTC_UNIT),
        (whale, "WETH", 3_000 * ETHER),
    )
    for who, symbol, amount in borrows:
        borrow = "borrow(address,uint256,uint256,uint16,address)"
        terms = (market.reserves[symbol].asset, amount, VARIABLE_RATE, 0, who)
        send(rpc_url, who, market.pool, borrow, *terms)
