"""Screening of destinations against the newest list. No list: nothing passes."""

from datetime import datetime
from enum import Enum

from custody.core.db import ReadSession, WriteSession


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


async def load(s: WriteSession, addresses: list[str], *, at: datetime) -> int:
    """Store a new list, which replaces the last one as a whole; its version."""
    version = int(await s.scalar("SELECT coalesce(max(version), 0) + 1 FROM screening_lists"))
    await s.execute(
        "INSERT INTO screening_lists (version, loaded_at) VALUES (:version, :at)",
        {"version": version, "at": at},
    )
    if addresses:
        await s.execute(
            "INSERT INTO screening_entries (version, address) VALUES (:version, lower(:address))",
            [{"version": version, "address": a} for a in sorted(set(addresses))],
        )
    return version
