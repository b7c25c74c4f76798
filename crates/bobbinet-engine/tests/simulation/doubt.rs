//! A claim that was kept although the store could not say so: its call has not been made, so it is made, and nobody is asked.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_core::{
    AgentName, Call, Caller, Description, Effect, Event, Limits, Message, MessageId, Outcome, Part, Plan, Principal,
    Role, State, StreamId, Tenant, Timestamp, task::CallOutcome,
};
use bobbinet_engine::{Agent, AllowAll, Engine, NewTask, Request, Run, Setup, SystemEnv, decode};
use bobbinet_store::{
    Cell, Census, Commit, CommitError, Cursor, Key, Listing, Loaded, MemoryStore, Page, Query, Scope, Store,
    StoreError, Summary, Tail, Version,
};

/// Keeps the commits of these numbers, from 1, or not, and cannot say so.
#[derive(Debug)]
struct Vague {
    memory: MemoryStore,
    commits: AtomicUsize,
    kept: &'static [usize],
    lost: &'static [usize],
}

#[async_trait]
impl Store for Vague {
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let number = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
        let vague = || Err(CommitError::Unavailable("a simulated fault".to_owned()));
        if self.lost.contains(&number) {
            return vague();
        }
        self.memory.commit(commit).await?;
        if self.kept.contains(&number) { vague() } else { Ok(()) }
    }

    fn is_shared(&self) -> bool {
        self.memory.is_shared()
    }

    async fn summary(&self, id: &StreamId) -> Result<Option<(Version, Summary)>, StoreError> {
        self.memory.summary(id).await
    }

    async fn load(&self, id: &StreamId) -> Result<Option<Loaded>, StoreError> {
        self.memory.load(id).await
    }

    async fn read(&self, id: &StreamId, after: Version, limit: usize) -> Result<Page, StoreError> {
        self.memory.read(id, after, limit).await
    }

    async fn cells(&self, id: &StreamId, prefix: &Key, at: Version) -> Result<Vec<Cell>, StoreError> {
        self.memory.cells(id, prefix, at).await
    }

    async fn list(&self, query: &Query) -> Result<Listing, StoreError> {
        self.memory.list(query).await
    }

    async fn census(&self) -> Result<Vec<Census>, StoreError> {
        self.memory.census().await
    }

    async fn due(&self, before: Timestamp, limit: usize) -> Result<Vec<(StreamId, Summary)>, StoreError> {
        self.memory.due(before, limit).await
    }

    async fn tail(&self, scope: &Scope, after: Cursor, limit: usize) -> Result<Tail, StoreError> {
        self.memory.tail(scope, after, limit).await
    }

    async fn changed(&self, id: &StreamId, after: Version) {
        self.memory.changed(id, after).await;
    }

    async fn mark(&self, id: &StreamId, reader: &str, at: Version) -> Result<(), StoreError> {
        self.memory.mark(id, reader, at).await
    }

    async fn marks(&self, id: &StreamId) -> Result<Vec<(String, Version)>, StoreError> {
        self.memory.marks(id).await
    }

    async fn trim(&self, id: &StreamId, before: Version) -> Result<(), StoreError> {
        self.memory.trim(id, before).await
    }

    async fn forget(&self, id: &StreamId) -> Result<(), StoreError> {
        self.memory.forget(id).await
    }

    fn health(&self) -> Result<(), String> {
        Ok(())
    }
}

/// A tool that must not run twice, and counts how often it did.
#[derive(Debug, Default)]
struct Once(AtomicUsize);

#[async_trait]
impl Agent for Once {
    fn describe(&self) -> Arc<Description> {
        unreachable!("nobody looks at its card here")
    }

    fn prepare(&self, _: &Request<'_>) -> Plan {
        Plan::Call(Arc::new(Call::of_message(Effect::AtMostOnce)))
    }

    fn max_concurrency(&self) -> usize {
        1
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, _: Run) -> Outcome {
        self.0.fetch_add(1, Ordering::Relaxed);
        // Long enough for the next task to stand in line.
        tokio::time::sleep(Duration::from_millis(100)).await;
        Outcome::Completed { artifacts: Vec::new(), message: None }
    }

    async fn shutdown(&self) {}
}

/// Submits so many tasks; gives how each has ended or asks, in the order of the list, and how often the tool has run.
async fn check(tasks: usize, kept: &'static [usize], lost: &'static [usize], expected: &[&str], runs: usize) {
    let store = Arc::new(Vague { memory: MemoryStore::new(), commits: AtomicUsize::new(0), kept, lost });
    let (once, name) = (Arc::new(Once::default()), AgentName::parse("once").unwrap());
    let setup = Setup {
        store: store.clone(),
        agents: BTreeMap::from([(name.clone(), once.clone() as Arc<dyn Agent>)]),
        env: Arc::new(SystemEnv),
        limits: Limits::default(),
        authorizer: Arc::new(AllowAll),
    };
    let engine = Engine::open(setup).await.unwrap();
    let caller = Caller {
        principal: Principal::parse("ann").unwrap(),
        tenant: Tenant::parse("main").unwrap(),
        is_node_owner: true,
        scopes: Vec::new(),
        chain: Vec::new(),
        issuer: None,
        claims: None,
    };
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            let message = Message::from_agent(MessageId::parse("m").unwrap(), vec![Part::text("go")]);
            let message = Message { role: Role::User, ..message };
            let new = NewTask { message, context: None, skill: None, trace: None, idempotency: None };
            engine.submit(&caller, &name, new).unwrap()
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let mut came_to = Vec::new();
    for handle in handles {
        let Some(loaded) = store.memory.load(&handle.id().stream()).await.unwrap() else {
            came_to.push("nothing");
            continue;
        };
        let events: Vec<_> =
            loaded.records.iter().map(|record| decode::<Event>(record).unwrap().event.clone()).collect();
        let intents = events.iter().filter(|event| matches!(event, Event::Intended { .. })).count();
        let not_made = |event: &&Event| matches!(event, Event::Settled { outcome: CallOutcome::NotMade, .. });
        assert_eq!(intents, 1 + events.iter().filter(not_made).count(), "{events:?}");
        let end =
            events.iter().find_map(|event| if let Event::Ended { state, .. } = event { Some(*state) } else { None });
        let asks = events.iter().any(|event| matches!(event, Event::Asked { .. }));
        came_to.push(if asks { "asks" } else { end.map_or("nobody's", State::as_str) });
    }
    assert_eq!((came_to.as_slice(), once.0.load(Ordering::Relaxed)), (expected, runs), "kept {kept:?}, lost {lost:?}");
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_certainly_not_made_is_made() {
    check(1, &[], &[], &["completed"], 1).await;
    // The submission with its claim: the caller was told that it is not known, and it goes on all the same.
    check(1, &[1], &[], &["completed"], 1).await;
    check(1, &[], &[1], &["nothing"], 0).await;
    // The outcome, known only to the run, which keeps it in the end.
    check(1, &[2], &[], &["completed"], 1).await;
    check(1, &[1, 2], &[], &["completed"], 1).await;
    check(1, &[1], &[2, 3, 4], &["completed"], 1).await;
    // The claim of a task that has stood in line: kept, lost, and lost and then kept.
    check(2, &[4], &[], &["completed", "completed"], 2).await;
    check(2, &[], &[4], &["completed", "completed"], 2).await;
    check(2, &[5], &[4], &["completed", "completed"], 2).await;
}
