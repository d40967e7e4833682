"""TreasuryGuard: holder of one pool's funds. Amounts are base units of the guard's asset.

A venue is named by a bytes32, written here as 0x hex.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from chains.evm.address import ZERO_ADDRESS, checksum
from chains.evm.calldata import decode_answer, encode_call, topic, topic_address
from chains.evm.client import At, EvmClient
from chains.types import Log

ALLOCATE = "allocate(bytes32,uint256,uint256)"
DEALLOCATE = "deallocate(bytes32,uint256)"
CLAIM = "claim(bytes32,uint256)"
RELEASE = "release(address,uint256)"
EVERYTHING: Final = 2**256 - 1
"""As the amount of `encode_deallocate`: the whole position."""
GROUPS_MAX: Final = 6


class VenueKind(IntEnum):
    """`ITreasuryGuard.Kind`."""

    NONE = 0
    AAVE_V3 = 1
    ERC4626 = 2
    STAKING = 3


@dataclass(frozen=True, slots=True)
class GuardVenue:
    """A listed venue: `ITreasuryGuard.Venue`.

    `target` holds the receipts: aToken, vault or staking token. `aux` is the Aave Pool, the vault
    again or the withdrawal queue. `booked` was put in and has not come back; `requested` was asked
    back from a queue and is not claimed yet.
    """

    kind: VenueKind
    target: str
    aux: str
    cap: int
    share_max_bps: int
    flow_max: int
    booked: int
    requested: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """What may go out in a day, and what is left of it now. It refills evenly."""

    day_max: int
    left: int


@dataclass(frozen=True, slots=True)
class GuardGroup:
    """Venues that could fail together: `ITreasuryGuard.Group`."""

    venues: frozenset[str]
    cap: int
    share_max_bps: int


@dataclass(frozen=True, slots=True)
class Allocated:
    venue: str
    amount: int


@dataclass(frozen=True, slots=True)
class Deallocated:
    venue: str
    amount: int


@dataclass(frozen=True, slots=True)
class ExitRequested:
    venue: str
    request_id: int
    amount: int


@dataclass(frozen=True, slots=True)
class Claimed:
    venue: str
    request_id: int
    amount: int
    requested: int


@dataclass(frozen=True, slots=True)
class Released:
    payee: str
    amount: int


GuardEvent = Allocated | Deallocated | ExitRequested | Claimed | Released

_ALLOCATED = topic("Allocated(bytes32,uint256)")
_DEALLOCATED = topic("Deallocated(bytes32,uint256)")
_EXIT_REQUESTED = topic("ExitRequested(bytes32,uint256,uint256)")
_CLAIMED = topic("Claimed(bytes32,uint256,uint256,uint256)")
_RELEASED = topic("Released(address,uint256)")


def encode_allocate(venue: str, amount: int, shares_min: int) -> bytes:
    """`shares_min` in the venue's unit: scaled aToken balance, vault shares, staking token."""
    return encode_call(ALLOCATE, venue_bytes(venue), amount, shares_min)


def encode_deallocate(venue: str, amount: int) -> bytes:
    return encode_call(DEALLOCATE, venue_bytes(venue), amount)


def encode_claim(venue: str, request_id: int) -> bytes:
    return encode_call(CLAIM, venue_bytes(venue), request_id)


def encode_release(payee: str, amount: int) -> bytes:
    return encode_call(RELEASE, payee, amount)


def venue_bytes(venue: str) -> bytes:
    """The 32 bytes of a venue id. Raises ValueError: a shorter one would be padded silently."""
    if not venue.startswith("0x") or len(venue) != 66:
        raise ValueError(f"a venue id is 32 bytes in 0x hex: {venue!r}")
    return bytes.fromhex(venue[2:])


def guard_events(logs: Sequence[Log], guard: str) -> list[GuardEvent]:
    """What a receipt says the guard did, in order. Logs of other contracts are passed over."""
    decoded = (_event(log) for log in logs if log.address == guard)
    return [event for event in decoded if event is not None]


