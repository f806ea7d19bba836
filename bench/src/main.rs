//! Runs workloads on nodes and compares them: usually this project's node with one of upstream's.
//!
//! `workload.rs` lists what can be run, `subject.rs` says on what, `run.rs` runs one on the other once,
//! `load.rs` is the clients of those with sockets,
//! `stats.rs` sums the runs up, `report.rs` and `picture.rs` show them. README.md is for the user.

mod load;
mod picture;
mod report;
mod run;
mod stats;
mod subject;
mod workload;

use std::collections::HashSet;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use run::Outcome;
use stats::{Cell, Row, Table};
use subject::{Kind, Subject};
use workload::{WORKLOADS, Workload};

const HELP: &str = "\
Runs workloads alternately on several nodes and compares the medians.

usage: bench [OPTION]... [WORKLOAD]...        all workloads without names

  --node DIR        our node (default: $SKYNET_NODE, then this project's folder)
  --upstream DIR    a built tree of upstream, of the same Lua version (default: $SKYNET_UPSTREAM)
  --subject NAME=DIR[,skynet=FILE][,KEY=VALUE]...
                    one more subject: a tree, another executable for it, keys of its config file
  --only NAMES      these subjects only, separated by commas
  --reference NAME  what the others are compared with (default: upstream, else the first subject)
  --threads LIST    numbers of workers, separated by commas (default: 2)
  --runs N          runs of each workload on each subject (default: 5)
  --scale F         makes the workloads larger or smaller (default: 1)
  --timeout SECONDS the longest that one run may take (default: 180, more if the scale is above 1)
  --out DIR         where results.md and results.svg go (default: target/bench)
  --list            lists the workloads
";

struct Options {
    node: Option<PathBuf>,
    upstream: Option<PathBuf>,
    subjects: Vec<Subject>,
    only: Option<Vec<String>>,
    reference: Option<String>,
    threads: Vec<u32>,
    runs: usize,
    scale: f64,
    timeout: Option<Duration>,
    out: PathBuf,
    workloads: Vec<&'static Workload>,
}

/// The folder of the project.
fn project() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("bench/ has a parent").to_owned()
}

fn env_dir(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn options() -> Result<Option<Options>, lexopt::Error> {
    use lexopt::prelude::*;

    let mut options = Options {
        node: env_dir("SKYNET_NODE").or_else(|| Some(project())),
        upstream: env_dir("SKYNET_UPSTREAM"),
        subjects: Vec::new(),
        only: None,
        reference: None,
        threads: vec![2],
        runs: 5,
        scale: 1.0,
        timeout: None,
        out: project().join("target/bench"),
        workloads: Vec::new(),
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("node") => options.node = Some(parser.value()?.into()),
            Long("upstream") => options.upstream = Some(parser.value()?.into()),
            Long("subject") => {
                let text = parser.value()?.string()?;
                options.subjects.push(Subject::parse(&text)?);
            }
            Long("only") => options.only = Some(list(&parser.value()?.string()?)),
            Long("reference") => options.reference = Some(parser.value()?.string()?),
            Long("threads") => {
                options.threads = parser.value()?.parse_with(|text| {
                    list(text)
                        .iter()
                        .map(|n| n.parse())
                        .collect::<Result<_, _>>()
                })?;
            }
            Long("runs") => options.runs = parser.value()?.parse::<usize>()?.max(1),
            Long("scale") => options.scale = parser.value()?.parse()?,
            Long("timeout") => {
                options.timeout = Some(Duration::from_secs(parser.value()?.parse()?));
            }
            Long("out") => options.out = parser.value()?.into(),
            Long("list") => {
                print!("{}", workload::listing());
                return Ok(None);
            }
            Short('h') | Long("help") => {
                print!("{HELP}");
                return Ok(None);
            }
            Value(name) => {
                let name = name.string()?;
                let found = WORKLOADS.iter().find(|w| w.name == name);
                let found = found.ok_or(format!(
                    "no workload {name}; there are\n{}",
                    workload::listing()
                ))?;
                options.workloads.push(found);
            }
            _ => return Err(arg.unexpected()),
        }
    }
    if !(options.scale > 0.0 && options.scale <= 1000.0) {
        return Err("the scale must lie above 0 and not above 1000".into());
    }
    if options.workloads.is_empty() {
        options.workloads = WORKLOADS.iter().collect();
    }
    Ok(Some(options))
}

