"""A real Aave V3.6 market with its ERC-4626 wrappers, compiled from Aave's own package."""

from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from chains.devnet.accounts import Accounts
from chains.devnet.artifacts import compiled
from chains.devnet.rpc import ZERO, Deployer, encode_call, send
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
    aave = Deployer(rpc_url, admin, lambda name: compiled("aave", name))
    assets = {symbol: tokens[symbol].address for symbol in LISTINGS}
    provider = aave.deploy("PoolAddressesProvider", "Devnet", admin)
    acl_manager = _deploy_roles(aave, provider)
    oracle = _deploy_oracle(aave, provider, assets, feeds)
    strategy = aave.deploy("DefaultReserveInterestRateStrategyV2", provider)
    pool, configurator, data_provider = _deploy_pool(aave, provider, strategy)
    emission, rewards = _deploy_rewards(aave, provider)
    _list_reserves(aave, pool, configurator, (rewards, accounts.collector), assets)
    factory = _deploy_stata_factory(aave, pool, rewards)
    aave.send(factory, "createStataTokens(address[])", list(assets.values()))
    return AaveMarket(
        pool=pool,
        configurator=configurator,
        addresses_provider=provider,
        data_provider=data_provider,
        acl_manager=acl_manager,
        oracle=oracle,
        rate_strategy=strategy,
        rewards_controller=rewards,
        emission_manager=emission,
        stata_factory=factory,
        pool_admin=admin,
        emergency_admin=admin,
        risk_admin=admin,
        reserves={symbol: _reserve(aave, pool, factory, asset) for symbol, asset in assets.items()},
    )


def _deploy_roles(aave: Deployer, provider: str) -> str:
    aave.send(provider, "setACLAdmin(address)", aave.account)
    acl = aave.deploy("ACLManager", provider)
    aave.send(provider, "setACLManager(address)", acl)
    for role in ("PoolAdmin", "EmergencyAdmin", "RiskAdmin"):
        aave.send(acl, f"add{role}(address)", aave.account)
    return acl


def _deploy_oracle(
    aave: Deployer, provider: str, assets: dict[str, str], feeds: dict[str, str]
) -> str:
    sources = [feeds[symbol] for symbol in assets]
    terms = (provider, list(assets.values()), sources, ZERO, ZERO, PRICE_UNIT)
    oracle = aave.deploy("AaveOracle", *terms)
    aave.send(provider, "setPriceOracle(address)", oracle)
    return oracle


def _deploy_pool(aave: Deployer, provider: str, strategy: str) -> tuple[str, str, str]:
    """Pool, its configurator and the data provider."""
    pool_logic = aave.deploy("PoolInstance", provider, strategy)
    aave.send(provider, "setPoolImpl(address)", pool_logic)
    configurator_logic = aave.deploy("PoolConfiguratorInstance")
    aave.send(provider, "setPoolConfiguratorImpl(address)", configurator_logic)
    data_provider = aave.deploy("AaveProtocolDataProvider", provider)
    aave.send(provider, "setPoolDataProvider(address)", data_provider)
    pool, configurator = (aave.address(provider, f"get{n}()") for n in ("Pool", "PoolConfigurator"))
    return pool, configurator, data_provider


def _deploy_rewards(aave: Deployer, provider: str) -> tuple[str, str]:
    """Emission manager and controller. No rewards run until somebody starts them there."""
    emission = aave.deploy("EmissionManager", aave.account)
    logic = aave.deploy("RewardsController", emission)
    aave.send(provider, "setAddressAsProxy(bytes32,address)", REWARDS_ID, logic)
    rewards = aave.address(provider, "getAddress(bytes32)", REWARDS_ID)
    aave.send(emission, "setRewardsController(address)", rewards)
    return emission, rewards


def _list_reserves(
    aave: Deployer,
    pool: str,
    configurator: str,
    beneficiaries: tuple[str, str],
    assets: dict[str, str],
) -> None:
    """`beneficiaries` are the rewards controller and the treasury."""
    rewards, _ = beneficiaries
    implementations = (
        aave.deploy("ATokenInstance", pool, *beneficiaries),
        aave.deploy("VariableDebtTokenInstance", pool, rewards),
    )
    inputs = [_reserve_input(implementations, symbol, asset) for symbol, asset in assets.items()]
    aave.send(configurator, INIT_RESERVES, inputs)
    for symbol, asset in assets.items():
        limits = (LISTINGS[symbol].ltv_bps, LISTINGS[symbol].threshold_bps, LIQUIDATION_BONUS_BPS)
        collateral = "configureReserveAsCollateral(address,uint256,uint256,uint256)"
        aave.send(configurator, collateral, asset, *limits)
        aave.send(configurator, "setReserveBorrowing(address,bool)", asset, True)
        aave.send(configurator, "setReserveFlashLoaning(address,bool)", asset, True)
        aave.send(configurator, "setReserveFactor(address,uint256)", asset, RESERVE_FACTOR_BPS)
        fee = "setLiquidationProtocolFee(address,uint256)"
        aave.send(configurator, fee, asset, LIQUIDATION_PROTOCOL_FEE_BPS)
    aave.send(configurator, "updateFlashloanPremium(uint128)", FLASH_LOAN_PREMIUM_BPS)


def _reserve_input(implementations: tuple[str, str], symbol: str, asset: str) -> tuple[object, ...]:
    names = (
        *(f"Aave devnet {symbol}", f"a{symbol}"),
        *(f"Aave devnet variable debt {symbol}", f"variableDebt{symbol}"),
    )
    item = LISTINGS[symbol]
    curve = (item.optimal_usage_bps, 0, item.slope1_bps, item.slope2_bps)
    rates = encode(["uint16", "uint32", "uint32", "uint32"], curve)
    return (*implementations, asset, *names, b"", rates)


def _deploy_stata_factory(aave: Deployer, pool: str, rewards: str) -> str:
    proxies = aave.deploy("TransparentProxyFactory")
    logic = aave.deploy("StataTokenV2", pool, rewards)
    factory_logic = aave.deploy("StataTokenFactory", pool, aave.account, proxies, logic)
    initialize = bytes.fromhex(encode_call("initialize()")[2:])
    create = "createDeterministic(address,address,bytes,bytes32)"
    return aave.create(proxies, create, factory_logic, aave.account, initialize, bytes(32))


def _reserve(aave: Deployer, pool: str, factory: str, asset: str) -> AaveReserve:
    return AaveReserve(
        asset=asset,
        a_token=aave.address(pool, "getReserveAToken(address)", asset),
        debt_token=aave.address(pool, "getReserveVariableDebtToken(address)", asset),
        stata=aave.address(factory, "getStataToken(address)", asset),
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
