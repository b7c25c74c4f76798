//! Reading a log as it grows. A wake-up is a hint; what a follower tells comes from the log alone.

use std::{collections::VecDeque, sync::Arc};

use bobbinet_core::{Generation, Task};
use bobbinet_store::{Page, Version};

use crate::{
    Aggregate, EngineError, PublicEvent,
    commit_loop::AggregateStreams,
    live::{After, Live},
};

/// How many records a follower that is behind reads at a time, as long as they are small.
const PAGE: usize = 256;

/// How many it reads first, and again after it has met a large one.
const PAGE_MIN: usize = 8;

/// Bytes of records that a follower keeps for itself until it tells them. What is larger alone is shared with all who read it.
const BEHIND_MAX: usize = 256 << 10;

/// A reader of one aggregate's public events, from its own cursor on. It cannot fall behind, and nobody waits for it.
#[derive(Debug)]
pub struct Follower<A: Aggregate = Task> {
    streams: Arc<AggregateStreams<A>>,
    live: Arc<Live<A>>,
    cursor: Generation,
    /// Where in the log it reads when memory has not enough.
    version: Version,
    /// Read from the store, not yet told.
    behind: VecDeque<Arc<PublicEvent<A>>>,
    /// How many records to read next.
    page: usize,
    /// The large event that was told last: as long as its reader is at it, others get the same one.
    at: Option<Arc<PublicEvent<A>>>,
    /// Whether it takes a place of those that callers have.
    is_counted: bool,
}

/// Where a reader that came back goes on.
#[derive(Debug)]
pub enum Resumed {
    /// After its cursor.
    After(Follower),
    /// Its cursor is none of this log, or what follows it is gone: with the task as it stands, and what comes after that.
    Resync(Arc<Task>, Follower),
}

impl Resumed {
    /// After this cursor, if the task's log has come so far.
    pub(crate) fn at(cursor: Generation, task: Arc<Task>, follow: impl FnOnce(Generation) -> Follower) -> Self {
        if cursor > task.generation {
            let follower = follow(task.generation);
            return Self::Resync(task, follower);
        }
        Self::After(follow(cursor))
    }
}

impl<A: Aggregate> Follower<A> {
    pub(crate) fn after(streams: &Arc<AggregateStreams<A>>, live: &Arc<Live<A>>, cursor: Generation) -> Self {
        live.lock().followers += 1;
        let mut follower = Self::uncounted(streams, live, cursor);
        follower.is_counted = true;
        follower
    }

    /// A follower of the node's own, which takes nobody's place.
    pub(crate) fn uncounted(streams: &Arc<AggregateStreams<A>>, live: &Arc<Live<A>>, cursor: Generation) -> Self {
        let version = if A::IS_ALL_PUBLIC { Version(cursor.0) } else { Version::ZERO };
        Self {
            streams: streams.clone(),
            live: live.clone(),
            cursor,
            version,
            behind: VecDeque::new(),
            page: PAGE_MIN,
            at: None,
            is_counted: false,
        }
    }

    /// The next public event, or `None` after the last one. Safe to drop at any time: nothing is skipped.
    ///
    /// # Errors
    /// If the store fails where it must be read.
    pub async fn next(&mut self) -> Result<Option<Arc<PublicEvent<A>>>, EngineError> {
        self.at = None;
        loop {
            if let Some(event) = self.behind.pop_front() {
                self.cursor = event.generation;
                self.at = Some(event.clone());
                return Ok(Some(event));
            }
            let live = self.live.clone();
            let changed = live.changed.notified();
            tokio::pin!(changed);
            match live.look(self.cursor, changed.as_mut()) {
                After::Event(event) => {
                    self.cursor = event.generation;
                    return Ok(Some(event));
                }
                After::Over => return Ok(None),
                After::Behind => self.read_on().await?,
                After::Unknown => {
                    self.streams.load(&live).await?.ok_or(EngineError::NotFound)?;
                }
                After::Wait => self.streams.wait(&live, changed).await?,
            }
        }
    }

    /// Whether there is more to tell already, though it may have to be read first.
    pub fn is_behind(&self) -> bool {
        !self.behind.is_empty() || self.live.durable().is_some_and(|durable| durable.generation() > self.cursor)
    }

    async fn read_on(&mut self) -> Result<(), EngineError> {
        // Few at a time, so that many slow readers of one large event find it with the first of them.
        let _turn = self.streams.cold_reads.acquire().await;
        if let Some((version, event)) = self.live.lent_after(self.cursor) {
            self.version = version;
            self.behind.push_back(event);
            return Ok(());
        }
        // What is kept but not known here yet is not told yet: whoever was told it and asks would be shown less.
        let known = self.live.durable().map_or(self.cursor, |durable| durable.generation());
        match self.streams.store.read(&A::stream(&self.live.id), self.version, self.page).await? {
            Page::Trimmed { first } => self.version = Version(first.0 - 1),
            Page::Records(records) => {
                if records.is_empty() && self.streams.store.summary(&A::stream(&self.live.id)).await?.is_none() {
                    // It was kept long enough, and is forgotten.
                    self.live.doubt();
                    return Err(EngineError::NotFound);
                }
                if records.is_empty() {
                    return Err(EngineError::Corrupt(format!("{} is shorter than it was", self.live.id)));
                }
                let mut bytes = 0;
                self.page = PAGE;
                for record in &records {
                    let is_large = record.body.len() > BEHIND_MAX;
                    bytes += record.body.len();
                    // The rest is read again when it is wanted.
                    if bytes > BEHIND_MAX && !self.behind.is_empty() {
                        self.page = PAGE_MIN;
                        break;
                    }
                    let kept = self.streams.decode(record)?;
                    if kept.generation.is_some_and(|generation| generation > known) {
                        break;
                    }
                    self.version = self.version.plus(1);
                    if let Some(generation) = kept.generation.filter(|generation| *generation > self.cursor) {
                        let event = Arc::new(PublicEvent { generation, at: kept.at, event: kept.event });
                        self.behind.push_back(if is_large { self.live.lend(self.version, event) } else { event });
                    }
                    if is_large && !self.behind.is_empty() {
                        self.page = 1;
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

impl<A: Aggregate> Drop for Follower<A> {
    fn drop(&mut self) {
        if self.is_counted {
            self.live.lock().followers -= 1;
        }
    }
}
