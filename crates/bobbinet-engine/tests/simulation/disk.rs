//! The store: one disk that survives every process, and each process's faulty access to it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bobbinet_core::{Event, StreamId, TaskId, Timestamp};
use bobbinet_engine::{Aggregate, decode};
use bobbinet_store::{
    Cell, Census, Commit, CommitError, Cursor, Key, Listing, Loaded, MemoryStore, Page, Query, Scope, Store,
    StoreError, Summary, Tail, Version,
};
use futures::FutureExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    counter::{self, Counter, CounterId},
    history::{Forgotten, LeaseWord, Logged, Moment},
    planted::Plant,
    scene::{Process, Scene},
};

#[derive(Debug)]
pub(crate) struct Disk {
    scene: Arc<Scene>,
    memory: MemoryStore,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_flight: u64,
    /// Commits that are on their way to the disk, with the process that sent them.
    in_flight: BTreeMap<u64, (u32, Commit)>,
    /// Since when each record is durable, and who kept it.
    durable: BTreeMap<StreamId, Vec<(Moment, u32)>>,
    /// The logs of tasks that were forgotten.
    forgotten: BTreeMap<TaskId, Vec<Logged>>,
}

/// One process's access.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) disk: Arc<Disk>,
    pub(crate) process: Arc<Process>,
}

impl Disk {
    pub(crate) fn new(scene: &Arc<Scene>) -> Arc<Self> {
        let memory = if scene.nature.processes > 1 { MemoryStore::shared() } else { MemoryStore::new() };
        Arc::new(Self { scene: scene.clone(), memory, state: Mutex::default() })
    }

    fn send(&self, process: u32, commit: Commit) -> u64 {
        let mut state = self.state.lock().unwrap();
        state.last_flight += 1;
        let number = state.last_flight;
        state.in_flight.insert(number, (process, commit));
        number
    }

    /// The commit reaches the disk. `None` if its process died before.
    fn land(&self, number: u64) -> Option<Result<(), CommitError>> {
        let (process, commit) = self.state.lock().unwrap().in_flight.remove(&number)?;
        Some(self.keep(process, commit))
    }

    fn keep(&self, process: u32, mut commit: Commit) -> Result<(), CommitError> {
        self.scene.plant.spoil(&self.scene, &mut commit);
        if self.scene.plant == Plant::IgnoresVersions {
            for step in &mut commit.steps {
                let loaded = self.memory.load(&step.stream).now_or_never().expect("memory does not wait").unwrap();
                step.expected = loaded.map_or(Version::ZERO, |loaded| loaded.version);
            }
        }
        let grown: Vec<_> = commit.steps.iter().map(|step| (step.stream.clone(), step.records.clone())).collect();
        let result = self.memory.commit(commit).now_or_never().expect("memory does not wait");
        if result.is_ok() {
            let moment = self.scene.moment();
            let mut state = self.state.lock().unwrap();
            for (stream, records) in grown {
                for record in &records {
                    let body = String::from_utf8_lossy(&record.body);
                    self.scene.note(format_args!("process {process} keeps {stream} {body}"));
                }
                if let Some(runner) = stream.as_runner() {
                    let is_end = |record| decode::<Value>(record).unwrap().event == "Ended";
                    let words =
                        records.iter().map(|record| LeaseWord { durable: moment, process, is_end: is_end(record) });
                    self.scene.history().leases.entry(runner).or_default().extend(words);
                }
                state.durable.entry(stream).or_default().extend(records.iter().map(|_| (moment, process)));
            }
        }
        result
    }

    /// A process dies: what it has sent reaches the disk now, or never.
    pub(crate) fn cut_off(&self, process: u32) {
        let sent = std::mem::take(&mut self.state.lock().unwrap().in_flight);
        for (number, (sender, commit)) in sent {
            if sender != process {
                self.state.lock().unwrap().in_flight.insert(number, (sender, commit));
            } else if self.scene.happens(50) {
                // A conflict is nobody's business any more.
                let _ = self.keep(sender, commit);
            }
        }
    }

