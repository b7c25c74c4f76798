//! The four orders in which streams are listed: by tenant, by agent, by owner and agent, by context, owner and agent;
//! within each by state, and within that newest first.

use super::{
    index_entry::IndexEntry,
    interner::Name,
    ranked::{Position, RankedList},
    stream_slots::StreamSlots,
};

/// By what a list is sorted first; the discriminant is the order's number in the index.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    Tenant,
    Agent,
    Owner,
    Context,
}

impl By {
    pub(super) const ALL: [Self; 4] = [Self::Tenant, Self::Agent, Self::Owner, Self::Context];

    /// What is known of an entry for this order; `None` if it is not listed.
    pub(super) fn listing(self, slot: u32, entry: &IndexEntry) -> Option<OrderKey> {
        let listed = entry.listed()?;
        let zero = Name::default();
        let names = match self {
            Self::Tenant => [listed.tenant, zero, zero],
            Self::Agent => [listed.agent, zero, zero],
            Self::Owner => [listed.owner, listed.agent, zero],
            Self::Context => [listed.context, listed.owner, listed.agent],
        };
        Some(OrderKey { names, when: When::new(listed.state, listed.status_at), born: !entry.born, slot })
    }
}

/// A stream's place in one of the orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OrderKey {
    /// What the order is by; unused ones are zero.
    pub(super) names: [Name; 3],
    /// The state, and the time of the status counted down.
    pub(super) when: When,
    /// The number of the first step, counted down.
    pub(super) born: u64,
    pub(super) slot: u32,
}

/// A state in the upper eight bits, a time counted down in the others: of two in one state the newer one is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct When(u64);

impl When {
    const TIME: u64 = u64::MAX >> 8;

    pub(super) fn new(state: u8, status_at: u64) -> Self {
        Self(u64::from(state) << 56 | (Self::TIME - status_at.min(Self::TIME)))
    }

    /// A state at an [`When::age`].
    pub(super) fn of_age(state: u8, age: u64) -> Self {
        Self(u64::from(state) << 56 | age)
    }

    /// Before all of a state.
    pub(super) fn first(state: u8) -> Self {
        Self(u64::from(state) << 56)
    }

    pub(super) fn state(self) -> u8 {
        (self.0 >> 56) as u8
    }

    /// The time alone, counted down.
    pub(super) fn age(self) -> u64 {
        self.0 & Self::TIME
    }
}

/// All listed streams in one order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order<'a> {
    pub(super) by: By,
    pub(super) slots: &'a StreamSlots,
    pub(super) ranked: &'a RankedList,
}

impl Order<'_> {
    /// Where the first stream is that does not come before this place.
    pub(super) fn seek(self, place: &OrderKey) -> Position {
        self.ranked.seek(|slot| self.listing(slot) < *place)
    }

    /// How many come before.
    pub(super) fn rank(self, position: Position) -> usize {
        self.ranked.rank(position)
    }

    pub(super) fn get(self, position: Position) -> Option<OrderKey> {
        self.ranked.get(position).map(|slot| self.listing(slot))
    }

    pub(super) fn next(self, position: Position) -> Position {
        self.ranked.next(position)
    }

    fn listing(self, slot: u32) -> OrderKey {
        self.by.listing(slot, self.slots.get(slot)).expect("what is in an order is listed")
    }
}
