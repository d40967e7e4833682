"""ERC-4626 vaults. Assets and shares are base units of each."""

from dataclasses import dataclass

from chains.errors import RpcRefused
from chains.evm.address import checksum
from chains.evm.calldata import decode_answer, encode_call
from chains.evm.client import At, EvmClient

DEPOSIT = "deposit(uint256,address)"
REDEEM = "redeem(uint256,address,address)"
WITHDRAW = "withdraw(uint256,address,address)"


def encode_deposit(assets: int, receiver: str) -> bytes:
    return encode_call(DEPOSIT, assets, receiver)


def encode_redeem(shares: int, receiver: str, owner: str) -> bytes:
    return encode_call(REDEEM, shares, receiver, owner)


def encode_withdraw(assets: int, receiver: str, owner: str) -> bytes:
    return encode_call(WITHDRAW, assets, receiver, owner)


@dataclass(frozen=True, slots=True)
class VaultState:
    """A vault at one block, as one holder sees it.

    `max_withdraw` is the vault's own word and only a hint: an exit is simulated.
    """

    asset: str
    total_assets: int
    total_supply: int
    holder_shares: int
    holder_assets: int
    max_deposit: int
    max_withdraw: int


@dataclass(frozen=True, slots=True)
class RewardStream:
    """A linear stream (the devnet's plain vault): base units a second until a Unix second."""

    rate_per_s: int
    end_s: int


@dataclass(frozen=True, slots=True)
class Erc4626:
    """One vault."""

    client: EvmClient
    address: str

    async def state(self, holder: str, block: At) -> VaultState:
        shares = await self.client.erc20_balance(self.address, holder, block)
        reads = [
            encode_call("asset()"),
            encode_call("totalAssets()"),
            encode_call("totalSupply()"),
            encode_call("convertToAssets(uint256)", shares),
            encode_call("maxDeposit(address)", holder),
            encode_call("maxWithdraw(address)", holder),
        ]
        answers = await self.client.calls([(self.address, r) for r in reads], block)
        numbers = [decode_answer(("uint256",), a)[0] for a in answers[1:]]
        return VaultState(
            asset=checksum(decode_answer(("address",), answers[0])[0]),
            total_assets=numbers[0],
            total_supply=numbers[1],
            holder_shares=shares,
            holder_assets=numbers[2],
            max_deposit=numbers[3],
            max_withdraw=numbers[4],
        )

    async def value(self, holder: str, block: At) -> int:
        """What the holder's shares are worth by the vault's own conversion, rounded down."""
        shares = await self.client.erc20_balance(self.address, holder, block)
        data = encode_call("convertToAssets(uint256)", shares)
        value: int = decode_answer(
            ("uint256",), await self.client.call(self.address, data, block)
        )[0]
        return value

    async def price(self, block: At) -> int:
        """Assets of 1e27 shares: more digits than any holder's own amount shows."""
        data = encode_call("convertToAssets(uint256)", 10**27)
        price: int = decode_answer(
            ("uint256",), await self.client.call(self.address, data, block)
        )[0]
        return price

    async def shares(self, assets: int, block: At) -> int:
        """How many shares so many assets are by the vault's own conversion, rounded down."""
        data = encode_call("convertToShares(uint256)", assets)
        shares: int = decode_answer(
            ("uint256",), await self.client.call(self.address, data, block)
        )[0]
        return shares

    async def round_trip(self, assets: int, block: At) -> tuple[int, int]:
        """What the shares that so many assets give are worth, and those that they take, by the
        vault's previews, which have its fees in them, against its own conversion."""
        asks = ("previewDeposit(uint256)", "previewWithdraw(uint256)")
        answers = await self.client.calls([(self.address, encode_call(a, assets)) for a in asks], block)
        shares = [decode_answer(("uint256",), a)[0] for a in answers]
        reads = [(self.address, encode_call("convertToAssets(uint256)", x)) for x in shares]
        given, taken = (decode_answer(("uint256",), a)[0] for a in await self.client.calls(reads, block))
        return given, taken

    async def reward_stream(self, block: At) -> RewardStream | None:
        """The stream of a vault that has one; None where the contract knows no such thing."""
        reads = [encode_call("rewardRate()"), encode_call("rewardEnd()")]
        try:
            answers = await self.client.calls([(self.address, r) for r in reads], block)
        except RpcRefused:
            return None
        rate, end = (decode_answer(("uint256",), a)[0] for a in answers)
        return RewardStream(rate, end)
