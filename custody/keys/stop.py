"""The stop of every transaction: anybody who reaches the signer sets it, people lift it.

It is in the store, so a restart does not lift it. What stops less is in `freezes.py`.
"""

from custody.core.governance import TREASURY
from custody.core.ids import parse_id
from custody.keys.people import is_signed, unfreeze_payload
from custody.keys.refusal import Refusal, require
from custody.keys.store import OWNER_SWITCH, Store

FROZEN = "frozen"
"""The switch in the store, and the rule of the refusal."""


class EmergencyStop:
    """One switch; its value is the time of the freeze."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def since(self) -> str | None:
        return self._store.switch(FROZEN)

    def require_none(self) -> None:
        frozen_at = self.since()
        require(frozen_at is None, FROZEN, f"since {frozen_at}")

    def set(self, now: str) -> str:
        """The time of the first freeze: a second one changes nothing."""
        with self._store.transaction():
            frozen_at = self.since()
            if frozen_at is None:
                frozen_at = now
                self._store.set_switch(FROZEN, frozen_at)
        return frozen_at

    def lift(self, person: str, signature: bytes) -> None:
        """Needs a signature over this very freeze, by the founding tenant's treasury.

        A freeze stops every tenant, so the people of one that was added later do not lift it.
        """
        frozen_at = self.since()
        if frozen_at is None:
            return
        payload = unfreeze_payload(parse_id("person", person, "person"), frozen_at)
        found = self._store.person(self._store.switch(OWNER_SWITCH) or "", person)
        if found is None or found.revoked or found.role != TREASURY:
            raise Refusal("unfreeze", f"{person} is not of the founding tenant's {TREASURY}")
        good = is_signed(found.public_key, payload, signature)
        require(good, "unfreeze", "is not that person's signature over this freeze")
        with self._store.transaction():
            self._store.set_switch(FROZEN, None)
