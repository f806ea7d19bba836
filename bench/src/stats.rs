//! Runs summed up: medians, spread, ratios.

use crate::run::Outcome;
use crate::workload::{Better, Measure};

/// One measure of one workload, on every subject.
pub struct Row {
    pub workload: &'static str,
    pub measure: &'static Measure,
    pub threads: u32,
    /// In the order of the subjects.
    pub cells: Vec<Cell>,
}

pub struct Table {
    pub subjects: Vec<String>,
    pub reference: String,
    pub rows: Vec<Row>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    /// The workload is not meant for the subject, or the subject for the workload.
    None,
    Failed,
    Values(Summary),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Cell {
    /// Sums up one measure of some runs.
    pub fn of(measure: &str, runs: &[Outcome]) -> Cell {
        let mut values = Vec::new();
        for run in runs {
            match run {
                Outcome::Failed(_) => return Cell::Failed,
                Outcome::Skipped(_) => return Cell::None,
                Outcome::Results(results) => {
                    let found = results.iter().filter(|r| r.name == measure);
                    values.extend(found.map(|r| r.value));
                }
            }
        }
        Summary::of(values).map_or(Cell::None, Cell::Values)
    }

    pub fn summary(&self) -> Option<Summary> {
        match self {
            Cell::Values(summary) => Some(*summary),
            _ => None,
        }
    }
}

impl Summary {
    pub fn of(mut values: Vec<f64>) -> Option<Summary> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[half],
            _ => (values[half - 1] + values[half]) / 2.0,
        };
        Some(Summary { median, min, max })
    }
}

impl Row {
    /// How much better `value` is than `reference`: above 1 is better, whatever is measured. Infinite
    /// where the lesser of the two is 0; None where both are.
    pub fn ratio(&self, value: f64, reference: f64) -> Option<f64> {
        let ratio = match self.measure.better {
            Better::Higher => value / reference,
            Better::Lower => reference / value,
        };
        (!ratio.is_nan()).then_some(ratio)
    }
}

/// A number for people: three digits that count, groups in large ones.
pub fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if value.is_infinite() {
        return "∞".to_owned();
    }
    if value.abs() < 1000.0 {
        let before = value.abs().log10().floor() as i32 + 1;
        let digits = usize::try_from(3 - before).unwrap_or(0).min(4);
        return format!("{value:.digits$}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digit.is_ascii_digit() && (digits.len() - at) % 3 == 0 && !text.ends_with('-')
        {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Measure = Measure {
        name: "rate",
        unit: "/s",
        better: Better::Higher,
    };
    const LATE: Measure = Measure {
        name: "late",
        unit: "us",
        better: Better::Lower,
    };

    fn row(measure: &'static Measure) -> Row {
        Row {
            workload: "w",
            measure,
            threads: 2,
            cells: Vec::new(),
        }
    }

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        let of = |values: &[f64]| Summary::of(values.to_vec()).map(|s| (s.min, s.median, s.max));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some((1.0, 2.0, 3.0)));
        assert_eq!(of(&[4.0, 1.0, 10.0, 2.0]), Some((1.0, 3.0, 10.0)));
    }

    #[test]
    fn above_one_is_better_either_way() {
        assert_eq!(row(&RATE).ratio(30.0, 10.0), Some(3.0));
        assert_eq!(row(&LATE).ratio(5.0, 10.0), Some(2.0));
        assert_eq!(row(&LATE).ratio(0.0, 10.0), Some(f64::INFINITY));
        assert_eq!(row(&LATE).ratio(0.0, 0.0), None);
    }

    #[test]
    fn numbers_have_three_digits_or_groups() {
        let shown = [0.0, 0.01234, 0.5, 9.876, 12.34, 999.4, 1000.0, 1234567.8];
        let text = [
            "0",
            "0.0123",
            "0.500",
            "9.88",
            "12.3",
            "999",
            "1,000",
            "1,234,568",
        ];
        assert_eq!(shown.map(number), text);
    }

    #[test]
    fn a_failed_run_fails_the_cell() {
        let failed = Outcome::Failed("why".to_owned());
        assert_eq!(
            Cell::of("rate", &[Outcome::Results(vec![]), failed]),
            Cell::Failed
        );
    }
}
