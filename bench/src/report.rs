//! The results as Markdown.

use std::fmt::Write;
use std::fs;

use crate::stats::{Cell, Table, number};
use crate::subject::Subject;

/// The whole page: what was run where, and the table.
pub fn page(table: &Table, machine: &str, subjects: &[Subject], runs: usize, scale: f64) -> String {
    let mut text = String::from("# Benchmark\n\n");
    write!(text, "{machine}; median (least … most) of {runs} runs").expect("a String takes all");
    if scale != 1.0 {
        write!(text, ", workloads {scale} times the usual size").expect("a String takes all");
    }
    text += ". Ratios above 1 are better than ";
    text += &table.reference;
    text += ".\n\n";
    for subject in subjects {
        let settings: String = subject
            .settings
            .iter()
            .map(|(key, value)| format!(", `{key} = {value}`"))
            .collect();
        writeln!(
            text,
            "- **{}**: `{}` in `{}`{settings}",
            subject.name,
            subject.bin.display(),
            subject.tree.display()
        )
        .expect("a String takes all");
    }
    text.push('\n');
    text += &self::table(table);
    text += "\n![ratios](results.svg)\n";
    text
}

/// One line for each measure.
pub fn table(table: &Table) -> String {
    let compared: Vec<usize> = (0..table.subjects.len())
        .filter(|at| table.subjects[*at] != table.reference)
        .collect();
    let reference = table.subjects.iter().position(|s| *s == table.reference);
    let mut head = vec![
        "workload".to_owned(),
        "threads".to_owned(),
        "unit".to_owned(),
    ];
    head.extend(table.subjects.iter().cloned());
    for at in &compared {
        head.push(format!("{} : {}", table.subjects[*at], table.reference));
    }
    let mut lines = vec![head];
    for row in &table.rows {
        let name = match row.measure.name {
            "rate" => row.workload.to_owned(),
            other => format!("{} {other}", row.workload),
        };
        let mut line = vec![name, row.threads.to_string(), row.measure.unit.to_owned()];
        line.extend(row.cells.iter().map(cell));
        let base = reference.and_then(|at| row.cells[at].summary());
        for at in &compared {
            let ratio = match (row.cells[*at].summary(), base) {
                (Some(own), Some(base)) => row.ratio(own.median, base.median),
                _ => None,
            };
            line.push(ratio.map_or("–".to_owned(), |ratio| format!("**{}**", number(ratio))));
        }
        lines.push(line);
    }
    lines.insert(
        1,
        lines[0]
            .iter()
            .enumerate()
            .map(|(at, _)| rule(at))
            .collect(),
    );
    lines.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "| {} |", line.join(" | ")).expect("a String takes all");
        text
    })
}

fn rule(column: usize) -> String {
    if column == 0 || column == 2 {
        "---"
    } else {
        "---:"
    }
    .to_owned()
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::None => "–".to_owned(),
        Cell::Failed => "failed".to_owned(),
        Cell::Values(s) => format!(
            "{} ({} … {})",
            number(s.median),
            number(s.min),
            number(s.max)
        ),
    }
}

/// The machine in a few words, and how busy it is.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    format!(
        "{}, {cores} cores, Linux {}, load {} at the start",
        model.trim(),
        read("/proc/sys/kernel/osrelease").trim(),
        load.split(' ').next().unwrap_or("?")
    )
}
