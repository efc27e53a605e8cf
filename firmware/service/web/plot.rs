//! Bars drawn as SVG on the server: one for each day, parted by series. It knows numbers and names, and nothing of mail.
//!
//! The drawing stretches with the page and so holds no text: what stands beside it is HTML, and the numbers themselves belong into a table.

use maud::{Markup, html};

/// 5 colours in the style sheet; whoever has more series joins the small ones.
pub(super) const SERIES_MAX: usize = 5;

/// Units of the drawing that a day is wide, the gap to the next included.
const DAY_WIDTH: usize = 10;

/// Units that a bar is wide.
const BAR_WIDTH: usize = 8;

/// Units that the drawing is high: fine enough for every screen.
const HEIGHT: u64 = 1_000;

/// Numbers of one series, one for each day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) counts: Vec<u64>,
}

impl Series {
    pub(super) fn sum(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Draws the series upon each other; `title` and `description` are for those who cannot see it.
pub(super) fn bars(title: &str, description: &str, series: &[Series]) -> Markup {
    let days = series.first().map_or(0, |series| series.counts.len());
    let top = top(series, days);
    let width = days * DAY_WIDTH;
    let middle = HEIGHT / 2;
    let mut below = vec![0; days];
    html! {
        svg.bars viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-labelledby="bars-title bars-description" {
            title #bars-title { (title) }
            desc #bars-description { (description) }
            path.grid d={ "M0 0h" (width) "M0 " (middle) "h" (width) "M0 " (HEIGHT) "h" (width) } {}
            @for (place, series) in series.iter().take(SERIES_MAX).enumerate() {
                path class={ "series-" (place) } d=(path(series, &mut below, top)) {}
            }
        }
    }
}

/// Gives the number that the upper edge stands for: 1, 2 or 5 with zeros.
pub(super) fn top(series: &[Series], days: usize) -> u64 {
    let day = |day: usize| series.iter().map(|series| series.counts[day]).sum();
    let most: u64 = (0..days).map(day).max().unwrap_or(0);
    let round = |exponent| [1, 2, 5].map(|digit| digit * 10_u64.pow(exponent));
    let mut tops = (0..19).flat_map(round);
    tops.find(|top| *top >= most).unwrap_or(u64::MAX)
}

/// Writes the bars of a series above what lies below them, and adds them to that.
fn path(series: &Series, below: &mut [u64], top: u64) -> String {
    let height = |count: u64| (u128::from(count) * u128::from(HEIGHT) / u128::from(top)) as u64;
    let mut path = String::new();
    for (day, (count, below)) in series.counts.iter().zip(below).enumerate() {
        let foot = height(*below);
        *below += count;
        let bar = height(*below) - foot;
        if bar > 0 {
            let (x, y) = (day * DAY_WIDTH + 1, HEIGHT - foot - bar);
            path += &format!("M{x} {y}h{BAR_WIDTH}v{bar}h-{BAR_WIDTH}z");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(counts: &[u64]) -> Series {
        Series {
            name: "x".to_owned(),
            counts: counts.to_vec(),
        }
    }

    #[test]
    fn the_upper_edge_is_a_round_number() {
        for (counts, expected) in [
            (&[0, 0][..], 1),
            (&[1], 1),
            (&[2, 0], 2),
            (&[3], 5),
            (&[6], 10),
            (&[11, 20], 20),
            (&[501], 1_000),
            (&[u64::MAX / 2], u64::MAX),
        ] {
            assert_eq!(top(&[series(counts)], counts.len()), expected);
        }
        assert_eq!(top(&[], 0), 1);
        assert_eq!(top(&[series(&[3]), series(&[4])], 1), 10);
    }

    #[test]
    fn bars_stand_upon_each_other() {
        let drawn = bars("t", "d", &[series(&[5, 0]), series(&[5, 2])]).into_string();
        assert!(drawn.contains("viewBox=\"0 0 20 1000\""), "{drawn}");
        assert!(
            drawn.contains("class=\"series-0\" d=\"M1 500h8v500h-8z\""),
            "{drawn}"
        );
        let second = "class=\"series-1\" d=\"M1 0h8v500h-8zM11 800h8v200h-8z\"";
        assert!(drawn.contains(second), "{drawn}");
        let nothing = bars("a < b", "d", &[]).into_string();
        assert!(nothing.contains("a &lt; b"), "{nothing}");
    }
}
