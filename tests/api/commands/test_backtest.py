"""`moorage backtest` and scripts/backtest: one form, a chart, and errors that name the field."""

import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from api.cli import app
from api.commands import backtest
from custody.core.errors import InvalidInput
from router.backtest import report
from scripts.backtests import run as script

pytestmark = pytest.mark.unit

KEYS = {"name", "value", "unit", "peer", "bar", "at_most", "ok"}


@pytest.fixture
def rates(tmp_path: Path) -> Path:
    first = date(2024, 1, 1)
    lines = ["date,venue,token,apy_decimal,tvl_usd"]
    for n in range(40):
        day = first + timedelta(days=n)
        lines += [f"{day},Aave,DAI,0.0{1 + n % 3},1000000", f"{day},Comp,USDC,0.04{n % 7},3000000"]
    path = tmp_path / "rates.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_command_prints_the_form_and_draws(rates: Path, tmp_path: Path) -> None:
    chart = tmp_path / "out.svg"
    done = CliRunner().invoke(app, ["backtest", str(rates), "--json", "--chart", str(chart)])
    assert done.exit_code == 0, done.output
    shown = json.loads(done.output)
    assert shown["bench"] == "backtest rates"
    assert all(set(row) == KEYS for row in shown["measures"])
    names = {row["name"] for row in shown["measures"]}
    for needed in ("net APY", "moves", "capture ratio", "worst venue exposure"):
        assert f"100,000 USD: {needed}" in names
    for other in ("equal weight", "best single in hindsight", "greedy daily", "TVL-weighted"):
        assert f"1,000,000 USD: net APY, {other}" in names
    svg = ElementTree.fromstring(chart.read_text())
    assert len(svg.findall("{http://www.w3.org/2000/svg}polyline")) == 7


def test_as_text_each_measure_has_its_line(rates: Path) -> None:
    done = CliRunner().invoke(app, ["backtest", str(rates), "--amount", "5000"])
    assert done.exit_code == 0
    assert "5,000 USD: net APY, perfect foresight with costs" in done.output


def test_the_script_adds_the_machine(
    rates: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["backtest", str(rates), "--json", "--amount", "5000"])
    assert script.main() == 0
    assert set(json.loads(capsys.readouterr().out)) == {"bench", "machine", "measures"}


def _printed(rates: Path, given: list[str]) -> str:
    command = [sys.executable, "-m", "scripts.backtests.run", str(rates), "--json"]
    repo = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [*command, "--amount", "5000", *given], cwd=repo, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_policy_takes_the_bars_away_and_its_cap_holds(rates: Path, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"schema": "moorage.backtest/1", "share_max": "0.5"}))
    shown = backtest.run(str(rates), tmp_path, file, [100_000])
    worst = next(r for r in shown["measures"] if "exposure" in r["name"])
    assert 45 < worst["value"] < 52
    assert all(row["bar"] is None for row in shown["measures"])


def test_rates_that_nobody_explained_are_read_both_ways(rates: Path, tmp_path: Path) -> None:
    both = ["--rates", "simple", "--rates", "effective"]
    rows = json.loads(_printed(rates, both))["measures"]
    simple, effective = (
        next(r["value"] for r in rows if r["name"] == f"{how} rates, 5,000 USD: net APY")
        for how in ("simple", "effective")
    )
    assert simple > effective
    assert backtest.readings_of("loanscan-7") == ("simple", "effective")


def test_only_the_reading_with_the_bars_can_miss_them(
    rates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "BARS_PCT", {("rates", 5_000): 99.0})
    for reading, bar in (("effective", 99.0), ("simple", None)):
        shown = backtest.run(str(rates), rates.parent, None, [5_000], readings=[reading])
        assert shown["measures"][0]["bar"] == bar
        assert report.missed(shown["measures"]) == (bar is not None)


def test_an_unknown_reading_is_refused(rates: Path) -> None:
    done = CliRunner().invoke(app, ["backtest", str(rates), "--rates", "nominal"])
    assert isinstance(done.exception, InvalidInput)
    assert done.exception.field == "rates"


@pytest.mark.parametrize(
    ("panel", "policy", "usd", "field"),
    [
        ("nowhere.csv", None, 5000, "panel"),
        ("loanscan-7", None, 5000, "panel"),
        (None, "nowhere.json", 5000, "policy"),
        (None, None, 999, "amount"),
    ],
)
def test_what_cannot_be_read_is_named(
    rates: Path, tmp_path: Path, panel: str | None, policy: str | None, usd: int, field: str
) -> None:
    file = None if policy is None else tmp_path / policy
    with pytest.raises(InvalidInput) as caught:
        backtest.run(panel or str(rates), tmp_path, file, [usd])
    assert caught.value.field == field


def test_a_bad_row_ends_the_script_with_its_line(
    rates: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rates.write_text(rates.read_text() + "2024-03-01,Aave,DAI,five,\n")
    monkeypatch.setattr("sys.argv", ["backtest", str(rates)])
    assert script.main() == 2
    assert "line 82, apy_decimal: must be a decimal number" in capsys.readouterr().err
