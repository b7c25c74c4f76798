//! Sweeps up what forgotten and trimmed streams leave behind, a little at a time.
//!
//! To forget a stream writes one key. Its heads and bodies lie among those of others, and are taken out when the sweep
//! comes by: first all chunks of heads, after which nobody can come upon the forgotten streams again and the keys that
//! say so go too; then all chunks of bodies.

use super::{
    Shared, chunks,
    codec::{self, Body, BodyLocation, Damaged, Head, Heads},
    group::{Broken, Written},
    index::Index,
    keys,
};

/// How many chunks are looked at for each stream that is forgotten or trimmed: a few times what one leaves behind, so
/// that garbage never outgrows what is alive.
pub(super) const CHUNKS_PER_REMOVAL: usize = 4;

/// How many chunks are looked at each second while there is garbage.
pub(super) const CHUNKS_PER_TICK: usize = 128;

/// Where the sweep is.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// Steps that nobody needs, since the last sweep began.
    garbage: u64,
    phase: Phase,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Idle,
    /// Chunks of heads from this number on. `kept` is the last one that stays. `until`: the newest step at the start.
    Heads { from: u64, kept: Option<(u64, Heads)>, until: u64 },
    /// The keys that say which streams were forgotten, before the step `until`.
    Forgotten { until: u64 },
    /// Chunks of bodies from this number on.
    Bodies { from: u64, until: u64 },
}

impl Sweep {
    pub(super) fn new(garbage: u64) -> Self {
        Self { garbage, phase: Phase::Idle }
    }

    /// Whether there is anything to do.
    pub(super) fn is_needed(&self) -> bool {
        self.garbage > 0 || !matches!(self.phase, Phase::Idle)
    }

    /// Notes that there is more garbage.
    pub(super) fn note(&mut self, garbage: u64) {
        self.garbage += garbage;
    }

    /// Looks at some chunks and adds to a group what becomes of them.
    pub(super) fn step(&mut self, shared: &Shared, index: &Index, budget: usize, written: &mut Written) {
        if matches!(self.phase, Phase::Idle) {
            if self.garbage == 0 {
                return;
            }
            self.garbage = 0;
            self.phase = Phase::Heads { from: 0, kept: None, until: index.last };
        }
        let swept = match std::mem::take(&mut self.phase) {
            Phase::Idle => Ok(Phase::Idle),
            Phase::Heads { from, kept, until } => heads(shared, index, (from, kept, until), budget, written),
            Phase::Forgotten { until } => forgotten(shared, until, budget, written),
            Phase::Bodies { from, until } => bodies(shared, index, (from, until), budget, written),
        };
        // What is damaged is in nobody's way: it is swept around, and read only by who asks for it.
        self.phase = swept.unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "garbage is left where the store is damaged");
            Phase::Idle
        });
    }
}

fn heads(
    shared: &Shared,
    index: &Index,
    (from, mut kept, until): (u64, Option<(u64, Heads)>, u64),
    budget: usize,
    written: &mut Written,
) -> Result<Phase, Broken> {
    let mut next = from;
    for (looked, pair) in shared.tree.range(keys::heads(from)..=keys::heads(until)).enumerate() {
        if looked == budget {
            return Ok(Phase::Heads { from: next, kept, until });
        }
        let (key, chunk) = pair?;
        let number = keys::number(&key).ok_or(Damaged("a chunk of heads"))?;
        next = number + 1;
        let mut heads = Heads::read(&chunk)?;
        let dead = |head: &Option<Head>| head.as_ref().is_some_and(|head| is_dead(index, head));
        if heads.entries.iter().any(dead) {
            for entry in &mut heads.entries {
                entry.take_if(|head| is_dead(index, head));
            }
        } else if heads.entries.iter().any(Option::is_some) {
            kept = Some((number, heads));
            continue;
        }
        let is_newest = number + heads.span > index.last;
        match &mut kept {
            // The chunk before takes its numbers over, so that no chunk seems to be missing.
            Some((before, longer)) if !is_newest && heads.entries.iter().all(Option::is_none) => {
                longer.span += heads.span;
                written.others.insert(keys::heads(*before), Some(longer.write()));
                written.others.insert(key.to_vec(), None);
            }
            Some(_) | None => {
                written.others.insert(key.to_vec(), Some(heads.write()));
                kept = Some((number, heads));
            }
        }
    }
    Ok(Phase::Forgotten { until })
}

