"""Verified tokens by hash, for a few seconds: a revoked token dies within TTL_S everywhere."""

import time
from dataclasses import dataclass
from datetime import datetime

from api.auth.principal import Principal
from custody.core.db import Database
from custody.core.ids import CustomerId, TenantId, format_id
from custody.parties import tenants, tokens
from custody.parties.tokens import Token

TTL_S = 2.0
ENTRIES_MAX = 50_000


@dataclass(slots=True)
class _Entry:
    principal: Principal
    expires_at: datetime
    checked_s: float


class TokenCache:
    """Only tokens that were found valid are kept, so guesses cost the guesser a look-up each."""

    def __init__(self) -> None:
        self._entries: dict[bytes, _Entry] = {}

    async def verify(self, db: Database, secret: str, now: datetime) -> Principal | None:
        """The principal, or None for an unknown, expired or revoked token."""
        hash_ = tokens.hash_secret(secret)
        entry = self._entries.get(hash_)
        if entry is None or time.monotonic() - entry.checked_s > TTL_S:
            entry = await self._load(db, hash_)
        if entry is None or entry.expires_at <= now:
            return None
        return entry.principal

    async def _load(self, db: Database, hash_: bytes) -> _Entry | None:
        # The age counts from before the look-up: a revocation that commits meanwhile is then
        # noticed within TTL_S of its commit, not of our answer.
        checked_s = time.monotonic()
        self._entries.pop(hash_, None)
        async with db.read() as s:
            token = await tokens.by_hash(s, hash_)
            if token is None or token.revoked_at is not None:
                return None
            tenant = await tenants.get(s, TenantId(token.tenant_id))
        if len(self._entries) >= ENTRIES_MAX:
            self._entries.clear()
        entry = _Entry(_principal(token, tenant.is_founding), token.expires_at, checked_s)
        self._entries[hash_] = entry
        return entry

    def forget(self, token: Token) -> None:
        """Drop a token that was just revoked here, without waiting for the TTL."""
        gone = [h for h, e in self._entries.items() if e.principal.token_id == token.id]
        for hash_ in gone:
            del self._entries[hash_]


def _principal(token: Token, is_founding: bool) -> Principal:
    return Principal(
        token_id=token.id,
        tenant_id=TenantId(token.tenant_id),
        role=token.role,
        customer_id=None if token.customer_id is None else CustomerId(token.customer_id),
        person_id=token.person_id,
        is_founding=is_founding,
        label=format_id("token", token.id),
    )
