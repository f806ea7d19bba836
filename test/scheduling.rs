//! What the scheduler promises to services: nobody starves, the end of a service waits for nobody, and what is
//! queued then is answered as it should be. `scheduling/cases.c` has the cases.

mod common;

use common::{Node, SOON, Stage, Tree, tree};

fn case(name: &str, workers: u32) {
    let stage = Stage::new(&Tree::node());
    stage.c_module(&tree::package().join("test/scheduling/cases.c"));
    let mut node = Node::start(
        &stage,
        &format!(
            "thread = {workers} logger = nil cpath = './cservice/?.so;./extra/?.so'
             bootstrap = 'cases {name}'"
        ),
    );
    node.expect(&format!("^CASE {name} holds$"), 3 * SOON);
    node.expect_code(0, SOON);
}

#[test]
fn a_flood_holds_nobody_up() {
    case("fair", 1);
    case("fair", 2);
}

#[test]
fn two_busy_services_have_a_worker_each() {
    case("parallel", 2);
}

#[test]
fn nothing_waits_behind_a_long_message() {
    case("behind", 2);
}

#[test]
fn an_ended_service_is_released_beside_a_stuck_one() {
    case("prompt", 2);
}

#[test]
fn requests_to_an_ending_service_are_answered_once() {
    case("dropped", 1);
}