    /// All tasks' logs.
    pub(crate) async fn logs(&self) -> BTreeMap<TaskId, Vec<Logged>> {
        let streams: Vec<_> = self.state.lock().unwrap().durable.keys().cloned().collect();
        let mut logs = self.state.lock().unwrap().forgotten.clone();
        for stream in streams {
            let Some(task) = stream.as_task() else { continue };
            let Some(log) = self.log(&stream).await else { continue };
            logs.insert(task, log);
        }
        logs
    }

    /// All counters' logs.
    pub(crate) async fn counters(&self) -> BTreeMap<CounterId, Vec<Logged<counter::Event>>> {
        let streams: Vec<_> = self.state.lock().unwrap().durable.keys().cloned().collect();
        let mut logs = BTreeMap::new();
        for stream in streams {
            let Some(id) = Counter::id_of(&stream) else { continue };
            logs.insert(id, self.log(&stream).await.unwrap_or_default());
        }
        logs
    }

    async fn log<E: Clone + DeserializeOwned>(&self, stream: &StreamId) -> Option<Vec<Logged<E>>> {
        let loaded = self.memory.load(stream).await.unwrap()?;
        let durable = self.state.lock().unwrap().durable[stream].clone();
        let log = loaded.records.iter().zip(durable).map(|(record, (durable, process))| {
            let kept = decode::<E>(record).unwrap();
            Logged {
                durable,
                process,
                at: kept.at,
                generation: kept.generation.map(|generation| generation.0),
                event: kept.event.clone(),
                bytes: record.body.to_vec(),
            }
        });
        Some(log.collect())
    }

    /// A process drops a task. What stood in its log is remembered here alone, for the checker.
    async fn forget(&self, process: u32, stream: &StreamId) -> Result<(), StoreError> {
        if let Some(task) = stream.as_task()
            && let Some(log) = self.log::<Event>(stream).await
        {
            self.scene.note(format_args!("process {process} forgets {stream}"));
            let moment = self.scene.moment();
            self.scene.history().forgotten.insert(task, Forgotten { moment, process });
            self.state.lock().unwrap().forgotten.insert(task, log);
        }
        self.memory.forget(stream).await
    }

    /// Where each task stands.
    pub(crate) async fn summaries(&self) -> Vec<(TaskId, Summary)> {
        let query = Query { tenant: "tenant".to_owned(), page_size: usize::MAX, ..Query::default() };
        let listing = self.memory.list(&query).await.unwrap();
        let of_task = |(stream, _, summary): (StreamId, _, _)| Some((stream.as_task()?, summary));
        listing.entries.into_iter().filter_map(of_task).collect()
    }
}

impl Access {
    async fn read<T>(&self, read: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let scene = &self.disk.scene;
        self.process.alive().await;
        if scene.strikes(scene.nature.yields) {
            tokio::task::yield_now().await;
        }
        self.dawdle(scene.nature.read_slow).await;
        if self.process.is_cut_off() || scene.strikes(scene.nature.read_fails) {
            return Err(StoreError::Unavailable("a simulated fault".to_owned()));
        }
        let result = read.await;
        // The answer is as old as its way is long.
        self.dawdle(scene.nature.read_slow).await;
        self.process.alive().await;
        if self.process.is_cut_off() {
            return Err(StoreError::Unavailable("no answer came back".to_owned()));
        }
        result
    }

