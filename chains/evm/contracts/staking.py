"""Liquid staking with Lido's function names (on the devnet: the labelled simulator). Wei."""

from collections.abc import Sequence
from dataclasses import dataclass

from chains.evm.address import checksum
from chains.evm.calldata import decode_answer, encode_call
from chains.evm.client import At, EvmClient

SUBMIT = "submit(address)"
REQUEST_WITHDRAWALS = "requestWithdrawals(uint256[],address)"
CLAIM_WITHDRAWAL = "claimWithdrawal(uint256)"
_STATUSES = "(uint256,uint256,address,uint256,bool,bool)[]"


def encode_submit(referral: str) -> bytes:
    return encode_call(SUBMIT, referral)


def encode_request_withdrawals(amounts: Sequence[int], owner: str) -> bytes:
    return encode_call(REQUEST_WITHDRAWALS, list(amounts), owner)


def encode_claim_withdrawal(request_id: int) -> bytes:
    return encode_call(CLAIM_WITHDRAWAL, request_id)


@dataclass(frozen=True, slots=True)
class StakingState:
    """The pool at one block. The rate is simple, on a year of 365 days.

    `reward_reserve` bounds what the simulator can still pay.
    """

    apr_bps: int
    withdrawal_delay_s: int
    total_pooled: int
    reward_reserve: int


@dataclass(frozen=True, slots=True)
class ExitRequest:
    """A place in the withdrawal queue."""

    request_id: int
    amount: int
    owner: str
    requested_s: int
    finalized: bool
    claimed: bool


@dataclass(frozen=True, slots=True)
class Staking:
    """The staking token; `queue` is where exits wait (the same contract on the devnet)."""

    client: EvmClient
    address: str
    queue: str

    async def state(self, block: At) -> StakingState:
        names = ("aprBps()", "withdrawalDelay()", "getTotalPooledEther()", "rewardReserve()")
        answers = await self.client.calls([(self.address, encode_call(n)) for n in names], block)
        return StakingState(*(decode_answer(("uint256",), a)[0] for a in answers))

    async def balance(self, holder: str, block: At) -> int:
        """Staked wei, rewards to the block included; what was asked back is not in it."""
        return await self.client.erc20_balance(self.address, holder, block)

    async def exits(self, request_ids: Sequence[int], block: At) -> list[ExitRequest]:
        if not request_ids:
            return []
        data = encode_call("getWithdrawalStatus(uint256[])", list(request_ids))
        answer = await self.client.call(self.queue, data, block)
        statuses = decode_answer((_STATUSES,), answer)[0]
        return [
            ExitRequest(id_, amount, checksum(owner), at, finalized, claimed)
            for id_, (amount, _shares, owner, at, finalized, claimed) in zip(
                request_ids, statuses, strict=True
            )
        ]
