"""Screening of destinations against the newest list. No list: nothing passes."""

from datetime import datetime
from enum import Enum

from custody.audit import log
from custody.core import canonical
from custody.core.canonical import Json
from custody.core.db import ReadSession, WriteSession
from custody.core.ids import TenantId


class Verdict(Enum):
    CLEAR = "clear"
    LISTED = "listed"
    NO_LIST = "no list"


async def check(s: ReadSession, address: str) -> Verdict:
    version = await s.scalar("SELECT max(version) FROM screening_lists")
    if version is None:
        return Verdict.NO_LIST
    listed = await s.scalar(
        "SELECT EXISTS (SELECT FROM screening_entries"
        " WHERE version = :version AND address = lower(:address))",
        {"version": version, "address": address},
    )
    return Verdict.LISTED if listed else Verdict.CLEAR


async def load(s: WriteSession, tenant_id: TenantId, addresses: list[str], *, at: datetime) -> int:
    """Store a new list, which replaces the last one as a whole; its version.

    The log tells that it was loaded, by which tenant (the one that runs the installation).
    """
    version = int(await s.scalar("SELECT coalesce(max(version), 0) + 1 FROM screening_lists"))
    await s.execute(
        "INSERT INTO screening_lists (version, loaded_at) VALUES (:version, :at)",
        {"version": version, "at": at},
    )
    listed = sorted({a.lower() for a in addresses})
    if listed:
        await s.execute(
            "INSERT INTO screening_entries (version, address) VALUES (:version, :address)",
            [{"version": version, "address": a} for a in listed],
        )
    data: dict[str, Json] = {
        "version": str(version),
        "addresses": str(len(listed)),
        "hash": "sha256:" + canonical.sha256_hex(listed),
    }
    await log.append(s, tenant_id, "screening.loaded", data, at=at)
    return version