    async fn dawdle(&self, percent: u64) {
        if self.disk.scene.strikes(percent) {
            self.disk.scene.pause(self.disk.scene.nature.slow_max).await;
            self.process.alive().await;
        }
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let scene = &self.disk.scene;
        let nature = &scene.nature;
        let unavailable = || Err(CommitError::Unavailable("a simulated fault".to_owned()));
        self.process.alive().await;
        for _ in 0..3 {
            if scene.strikes(nature.yields) {
                tokio::task::yield_now().await;
            }
        }
        if self.process.is_cut_off() || scene.strikes(nature.commit_fails) {
            return unavailable();
        }
        if scene.plant.is_hasty(scene, &commit) {
            let (disk, number) = (self.disk.clone(), self.disk.send(self.process.number, commit));
            scene.later(async move {
                disk.scene.pause(disk.scene.nature.slow_max).await;
                disk.land(number);
            });
            return Ok(());
        }
        if scene.plant == Plant::LosesCommits && scene.happens(5) {
            return Ok(());
        }
        let number = self.disk.send(self.process.number, commit);
        if scene.strikes(nature.commit_slow) {
            scene.pause(nature.slow_max).await;
        }
        let Some(result) = self.disk.land(number) else {
            return std::future::pending().await;
        };
        self.dawdle(nature.commit_slow).await;
        self.process.alive().await;
        if self.process.is_cut_off() {
            return unavailable();
        }
        if result.is_ok() && scene.strikes(nature.commit_kept_but_failed) {
            return unavailable();
        }
        result
    }
}

#[async_trait]
impl Store for Access {
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.commit(commit).await
    }

    fn is_shared(&self) -> bool {
        self.disk.memory.is_shared()
    }

    async fn summary(&self, id: &StreamId) -> Result<Option<(Version, Summary)>, StoreError> {
        self.read(self.disk.memory.summary(id)).await
    }

    async fn load(&self, id: &StreamId) -> Result<Option<Loaded>, StoreError> {
        let mut loaded = self.read(self.disk.memory.load(id)).await?;
        self.disk.scene.plant.age(&self.disk.scene, &mut loaded);
        Ok(loaded)
    }

    async fn read(&self, id: &StreamId, after: Version, limit: usize) -> Result<Page, StoreError> {
        self.read(self.disk.memory.read(id, after, limit)).await
    }

    async fn cells(&self, id: &StreamId, prefix: &Key, at: Version) -> Result<Vec<Cell>, StoreError> {
        self.read(self.disk.memory.cells(id, prefix, at)).await
    }

    async fn list(&self, query: &Query) -> Result<Listing, StoreError> {
        let owner = query.owner.clone().filter(|_| self.disk.scene.plant != Plant::ListsEverybody);
        let query = Query { owner, ..query.clone() };
        let mut listing = self.read(self.disk.memory.list(&query)).await?;
        if self.disk.scene.plant == Plant::NoWelcome && query.state.is_some() {
            listing.entries.clear();
        }
        Ok(listing)
    }

    async fn census(&self) -> Result<Vec<Census>, StoreError> {
        self.read(self.disk.memory.census()).await
    }

    async fn due(&self, before: Timestamp, limit: usize) -> Result<Vec<(StreamId, Summary)>, StoreError> {
        let plant = self.disk.scene.plant;
        let mut due = self.read(self.disk.memory.due(plant.hasten(before), limit)).await?;
        due.retain(|(_, summary)| plant.lets_through(summary, before));
        Ok(due)
    }

    async fn tail(&self, scope: &Scope, after: Cursor, limit: usize) -> Result<Tail, StoreError> {
        self.read(self.disk.memory.tail(scope, after, limit)).await
    }

    async fn changed(&self, id: &StreamId, after: Version) {
        self.disk.memory.changed(id, after).await;
        self.process.alive().await;
    }

    async fn mark(&self, id: &StreamId, reader: &str, at: Version) -> Result<(), StoreError> {
        self.read(self.disk.memory.mark(id, reader, at)).await
    }

    async fn marks(&self, id: &StreamId) -> Result<Vec<(String, Version)>, StoreError> {
        self.read(self.disk.memory.marks(id)).await
    }

    async fn trim(&self, id: &StreamId, before: Version) -> Result<(), StoreError> {
        self.read(self.disk.memory.trim(id, before)).await
    }

    async fn forget(&self, id: &StreamId) -> Result<(), StoreError> {
        self.read(self.disk.forget(self.process.number, id)).await
    }

    fn health(&self) -> Result<(), String> {
        Ok(())
    }
}
