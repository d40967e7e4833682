"""Real Morpho Blue with its AdaptiveCurveIrm and a MetaMorpho vault that lends USDC on it."""

from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from chains.devnet.accounts import Accounts
from chains.devnet.artifacts import compiled, own_artifact
from chains.devnet.rpc import Artifact, Deployer, rpc, send
from chains.devnet.tokens import ETHER, TBTC_UNIT, USDC_UNIT, Token

PARAMS = "(address,address,address,address,uint256)"
WAD = 10**18
LLTV = WAD * 86 // 100
MARKET_FEE = WAD * 5 // 100
"""The part of the borrowers' interest that goes to the collector."""
VAULT_FEE = WAD * 10 // 100
TIMELOCK_S = 24 * 3600
"""The vault's shortest: a cap is accepted a day after it was proposed."""
SALT = bytes(32)


@dataclass(frozen=True)
class MorphoMarket:
    """One isolated market; the fields but `id` are Morpho's MarketParams in its order."""

    id: str
    loan_token: str
    collateral_token: str
    oracle: str
    """MorphoOracle: computes from the world's price feeds."""
    irm: str
    lltv: int
    """Times 1e18: at this loan to value a position can be liquidated."""

    @property
    def params(self) -> tuple[str, str, str, str, int]:
        """As Morpho's functions take it."""
        return (self.loan_token, self.collateral_token, self.oracle, self.irm, self.lltv)


@dataclass(frozen=True)
class Morpho:
    """Morpho Blue, its markets that lend USDC, and the vault on top of them."""

    blue: str
    irm: str
    owner: str
    markets: dict[str, MorphoMarket]
    """By the symbol of the collateral: WETH, TBTC."""
    vault_factory: str
    vault: str
    """MetaMorpho, an ERC-4626 on USDC: supplies the WETH market first, then the TBTC market."""
    vault_owner: str
    """Also its curator, allocator and guardian."""


@dataclass(frozen=True)
class Book:
    """What a market starts with: base units."""

    cap: int
    """Most that the vault may supply."""
    collateral: int
    borrowed: int


BOOKS = {
    "WETH": Book(5_000_000 * USDC_UNIT, 3_000 * ETHER, 4_250_000 * USDC_UNIT),
    "TBTC": Book(5_000_000 * USDC_UNIT, 50 * TBTC_UNIT, 2_500_000 * USDC_UNIT),
}
VAULT_SEED = 8_000_000 * USDC_UNIT


def deploy_morpho(
    rpc_url: str, accounts: Accounts, tokens: dict[str, Token], feeds: dict[str, str]
) -> Morpho:
    """Deploy all and let a day pass, as the vault's caps need it. Everything is the admin's."""
    admin = accounts.market_admin
    morpho = Deployer(rpc_url, admin, _artifact)
    blue = morpho.deploy("Morpho", admin)
    irm = morpho.deploy("AdaptiveCurveIrm", blue)
    morpho.send(blue, "enableIrm(address)", irm)
    morpho.send(blue, "enableLltv(uint256)", LLTV)
    morpho.send(blue, "setFeeRecipient(address)", accounts.collector)
    markets = {symbol: _create_market(morpho, blue, irm, tokens, feeds, symbol) for symbol in BOOKS}
    factory = morpho.deploy("MetaMorphoFactory", blue)
    create = "createMetaMorpho(address,uint256,address,string,string,bytes32)"
    names = ("Devnet MetaMorpho USDC", "mmUSDC")
    terms = (admin, TIMELOCK_S, tokens["USDC"].address, *names, SALT)
    vault = morpho.create(factory, create, *terms)
    _set_up_vault(morpho, accounts.collector, vault, markets)
    return Morpho(blue, irm, admin, markets, factory, vault, admin)


def populate_morpho(rpc_url: str, accounts: Accounts, morpho: Morpho) -> None:
    """The whale lends through the vault; both markets are some 85 % lent out."""
    whale, vault = accounts.whale, morpho.vault
    usdc = morpho.markets["WETH"].loan_token
    send(rpc_url, whale, usdc, "approve(address,uint256)", vault, VAULT_SEED)
    send(rpc_url, whale, vault, "deposit(uint256,address)", VAULT_SEED, whale)
    for symbol, who in (("WETH", accounts.borrower), ("TBTC", whale)):
        market, book = morpho.markets[symbol], BOOKS[symbol]
        approve = "approve(address,uint256)"
        send(rpc_url, who, market.collateral_token, approve, morpho.blue, book.collateral)
        pledge = f"supplyCollateral({PARAMS},uint256,address,bytes)"
        send(rpc_url, who, morpho.blue, pledge, market.params, book.collateral, who, b"")
        borrow = f"borrow({PARAMS},uint256,uint256,address,address)"
        send(rpc_url, who, morpho.blue, borrow, market.params, book.borrowed, 0, who, who)


def _artifact(name: str) -> Artifact:
    if name == "MorphoOracle":
        return own_artifact(name)
    return compiled("morpho" if name == "Morpho" else "metamorpho", name)


def _create_market(
    morpho: Deployer,
    blue: str,
    irm: str,
    tokens: dict[str, Token],
    feeds: dict[str, str],
    symbol: str,
) -> MorphoMarket:
    loan, collateral = tokens["USDC"].address, tokens[symbol].address
    oracle = morpho.deploy("MorphoOracle", collateral, loan, feeds[symbol], feeds["USDC"])
    params = (loan, collateral, oracle, irm, LLTV)
    morpho.send(blue, f"createMarket({PARAMS})", params)
    morpho.send(blue, f"setFee({PARAMS},uint256)", params, MARKET_FEE)
    market_id = keccak(encode([PARAMS], [params]))
    return MorphoMarket("0x" + market_id.hex(), *params)


def _set_up_vault(
    morpho: Deployer, collector: str, vault: str, markets: dict[str, MorphoMarket]
) -> None:
    morpho.send(vault, "setCurator(address)", morpho.account)
    morpho.send(vault, "setIsAllocator(address,bool)", morpho.account, True)
    morpho.send(vault, "submitGuardian(address)", morpho.account)
    morpho.send(vault, "setFeeRecipient(address)", collector)
    morpho.send(vault, "setFee(uint256)", VAULT_FEE)
    for symbol, market in markets.items():
        morpho.send(vault, f"submitCap({PARAMS},uint256)", market.params, BOOKS[symbol].cap)
    rpc(morpho.rpc_url, "evm_increaseTime", TIMELOCK_S)
    for market in markets.values():
        morpho.send(vault, f"acceptCap({PARAMS})", market.params)
    queue = [bytes.fromhex(market.id[2:]) for market in markets.values()]
    morpho.send(vault, "setSupplyQueue(bytes32[])", queue)
