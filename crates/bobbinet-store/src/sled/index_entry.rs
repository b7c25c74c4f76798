//! One stream in the index, in as little room as it goes: there may be a million of them.

use bobbinet_core::StreamId;

use super::{
    codec::BodyLocation,
    interner::{Name, ROOT},
};

/// What the index has of one stream. Its size is held by a test: a field costs as much as there are streams.
#[derive(Debug)]
pub(super) struct IndexEntry {
    pub(super) id: StreamId,
    pub(super) born: u64,
    status_at: u64,
    due: u64,
    pub(super) version: u32,
    pub(super) trimmed: u32,
    /// [`ROOT`] if it is not listed.
    tenant: Name,
    owner: Name,
    agent: Name,
    context: Name,
    pub(super) steps: Steps,
    state: u8,
    pub(super) cells: bool,
    pub(super) blobs: bool,
    is_due: bool,
}

/// A summary whose texts are kept elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) tenant: Name,
    pub(super) owner: Name,
    pub(super) agent: Name,
    pub(super) context: Name,
    pub(super) state: u8,
    pub(super) status_at: u64,
    pub(super) due: Option<u64>,
}

/// Where a step's records lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StepAt {
    /// The version of its first record.
    pub(super) first: u32,
    chunk_low: u32,
    chunk_high: u16,
    at: u16,
}

/// The steps of a stream that are not trimmed away, in order. Most streams are tasks of two, which take no room elsewhere.
#[derive(Debug)]
pub(super) enum Steps {
    Few(u8, [StepAt; FEW]),
    Many(Vec<StepAt>),
}

const FEW: usize = 2;

/// Up to here a stream's steps grow one by one; beyond, as a vector does.
const GROW_ONE_BY_ONE_MAX: usize = 8;

impl IndexEntry {
    pub(super) fn new(id: StreamId, born: u64) -> Self {
        Self {
            id,
            born,
            status_at: 0,
            due: 0,
            version: 0,
            trimmed: 0,
            tenant: ROOT,
            owner: ROOT,
            agent: ROOT,
            context: ROOT,
            steps: Steps::default(),
            state: 0,
            cells: false,
            blobs: false,
            is_due: false,
        }
    }

    pub(super) fn listed(&self) -> Option<Listed> {
        let Self { tenant, owner, agent, context, state, status_at, .. } = *self;
        (tenant != ROOT).then_some(Listed { tenant, owner, agent, context, state, status_at, due: self.due() })
    }

    pub(super) fn due(&self) -> Option<u64> {
        self.is_due.then_some(self.due)
    }

    pub(super) fn set_listed(&mut self, listed: Option<Listed>) {
        let Some(Listed { tenant, owner, agent, context, state, status_at, due }) = listed else {
            (self.tenant, self.is_due) = (ROOT, false);
            return;
        };
        (self.tenant, self.owner, self.agent, self.context) = (tenant, owner, agent, context);
        (self.state, self.status_at) = (state, status_at);
        (self.due, self.is_due) = (due.unwrap_or_default(), due.is_some());
    }
}

impl StepAt {
    /// # Panics
    /// If there were more steps than a disk can hold.
    pub(super) fn new(first: u32, place: BodyLocation) -> Self {
        let chunk_high = u16::try_from(place.chunk >> 32).expect("fewer steps than a disk can hold");
        Self { first, chunk_low: place.chunk as u32, chunk_high, at: place.at }
    }

    pub(super) fn place(self) -> BodyLocation {
        BodyLocation { chunk: u64::from(self.chunk_high) << 32 | u64::from(self.chunk_low), at: self.at }
    }
}

impl Default for Steps {
    fn default() -> Self {
        Self::Few(0, [StepAt::default(); FEW])
    }
}

impl Steps {
    pub(super) fn all(&self) -> &[StepAt] {
        match self {
            Self::Few(count, steps) => &steps[..usize::from(*count)],
            Self::Many(steps) => steps,
        }
    }

    /// The steps that hold records after `version`.
    pub(super) fn after(&self, version: u32) -> &[StepAt] {
        let all = self.all();
        // The last step that begins at or before the first wanted record holds it.
        let begun = all.partition_point(|step| step.first <= version.saturating_add(1));
        &all[begun.saturating_sub(1)..]
    }

    pub(super) fn push(&mut self, step: StepAt) {
        match self {
            Self::Few(count, steps) if usize::from(*count) < FEW => {
                steps[usize::from(*count)] = step;
                *count += 1;
            }
            Self::Few(_, steps) => {
                let mut many = Vec::with_capacity(FEW + 1);
                many.extend_from_slice(steps);
                many.push(step);
                *self = Self::Many(many);
            }
            Self::Many(steps) => {
                if steps.len() < GROW_ONE_BY_ONE_MAX {
                    steps.reserve_exact(1);
                }
                steps.push(step);
            }
        }
    }

    /// Drops so many from the front.
    pub(super) fn drop_first(&mut self, count: usize) {
        let left = &self.all()[count..];
        if left.len() <= FEW {
            let mut few = [StepAt::default(); FEW];
            few[..left.len()].copy_from_slice(left);
            *self = Self::Few(left.len() as u8, few);
        } else if let Self::Many(steps) = self {
            steps.drain(..count);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_takes_no_more_room_than_is_said() {
        assert_eq!(size_of::<Option<IndexEntry>>(), 112);
    }

    proptest! {
        #[test]
        fn steps_are_a_list_that_loses_its_front(
            changes in proptest::collection::vec((any::<bool>(), 0usize..4, 0u64..1 << 48, any::<u16>()), 0..40),
        ) {
            let (mut steps, mut model) = (Steps::default(), Vec::new());
            for (first, (grows, count, chunk, at)) in (1..).zip(changes) {
                if grows {
                    let step = StepAt::new(first, BodyLocation { chunk, at });
                    prop_assert_eq!(step.place(), BodyLocation { chunk, at });
                    steps.push(step);
                    model.push(step);
                } else {
                    let count = count.min(model.len());
                    steps.drop_first(count);
                    model.drain(..count);
                }
                prop_assert_eq!(steps.all(), &*model);
            }
        }
    }
}
