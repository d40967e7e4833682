"""`moorage chains`: how far each chain has been read, and the way on for one that has halted."""

from api import wiring
from custody.core.settings import Settings
from custody.deposits import halts


async def run(settings: Settings, *, resume: int | None, execute: bool) -> list[str]:
    """One line a chain; of the one to resume, what it would cost. Raises Conflict, ChainError."""
    parts = wiring.parts(settings, exchanges=False)
    try:
        deps = wiring.deposit_deps(parts)
        if resume is not None:
            work = halts.resume if execute else halts.examine
            return [_halt(await work(deps, resume), done=execute)]
        async with parts.db.read() as s:
            return [_reading(r) for r in await halts.readings(s)]
    finally:
        await parts.close()
        await parts.db.close()


def _reading(r: halts.Reading) -> str:
    state = "HALTED, a reorg went deeper than is followed" if r.halted else "reading"
    return f"chain {r.chain_id}: blocks {r.start_block} to {r.block_number}, {state}"


def _halt(halt: halts.Halt, *, done: bool) -> str:
    name = f"chain {halt.reading.chain_id}"
    if halt.ancestor is None:
        return f"{name}: none of the blocks kept is on the chain any more"
    what = f"{halt.depth} blocks above {halt.ancestor}, {halt.deposits} deposits in them"
    if done:
        return f"{name}: resumed without {what}; {halt.credited} were reversed"
    return f"{name}: would forget {what}; {halt.credited} would be reversed (--execute)"
