"""What lies at the same address on every chain: Safe 1.5.0 and Multicall3.

Safe's packages carry the very creation code that its canonical addresses are made of, so CREATE2
through Safe's own factory gives these addresses, and anything else raises. The factory itself was
once put on each chain by a transaction signed for that chain only; here its code is copied from the
CREATE2 factory that every Anvil has, which is the same program.

Multicall3 is the build that viem carries: the same functions as on the public chains from the same
address, but not the same bytecode, so gas measured through it is not theirs.
"""

import re
from dataclasses import dataclass

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from chains.devnet.artifacts import PACKAGES, packaged
from chains.devnet.rpc import DevnetError, impersonated, rpc, submit, wait_receipt

SAFE_FACTORY = "0x914d7Fec6aaC8cd542e72Bca78B30650d45643d7"
ANVIL_FACTORY = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
SAFE_ARTIFACTS = "@safe-global/safe-smart-account/build/artifacts/contracts"
SALT = bytes(32)

MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11"
MULTICALL3_DEPLOYER = "0x05f32B3cC3888453ff71B01135B34FF8e41263F2"
"""Its first transaction creates MULTICALL3 on every chain."""
MULTICALL3_SOURCE = PACKAGES / "viem" / "_cjs" / "constants" / "contracts.js"


@dataclass(frozen=True)
class SafeContracts:
    """Safe 1.5.0, each at its canonical address."""

    singleton: str
    singleton_l2: str
    """As the singleton, and logs each transaction in full."""
    proxy_factory: str
    fallback_handler: str
    """CompatibilityFallbackHandler."""
    multi_send: str
    multi_send_call_only: str
    """As MultiSend, but refuses delegate calls inside the batch."""
    create_call: str
    sign_message_lib: str
    simulate_tx_accessor: str


_SOURCES = SafeContracts(
    singleton="Safe.sol/Safe",
    singleton_l2="SafeL2.sol/SafeL2",
    proxy_factory="proxies/SafeProxyFactory.sol/SafeProxyFactory",
    fallback_handler="handler/CompatibilityFallbackHandler.sol/CompatibilityFallbackHandler",
    multi_send="libraries/MultiSend.sol/MultiSend",
    multi_send_call_only="libraries/MultiSendCallOnly.sol/MultiSendCallOnly",
    create_call="libraries/CreateCall.sol/CreateCall",
    sign_message_lib="libraries/SignMessageLib.sol/SignMessageLib",
    simulate_tx_accessor="accessors/SimulateTxAccessor.sol/SimulateTxAccessor",
)
"""Where the package keeps each one's artifact."""

CANONICAL = SafeContracts(
    singleton="0xFf51A5898e281Db6DfC7855790607438dF2ca44b",
    singleton_l2="0xEdd160fEBBD92E350D4D398fb636302fccd67C7e",
    proxy_factory="0x14F2982D601c9458F93bd70B218933A6f8165e7b",
    fallback_handler="0x3EfCBb83A4A7AfcB4F68D501E2c2203a38be77f4",
    multi_send="0x218543288004CD07832472D464648173c77D7eB7",
    multi_send_call_only="0xA83c336B20401Af773B6219BA5027174338D1836",
    create_call="0x2Ef5ECfbea521449E4De05EDB1ce63B75eDA90B4",
    sign_message_lib="0x4FfeF8222648872B3dE295Ba1e49110E61f5b5aa",
    simulate_tx_accessor="0x07EfA797c55B5DdE3698d876b277aBb6B893654C",
)


def deploy_safe(rpc_url: str, deployer: str) -> SafeContracts:
    """Deploy Safe at its canonical addresses; raises DevnetError if it cannot be."""
    code = rpc(rpc_url, "eth_getCode", ANVIL_FACTORY, "latest")
    rpc(rpc_url, "anvil_setCode", SAFE_FACTORY, code)
    for role, expected in vars(CANONICAL).items():
        artifact = packaged(f"{SAFE_ARTIFACTS}/{getattr(_SOURCES, role)}.json")
        init_code = bytes.fromhex(artifact.creation_code((), {})[2:])
        address = _create2_address(SAFE_FACTORY, init_code)
        if address != expected:
            raise DevnetError(f"{artifact.name} would be at {address}, not at {expected}")
        data = "0x" + (SALT + init_code).hex()
        wait_receipt(rpc_url, submit(rpc_url, deployer, SAFE_FACTORY, data))
    return CANONICAL


def deploy_multicall3(rpc_url: str) -> str:
    """Create Multicall3 as it was created everywhere: its deployer's transaction number 0."""
    found = re.search(r"multicall3Bytecode = '(0x[0-9a-f]+)'", MULTICALL3_SOURCE.read_text())
    if found is None:
        raise DevnetError(f"no Multicall3 in {MULTICALL3_SOURCE.relative_to(PACKAGES)}")
    with impersonated(rpc_url, MULTICALL3_DEPLOYER):
        receipt = wait_receipt(rpc_url, submit(rpc_url, MULTICALL3_DEPLOYER, None, found[1]))
    address = to_checksum_address(receipt["contractAddress"])
    if address != MULTICALL3:
        raise DevnetError(f"Multicall3 came to {address}, not to {MULTICALL3}")
    return address


def _create2_address(factory: str, init_code: bytes) -> str:
    preimage = b"\xff" + bytes.fromhex(factory[2:]) + SALT + keccak(init_code)
    return to_checksum_address(keccak(preimage)[12:])
