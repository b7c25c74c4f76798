//! The one thread that writes.
//!
//! It takes the operations that wait, decides them in order, writes them as one group, makes the group durable, and only
//! then lets readers see it and answers. It never waits for company: what comes in during a sync is the next group.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
};

use ::sled::Batch;
use bobbinet_core::StreamId;
use tokio::sync::{mpsc, oneshot};

use super::{
    Durability, Shared, cache, codec,
    fault::SledError,
    group::{Broken, Effect, Group, Prepared, Written},
    keys,
    shared::Gone,
    sweep::{self, Sweep},
};
use crate::{CommitError, StoreError, Version, failpoint};

/// The most operations in one group.
const GROUP_MAX: usize = 512;

/// The most bytes in one group, so that one of large records does not keep the small ones waiting for long.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// How many operations may wait before the next one has to.
pub(super) const QUEUE_MAX: usize = 4_096;

/// How many old idempotency keys are looked at for each new one: they go faster than they come.
const IDEMPOTENCY_PER_NEW: usize = 2;

/// What the committer is asked to do.
#[derive(Debug)]
pub(super) enum Operation {
    Commit(Prepared, oneshot::Sender<Result<(), CommitError>>),
    Mark(StreamId, String, Version, oneshot::Sender<Result<(), StoreError>>),
    Trim(StreamId, Version, oneshot::Sender<Result<(), StoreError>>),
    Forget(StreamId, oneshot::Sender<Result<(), StoreError>>),
    /// A second has passed and there is garbage.
    Tick,
}

/// Who waits for an operation of the group, and what he will be told if the group becomes durable.
#[derive(Debug)]
enum PendingReply {
    Commit(oneshot::Sender<Result<(), CommitError>>, Result<(), CommitError>),
    Store(oneshot::Sender<Result<(), StoreError>>, Result<(), StoreError>),
}