/// Whether the index would be the same without it.
fn is_dead(index: &Index, head: &Head) -> bool {
    let Some(entry) = index.get(&head.stream).filter(|entry| entry.born == head.born) else { return true };
    // The newest head says what the stream is.
    head.version <= entry.trimmed && head.version < entry.version
}

fn forgotten(shared: &Shared, until: u64, budget: usize, written: &mut Written) -> Result<Phase, Broken> {
    let mut removed = 0;
    for pair in shared.tree.scan_prefix(keys::FORGOTTEN) {
        let (key, value) = pair?;
        // A stream that was forgotten after the sweep had begun has a number no less than that of its beginning: of such
        // a one some heads may have been passed by while they were alive.
        if codec::read_number(&value)? >= until || written.others.contains_key(&*key) {
            continue;
        }
        if removed == budget {
            return Ok(Phase::Forgotten { until });
        }
        removed += 1;
        written.others.insert(key.to_vec(), None);
    }
    Ok(Phase::Bodies { from: 0, until })
}

fn bodies(
    shared: &Shared,
    index: &Index,
    (from, until): (u64, u64),
    budget: usize,
    written: &mut Written,
) -> Result<Phase, Broken> {
    let mut looked = 0;
    let mut removing = None;
    for pair in shared.tree.range(keys::bodies(from)..keys::bodies(until + 1)) {
        let (key, chunk) = pair?;
        let number = keys::number(&key).ok_or(Damaged("a chunk of bodies"))?;
        if key.len() > keys::bodies(0).len() {
            // A part goes with the first.
            if removing == Some(number) {
                written.others.insert(key.to_vec(), None);
            }
            continue;
        }
        if looked == budget {
            return Ok(Phase::Bodies { from: number, until });
        }
        looked += 1;
        let is_long = chunks::missing(&chunk).is_some_and(|missing| missing > 0);
        if is_long {
            let is_alive = Body::peek(&chunk[4..])
                .is_some_and(|body| is_needed(index, &body, BodyLocation { chunk: number, at: 0 }));
            if !is_alive {
                removing = Some(number);
                written.others.insert(key.to_vec(), None);
            }
            continue;
        }
        let (mut rest, mut alive, mut dead) = (Vec::with_capacity(chunk.len()), 0, 0);
        for (at, body) in (0..).zip(chunks::bodies(&chunk)) {
            let body = body.ok_or(Damaged("a chunk of bodies"))?;
            let needed =
                Body::peek(body).is_some_and(|body| is_needed(index, &body, BodyLocation { chunk: number, at }));
            if needed {
                alive += body.len();
                chunks::append(&mut rest, body);
            } else {
                dead += body.len();
                chunks::append(&mut rest, &[]);
            }
        }
        if alive == 0 {
            written.others.insert(key.to_vec(), None);
        } else if dead > alive {
            written.others.insert(key.to_vec(), Some(rest));
        }
    }
    Ok(Phase::Idle)
}

/// Whether the index leads to this body.
fn is_needed(
    index: &Index,
    (stream, born, first, _): &(bobbinet_core::StreamId, u64, u32, u32),
    place: BodyLocation,
) -> bool {
    index.get(stream).filter(|entry| entry.born == *born).is_some_and(|entry| {
        let steps = entry.steps.all();
        let at = steps.partition_point(|step| step.first < *first);
        steps.get(at).is_some_and(|step| step.first == *first && step.place() == place)
    })
}

#[cfg(test)]
mod tests {
    use bobbinet_core::StreamId;

    use super::*;
    use crate::sled::codec::Change;

    #[test]
    fn the_newest_head_of_a_stream_is_never_dead() {
        let head = |version, trimmed, change| Head {
            stream: StreamId::from_bytes(b"t1"),
            born: 1,
            version,
            trimmed,
            summary: None,
            cells: false,
            blobs: false,
            change,
        };
        let grown = |count, at| Change::Grown { count, place: BodyLocation { chunk: 1, at } };
        let heads = [head(2, 0, grown(2, 0)), head(3, 0, grown(1, 1)), head(3, 3, Change::Trimmed)];
        let mut index = Index::default();
        for head in &heads {
            index.apply(head);
        }
        assert_eq!(heads.each_ref().map(|head| is_dead(&index, head)), [true, false, false]);
    }
}