fn list(text: &str) -> Vec<String> {
    let words = text.split(',').map(str::trim);
    words.filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench: {e}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match bench(options) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failures) => {
            eprintln!("bench: {failures} failed");
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("bench: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The subjects of the user, after the usual ones.
fn subjects(options: &mut Options) -> Result<Vec<Subject>, String> {
    let mut all = subject::usual(options.node.take(), options.upstream.take());
    all.append(&mut options.subjects);
    if let Some(only) = &options.only {
        if let Some(unknown) = only
            .iter()
            .find(|name| !all.iter().any(|s| s.name == **name))
        {
            return Err(format!("no subject {unknown}"));
        }
        all.retain(|s| only.contains(&s.name));
    }
    let names: HashSet<&str> = all.iter().map(|s| s.name.as_str()).collect();
    if names.len() < all.len() {
        return Err("two subjects have the same name".to_owned());
    }
    for (at, subject) in all.iter_mut().enumerate() {
        subject.check()?;
        subject.modules = PathBuf::from(format!("modules-{at}"));
    }
    match all.is_empty() {
        true => Err("no subject".to_owned()),
        false => Ok(all),
    }
}

/// Which subjects a workload runs on. Without Lua, nothing of a tree but its executable takes part.
fn subjects_of<'a>(workload: &Workload, all: &'a [Subject]) -> Vec<&'a Subject> {
    let mut chosen: Vec<&Subject> = Vec::new();
    for subject in all {
        let twin =
            |other: &&Subject| other.bin == subject.bin && other.settings == subject.settings;
        let same = workload.kind == workload::Kind::C && chosen.iter().any(twin);
        let besides = subject.kind == Kind::RatesOnly && !workload.rate;
        if !same && !besides {
            chosen.push(subject);
        }
    }
    chosen
}

/// The runs of one workload on its subjects.
type Outcomes<'a> = Vec<(&'a Subject, Vec<Outcome>)>;

/// Runs everything; how many pairs of workload and subject failed.
fn bench(mut options: Options) -> Result<usize, String> {
    let subjects = subjects(&mut options)?;
    let reference = match &options.reference {
        Some(name) => name.as_str(),
        None if subjects.iter().any(|s| s.name == "upstream") => "upstream",
        None => &subjects[0].name,
    };
    if !subjects.iter().any(|s| s.name == reference) {
        return Err(format!("no subject {reference}"));
    }
    let work = tempfile::tempdir().map_err(|e| format!("a temporary directory: {e}"))?;
    fs::create_dir_all(&options.out).map_err(|e| format!("{}: {e}", options.out.display()))?;

    let mut jobs = Vec::new();
    for workload in &options.workloads {
        match workload.threads {
            Some(threads) => jobs.push((*workload, threads)),
            None => jobs.extend(options.threads.iter().map(|threads| (*workload, *threads))),
        }
    }
    let mut progress = Progress {
        done: 0,
        total: jobs
            .iter()
            .map(|(workload, _)| subjects_of(workload, &subjects).len() * options.runs)
            .sum(),
    };
    let mut table = Table {
        subjects: subjects.iter().map(|s| s.name.clone()).collect(),
        reference: reference.to_owned(),
        rows: Vec::new(),
    };
    let machine = report::machine();
    let mut failures = 0;
    for (workload, threads) in jobs {
        let chosen = subjects_of(workload, &subjects);
        let outcomes = alternate(
            &options,
            workload,
            threads,
            &chosen,
            work.path(),
            &mut progress,
        );
        let failed = |done: &Vec<Outcome>| done.iter().any(|o| matches!(o, Outcome::Failed(_)));
        failures += outcomes.iter().filter(|(_, done)| failed(done)).count();
        for measure in workload.measures {
            let cell = |subject: &Subject| {
                let runs = outcomes.iter().find(|(of, _)| of.name == subject.name);
                runs.map_or(Cell::None, |(_, done)| Cell::of(measure.name, done))
            };
            table.rows.push(Row {
                workload: workload.name,
                measure,
                threads,
                cells: subjects.iter().map(cell).collect(),
            });
        }
        // After each workload, so that what is broken off leaves what it has.
        save(&options, &machine, &subjects, &table)?;
    }
    progress.end();
    println!("{}", report::table(&table));
    println!("{}", options.out.join("results.md").display());
    Ok(failures)
}

