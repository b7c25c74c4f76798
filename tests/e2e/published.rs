//! Published MCP servers from npm and PyPI as agents of one node: each lists its tools, does a call, has one canceled, is killed with
//! `kill -9`, and does the next call as if nothing had been. None of them is told that it is wrapped.

mod run;
mod servers;
mod web;

use std::{sync::Arc, time::Instant};

use tokio::{sync::Semaphore, task::JoinSet};

use self::{run::Wrapped, servers::SERVERS, web::Web};

/// How many servers are tried at a time: each start of one is half a second to two of a core.
const AT_A_TIME: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_servers_list_call_cancel_and_come_back_from_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let web = Web::start();
    let faults: Vec<String> = SERVERS.iter().filter_map(|server| server.missing()).collect();
    assert!(faults.is_empty(), "not installed as the table has it: cargo xtask tools\n{}", faults.join("\n"));
    let (node, servers) = run::start(folder.path(), &web);
    let turns = Arc::new(Semaphore::new(AT_A_TIME));
    let mut tried = JoinSet::new();
    for wrapped in servers {
        let turns = turns.clone();
        tried.spawn(async move {
            let _turn = turns.acquire_owned().await.unwrap();
            let (begun, name) = (Instant::now(), wrapped.server.name);
            let said = wrapped.check().await;
            eprintln!("{name}: {:.1} s", begun.elapsed().as_secs_f64());
            said.err().map(|fault| format!("{name} ({}): {fault}", wrapped.server.package))
        });
    }
    let mut faults = Vec::new();
    while let Some(fault) = tried.join_next().await {
        faults.extend(fault.unwrap());
    }
    faults.sort();
    assert!(faults.is_empty(), "{}\n{}", faults.join("\n"), crate::node::log_of(folder.path()));
    assert!(node.stop().success());
}

#[test]
fn the_table_has_fifteen_packages_over_each_transport() {
    let packages: std::collections::BTreeSet<&str> = SERVERS.iter().map(|server| server.package).collect();
    assert!(packages.len() >= 15, "{packages:?}");
    assert!(SERVERS.iter().filter(|server| Wrapped::is_http(server)).count() >= 4);
}
