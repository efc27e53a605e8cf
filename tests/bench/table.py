"""Renders what was measured as a Markdown table, from the JSON alone; puts it into the README."""

from pathlib import Path
from typing import Any

from bench.figures import COFFER, number

HEAD = ("what", "Coffer", "peers, same run", "ratio", "aim", "reached")
README_BEGIN = "<!-- scripts/bench --readme writes from here -->"
README_END = "<!-- to here -->"


def render(results: dict[str, Any]) -> str:
    """The whole table, rows in the order of the results, what each row says of itself below it."""
    lines = [HEAD, ("---",) * len(HEAD)]
    notes: list[str] = []
    for row in results["rows"].values():
        lines += [cells(line, notes) for line in row["lines"]]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    if notes:
        text += "\n\n" + "\n".join(f"{mark}. {note}" for mark, note in enumerate(notes, 1))
    return text


def cells(line: dict[str, Any], notes: list[str]) -> tuple[str, ...]:
    """One line's cells; a note goes to the end of the list and leaves its number."""
    figures, aims = line["figures"], line["aims"]
    what = f"{line['what']}, {line['unit']}"
    if line["note"]:
        if line["note"] not in notes:
            notes.append(line["note"])
        what += f" ({notes.index(line['note']) + 1})"
    peers = [f"{name} {spread(figure)}" for name, figure in figures.items() if name != COFFER]
    ratios = [
        f"{number(figures[COFFER]['median'] / figure['median'])} × {name}"
        for name, figure in figures.items()
        if name != COFFER and COFFER in figures and figure["median"]
    ]
    return (
        what,
        spread(figures[COFFER]) if COFFER in figures else "not measured" if not peers else "–",
        "; ".join(peers) or "–",
        "; ".join(ratios) or "–",
        "; ".join(aim["text"] for aim in aims) or "–",
        "; ".join(verdict(aim) for aim in aims) or "–",
    )


def spread(figure: dict[str, Any]) -> str:
    """The median, and the extremes where there was more than one run."""
    median, low, high = (number(figure[key]) for key in ("median", "min", "max"))
    return median if low == high else f"{median} ({low}–{high})"


def verdict(aim: dict[str, Any]) -> str:
    """Whether an aim was reached; a miss is bold."""
    return {True: "yes", False: "**no**", None: "not measured"}[aim["reached"]]


def machine_text(machine: dict[str, Any]) -> str:
    """One sentence about where it was measured."""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB of memory, "
        f"{machine['file_system']}, Linux {machine['kernel']}, {machine['system']}."
    )


def write_readme(readme: Path, results: dict[str, Any]) -> None:
    """Replaces what stands between the two marks of the README.

    Raises ValueError when the marks are not there.
    """
    text = readme.read_text()
    begin, end = text.find(README_BEGIN), text.find(README_END)
    if begin < 0 or end < begin:
        raise ValueError(f"no place for the table: {README_BEGIN} … {README_END}")
    days = sorted({row["measured_at"][:10] for row in results["rows"].values()})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    body = f"Measured {when}: {machine_text(results['machine'])}\n\n{render(results)}\n"
    readme.write_text(f"{text[:begin]}{README_BEGIN}\n{body}{text[end:]}")
