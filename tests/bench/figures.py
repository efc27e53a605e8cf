"""Statistics and aims: what a line of the table holds, and whether Coffer has reached what it must.

Knows nothing of how anything is measured.
"""

import statistics
from dataclasses import dataclass, field
from typing import Any, Sequence

COFFER = "Coffer"


@dataclass(frozen=True)
class Aim:
    """A bound on Coffer's figure or, with a peer, on its ratio to the peer's figure of the same run."""

    bound: float
    is_upper: bool
    peer: str | None = None

    def text(self) -> str:
        """As the table shows it: `≥ 3 × Postfix`, `≤ 0.4`."""
        times = f" × {self.peer}" if self.peer else ""
        return f"{'≤' if self.is_upper else '≥'} {number(self.bound)}{times}"

    def value(self, medians: dict[str, float]) -> float | None:
        """What is compared with the bound; None where one of the two was not measured."""
        own = medians.get(COFFER)
        if own is None or self.peer is None:
            return own
        other = medians.get(self.peer)
        return own / other if other else None

    def is_reached(self, value: float) -> bool:
        """Whether the bound holds."""
        return value <= self.bound if self.is_upper else value >= self.bound


def at_least(bound: float, peer: str | None = None) -> Aim:
    """The figure, or its ratio to the peer's, must not be below."""
    return Aim(bound, is_upper=False, peer=peer)


def at_most(bound: float, peer: str | None = None) -> Aim:
    """The figure, or its ratio to the peer's, must not be above."""
    return Aim(bound, is_upper=True, peer=peer)


@dataclass
class Line:
    """One line of the table: the runs of each program in one unit, and Coffer's aims."""

    what: str
    unit: str
    runs: dict[str, list[float]]
    aims: list[Aim] = field(default_factory=list)
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The line as it is kept; the table is made from nothing else."""
        figures = {name: summary(runs) for name, runs in self.runs.items() if runs}
        medians = {name: figure["median"] for name, figure in figures.items()}
        return {
            "what": self.what,
            "unit": self.unit,
            "figures": figures,
            "aims": [judged(aim, medians) for aim in self.aims],
            "note": self.note,
        }


def summary(runs: Sequence[float]) -> dict[str, Any]:
    """Median, extremes and every run."""
    return {
        "median": statistics.median(runs),
        "min": min(runs),
        "max": max(runs),
        "runs": list(runs),
    }


def judged(aim: Aim, medians: dict[str, float]) -> dict[str, Any]:
    """An aim with what was found; `reached` is None where that was not measured."""
    value = aim.value(medians)
    reached = None if value is None else aim.is_reached(value)
    return {"text": aim.text(), "peer": aim.peer, "value": value, "reached": reached}


def number(value: float) -> str:
    """Three digits that count, thousands apart: 0.0831, 2.75, 536, 7,700."""
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
