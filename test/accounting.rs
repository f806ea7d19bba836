//! What the core says of its services, compared with what they measure themselves (`accounting/burner.c`).

mod common;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{Node, Stage, Tree, tree};

/// How far what is charged may be from what was used.
const TOLERANCE: f64 = 0.05;
/// The same for the shortest messages: a look at the clock takes a quarter of one, and how long exactly is only known
/// from other looks.
const TOLERANCE_SHORTEST: f64 = 0.1;
const SHORTEST: &str = "1us";
/// The clocks are exact, but the machine is not ours alone: what is wrong must be wrong in each of so many
/// measurements to count.
const TRIES: u32 = 5;
/// How long the services work, at least.
const SECONDS: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(120);

/// The measurements share the processors with nobody but the threads they start for that.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs `f` while `count` threads use all the CPU they can get.
fn beside_busy_threads<R>(count: usize, f: impl FnOnce() -> R) -> R {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also when `f` panics.
        let _stop = Stop(&stop);
        for _ in 0..count {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        f()
    })
}

/// One measurement: everything that is not as it should be, by name.
fn measure(workers: u32) -> BTreeMap<String, String> {
    let stage = Stage::new(&Tree::node());
    stage.c_module(&tree::package().join("test/accounting/burner.c"));
    let mut node = Node::start(
        &stage,
        &format!(
            "thread = {workers} cpath = './cservice/?.so;./extra/?.so' bootstrap = 'burner {SECONDS}'"
        ),
    );
    node.expect_code(0, PATIENCE);
    let mut wrong = BTreeMap::new();
    let mut compared = 0;
    for line in node.lines().iter().map(|line| &line.text) {
        if let Some(failure) = line.strip_prefix("ACCOUNT FAIL ") {
            let (name, _) = failure.split_once(':').expect("a name");
            wrong.insert(name.to_owned(), line.clone());
        }
        if line.starts_with("ACCOUNT a look") {
            println!("{workers} workers: {line}");
        }
        let words: Vec<&str> = line.split([' ', ',', ':']).collect();
        let [
            "ACCOUNT",
            name,
            "",
            "charged",
            charged,
            "",
            "used",
            used,
            ..,
        ] = words[..]
        else {
            continue;
        };
        let number = |text: &str| text.parse::<f64>().expect("a number");
        let off = number(charged) / number(used) - 1.0;
        println!("{workers} workers, {name}: {off:+.3}, {line}");
        compared += 1;
        let tolerance = match name {
            SHORTEST => TOLERANCE_SHORTEST,
            _ => TOLERANCE,
        };
        if off.abs() > tolerance {
            wrong.insert(name.to_owned(), format!("{name} is {off:+.3} off: {line}"));
        }
    }
    assert_eq!(compared, 10, "{}", node.report());
    wrong
}

fn expect_exact(workers: u32, busy: usize) {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    let mut always: Option<BTreeMap<String, String>> = None;
    for _ in 0..TRIES {
        let wrong = beside_busy_threads(busy, || measure(workers));
        println!("wrong: {wrong:#?}");
        let still = match always {
            None => wrong,
            Some(before) => before
                .into_iter()
                .filter(|(name, _)| wrong.contains_key(name))
                .collect(),
        };
        if still.is_empty() {
            return;
        }
        always = Some(still);
    }
    panic!("{workers} workers beside {busy} busy threads: {always:#?}");
}

#[test]
fn two_workers() {
    expect_exact(2, 0);
}

#[test]
fn two_workers_on_a_busy_machine() {
    expect_exact(2, 3);
}

#[test]
fn eight_workers() {
    expect_exact(8, 0);
}

#[test]
fn eight_workers_on_a_busy_machine() {
    expect_exact(8, 3);
}
