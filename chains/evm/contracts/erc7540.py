"""ERC-7540 vaults: deposits and redemptions are asked for, fulfilled later, then claimed.

Source: EIP-7540. A request is of a controller (here the holder); id 0 stands for all of them
together in vaults that do not number requests.
"""

from dataclasses import dataclass

from chains.evm.address import checksum
from chains.evm.calldata import decode_answer, encode_call
from chains.evm.client import At, EvmClient

ALL_REQUESTS = 0
_REDEEMS = "0x620ee8e4"
"""ERC-165 id of the asynchronous redemption."""


@dataclass(frozen=True, slots=True)
class AsyncVaultState:
    """One holder's part at one block: assets in base units, shares in the vault's own.

    Shares that were asked back are no longer held: `redeem_pending` and `redeem_claimable` are in
    shares, `deposit_pending` and `deposit_claimable` in assets. `share` is the share token.
    """

    asset: str
    share: str
    total_assets: int
    holder_shares: int
    deposit_pending: int
    deposit_claimable: int
    redeem_pending: int
    redeem_claimable: int
    assets_of_shares: int
    """What held, pending and claimable shares are worth by the vault's own conversion."""
    redeems_later: bool


@dataclass(frozen=True, slots=True)
class Erc7540:
    """One vault."""

    client: EvmClient
    address: str

    async def state(self, holder: str, block: At) -> AsyncVaultState:
        reads = [encode_call("asset()"), encode_call("share()"), encode_call("totalAssets()")]
        for name in ("Deposit", "Redeem"):
            for stage in ("pending", "claimable"):
                signature = f"{stage}{name}Request(uint256,address)"
                reads.append(encode_call(signature, ALL_REQUESTS, holder))
        reads.append(encode_call("supportsInterface(bytes4)", bytes.fromhex(_REDEEMS[2:])))
        answers = await self.client.calls([(self.address, r) for r in reads], block)
        asset, share = (checksum(decode_answer(("address",), a)[0]) for a in answers[:2])
        total, *requests, redeems = (decode_answer(("uint256",), a)[0] for a in answers[2:])
        deposit_pending, deposit_claimable, redeem_pending, redeem_claimable = requests
        held = await self.client.erc20_balance(share, holder, block)
        worth = await self._worth(held + redeem_pending + redeem_claimable, block)
        return AsyncVaultState(
            asset=asset,
            share=share,
            total_assets=total,
            holder_shares=held,
            deposit_pending=deposit_pending,
            deposit_claimable=deposit_claimable,
            redeem_pending=redeem_pending,
            redeem_claimable=redeem_claimable,
            assets_of_shares=worth,
            redeems_later=bool(redeems),
        )

    async def _worth(self, shares: int, block: At) -> int:
        data = encode_call("convertToAssets(uint256)", shares)
        answer = await self.client.call(self.address, data, block)
        assets: int = decode_answer(("uint256",), answer)[0]
        return assets
