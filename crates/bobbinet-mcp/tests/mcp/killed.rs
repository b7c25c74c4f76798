//! A server that somebody kills between two calls: nobody is asked what became of a call that it cannot have seen.

use std::{process::Command, time::Duration};

use crate::lab::{self, Lab, PATIENCE, limits, say, view};

/// Whether a process has anything open still: until all of its threads have ended.
fn is_alive(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).map_or(0, Iterator::count);
    stat.rsplit_once(") ").is_some_and(|(_, rest)| threads > 1 || !rest.starts_with(['Z', 'X']))
}

#[tokio::test]
async fn the_call_after_a_kill_is_made_however_soon_it_comes_and_whatever_its_tool_may_do() {
    let lab = Lab::with(&["till"], limits(), |config| {
        lab::command(config).args[0] = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/till_server.py").to_owned();
        config.effects.clear();
        config.limits.deaths_max = 100;
    })
    .await
    .ready()
    .await;
    for pause in [0, 1, 2, 5, 10, 50, 100, 300] {
        let who = view(&lab.send("till", say("who")).await);
        let process = who.strip_prefix("completed: ").unwrap().to_owned();
        assert!(Command::new("kill").args(["-9", &process]).status().unwrap().success());
        tokio::time::timeout(PATIENCE, async {
            while is_alive(&process) {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        })
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        // Nobody has said that this may run twice.
        let counted = view(&lab.send("till", say("count")).await);
        assert_eq!(counted, "completed: 1", "{pause} ms after the kill");
    }
    lab.close().await;
}
