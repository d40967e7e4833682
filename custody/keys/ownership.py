"""Statements of ownership: the only words that the signer signs besides checkpoints.

It writes the text itself (`core/ownership.py`), names its own log and the tenant in it, and speaks
only for an address of its own, or for a guard of the policy in the name of its allocator. An epoch
has one challenge for ever, and epochs only go forward, not faster than by the clock. The status has
the last one: the service passes over numbers that somebody else has used up. A freeze does not stop
it: no money moves.
"""

from dataclasses import dataclass
from typing import Any

from custody.core.clock import Clock
from custody.core.ids import format_id, parse_id
from custody.core.ownership import Statement, entity_of
from custody.keys.authority import PolicyBook
from custody.keys.keyring import Keyring
from custody.keys.refusal import Refusal, require
from custody.keys.store import Store

ALLOCATOR_PATH = "2/3"
FIRST_MAX, PAUSE_S = 10, 30
"""Or whoever asks for an epoch far ahead would end the statements until honest epochs come there.
Numbers are given by this clock, one a pause since the last that was asked for, as there may have
been epochs that failed before they asked; the first that is ever asked for may be a little later.
"""


@dataclass(frozen=True, slots=True)
class OwnershipRequest:
    """Who asks for what: the key at `path` of the tenant, `by` its address."""

    tenant: str
    path: str
    epoch: int
    challenge: bytes
    chain_id: int
    address: str
    by: str

    @staticmethod
    def from_json(q: dict[str, Any]) -> "OwnershipRequest":
        """Raises InvalidInput, ValueError, KeyError or TypeError on another form."""
        tenant = format_id("tenant", parse_id("tenant", q["tenant"]))
        numbers = [_number(q[name]) for name in ("epoch", "chain_id")]
        challenge = bytes.fromhex(q["challenge"])
        places = (str(q["address"]), str(q["by"]))
        return OwnershipRequest(tenant, str(q["path"]), numbers[0], challenge, numbers[1], *places)


def _name(tenant: str) -> str:
    return f"solvency:{tenant}"


def _number(text: object) -> int:
    if not isinstance(text, str) or not text.isascii() or not text.isdecimal():
        raise ValueError("not a whole number as a decimal string")
    return int(text)


class Ownership:
    """Signs statements with the keys of enrolled tenants."""

    def __init__(self, store: Store, keyring: Keyring, policies: PolicyBook, clock: Clock) -> None:
        self._store, self._keyring, self._policies = store, keyring, policies
        self._clock = clock

    def sign(self, request: OwnershipRequest) -> bytes:
        """r, s, v: 65 bytes. The same request: the same bytes."""
        account = self._store.account_of(request.tenant)
        if account is None:
            raise Refusal("unknown_tenant", f"{request.tenant} is not enrolled")
        statement = self._statement(request)
        self._require_authority(account, request)
        name = _name(request.tenant)
        if self._store.switch(name) is None:
            with self._store.transaction():
                self._store.set_switch(name, f"0::{self._now_s()}")  # from when on epochs count
        with self._store.transaction():
            self._remember(name, request)
        made = self._keyring.sign(account, request.path, statement.digest())
        return made.r.to_bytes(32, "big") + made.s.to_bytes(32, "big") + bytes([27 + made.y_parity])

    def _statement(self, q: OwnershipRequest) -> Statement:
        entity = entity_of(self._keyring.origin, q.tenant)
        try:
            return Statement(entity, q.epoch, q.challenge, q.chain_id, q.address, q.by)
        except ValueError as error:
            raise Refusal("bad_request", str(error)) from error

    def _require_authority(self, account: int, q: OwnershipRequest) -> None:
        try:
            own = self._keyring.address(account, q.path)
        except ValueError as error:
            raise Refusal("sender", "the path is not branch/index") from error
        require(own == q.by, "sender", "the address is not the one at this path")
        if q.address == q.by:
            return
        policy = self._policies.find(q.tenant)
        places = None if policy is None else policy.places.get(q.chain_id)
        ruled = places is not None and q.address in places.guards and q.by == places.allocator
        require(ruled and q.path == ALLOCATOR_PATH, "place", "is no guard that this key rules")

    def last_epoch(self, tenant: str) -> int:
        """The last one of which something was said; 0 if none."""
        return int((self._store.switch(_name(tenant)) or "0").split(":")[0])

    def _now_s(self) -> int:
        return int(self._clock.now().timestamp())

    def _remember(self, name: str, q: OwnershipRequest) -> None:
        """Raises Refusal for an epoch before the last one, another challenge of the last, or one
        that is too far ahead or comes too soon."""
        known, now_s = (self._store.switch(name) or "0::0").split(":"), self._now_s()
        last, waited = int(known[0]), max(0, now_s - int(known[2])) // PAUSE_S
        if [str(q.epoch), q.challenge.hex()] == known[:2]:
            return
        require(q.epoch >= last, "epoch_passed", f"statements of epoch {last} exist")
        require(q.epoch > last, "epoch_challenge", "this epoch has another challenge")
        paused = last == 0 or waited > 0
        require(paused, "epoch_pause", f"is less than {PAUSE_S} s after epoch {last}")
        most = waited if last else max(FIRST_MAX, waited)
        near = q.epoch <= last + most
        require(near, "epoch_ahead", f"is more than {most} after epoch {last}")
        self._store.set_switch(name, f"{q.epoch}:{q.challenge.hex()}:{now_s}")
