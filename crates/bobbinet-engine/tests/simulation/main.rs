//! The whole engine in simulated time: processes die, the store fails, callers come and go, and nothing that was
//! promised may break. One seed is one transcript.
//!
//! `BOBBINET_SEED=n` lives through one world and prints its transcript; `BOBBINET_SEEDS=n` lives through that many. The
//! first is 0, so that everybody tests the same; with `BOBBINET_LONG` set it is another each day.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod agent;
mod checker;
mod client;
#[path = "../common/counter.rs"]
mod counter;
mod counters;
mod counters_checked;
mod disk;
mod doubt;
mod faults;
mod history;
mod planted;
mod scene;
mod world;

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use planted::Plant;
use world::{Lived, catch_panics, live};

/// How many worlds the normal tests live through.
const SEEDS: u64 = 1_000;

/// More than any run lives through: the worlds of one day are none of another's.
const SEEDS_PER_DAY: u64 = 1_000_000;

/// The first world of today.
#[expect(clippy::disallowed_methods, reason = "which worlds are lived through is no world's business")]
fn todays_first() -> u64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since_epoch.as_secs() / (24 * 60 * 60) * SEEDS_PER_DAY
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

fn print(seed: u64, lived: &Lived) -> String {
    let broken: Vec<_> = lived
        .violations
        .iter()
        .take(5)
        .map(|violation| format!("  {:?}: {}", violation.promise, violation.detail))
        .collect();
    format!("BOBBINET_SEED={seed}\n{}", broken.join("\n"))
}

#[test]
fn what_is_promised_holds_in_every_world() {
    catch_panics();
    if let Some(seed) = from_environment("BOBBINET_SEED") {
        let lived = live(seed, Plant::Nothing, true);
        println!("{}\nfingerprint {:016x}", lived.transcript.join("\n"), lived.fingerprint);
        assert!(lived.violations.is_empty(), "{}", print(seed, &lived));
        return;
    }
    let seeds = from_environment("BOBBINET_SEEDS").unwrap_or(SEEDS);
    let first = if std::env::var_os("BOBBINET_LONG").is_some() { todays_first() } else { 0 };
    println!("{seeds} worlds from BOBBINET_SEED={first} on");
    let (next, broken) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    let (tasks, runs, deaths) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (by_one, by_more) = (AtomicU64::new(0), AtomicU64::new(0));
    let (shared, takeovers, changes) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let lived = live(seed, Plant::Nothing, false);
                    tasks.fetch_add(lived.history.logs.len() as u64, Ordering::Relaxed);
                    deaths.fetch_add(lived.history.deaths.len() as u64, Ordering::Relaxed);
                    runs.fetch_add(lived.history.executions.len() as u64, Ordering::Relaxed);
                    shared.fetch_add(u64::from(lived.history.is_shared), Ordering::Relaxed);
                    takeovers.fetch_add(checker::takeovers(&lived.history), Ordering::Relaxed);
                    let (one, more) = checker::reads_by_commits(&lived.history);
                    by_one.fetch_add(one, Ordering::Relaxed);
                    by_more.fetch_add(more, Ordering::Relaxed);
                    changes.fetch_add(lived.history.changes.len() as u64, Ordering::Relaxed);
                    if !lived.violations.is_empty() {
                        let mut promises: Vec<_> = lived.violations.iter().map(|violation| violation.promise).collect();
                        promises.sort_unstable();
                        promises.dedup();
                        println!("seed {seed}: {promises:?}");
                        broken.lock().unwrap().push((seed, print(seed, &lived)));
                    }
                }
            });
        }
    });
    println!("{seeds} worlds: {tasks:?} tasks, {runs:?} runs, {deaths:?} processes, {changes:?} changes of counters");
    println!(
        "{shared:?} of them of several processes at a time, {takeovers:?} runs taken over from one that did not know"
    );
    println!("{by_one:?} reads were kept by one commit, {by_more:?} whose callers waited alike by more");
    let (by_one, by_more) = (by_one.into_inner(), by_more.into_inner());
    assert!(seeds < SEEDS || by_one.min(by_more) > seeds / 10, "one of the two ways is hardly gone");
    let mut broken = broken.into_inner().unwrap();
    broken.sort();
    let shown: Vec<_> = broken.iter().take(10).map(|(_, text)| text.as_str()).collect();
    assert!(broken.is_empty(), "{} of {seeds} worlds from {first} on are broken:\n{}", broken.len(), shown.join("\n"));
}

#[test]
fn one_seed_is_one_transcript() {
    catch_panics();
    for seed in 0..20 {
        let once = live(seed, Plant::Nothing, false).fingerprint;
        assert_eq!(once, live(seed, Plant::Nothing, false).fingerprint, "seed {seed} is not repeatable");
    }
}
