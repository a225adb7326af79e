"""Bars as SVG, on a logarithmic scale: what is compared differs by factors of a thousand."""

import math
from html import escape

WIDTH, LABELS, BAR, GAP, TOP = 860, 260, 16, 8, 58
COLOURS = {"sqlite": "#7a8fa6", "postgres": "#a08bb5", "redis": "#c08a7d"}
OURS = "#0b7a5b"
LEGEND = "green: honker; grey: other files of SQLite, violet: Postgres, red: Redis"


def bars(title, unit, rows, better):
    """`rows` are (label, value, whether it is ours, store), of which the best comes first."""
    rows = sorted(rows, key=lambda row: row[1], reverse=better.startswith("longer"))
    positive = [value for _, value, _, _ in rows if value > 0]
    low = math.floor(math.log10(min(positive))) if positive else 0
    high = math.ceil(math.log10(max(positive))) if positive else 1
    high = max(high, low + 1)
    length = WIDTH - LABELS - 110
    height = TOP + len(rows) * (BAR + GAP) + 16
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="24" font-size="16" font-weight="600" fill="#1c2430">{escape(title)}</text>',
        f'<text x="16" y="43" fill="#5a6472">logarithmic; {better}; {LEGEND}</text>',
    ]
    for i, (label, value, ours, store) in enumerate(rows):
        y = TOP + i * (BAR + GAP)
        part = (math.log10(value) - low) / (high - low) if value > 0 else 0
        wide = max(2, part * length)
        colour = OURS if ours else COLOURS[store]
        weight = ' font-weight="600"' if ours else ""
        lines += [
            f'<text x="{LABELS - 8}" y="{y + 13}" text-anchor="end" fill="#1c2430"{weight}>{escape(label)}</text>',
            f'<rect x="{LABELS}" y="{y}" width="{wide:.1f}" height="{BAR}" rx="2" fill="{colour}"/>',
            f'<text x="{LABELS + wide + 6:.1f}" y="{y + 13}" fill="#1c2430">{number(value)} {unit}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def number(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