def _event(log: Log) -> GuardEvent | None:
    data = bytes.fromhex(log.data[2:])
    match log.topics[0] if log.topics else "":
        case t if t == _ALLOCATED:
            return Allocated(log.topics[1], *decode_answer(("uint256",), data))
        case t if t == _DEALLOCATED:
            return Deallocated(log.topics[1], *decode_answer(("uint256",), data))
        case t if t == _EXIT_REQUESTED:
            request_id = int(log.topics[2], 16)
            return ExitRequested(log.topics[1], request_id, *decode_answer(("uint256",), data))
        case t if t == _CLAIMED:
            request_id = int(log.topics[2], 16)
            return Claimed(
                log.topics[1], request_id, *decode_answer(("uint256", "uint256"), data)
            )
        case t if t == _RELEASED:
            payee = checksum(topic_address(log.topics[1]))
            return Released(payee, *decode_answer(("uint256",), data))
    return None


@dataclass(frozen=True, slots=True)
class TreasuryGuard:
    """One guard contract."""

    client: EvmClient
    address: str

    async def asset(self, block: At) -> str | None:
        """The token; None for the native coin."""
        address = checksum(await self._read("address", block, "ASSET()"))
        return None if address == ZERO_ADDRESS else address

    async def idle(self, block: At) -> int:
        """What lies in the guard itself."""
        amount: int = await self._read("uint256", block, "idle()")
        return amount

    async def position(self, venue: str, block: At) -> int:
        """What it holds in a venue, unclaimed exits included."""
        amount: int = await self._read(
            "uint256", block, "position(bytes32)", venue_bytes(venue)
        )
        return amount

    async def requested_of(self, venue: str, request_id: int, block: At) -> int:
        """The amount of an open exit; 0 if there is none."""
        signature = "requestedOf(bytes32,uint256)"
        amount: int = await self._read("uint256", block, signature, venue_bytes(venue), request_id)
        return amount

    async def venue_ids(self, block: At) -> list[str]:
        """In the order of their listing."""
        return ["0x" + v.hex() for v in await self._read("bytes32[]", block, "venueIds()")]

    async def venue(self, venue: str, block: At) -> GuardVenue:
        """`kind` NONE if it is not listed."""
        data = encode_call("venue(bytes32)", venue_bytes(venue))
        kind, target, aux, *numbers = decode_answer(
            ("uint8", "address", "address", *("uint256",) * 5),
            await self.client.call(self.address, data, block),
        )
        return GuardVenue(VenueKind(kind), checksum(target), checksum(aux), *numbers)

    async def groups(self, block: At) -> list[GuardGroup]:
        """All of them by index; one that was never formed has no venues."""
        asked = [(self.address, encode_call("group(uint256)", i)) for i in range(GROUPS_MAX)]
        found = []
        for answer in await self.client.calls(asked, block):
            ids, cap, share = decode_answer(("(bytes32[],uint256,uint256)",), answer)[0]
            found.append(GuardGroup(frozenset("0x" + v.hex() for v in ids), cap, share))
        return found

    async def flow_left(self, venue: str, block: At) -> int:
        """What may enter the venue now by its flow alone."""
        amount: int = await self._read("uint256", block, "flowLeft(bytes32)", venue_bytes(venue))
        return amount

    async def total(self, block: At) -> int:
        """Idle plus the book of all venues: what shares are of."""
        amount: int = await self._read("uint256", block, "total()")
        return amount

    async def idle_min(self, block: At) -> int:
        amount: int = await self._read("uint256", block, "idleMin()")
        return amount

    async def is_payee(self, account: str, block: At) -> bool:
        return bool(await self._read("bool", block, "isPayee(address)", account))

    async def payee_bucket(self, payee: str, block: At) -> Bucket:
        return await self._bucket(encode_call("payeeBucket(address)", payee), block)

    async def payees_bucket(self, block: At) -> Bucket:
        """The one over all payees."""
        return await self._bucket(encode_call("payeesBucket()"), block)

    async def _bucket(self, data: bytes, block: At) -> Bucket:
        answer = await self.client.call(self.address, data, block)
        return Bucket(*decode_answer(("uint256", "uint256"), answer))

    async def paused(self, block: At) -> bool:
        return bool(await self._read("bool", block, "paused()"))

    async def allocator(self, block: At) -> str:
        return checksum(await self._read("address", block, "allocator()"))

    async def _read(self, type_: str, block: At, signature: str, *arguments: object) -> Any:
        data = encode_call(signature, *arguments)
        return decode_answer((type_,), await self.client.call(self.address, data, block))[0]
