"""`moorage doctor`: nonces, the signer's store and the chain compared; explained, and repaired."""

from dataclasses import dataclass, field

from api import wiring
from chains.errors import ChainError
from custody.core.errors import MoorageError
from custody.core.ports import SignerRefused, SignerUnavailable
from custody.core.settings import Settings
from custody.settlement import doctor, mend
from custody.settlement.deps import SettlementDeps

ROUNDS_MAX = 5
"""A repair may show what it hid: a hole that is filled has bytes that were never sent."""


@dataclass(slots=True)
class Report:
    """`lines` is what was said, `left` how many findings there are at the end."""

    lines: list[str] = field(default_factory=list)
    left: int = 0


async def run(settings: Settings, *, repair: bool) -> Report:
    """Examine the installation; with `repair`, mend what can be and look again."""
    parts = wiring.parts(settings, exchanges=False)
    try:
        return await examine(wiring.settlement_deps(parts), repair=repair)
    finally:
        await parts.close()
        await parts.db.close()


async def examine(deps: SettlementDeps, *, repair: bool) -> Report:
    """One line a finding. Raises ChainError or SignerUnavailable where one of them is silent."""
    report = Report()
    found = await doctor.examine(deps)
    report.lines += [finding.line() for finding in found]
    for _ in range(ROUNDS_MAX if repair else 0):
        if not [await _mend(deps, finding, report) for finding in found].count(True):
            break
        found = await doctor.examine(deps)
    report.left = len(found)
    return report


async def _mend(deps: SettlementDeps, finding: doctor.Finding, report: Report) -> bool:
    """One repair; another one's failure does not stop the rest."""
    try:
        done = await mend.mend(deps, finding)
    except (MoorageError, ChainError, SignerRefused, SignerUnavailable) as error:
        report.lines.append(f"not repaired: {finding.line()}: {error}")
        return False
    if done:
        report.lines.append(f"repaired: {finding.line()}")
    return done