/// Runs a workload on one subject after the other, and all that again.
fn alternate<'a>(
    options: &Options,
    workload: &Workload,
    threads: u32,
    subjects: &[&'a Subject],
    work: &Path,
    progress: &mut Progress,
) -> Outcomes<'a> {
    let limit = Duration::from_secs(180).mul_f64(options.scale.max(1.0));
    let limit = options.timeout.unwrap_or(limit);
    let mut outcomes: Outcomes = subjects.iter().map(|s| (*s, Vec::new())).collect();
    for round in 1..=options.runs {
        for (subject, done) in &mut outcomes {
            progress.done += 1;
            // What failed or was skipped once would be so again.
            if done.iter().any(|o| !matches!(o, Outcome::Results(_))) {
                continue;
            }
            let what = format!(
                "{} thread={threads} {round}/{} {}",
                workload.name, options.runs, subject.name
            );
            progress.show(&what, None);
            let run = run::Run {
                workload,
                subject,
                threads,
                scale: options.scale,
                limit,
                port: free_port(),
            };
            let outcome = run.go(work);
            match &outcome {
                Outcome::Results(results) => {
                    let text: Vec<String> = results
                        .iter()
                        .map(|r| format!("{} {} {}", r.name, stats::number(r.value), r.unit))
                        .collect();
                    progress.show(&what, Some(&text.join(", ")));
                }
                Outcome::Skipped(why) => progress.show(&what, Some(&format!("skipped, {why}"))),
                Outcome::Failed(why) => {
                    progress.end();
                    eprintln!("bench: FAILED: {what}: {why}");
                }
            }
            done.push(outcome);
        }
    }
    outcomes
}

/// A port on loopback that nobody uses. Somebody may take it before the node does, who then fails.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map_or(0, |address| address.port())
}

fn save(
    options: &Options,
    machine: &str,
    subjects: &[Subject],
    table: &Table,
) -> Result<(), String> {
    let page = options.out.join("results.md");
    let text = report::page(table, machine, subjects, options.runs, options.scale);
    fs::write(&page, text).map_err(|e| format!("{}: {e}", page.display()))?;
    picture::draw(table, &options.out.join("results.svg"))
}

/// One line on stderr that changes while we work; a line for each result when stderr is a file.
struct Progress {
    done: usize,
    total: usize,
}

impl Progress {
    fn show(&self, what: &str, result: Option<&str>) {
        let mut err = std::io::stderr();
        let line = format!(
            "[{}/{}] {what}: {}",
            self.done,
            self.total,
            result.unwrap_or("…")
        );
        // Nobody needs to know that nobody reads it.
        let _ = match err.is_terminal() {
            true => write!(err, "\r\x1b[K{line}").and_then(|()| err.flush()),
            false if result.is_some() => writeln!(err, "{line}"),
            false => Ok(()),
        };
    }

    fn end(&self) {
        if std::io::stderr().is_terminal() {
            eprintln!();
        }
    }
}
