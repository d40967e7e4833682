"""Where a token keeps its balances: found by comparing storage with `balanceOf`.

A mapping's slot is a fact of the token's code, which nobody announces. A candidate counts only if
it is the only one that has exactly the holder's balance; what is found must still be right for
every holder that is proved with it.
"""

from dataclasses import dataclass
from typing import Final

from chains.evm import parse
from chains.evm.address import address_bytes, keccak
from chains.evm.client import EvmClient, block_param
from chains.types import BlockRef

SOLIDITY: Final = "solidity"
VYPER: Final = "vyper"
SLOTS_MAX = 64
# keccak256(keccak256("openzeppelin.storage.ERC20") - 1) with its last byte cleared (ERC-7201).
NAMESPACED = (
    int.from_bytes(
        keccak(
            (int.from_bytes(keccak(b"openzeppelin.storage.ERC20"), "big") - 1).to_bytes(32, "big")
        ),
        "big",
    )
    & ~0xFF
)
ALL_BITS, FLAGGED_BITS = 256, 255


@dataclass(frozen=True, slots=True)
class BalanceMapping:
    """`slot` of the mapping, how its keys are hashed, how many low bits of a value are the balance
    (USDC keeps a flag in the top one)."""

    slot: int
    form: str
    bits: int

    def slot_of(self, holder: str) -> int:
        """The storage slot of one holder's balance."""
        key, base = bytes(12) + address_bytes(holder), self.slot.to_bytes(32, "big")
        return int.from_bytes(keccak(key + base if self.form == SOLIDITY else base + key), "big")

    def balance(self, value: int) -> int:
        return value & ((1 << self.bits) - 1)


async def find(
    client: EvmClient, token: str, holder: str, block: BlockRef
) -> BalanceMapping | None:
    """The mapping that has the holder's balance; None where none or several have it, or it is 0."""
    balance = await client.erc20_balance(token, holder, block)
    if balance == 0:
        return None
    tried = [(slot, SOLIDITY) for slot in (*range(SLOTS_MAX), NAMESPACED)]
    tried += [(slot, VYPER) for slot in range(SLOTS_MAX)]
    mappings = [BalanceMapping(slot, form, ALL_BITS) for slot, form in tried]
    at = block_param(block)
    calls = [("eth_getStorageAt", [token, f"0x{m.slot_of(holder):064x}", at]) for m in mappings]
    values = await client.agreed(
        calls, lambda r: [int.from_bytes(parse.data_bytes(v), "big") for v in r]
    )
    found = [
        BalanceMapping(m.slot, m.form, ALL_BITS if value == balance else FLAGGED_BITS)
        for m, value in zip(mappings, values, strict=True)
        if value % 2**FLAGGED_BITS == balance
    ]
    return found[0] if len(found) == 1 else None
