"""The report for people: one static page, without script, without anything from elsewhere. Pure."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from custody.assurance.solvency import report

_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%;margin:1rem 0}"
    "th,td{border:1px solid #999;padding:.3rem .6rem;text-align:left;overflow-wrap:anywhere}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CONTENT_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
"""What a browser may do with it: show it, in this style."""
_KINDS = {
    "account": "proved under the block",
    "storage": "proved under the block",
    "read": "read at the block, not proved",
    "stated": "as the exchange says",
}
PERCENT_PPM = 10_000


def page(made: dict[str, Any]) -> str:
    """HTML of one report. Every text of it is escaped; amounts are base units."""
    context, challenge = made["context"], made["challenge"]
    head = (
        ("Entity", context["entity"]),
        ("Epoch", context["epoch"]),
        ("Report", report.digest(made)),
        ("Root of what is owed", made["root"]),
        ("Challenge", f"block {challenge['block_number']} of chain {challenge['chain_id']}"),
    )
    chains = [
        (c["chain_id"], c["block"]["number"], c["block"]["hash"], c["block"]["time"])
        for c in made["chains"]
    ]
    parts = [
        "<h1>Solvency</h1>",
        _table((), head),
        "<h2>Owed and there</h2>",
        "<p>In base units. Venue positions and exchanges count as reserves, never as cash.</p>",
        _table(
            ("Asset", "Owed", "Hot", "Cold", "Deployed", "Exchange", "Ratio", "Cash ratio"),
            (_total(t) for t in made["totals"]),
        ),
        "<h2>Blocks</h2>",
        _table(("Chain", "Block", "Hash", "Time"), chains),
        "<h2>Reserves</h2>",
        _table(
            ("Chain", "Address", "Asset", "Class", "Amount", "How it is known", "Counts"),
            (_reserve(m) for m in made["reserves"]),
        ),
        *_left_out(made["left_out"]),
        "<p>Check it with <code>verify.py solvency</code>, and your own balance with"
        " <code>verify.py me</code>: neither needs to trust this page.</p>",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Solvency</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _left_out(rows: Sequence[dict[str, Any]]) -> Sequence[str]:
    if not rows:
        return ()
    cells = ((m["place"], m["asset"], m["reason"], *_number(m)) for m in rows)
    names = ("Place", "Asset", "Why", "Places", "In them by the books")
    return ("<h2>Left out, and counted nowhere</h2>", _table(names, cells))


def _number(m: dict[str, Any]) -> Sequence[str]:
    return (m.get("count", "1"), m.get("sum", "not said"))


def _total(t: dict[str, Any]) -> Sequence[str]:
    amounts = (t[name] for name in ("owed", "hot", "cold", "deployed", "exchange"))
    return (t["asset"], *amounts, _percent(t["ratio_ppm"]), _percent(t["cash_ratio_ppm"]))


def _percent(ppm: str) -> str:
    """Millionths as a percentage, cut and not rounded."""
    if not ppm:
        return "nothing owed"
    whole, rest = divmod(int(ppm), PERCENT_PPM)
    return f"{whole}.{rest:04d} %"


def _reserve(m: dict[str, Any]) -> Sequence[str]:
    where = m["address"] or m["evidence"]["by"]
    class_ = f"{m['class']} ({m['venue']} {m['tier']})" if "venue" in m else m["class"]
    known = _KINDS[m["evidence"]["kind"]]
    counts = "yes" if m["counted"] else "no"
    return (m["chain_id"], where, m["asset"], class_, m["amount"], known, counts)


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(n)}</th>" for n in names)
    body = "".join(f"<tr>{''.join(_cell(c) for c in row)}</tr>" for row in rows)
    return f"<table>{f'<tr>{head}</tr>' if names else ''}{body}</table>"


def _cell(text: str) -> str:
    number = ' class="n"' if text.isdecimal() else ""
    return f"<td{number}>{escape(text)}</td>"
