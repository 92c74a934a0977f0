"""Pages of the site as text, and what tests look for in them."""

import re
from html import unescape

from worldbench.leaderboard import build, render


def page(records, path: str, media=None) -> str:
    """The one page whose path begins so."""
    pages = render(build(records), media).items()
    (found,) = (text.decode() for name, text in pages if name.startswith(f"site/{path}"))
    return found


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def drawings(html: str) -> list[str]:
    """The figures of scores against costs."""
    return [part.split("</figure>")[0] for part in html.split('<figure class="frontier">')[1:]]


def places(figure: str) -> dict[str, float]:
    """Where adapters stand on the axis of costs, in per cent."""
    found = re.findall(r"<title>(\w+): .*?<use href=\S+ x=\"([\d.]+)%", figure)
    return {name: float(x) for name, x in found}


def quad_table(balances, operator="latent_error"):
    """Rows of quads whose impossible clips surprise by so much more than the possible ones."""
    scores = [1.0 if b > 0 else 0.0 if b < 0 else 0.5 for b in balances]
    count = len(scores)
    return {
        "trial": [f"q{i}" for i in range(count)],
        "cluster": [f"s{i}" for i in range(count)],
        "role": ["rollout"] * count,
        "operator": [operator] * count,
        "pair_accuracy": scores,
        **{name: [1.0] * count for name in ("mean_A", "mean_P")},
        **{name: [1.0 + b for b in balances] for name in ("mean_I1", "mean_I2")},
    }
