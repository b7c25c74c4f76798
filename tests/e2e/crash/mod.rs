//! The crash loop: a node under load is killed again and again, at random and at every named point, and nothing that
//! it acknowledged may be lost, doubled or stuck.
//!
//! Short by default: 20 kills, 10,000 acknowledged tasks. `BOBBINET_LONG=1`: 300 kills.

mod checker;
mod load;

use std::{
    os::unix::process::ExitStatusExt,
    path::Path,
    time::{Duration, Instant},
};

use bobbinet_store::failpoint::POINTS;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;

use crate::node::{DiedEarly, Node, log_of, repository};
use checker::{Execution, History, Tool};
use load::Load;

/// Calls that the agent takes at a time.
const MAX_CONCURRENCY: usize = 8;

/// How many clients submit at the same time.
const SUBMITTERS: usize = 24;

/// How many clients follow tasks, and come back after each crash.
const SUBSCRIBERS: usize = 50;

/// How long a task may be without an owner after the last start.
const SETTLE: Duration = Duration::from_secs(30);

/// How many tasks are acknowledged at the least, whatever the kills leave time for.
const ACKNOWLEDGED: usize = 10_000;

/// How long a node that nobody kills may acknowledge nothing. It is met with one token, which is good for five minutes.
const STALL: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_doubled_or_stuck() {
    let is_long = std::env::var_os("BOBBINET_LONG").is_some();
    let kills = if is_long { 300 } else { 20 };
    let seed =
        std::env::var("BOBBINET_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| rand::rng().random());
    eprintln!("crash loop: {kills} kills, BOBBINET_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path());

    let load = Load::start(SUBMITTERS, SUBSCRIBERS, seed);
    for kill in 0..kills {
        one_life(folder.path(), &load, kill, &mut dice).await;
    }
    let node = Node::start(folder.path(), &[]).unwrap_or_else(|died| panic!("{died:?}: {}", log_of(folder.path())));
    load.meet(node.agent("ledger"));
    load.submit_until(ACKNOWLEDGED, STALL).await;
    let begin = Instant::now();
    let (acknowledged, tasks, heard) = load.finish(SETTLE).await;
    eprintln!("crash loop: {} acknowledged, settled in {:?}", acknowledged.len(), begin.elapsed());
    let history = History {
        acknowledged,
        tasks,
        executions: executions(folder.path()),
        heard,
        kills,
        max_concurrency: MAX_CONCURRENCY,
    };
    report(&history);
    let violations = checker::check(&history);
    let first: Vec<String> = violations.iter().take(20).map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{} violations, the first of them:\n{}", violations.len(), first.join("\n"));
    assert!(node.stop().success());
}

/// Starts the node, lets it work, and kills it: at a named point, or at a random moment.
async fn one_life(folder: &Path, load: &Load, kill: usize, dice: &mut StdRng) {
    let point = POINTS.get(kill % (POINTS.len() + POINTS.len() / 2));
    let at = point.map(|point| format!("{point}:{}", dice.random_range(20..150)));
    let environment: Vec<(&str, &str)> = at.iter().map(|at| ("BOBBINET_CRASH_AT", at.as_str())).collect();
    let mut node = match Node::start(folder, &environment) {
        Ok(node) => node,
        // While it took up what the life before left.
        Err(DiedEarly(status)) => {
            assert_eq!(status.signal(), Some(9), "{}", log_of(folder));
            return;
        }
    };
    // A node can also die while it is asked for a token.
    load.meet(node.agent("ledger"));
    if let Some(at) = at {
        let status = tokio::task::block_in_place(|| node.wait_for_death(SETTLE));
        let status = status.unwrap_or_else(|| panic!("the node never came to {at}"));
        assert_eq!(status.signal(), Some(9), "{}", log_of(folder));
    } else {
        tokio::time::sleep(Duration::from_millis(dice.random_range(50..2_000))).await;
    }
    load.part();
    node.kill();
}

fn configure(folder: &Path) {
    let server = repository("tests/fixtures/ledger.py");
    let ledger = folder.join("ledger.jsonl");
    let config = format!(
        "node: {{ listen: \"127.0.0.1:0\", data: ./data }}\n\
         agents:\n  ledger:\n    mcp: {{ command: [python3, {server:?}, {ledger:?}] }}\n    slots: {MAX_CONCURRENCY}\n    \
         effects: {{ look: read-only, set: idempotent, put: keyed, post: at-most-once }}\n"
    );
    std::fs::write(folder.join("bobbinet.yaml"), config).unwrap();
}

fn executions(folder: &Path) -> Vec<Execution> {
    let text = std::fs::read_to_string(folder.join("ledger.jsonl")).unwrap();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .map(|line| Execution {
            tool: Tool::parse(line["tool"].as_str().unwrap()).unwrap(),
            work: line["id"].as_str().unwrap().to_owned(),
        })
        .collect()
}

fn report(history: &History) {
    let count = |state: &str| history.tasks.values().filter(|known| *known == state).count();
    eprintln!(
        "crash loop: {} tasks, {} completed, {} ask, {} executions, {} streams with {} events",
        history.tasks.len(),
        count("TASK_STATE_COMPLETED"),
        count("TASK_STATE_INPUT_REQUIRED"),
        history.executions.len(),
        history.heard.len(),
        history.heard.iter().map(|heard| heard.events.len()).sum::<usize>(),
    );
}
