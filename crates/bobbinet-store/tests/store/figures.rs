//! How fast the embedded store is: not promises but figures, so they are run by hand.
//! `cargo test -p bobbinet-store --test store -- --ignored --nocapture figures`

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bobbinet_store::{
    Commit, Cursor, Durability, Query, Scope, SledOptions, SledStore, Step, Store, Summary, Timestamp, Version,
    conformance::{record, stream},
};
use nix::sys::resource::{UsageWho, getrusage};

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1_000))
        .sum()
}

fn summary(number: u64, state: u8) -> Summary {
    Summary {
        tenant: "default".into(),
        owner: format!("owner-{}", number % 10).into(),
        agent: format!("agent-{}", number % 5).into(),
        context: format!("01939f3c-7d2e-7000-8000-{number:012}").into(),
        state,
        status_at: Timestamp::from_millis(1_795_000_000_000 + number),
        due: Some(Timestamp::from_millis(1_795_000_000_000 + number + 1_000_000)),
    }
}

/// A task as the engine keeps one: taken in and begun, then ended, in two commits.
async fn task(store: &SledStore, number: u64) {
    let id = stream(&format!("t0123456789{number:06}"));
    let step = |expected, records: usize, state| Step {
        stream: id.clone(),
        expected: Version(expected),
        records: vec![record(vec![b'x'; 250]); records],
        cells: Vec::new(),
        summary: Some(summary(number, state)),
    };
    store.commit(Commit::of(step(0, 3, 1))).await.unwrap();
    store.commit(Commit::of(step(3, 2, 2))).await.unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
#[ignore = "figures, not promises"]
fn commits() {
    for durability in [Durability::Power, Durability::Process] {
        for callers in [1, 8, 64, 256] {
            let folder = tempfile::tempdir_in("/var/tmp").unwrap();
            let options = SledOptions { durability, ..SledOptions::new(folder.path()) };
            let store = Arc::new(SledStore::open(options).unwrap());
            let tasks = if callers == 1 { 2_000 } else { 40_000 };
            let (begun, used) = (Instant::now(), cpu());
            runtime().block_on(async {
                let mut running = tokio::task::JoinSet::new();
                for caller in 0..callers {
                    let store = store.clone();
                    running.spawn(async move {
                        for number in (caller..tasks).step_by(callers as usize) {
                            task(&store, number).await;
                        }
                    });
                }
                running.join_all().await;
            });
            let commits = 2.0 * tasks as f64;
            let (took, used) = (begun.elapsed(), cpu() - used);
            println!(
                "{durability:?}, {callers} callers: {:.0} commits/s, {:.1} µs of CPU each",
                commits / took.as_secs_f64(),
                used.as_secs_f64() * 1e6 / commits
            );
        }
    }
}

#[test]
#[ignore = "figures, not promises"]
fn reads() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let options = SledOptions { durability: Durability::None, ..SledOptions::new(folder.path()) };
    let runtime = runtime();
    let mut kept = 0;
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4 / 1024
    };
    for tasks in [1_000, 10_000, 100_000] {
        let store = Arc::new(SledStore::open(options.clone()).unwrap());
        runtime.block_on(async {
            let mut running = tokio::task::JoinSet::new();
            for caller in 0..64 {
                let store = store.clone();
                running.spawn(async move {
                    for number in (kept + caller..tasks).step_by(64) {
                        task(&store, number).await;
                    }
                });
            }
            running.join_all().await;
        });
        kept = tasks;
        drop(store);
        let begun = Instant::now();
        let store = SledStore::open(options.clone()).unwrap();
        println!("{tasks} tasks: opened in {:?}, {} MiB resident", begun.elapsed(), resident());
        runtime.block_on(async {
            let time = async |what: &str, work: &dyn AsyncWork| {
                const TIMES: u32 = 2_000;
                let begun = Instant::now();
                for number in 0..TIMES {
                    work.run(&store, u64::from(number) * 7919 % tasks).await;
                }
                println!("  {what}: {:.1} µs", begun.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES));
            };
            let all = Query { tenant: "default".to_owned(), page_size: 50, ..Query::default() };
            let second = store.list(&all).await.unwrap().next();
            time("load", &Load).await;
            time("list all", &List(all.clone())).await;
            time("list all, second page", &List(Query { page_token: second, ..all.clone() })).await;
            time("list owner", &List(Query { owner: Some("owner-3".to_owned()), ..all.clone() })).await;
            time("list agent", &List(Query { agent: Some("agent-3".to_owned()), ..all.clone() })).await;
            time("list state", &List(Query { state: Some(2), ..all.clone() })).await;
            let since = Some(Timestamp::from_millis(1_795_000_000_500));
            time("list since", &List(Query { status_since: since, ..all.clone() })).await;
            time("due", &Due).await;
            time("tail", &Tail).await;
        });
    }
}

/// How large the data file becomes when tasks come and go, and a reader's mark moves all the time.
#[test]
#[ignore = "figures, not promises"]
fn churn() {
    const KEPT: u64 = 2_000;
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let options = SledOptions { durability: Durability::Process, ..SledOptions::new(folder.path()) };
    let store = Arc::new(SledStore::open(options).unwrap());
    runtime().block_on(async {
        for round in 0..10 {
            let mut running = tokio::task::JoinSet::new();
            for caller in 0..64 {
                let store = store.clone();
                running.spawn(async move {
                    for number in (round * 10_000 + caller..(round + 1) * 10_000).step_by(64) {
                        task(&store, number).await;
                        let id = |number: u64| stream(&format!("t0123456789{number:06}"));
                        store.mark(&id(number), "reader", Version(5)).await.unwrap();
                        if let Some(old) = number.checked_sub(KEPT) {
                            store.forget(&id(old)).await.unwrap();
                        }
                    }
                });
            }
            running.join_all().await;
            let size = std::fs::metadata(folder.path().join("log/db")).unwrap().len();
            println!("{} tasks have come, {KEPT} are kept: {} MiB of data", (round + 1) * 10_000, size >> 20);
        }
    });
}

#[async_trait::async_trait]
trait AsyncWork: Sync {
    async fn run(&self, store: &SledStore, number: u64);
}

struct Load;
struct List(Query);
struct Due;
struct Tail;

#[async_trait::async_trait]
impl AsyncWork for Load {
    async fn run(&self, store: &SledStore, number: u64) {
        let loaded = store.load(&stream(&format!("t0123456789{number:06}"))).await.unwrap().unwrap();
        assert_eq!(loaded.records.len(), 5);
    }
}

#[async_trait::async_trait]
impl AsyncWork for List {
    async fn run(&self, store: &SledStore, _: u64) {
        assert!(!store.list(&self.0).await.unwrap().entries.is_empty());
    }
}

#[async_trait::async_trait]
impl AsyncWork for Due {
    async fn run(&self, store: &SledStore, _: u64) {
        assert_eq!(store.due(Timestamp::MAX, 50).await.unwrap().len(), 50);
    }
}

#[async_trait::async_trait]
impl AsyncWork for Tail {
    async fn run(&self, store: &SledStore, number: u64) {
        assert!(!store.tail(&Scope::default(), Cursor(number), 50).await.unwrap().entries.is_empty());
    }
}
