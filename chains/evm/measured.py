"""What really arrived of a token whose transfers bring less, or more, than they say.

Some take a fee on the way, some change all balances by themselves. The balance before and after
the block tells; what left in the same block is added back.
"""

from chains.errors import RpcDisagreement
from chains.evm import parse
from chains.evm.calldata import address_topic
from chains.evm.client import EvmClient
from chains.evm.contracts.erc20 import TRANSFER_EVENT
from chains.types import BlockRef


async def growth(client: EvmClient, token: str, holder: str, block: BlockRef) -> int:
    """Base units by which the arrivals of one block let a balance grow; 0 if they did not.

    Raises ChainError where the chain cannot be asked: then nothing is known.
    """
    header = await client.header(block.number)
    if header.block.hash != block.hash:
        raise RpcDisagreement("a reorg took the block", block=block.hash)
    parent = BlockRef(block.number - 1, header.parent_hash, 0)
    before = await client.erc20_balance(token, holder, parent)
    after = await client.erc20_balance(token, holder, block)
    return max(0, after - before + await _left(client, token, holder, block))


async def _left(client: EvmClient, token: str, holder: str, block: BlockRef) -> int:
    query = {
        "blockHash": block.hash,
        "address": [token],
        "topics": [TRANSFER_EVENT, address_topic(holder)],
    }
    logs = await client.agreed([("eth_getLogs", [query])], lambda r: parse.logs(r[0]))
    wanted = (TRANSFER_EVENT, address_topic(holder))
    mine = [x for x in logs if x.address == token and x.block_hash == block.hash]
    return sum(int(x.data, 16) for x in mine if x.topics[:2] == wanted and len(x.data) == 66)
