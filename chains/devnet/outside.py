"""What outsiders do on a devnet chain: pay in and look.

Synchronous, plain JSON-RPC. Amounts are ints in base units. The paying functions return the
transaction hash at once: with a block time the payment is mined later, as in the world.
"""

from typing import Any

from chains.devnet.rpc import call_uint, encode_call, rpc, submit
from chains.devnet.world import World


def send_eth(rpc_url: str, to: str, amount_wei: int) -> str:
    """An outsider (the third dev account, `whale`) pays native coin; returns the hash."""
    whale = rpc(rpc_url, "eth_accounts")[2]
    return submit(rpc_url, whale, to, "0x", value=amount_wei)


def send_usdc(rpc_url: str, world: World, to: str, amount: int) -> str:
    """The whale pays USDC (6 decimals); returns the hash."""
    return send_token(rpc_url, world, "USDC", to, amount)


def send_token(rpc_url: str, world: World, symbol: str, to: str, amount: int) -> str:
    """The whale pays any of the world's tokens; returns the hash."""
    data = encode_call("transfer(address,uint256)", to, amount)
    return submit(rpc_url, world.accounts.whale, world.tokens[symbol].address, data)


def erc20_balance(rpc_url: str, token: str, holder: str) -> int:
    """Base units at the latest block."""
    return call_uint(rpc_url, token, "balanceOf(address)", holder)


def eth_balance(rpc_url: str, holder: str) -> int:
    """Wei at the latest block."""
    return int(rpc(rpc_url, "eth_getBalance", holder, "latest"), 16)


def tx_receipt(rpc_url: str, tx_hash: str) -> dict[str, Any] | None:
    """The node's receipt; None while the transaction is not mined."""
    receipt: dict[str, Any] | None = rpc(rpc_url, "eth_getTransactionReceipt", tx_hash)
    return receipt


def code_at(rpc_url: str, address: str) -> bytes:
    """Code at the latest block; empty for a plain account, 0xef0100 + address if delegated."""
    return bytes.fromhex(rpc(rpc_url, "eth_getCode", address, "latest")[2:])
