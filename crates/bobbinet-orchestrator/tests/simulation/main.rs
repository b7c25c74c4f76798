//! Flows by chance, whose process dies by chance: in virtual time, from a seed, so that what was found is found again.
//!
//! `BOBBINET_SEEDS=N` lives through more worlds, `BOBBINET_SEED=N` through one. Each world runs some flows over tools whose effects are
//! written down outside of every process; processes are dropped in the middle of whatever they do, commits are lost or kept without a
//! word, and in the end each flow must have given what its steps give, with no effect made twice that must not be.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod disk;
mod flows;
mod tools;
mod world;

use disk::Plant;
use world::live;

/// Worlds of the short form.
const SEEDS: u64 = 150;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn flows_come_to_the_same_end_whatever_dies_when() {
    let seeds = match number("BOBBINET_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BOBBINET_SEEDS").unwrap_or(SEEDS),
    };
    let (mut flows, mut lives, mut executions) = (0, 0, 0);
    for seed in seeds {
        let lived = live(seed, Plant::None);
        assert!(lived.wrong.is_empty(), "BOBBINET_SEED={seed}:\n{}", lived.wrong.join("\n"));
        flows += lived.flows;
        lives += lived.lives;
        executions += lived.executions;
    }
    eprintln!("{flows} flows in {lives} processes, {executions} executions of tools");
}

/// Whoever breaks what the runs rely on is found out.
#[test]
fn planted_bugs_are_caught() {
    for plant in [Plant::ChildrenLost, Plant::RecordsLost, Plant::KeysForgotten] {
        let caught = (0..60).find(|seed| !live(*seed, plant).wrong.is_empty());
        assert!(caught.is_some(), "{plant:?} was not caught");
        eprintln!("{plant:?} was caught with seed {}", caught.unwrap());
    }
}

#[test]
fn a_seed_is_the_same_world_every_time() {
    for seed in 0..5 {
        let (first, second) = (live(seed, Plant::None), live(seed, Plant::None));
        assert_eq!(
            (first.lives, first.executions, first.flows),
            (second.lives, second.executions, second.flows),
            "{seed}"
        );
    }
}
