"""Our own stand-ins for venues that cannot be installed: a plain vault, simulated staking."""

from chains.devnet.artifacts import own_artifact
from chains.devnet.rpc import ZERO, deploy, send
from chains.devnet.tokens import ETHER, USDC_UNIT

YEAR_S = 365 * 24 * 3600
STREAM_YEARS = 10
"""A cached world may be loaded long after it was built; its rewards must not have run dry."""
VAULT_SEED = 5_000_000 * USDC_UNIT
VAULT_APR_BPS = 500
STAKING_APR_BPS = 320
STAKING_SEED = 10_000 * ETHER
STAKING_REWARDS = 100_000 * ETHER
STAKING_DELAY_S = 24 * 3600


def deploy_vault(rpc_url: str, deployer: str, whale: str, usdc: str) -> str:
    """PlainVault on USDC with a seed of the whale's and ten years of rewards."""
    names = ("Devnet USDC vault", "dvUSDC")
    vault = deploy(rpc_url, deployer, own_artifact("PlainVault"), usdc, *names)
    rewards = VAULT_SEED * VAULT_APR_BPS * STREAM_YEARS // 10_000
    send(rpc_url, whale, usdc, "approve(address,uint256)", vault, VAULT_SEED + rewards)
    send(rpc_url, whale, vault, "deposit(uint256,address)", VAULT_SEED, whale)
    send(rpc_url, whale, vault, "fund(uint256,uint256)", rewards, STREAM_YEARS * YEAR_S)
    return vault


def deploy_staking(rpc_url: str, deployer: str, whale: str) -> tuple[str, str]:
    """StakingSimulator with a stake of the whale's, and its wrapper."""
    terms = (STAKING_APR_BPS, STAKING_DELAY_S)
    simulator = own_artifact("StakingSimulator")
    address = deploy(rpc_url, deployer, simulator, *terms, value=STAKING_REWARDS)
    send(rpc_url, whale, address, "submit(address)", ZERO, value=STAKING_SEED)
    wrapper = deploy(rpc_url, deployer, own_artifact("WrappedStaking"), address)
    return address, wrapper
