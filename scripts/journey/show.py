"""What the person at the terminal sees: steps, lines, checks, tables, and how long things took."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table

console = Console(highlight=False, width=None if Console().is_terminal else 140)


class Checks:
    """Every check of the run; the demo's exit code comes from here."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.held = 0

    def that(self, holds: bool, what: str) -> None:
        """State a fact that was read back from the API or the chain."""
        if holds:
            self.held += 1
            console.print(f"    [green]holds[/] {what}")
        else:
            self.failed.append(what)
            console.print(f"    [bold red]BROKEN[/] {what}")

    def equal(self, left: object, right: object, what: str) -> None:
        self.that(left == right, what if left == right else f"{what}: {left} is not {right}")


@contextmanager
def step(number: int, title: str) -> Iterator[None]:
    started = time.monotonic()
    console.print(f"\n[bold cyan]{number}. {title}[/]")
    yield
    console.print(f"   [dim]step took {time.monotonic() - started:.1f} s[/]")


def line(what: str, *, chain: int | None = None, tx: str | None = None) -> None:
    """One thing that happened: where, and in which transaction."""
    place = f" [magenta]chain {chain}[/]" if chain is not None else ""
    proof = f" [dim]tx {tx}[/]" if tx else ""
    console.print(f"  - {what}{place}{proof}")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    drawn = Table(title=title, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        drawn.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*[str(cell) for cell in row])
    console.print(drawn)


def coins(amount: int | str, decimals: int, symbol: str) -> str:
    """Base units as a person reads them; exact, no float."""
    whole, rest = divmod(int(amount), 10**decimals)
    places = f"{rest:0{decimals}d}".rstrip("0")
    return f"{whole:,}{'.' + places if places else ''} {symbol}"
