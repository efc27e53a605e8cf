"""Tests of the statistics, the aims, the table and the counting of what lies on a disk."""

import tempfile
import unittest
from pathlib import Path

from bench import table
from bench.coffer import blocks, disk_use
from bench.figures import COFFER, Aim, Line, at_least, at_most, number

RESULTS = {
    "machine": {
        "cpu": "A Processor",
        "cores": 2,
        "memory_gib": 23,
        "file_system": "ext4",
        "kernel": "6.1",
        "system": "Debian 12.1",
    },
    "rows": {
        "smtp": {
            "measured_at": "2026-11-22T04:00:00+00:00",
            "lines": [
                Line(
                    "taken",
                    "messages/s",
                    {COFFER: [90.0, 110.0, 100.0], "Postfix": [50.0]},
                    [at_least(3, "Postfix")],
                    "same disk",
                ).to_json(),
                Line("processor", "CPU s", {COFFER: [0.2]}, [at_most(0.2)], "same disk").to_json(),
                Line("later", "ms", {}, [at_most(1)]).to_json(),
            ],
        }
    },
}

EXPECTED = """| what | Coffer | peers, same run | ratio | aim | reached |
| --- | --- | --- | --- | --- | --- |
| taken, messages/s (1) | 100 (90–110) | Postfix 50 | 2 × Postfix | ≥ 3 × Postfix | **no** |
| processor, CPU s (1) | 0.2 | – | – | ≤ 0.2 | yes |
| later, ms | not measured | – | – | ≤ 1 | not measured |

1. same disk"""


class Figures(unittest.TestCase):
    """Numbers and aims."""

    def test_numbers_show_three_digits_that_count(self) -> None:
        for value, expected in (
            (0, "0"),
            (0.08312, "0.0831"),
            (0.2, "0.2"),
            (0.9996, "1"),
            (2.754, "2.75"),
            (12.3, "12.3"),
            (99.96, "100"),
            (536.4, "536"),
            (7712.0, "7,712"),
        ):
            with self.subTest(value=value):
                self.assertEqual(number(value), expected)

    def test_aims_hold_at_their_bound_and_not_beyond(self) -> None:
        medians = {COFFER: 6.0, "mu": 2.0, "idle": 0.0}
        for aim, expected in (
            (at_least(6), True),
            (at_least(6.1), False),
            (at_most(6), True),
            (at_most(5.9), False),
            (at_least(3, "mu"), True),
            (at_least(3.1, "mu"), False),
            (at_most(0.5, "mu"), False),
            (at_least(3, "idle"), None),
            (at_least(3, "absent"), None),
        ):
            with self.subTest(aim=aim.text()):
                self.assertEqual(self.judge(aim, medians), expected)

    def judge(self, aim: Aim, medians: dict[str, float]) -> bool | None:
        """Whether an aim is reached; None where that cannot be said."""
        value = aim.value(medians)
        return None if value is None else aim.is_reached(value)


class Table(unittest.TestCase):
    """What is printed, and what goes into the README."""

    def test_the_table_names_misses_and_what_was_not_measured(self) -> None:
        self.assertEqual(table.render(RESULTS), EXPECTED)

    def test_the_readme_keeps_everything_around_the_table(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            readme = Path(folder, "README.md")
            readme.write_text(f"before\n{table.README_BEGIN}\nold\n{table.README_END}\nafter\n")
            for _ in range(2):
                table.write_readme(readme, RESULTS)
                text = readme.read_text()
                self.assertTrue(text.startswith("before\n") and text.endswith("\nafter\n"))
                self.assertIn("Measured 2026-11-22: A Processor, 2 cores", text)
                self.assertEqual(text.count(EXPECTED), 1)
                self.assertNotIn("old", text)
            readme.write_text("no place")
            with self.assertRaises(ValueError):
                table.write_readme(readme, RESULTS)


class Disk(unittest.TestCase):
    """What is on the disk, by what it holds."""

    def test_every_block_counts_once_and_where_it_belongs(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder)
            for name, part in (
                ("volumes/00000001.vol", "volumes"),
                ("catalog-2.redb", "catalog"),
                ("index-1-2/segment", "index"),
                ("state.redb", "state"),
                ("reserve", "reserve"),
                ("identity", "other"),
            ):
                (data / name).parent.mkdir(exist_ok=True)
                before = disk_use(data)[part]
                (data / name).write_bytes(bytes(10_000))
                with self.subTest(name=name):
                    self.assertEqual(disk_use(data)[part] - before, blocks(data / name))
            self.assertEqual(sum(disk_use(data).values()), sum(map(blocks, [data, *data.rglob("*")])))


if __name__ == "__main__":
    unittest.main()
