"""Where a token keeps its balances: found only where exactly one mapping has them."""

from typing import Any, cast

import pytest

from chains.evm.address import keccak
from chains.evm.balance_slots import NAMESPACED, SOLIDITY, VYPER, BalanceMapping, find
from chains.types import BlockRef

pytestmark = pytest.mark.unit
HOLDER, TOKEN = "0x" + "11" * 20, "0x" + "22" * 20
BLOCK = BlockRef(1, "0x" + "00" * 32, 1)


class Token:
    """Storage by slot, and what `balanceOf` says."""

    def __init__(self, balance: int, storage: dict[int, int]) -> None:
        self.balance, self.storage = balance, storage

    async def erc20_balance(self, *_: Any) -> int:
        return self.balance

    async def agreed(self, calls: Any, read: Any) -> Any:
        words = [self.storage.get(int(params[1], 16), 0) for _, params in calls]
        return read([f"0x{w:064x}" for w in words])


async def found(balance: int, *kept: tuple[BalanceMapping, int]) -> BalanceMapping | None:
    storage = {mapping.slot_of(HOLDER): value for mapping, value in kept}
    return await find(cast(Any, Token(balance, storage)), TOKEN, HOLDER, BLOCK)


@pytest.mark.parametrize(
    "mapping",
    [
        BalanceMapping(0, SOLIDITY, 256),
        BalanceMapping(9, SOLIDITY, 256),
        BalanceMapping(NAMESPACED, SOLIDITY, 256),
        BalanceMapping(3, VYPER, 256),
    ],
)
async def test_finds_it(mapping: BalanceMapping) -> None:
    assert await found(77, (mapping, 77)) == mapping


async def test_a_flag_in_the_top_bit_is_no_balance() -> None:
    mapping = BalanceMapping(9, SOLIDITY, 255)
    assert await found(77, (mapping, 2**255 + 77)) == mapping
    assert mapping.balance(2**255 + 77) == 77


async def test_says_nothing_where_it_cannot_tell() -> None:
    two = (BalanceMapping(1, SOLIDITY, 256), 77), (BalanceMapping(2, SOLIDITY, 256), 77)
    assert await found(77, *two) is None
    assert await found(77, (BalanceMapping(1, SOLIDITY, 256), 78)) is None
    assert await found(0, (BalanceMapping(1, SOLIDITY, 256), 0)) is None


def test_slots_are_solidity_s() -> None:
    key, zero = bytes(12) + b"\x11" * 20, bytes(32)
    assert BalanceMapping(0, SOLIDITY, 256).slot_of(HOLDER) == int.from_bytes(keccak(key + zero))
    assert BalanceMapping(0, VYPER, 256).slot_of(HOLDER) == int.from_bytes(keccak(zero + key))
    assert f"{NAMESPACED:064x}".startswith("52c63247e1f47db1")
