//! The embedded store against the one in memory: the same operations, the same answers, also after being opened again.

use bobbinet_store::{
    Commit, Cursor, Durability, Idempotency, Key, MemoryStore, Query, Scope, SledOptions, SledStore, Step, Store,
    Summary, Timestamp, Version,
    conformance::{record, stream},
};
use bytes::Bytes;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Act {
    /// Steps on some streams; of each whether the writer is right about its version.
    Commit(Vec<Change>, Option<u8>),
    Trim(u8, u64),
    Forget(u8),
    Mark(u8, u8, u64),
    Open,
}

#[derive(Clone, Debug)]
struct Change {
    stream: u8,
    is_late: bool,
    records: usize,
    size: usize,
    cells: Vec<(u8, Option<u8>)>,
    summary: Option<(u8, u8, u8, u8, u64, Option<u64>)>,
}

fn change() -> impl Strategy<Value = Change> {
    let summary = (0..3u8, 0..3u8, 0..4u8, 0..4u8, 0..6u64, proptest::option::of(0..6u64));
    let size = prop_oneof![8 => 0..200usize, 2 => 2_000..4_000usize, 1 => 60_000..70_000usize];
    (
        0..6u8,
        proptest::bool::weighted(0.05),
        prop_oneof![8 => 1..4usize, 1 => Just(0)],
        size,
        proptest::collection::vec((0..4u8, proptest::option::of(any::<u8>())), 0..3),
        proptest::option::of(summary),
    )
        .prop_map(|(stream, is_late, records, size, cells, summary)| Change {
            stream,
            is_late,
            records,
            size,
            cells,
            summary,
        })
}

fn act() -> impl Strategy<Value = Act> {
    let commit = (proptest::collection::vec(change(), 1..4), proptest::option::of(0..3u8));
    prop_oneof![
        20 => commit.prop_map(|(changes, key)| Act::Commit(changes, key)),
        2 => (0..6u8, 0..12u64).prop_map(|(stream, before)| Act::Trim(stream, before)),
        3 => (0..6u8).prop_map(Act::Forget),
        2 => (0..6u8, 0..2u8, 0..3u64).prop_map(|(stream, reader, at)| Act::Mark(stream, reader, at)),
        1 => Just(Act::Open),
    ]
}

fn id(stream_number: u8) -> bobbinet_store::StreamId {
    stream(&format!("s{stream_number}"))
}

async fn commit(memory: &MemoryStore, changes: Vec<Change>, key: Option<u8>, now: u64) -> Commit {
    let mut steps: Vec<Step> = Vec::new();
    for change in changes {
        if steps.iter().any(|step| step.stream == id(change.stream)) {
            continue;
        }
        let actual = memory.load(&id(change.stream)).await.unwrap().map_or(0, |loaded| loaded.version.0);
        let guards = change.records == 0;
        let text = |kind: &str, number: u8| format!("{kind}{number}");
        let summary =
            change.summary.filter(|_| !guards).map(|(owner, agent, context, state, status_at, due)| Summary {
                tenant: "acme".into(),
                owner: text("o", owner).into(),
                agent: text("a", agent).into(),
                context: text("c", context).into(),
                state,
                status_at: Timestamp::from_millis(status_at),
                due: due.map(Timestamp::from_millis),
            });
        let mut cells: Vec<(Key, Option<Bytes>)> = Vec::new();
        for (name, value) in change.cells.into_iter().filter(|_| !guards) {
            let key = Key(Bytes::from(vec![name; usize::from(name)]));
            if cells.iter().all(|(known, _)| *known != key) {
                cells.push((key, value.map(|value| Bytes::from(vec![value; change.size]))));
            }
        }
        steps.push(Step {
            stream: id(change.stream),
            expected: Version(actual + u64::from(change.is_late)),
            records: (0..change.records).map(|at| record(vec![at as u8; change.size])).collect(),
            cells,
            summary,
        });
    }
    let idempotency = key.map(|key| Idempotency {
        scope: "s".to_owned(),
        key: key.to_string(),
        body_hash: [key; 32],
        expires: Timestamp::from_millis(now + 5),
        now: Timestamp::from_millis(now),
    });
    Commit { steps, idempotency }
}

fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for owner in [None, Some("o1")] {
        for agent in [None, Some("a2")] {
            for context in [None, Some("c0")] {
                for state in [None, Some(1)] {
                    for since in [None, Some(3)] {
                        queries.push(Query {
                            tenant: "acme".into(),
                            owner: owner.map(str::to_owned),
                            agent: agent.map(str::to_owned),
                            context: context.map(str::to_owned),
                            state,
                            status_since: since.map(Timestamp::from_millis),
                            page_size: 2,
                            page_token: None,
                        });
                    }
                }
            }
        }
    }
    queries
}

