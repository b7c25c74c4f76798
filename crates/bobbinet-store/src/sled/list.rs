//! Answers a [`Query`] from the index: exact totals and a page, in a time that does not grow with the number of streams.
//!
//! A query matches some runs of one of the four orders, each run newest first: one for each state that occurs, and for
//! each owner and agent that the query leaves open. The runs are counted by rank and merged for the page.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{
    codec::version,
    index::Index,
    interner::{Name, ROOT},
    orders::{By, Order, OrderKey, When},
    ranked::Position,
};
use crate::{Census, Listing, Query, StoreError, page_token};

/// A run of entries of one order that all match and are newest first.
struct ListRun {
    next: Position,
    end: usize,
    /// How many come before `next` in the order.
    rank: usize,
}

/// What a query's texts are called in the index.
struct Wanted {
    tenant: Name,
    owner: Option<Name>,
    agent: Option<Name>,
    context: Option<Name>,
}

pub(super) fn list(index: &Index, query: &Query) -> Result<Listing, StoreError> {
    let after = page_token::read(query)?
        .map(|(Reverse(status_at), Reverse(born))| (When::new(0, status_at.as_millis()).age(), !born));
    let Some(wanted) = wanted(index, query) else {
        let filters = page_token::filters(query);
        return Ok(Listing { entries: Vec::new(), total: 0, filters, borns: Vec::new(), has_more: false });
    };
    let order = index.order(wanted.by());
    let (total, runs) = runs(order, &wanted, query, after);
    let left: usize = runs.iter().map(|run| run.end - run.rank).sum();
    let page = merge(order, runs, query.page_size);
    let entries: Vec<_> = page
        .iter()
        .map(|place| {
            let entry = index.slot(place.slot);
            let summary = index.summary(entry).expect("what is listed has a summary");
            (entry.id.clone(), version(entry.version), summary)
        })
        .collect();
    let borns = page.iter().map(|place| !place.born).collect();
    Ok(Listing { entries, total, filters: page_token::filters(query), borns, has_more: left > page.len() })
}

/// Counts the runs of the order by owner and agent: as many steps as there are runs, however long they are.
pub(super) fn census(index: &Index) -> Vec<Census> {
    let order = index.order(By::Owner);
    let first = |names, state| OrderKey { names, when: When::first(state), born: 0, slot: 0 };
    let mut census = Vec::new();
    let mut position = order.seek(&first([Name::default(); 3], 0));
    while let Some(OrderKey { names, when, slot, .. }) = order.get(position) {
        let [owner, agent, none] = names;
        let rest = match when.state().checked_add(1) {
            Some(next) => first(names, next),
            None => first([owner, Name(agent.0 + 1), none], 0),
        };
        let next = order.seek(&rest);
        let tenant = index.slot(slot).listed().expect("what is in an order is listed").tenant;
        let text = |name| index.names.text(name);
        census.push(Census {
            tenant: text(tenant),
            owner: text(owner),
            agent: text(agent),
            state: when.state(),
            count: order.rank(next) - order.rank(position),
        });
        position = next;
    }
    census
}

/// `None` if a text of the query is nobody's, so that nothing matches.
fn wanted(index: &Index, query: &Query) -> Option<Wanted> {
    let tenant = index.names.find(ROOT, &query.tenant)?;
    let find = |text: &Option<String>| match text {
        None => Some(None),
        Some(text) => index.names.find(tenant, text).map(Some),
    };
    Some(Wanted { tenant, owner: find(&query.owner)?, agent: find(&query.agent)?, context: find(&query.context)? })
}

impl Wanted {
    /// The order in which what is wanted stands together.
    fn by(&self) -> By {
        match self {
            Self { context: Some(_), .. } => By::Context,
            Self { owner: Some(_), .. } => By::Owner,
            Self { agent: Some(_), .. } => By::Agent,
            Self { .. } => By::Tenant,
        }
    }

    /// The names that all matches in the order have first.
    fn beginning(&self) -> ([Name; 3], usize) {
        let zero = Name::default();
        match *self {
            Self { context: Some(context), owner: Some(owner), agent: Some(agent), .. } => ([context, owner, agent], 3),
            Self { context: Some(context), owner: Some(owner), agent: None, .. } => ([context, owner, zero], 2),
            Self { context: Some(context), owner: None, .. } => ([context, zero, zero], 1),
            Self { context: None, owner: Some(owner), agent: Some(agent), .. } => ([owner, agent, zero], 3),
            Self { context: None, owner: Some(owner), agent: None, .. } => ([owner, zero, zero], 1),
            Self { context: None, owner: None, agent: Some(agent), .. } => ([agent, zero, zero], 3),
            Self { context: None, owner: None, agent: None, tenant } => ([tenant, zero, zero], 3),
        }
    }

    /// Whether a run of the order by context, of which owner and agent may be open, matches.
    fn agrees(&self, names: [Name; 3]) -> bool {
        self.context.is_none() || self.agent.is_none_or(|agent| agent == names[2])
    }
}

/// How many match in all, and what is left of each run after the page before.
fn runs(order: Order<'_>, wanted: &Wanted, query: &Query, after: Option<(u64, u64)>) -> (usize, Vec<ListRun>) {
    let (beginning, fixed) = wanted.beginning();
    let at = |names, when, born| OrderKey { names, when, born, slot: 0 };
    let (mut total, mut runs) = (0, Vec::new());
    let mut position = order.seek(&at(beginning, When::first(query.state.unwrap_or(0)), 0));
    while let Some(OrderKey { names, when, .. }) = order.get(position) {
        if names[..fixed] != beginning[..fixed] {
            break;
        }
        let state = when.state();
        if query.state.is_some_and(|wanted| wanted > state) {
            position = order.seek(&at(names, When::first(query.state.unwrap_or(0)), 0));
            continue;
        }
        let rest = match state.checked_add(1) {
            Some(next) if query.state.is_none() => at(names, When::first(next), 0),
            Some(_) | None => at([names[0], names[1], Name(names[2].0 + 1)], When::first(0), 0),
        };
        if wanted.agrees(names) && query.state.is_none_or(|wanted| wanted == state) {
            let first = order.seek(&at(names, When::first(state), 0));
            let oldest = query.status_since.map_or(0, |since| since.as_millis());
            let end = order.rank(order.seek(&OrderKey {
                names,
                when: When::new(state, oldest),
                born: u64::MAX,
                slot: u32::MAX,
            }));
            total += end.saturating_sub(order.rank(first));
            let next = after.map_or(first, |(age, born)| {
                order.seek(&OrderKey { names, when: When::of_age(state, age), born, slot: u32::MAX })
            });
            let rank = order.rank(next);
            if rank < end {
                runs.push(ListRun { next, end, rank });
            }
        }
        position = order.seek(&rest);
    }
    (total, runs)
}

/// The newest of all runs.
fn merge(order: Order<'_>, mut runs: Vec<ListRun>, count: usize) -> Vec<OrderKey> {
    let key = |run: &ListRun| order.get(run.next).map(|place| (place.when.age(), place.born));
    let mut heads: BinaryHeap<_> =
        runs.iter().enumerate().filter_map(|(at, run)| Some(Reverse((key(run)?, at)))).collect();
    let mut page = Vec::with_capacity(count.min(64));
    while page.len() < count {
        let Some(Reverse((_, at))) = heads.pop() else { break };
        let run = &mut runs[at];
        page.extend(order.get(run.next));
        run.next = order.next(run.next);
        run.rank += 1;
        if run.rank < run.end
            && let Some(key) = key(run)
        {
            heads.push(Reverse((key, at)));
        }
    }
    page
}