/// Why the committer cannot go on.
#[derive(Debug, thiserror::Error)]
enum Fatal {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("writing a group")]
    Write(#[source] SledError),
    #[error("syncing a group")]
    Sync(#[source] std::io::Error),
    #[error(transparent)]
    Gone(#[from] Gone),
}

/// What the thread owns.
#[derive(Debug)]
pub(super) struct Committer {
    pub(super) shared: Arc<Shared>,
    pub(super) operations: mpsc::Receiver<Operation>,
    pub(super) sweep: Sweep,
    /// From which idempotency key on the old ones are looked for.
    pub(super) oldest: Vec<u8>,
}

impl Committer {
    /// Works until the last one who could ask for something is gone, and all that he asked for is answered.
    pub(super) fn run(mut self) {
        let mut waiting = Vec::with_capacity(GROUP_MAX);
        let mut answers = Vec::with_capacity(GROUP_MAX);
        while let Some(first) = self.operations.blocking_recv() {
            if self.shared.fault.get().is_some() {
                // Somebody else has found it. Those who wait are told by the end of their channels.
                return;
            }
            self.take(first, &mut waiting);
            let group = AssertUnwindSafe(|| self.group(&mut waiting, &mut answers));
            let failed: Option<Box<dyn std::error::Error>> = match catch_unwind(group) {
                Ok(Ok(())) => None,
                Ok(Err(fatal)) => Some(Box::new(fatal)),
                Err(_) => Some("the committer panicked".into()),
            };
            if let Some(fatal) = failed {
                // Those who wait are told by the end of their channels, so the fault is known before they ask for it.
                self.shared.fail(&*fatal);
                return;
            }
            self.shared.has_garbage.store(self.sweep.is_needed(), Ordering::Relaxed);
        }
    }

    /// What waits by now, up to a full group.
    fn take(&mut self, first: Operation, waiting: &mut Vec<Operation>) {
        let mut bytes = first.size();
        waiting.push(first);
        let mut has_yielded = false;
        while waiting.len() < GROUP_MAX && bytes < GROUP_BYTES_MAX {
            if let Ok(next) = self.operations.try_recv() {
                bytes += next.size();
                waiting.push(next);
                has_yielded = false;
            } else if !has_yielded {
                // This is not waiting: if others share the core and are about to ask for something, they do so now and
                // need no sync of their own; on one core that makes groups of 64 out of groups of 40.
                std::thread::yield_now();
                has_yielded = true;
            } else {
                break;
            }
        }
    }

    /// Decides a group, keeps it, shows it and answers.
    fn group(&mut self, waiting: &mut Vec<Operation>, answers: &mut Vec<PendingReply>) -> Result<(), Fatal> {
        let shared = self.shared.clone();
        let written = self.decide(&shared, waiting, answers)?;
        if !written.is_empty() {
            self.write(&shared, &written)?;
        }
        publish(&shared, &written);
        for answer in answers.drain(..) {
            // Whoever no longer waits has said so by going away.
            match answer {
                PendingReply::Commit(answer, result) => drop(answer.send(result)),
                PendingReply::Store(answer, result) => drop(answer.send(result)),
            }
        }
        failpoint::point("publish-after");
        // Nobody waits for this.
        for (key, _) in &written.in_order {
            cache::settle(&shared.tree, key);
        }
        Ok(())
    }

    fn decide(
        &mut self,
        shared: &Shared,
        waiting: &mut Vec<Operation>,
        answers: &mut Vec<PendingReply>,
    ) -> Result<Written, Fatal> {
        let is_full = shared.is_full();
        // Blobs of commits are held until the tree names them.
        let mut held = Vec::new();
        let mut unused = Vec::new();
        let mut budget = 0;
        let index = shared.index();
        let mut group = Group::new(shared, &index);
        for operation in waiting.drain(..) {
            match operation {
                Operation::Commit(_, answer) if is_full => {
                    answers.push(PendingReply::Commit(answer, Err(CommitError::Unavailable(shared.full_text()))));
                }
                Operation::Commit(mut commit, answer) => {
                    let names: Vec<_> = commit.held.iter().map(|blob| blob.name.sha256).collect();
                    held.append(&mut commit.held);
                    let result = group.commit(commit)?;
                    if result.is_err() {
                        unused.extend(names);
                    }
                    answers.push(PendingReply::Commit(answer, result));
                }
                Operation::Mark(stream, reader, at, answer) => {
                    group.mark(&stream, &reader, at);
                    answers.push(PendingReply::Store(answer, Ok(())));
                }
                Operation::Trim(stream, before, answer) => {
                    group.trim(&stream, before)?;
                    budget += sweep::CHUNKS_PER_REMOVAL;
                    answers.push(PendingReply::Store(answer, Ok(())));
                }
                Operation::Forget(stream, answer) => {
                    let result = group.forget(&stream)?;
                    budget += sweep::CHUNKS_PER_REMOVAL;
                    answers.push(PendingReply::Store(answer, result));
                }
                Operation::Tick => budget += sweep::CHUNKS_PER_TICK,
            }
        }
        let mut written = group.finish();
        self.sweep.step(shared, &index, budget, &mut written);
        // Only after that: to the index of this moment it is not garbage yet.
        self.sweep.note(written.garbage);
        self.remove_expired(shared, &mut written)?;
        written.released.append(&mut unused);
        written.seal(&shared.identity);
        drop(index);
        drop(held);
        Ok(written)
    }

    /// Takes out some idempotency keys that nobody can ask for any longer.
    fn remove_expired(&mut self, shared: &Shared, written: &mut Written) -> Result<(), Broken> {
        let looked = written.asked * IDEMPOTENCY_PER_NEW;
        if looked == 0 {
            return Ok(());
        }
        let range = self.oldest.clone()..keys::after(keys::IDEMPOTENCY);
        self.oldest = keys::IDEMPOTENCY.to_vec();
        for (at, pair) in shared.tree.range(range).enumerate() {
            let (key, known) = pair?;
            if at == looked {
                self.oldest = key.to_vec();
                break;
            }
            let is_expired = codec::read_remembered(&known)?.expires.as_millis() < written.now;
            if is_expired && !written.others.contains_key(&*key) {
                shared.key_counts().remove(&key);
                written.others.insert(key.to_vec(), None);
            }
        }
        Ok(())
    }

    /// Writes a group and makes it durable.
    fn write(&self, shared: &Shared, written: &Written) -> Result<(), Fatal> {
        failpoint::point("commit-before");
        shared.is_data_named()?;
        // What a reader could still find by the index is taken from the index first: to see a stream gone a moment
        // before that is durable harms nobody, to find half of it would look like damage.
        let forgotten = written.effects.iter().filter_map(|effect| match effect {
            Effect::Forgotten(stream) => Some(stream),
            Effect::Step(_) => None,
        });
        for stream in forgotten {
            shared.index_mut().remove(stream);
        }
        if written.others.is_empty() && !written.divided {
            // Any beginning of this leaves the store whole, and a batch would cost sled a second write to the disk.
            for (key, value) in &written.in_order {
                shared.tree.insert(key, &**value).map_err(|error| Fatal::Write(error.into()))?;
            }
        } else {
            let mut batch = Batch::default();
            for (key, value) in &written.in_order {
                batch.insert(&**key, &**value);
            }
            for (key, value) in &written.others {
                match value {
                    Some(value) => batch.insert(&**key, &**value),
                    None => batch.remove(&**key),
                }
            }
            shared.tree.apply_batch(batch).map_err(|error| Fatal::Write(error.into()))?;
        }
        failpoint::point("commit-applied");
        if shared.durability != Durability::None {
            shared.tree.flush().map_err(|error| Fatal::Write(error.into()))?;
        }
        failpoint::point("sync-before");
        if shared.durability == Durability::Power {
            // sled's own flush asks the disk to begin writing; it does not make it finish.
            shared.data.sync_data().map_err(Fatal::Sync)?;
        }
        failpoint::point("sync-after");
        Ok(())
    }
}

impl Operation {
    fn size(&self) -> usize {
        match self {
            Self::Commit(commit, _) => commit.size(),
            Self::Mark(..) | Self::Trim(..) | Self::Forget(..) | Self::Tick => 0,
        }
    }
}

/// Lets readers see a group, and wakes those who wait for it.
fn publish(shared: &Shared, written: &Written) {
    failpoint::point("publish-before");
    if !written.effects.is_empty() {
        let mut index = shared.index_mut();
        for effect in &written.effects {
            match effect {
                Effect::Step(head) => index.apply(head),
                Effect::Forgotten(stream) => index.remove(stream),
            }
        }
        index.last = written.last;
        index.group = written.number;
        drop(index);
        shared.wakes.hint(written.effects.iter().map(|effect| match effect {
            Effect::Step(head) => &head.stream,
            Effect::Forgotten(stream) => stream,
        }));
    } else if !written.is_empty() {
        shared.index_mut().group = written.number;
    }
    shared.remove_unnamed(&written.released);
}