/// Everything that can be asked.
async fn compare(memory: &MemoryStore, sled: &SledStore) {
    for number in 0..6 {
        let id = id(number);
        let loaded = memory.load(&id).await.unwrap();
        assert_eq!(sled.load(&id).await.unwrap(), loaded);
        let version = loaded.as_ref().map_or(0, |loaded| loaded.version.0);
        let trimmed = loaded.map_or(0, |loaded| loaded.trimmed.0);
        for after in 0..=version + 1 {
            let page = memory.read(&id, Version(after), 3).await.unwrap();
            assert_eq!(sled.read(&id, Version(after), 3).await.unwrap(), page);
        }
        for at in trimmed..=version {
            let prefix = Key(Bytes::from_static(&[2]));
            for prefix in [Key::default(), prefix] {
                let cells = memory.cells(&id, &prefix, Version(at)).await.unwrap();
                assert_eq!(sled.cells(&id, &prefix, Version(at)).await.unwrap(), cells);
            }
        }
        assert_eq!(sled.marks(&id).await.unwrap(), memory.marks(&id).await.unwrap());
    }
    for query in queries() {
        let listing = memory.list(&query).await.unwrap();
        let found = sled.list(&query).await.unwrap();
        // Tokens name the number of a stream's first step, and the two stores need not count alike.
        assert_eq!((&found.entries, found.total), (&listing.entries, listing.total), "{query:?}");
        assert_eq!(found.next().is_some(), listing.next().is_some());
        if found.next().is_some() {
            let all = memory.list(&Query { page_size: 100, ..query.clone() }).await.unwrap().entries;
            let rest = Query { page_size: 100, page_token: found.next(), ..query };
            assert_eq!(sled.list(&rest).await.unwrap().entries, all[2..], "{rest:?}");
        }
    }
    for before in 0..7 {
        let before = Timestamp::from_millis(before);
        assert_eq!(sled.due(before, 4).await.unwrap(), memory.due(before, 4).await.unwrap());
    }
    for scope in [Scope::default(), Scope { tenant: None, context: Some("c1".to_owned()) }] {
        let all = async |store: &dyn Store| {
            let (mut entries, mut after) = (Vec::new(), Cursor(0));
            loop {
                let tail = store.tail(&scope, after, 3).await.unwrap();
                if tail.next == after {
                    return entries;
                }
                after = tail.next;
                // What was trimmed away may be left out.
                for entry in tail.entries {
                    let loaded = memory.load(&entry.stream).await.unwrap().unwrap();
                    if entry.version > loaded.trimmed {
                        entries.push(entry);
                    }
                }
            }
        };
        assert_eq!(all(sled).await, all(memory).await);
    }
}

async fn run(acts: Vec<Act>) {
    let folder = tempfile::tempdir().unwrap();
    let options = SledOptions { durability: Durability::Process, ..SledOptions::new(folder.path()) };
    let memory = MemoryStore::new();
    let mut sled = SledStore::open(options.clone()).unwrap();
    for (now, act) in (0..).zip(acts) {
        match act {
            Act::Commit(changes, key) => {
                let commit = commit(&memory, changes, key, now).await;
                assert_eq!(sled.commit(commit.clone()).await, memory.commit(commit).await);
            }
            Act::Trim(stream, before) => {
                sled.trim(&id(stream), Version(before)).await.unwrap();
                memory.trim(&id(stream), Version(before)).await.unwrap();
            }
            Act::Forget(stream) => {
                sled.forget(&id(stream)).await.unwrap();
                memory.forget(&id(stream)).await.unwrap();
            }
            Act::Mark(stream, reader, at) => {
                sled.mark(&id(stream), &reader.to_string(), Version(at)).await.unwrap();
                memory.mark(&id(stream), &reader.to_string(), Version(at)).await.unwrap();
            }
            Act::Open => {
                compare(&memory, &sled).await;
                drop(sled);
                sled = SledStore::open(options.clone()).unwrap();
            }
        }
    }
    compare(&memory, &sled).await;
    drop(sled);
    let report = bobbinet_store::check(folder.path()).unwrap();
    assert_eq!(report.faults, Vec::<String>::new());
    compare(&memory, &SledStore::open(options).unwrap()).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn both_stores_give_the_same_answers(acts in proptest::collection::vec(act(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(run(acts));
    }
}
