//! The results as a picture: for each measure a bar for each subject, how much better it is than the
//! reference, on a logarithmic scale, with a line from the worst to the best run.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::stats::{Row, Table};

const COLOURS: [RGBColor; 6] = [
    RGBColor(0x1b, 0x6c, 0xa8),
    RGBColor(0xe0, 0x8e, 0x2b),
    RGBColor(0x77, 0x77, 0x77),
    RGBColor(0x3c, 0x91, 0x5b),
    RGBColor(0x8e, 0x4f, 0xa8),
    RGBColor(0xb8, 0x3a, 0x3a),
];

const WIDTH: u32 = 900;
const BAR: u32 = 14;
const GAP: u32 = 10;
const TOP: u32 = 60;
const BOTTOM: u32 = 40;
const LEFT: u32 = 240;
const RIGHT: u32 = 90;

/// How much better than the reference: the median and, as a line, the runs.
struct Bar {
    subject: usize,
    median: f64,
    from: f64,
    to: f64,
}

fn bars(table: &Table, row: &Row) -> Vec<Bar> {
    let base = table
        .subjects
        .iter()
        .position(|name| *name == table.reference)
        .and_then(|at| row.cells[at].summary());
    let Some(base) = base else { return Vec::new() };
    // A logarithmic scale has no place for the others.
    let ratio = |value| {
        row.ratio(value, base.median)
            .filter(|r| r.is_finite() && *r > 0.0)
    };
    row.cells
        .iter()
        .enumerate()
        .filter_map(|(subject, cell)| {
            let own = cell.summary()?;
            let (a, b) = (ratio(own.min)?, ratio(own.max)?);
            Some(Bar {
                subject,
                median: ratio(own.median)?,
                from: a.min(b),
                to: a.max(b),
            })
        })
        .collect()
}

pub fn draw(table: &Table, to: &Path) -> Result<(), String> {
    try_draw(table, to).map_err(|e| format!("{}: {e}", to.display()))
}

fn try_draw(table: &Table, to: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let groups: Vec<(String, Vec<Bar>)> = table
        .rows
        .iter()
        .map(|row| {
            let name = match row.measure.name {
                "rate" => row.workload.to_owned(),
                other => format!("{} {other}", row.workload),
            };
            (format!("{name}, {} threads", row.threads), bars(table, row))
        })
        .filter(|(_, bars)| !bars.is_empty())
        .collect();
    let ends = groups
        .iter()
        .flat_map(|(_, bars)| bars)
        .flat_map(|bar| [bar.from, bar.to]);
    let (least, most) = ends.fold((0.8f64, 1.25f64), |(a, b), x| (a.min(x), b.max(x)));
    let rows: u32 = groups.iter().map(|(_, bars)| height(bars)).sum();
    let size = (WIDTH, TOP + rows + BOTTOM);

    let root = SVGBackend::new(to, size).into_drawing_area();
    root.fill(&WHITE)?;
    legend(table, &root)?;
    let pixels = f64::from(WIDTH - LEFT - RIGHT);
    let x = |ratio: f64| {
        let (from, to) = ((least / 1.1).ln(), (most * 1.1).ln());
        LEFT as i32 + ((ratio.ln() - from) / (to - from) * pixels) as i32
    };
    let (high, low) = (TOP as i32, (TOP + rows) as i32);
    for mark in marks(least, most) {
        let style = if mark == 1.0 {
            BLACK.stroke_width(2)
        } else {
            BLACK.mix(0.15).stroke_width(1)
        };
        root.draw(&PathElement::new(
            vec![(x(mark), high), (x(mark), low)],
            style,
        ))?;
        let centred = text(13, &BLACK).pos(Pos::new(HPos::Center, VPos::Top));
        root.draw(&Text::new(format!("{mark}×"), (x(mark), low + 8), centred))?;
    }
    let mut y = high;
    for (name, bars) in &groups {
        let middle = y + (height(bars) / 2) as i32;
        let right = text(13, &BLACK).pos(Pos::new(HPos::Right, VPos::Center));
        root.draw(&Text::new(name.clone(), (LEFT as i32 - 10, middle), right))?;
        let mut top = y + (GAP / 2) as i32;
        for bar in bars {
            let bottom = top + BAR as i32 - 2;
            let (a, b) = (x(1.0).min(x(bar.median)), x(1.0).max(x(bar.median)));
            let colour = COLOURS[bar.subject % COLOURS.len()];
            root.draw(&Rectangle::new(
                [(a, top), (b.max(a + 1), bottom)],
                colour.filled(),
            ))?;
            let line = vec![
                (x(bar.from), (top + bottom) / 2),
                (x(bar.to), (top + bottom) / 2),
            ];
            root.draw(&PathElement::new(line, BLACK.stroke_width(1)))?;
            let left = text(11, &BLACK).pos(Pos::new(HPos::Left, VPos::Center));
            let at = (x(bar.to.max(1.0)) + 6, (top + bottom) / 2);
            root.draw(&Text::new(format!("{:.2}", bar.median), at, left))?;
            top += BAR as i32;
        }
        y += height(bars) as i32;
    }
    root.present()?;
    Ok(())
}

/// The pixels that the bars of one measure take.
fn height(bars: &[Bar]) -> u32 {
    bars.len() as u32 * BAR + GAP
}

fn text<'a>(size: u32, colour: &'a RGBColor) -> TextStyle<'a> {
    ("sans-serif", size).into_font().color(colour)
}

/// Round numbers between the ends of the scale.
fn marks(least: f64, most: f64) -> Vec<f64> {
    let powers = -4..=5;
    let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
    all.filter(|mark| (least..=most).contains(mark) || *mark == 1.0)
        .collect()
}

fn legend(
    table: &Table,
    root: &DrawingArea<SVGBackend, plotters::coord::Shift>,
) -> Result<(), Box<dyn std::error::Error>> {
    let title = format!("how many times as good as {}", table.reference);
    root.draw(&Text::new(title, (LEFT as i32, 12), text(15, &BLACK)))?;
    let mut x = LEFT as i32;
    for (at, name) in table.subjects.iter().enumerate() {
        let square = [(x, 36), (x + 12, 48)];
        root.draw(&Rectangle::new(
            square,
            COLOURS[at % COLOURS.len()].filled(),
        ))?;
        root.draw(&Text::new(name.clone(), (x + 17, 35), text(13, &BLACK)))?;
        x += 40 + 8 * name.chars().count() as i32;
    }
    Ok(())
}
