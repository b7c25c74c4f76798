//! The events of a run's tenant: those that its steps send, and those that they wait for, each wait with a cursor of its own.
//!
//! Where a wait begins is kept with the record that leads to it, and where each event stands that was heard with the event. So a run that
//! goes on hears all that came meanwhile, and nothing twice. An event that a step sends is published once its record is durable, before
//! anything else is kept: a run that goes on publishes again what follows from the last commit, and a repeat is dropped.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bobbinet_core::{CloudEvent, Fault, Limits, Outcome, Tenant, cloud_event::HOPS};
use bobbinet_engine::{ChildError, EngineError, Run};
use bobbinet_events::{Events, Heard, ListenError, Listener, Position};
use bobbinet_flow::run::Id;
use futures::FutureExt;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::{
    again::{LOOK_AGAIN, again},
    over::Over,
};

/// Events that one wait takes at a time, if so many are there.
const AT_ONCE: usize = 64;

/// Bytes with which an event says how many flows it came through.
pub(crate) const HOPS_BYTES_MAX: usize = 32;

/// After so many events that a wait has passed over it says how far it has heard.
const PASSED_MAX: u64 = 512;

/// What a wait has passed over is said this part of the time that events are kept after it was heard, at the latest: long before they are
/// dropped.
const SAID_WITHIN: u32 = 4;

/// Attributes that are known beforehand, one set for each filter; no sets for every event.
type Filters = Arc<Vec<BTreeMap<String, Value>>>;

/// What a wait has heard.
pub(crate) struct Hearing {
    /// What may pass its filters. Nothing where it has only to say how far it has heard.
    pub(crate) events: Vec<(Position, Value)>,
    /// How far it has heard, or why it hears nothing more.
    pub(crate) end: Result<(Position, Option<Listener>), ListenError>,
}

/// All waits of a run for events.
pub(crate) struct Listening {
    events: Events,
    tenant: Tenant,
    open: BTreeMap<Id, Filters>,
    /// How far each wait has heard.
    cursors: BTreeMap<Id, Position>,
    /// Cursors that are not in the log yet, and must be: where waits begin.
    unsaid: BTreeMap<Id, Position>,
    /// How far each was when that was said last.
    said: BTreeMap<Id, Position>,
    said_at: Instant,
    /// Waits that have heard something, and are to go on.
    paused: BTreeMap<Id, Option<Listener>>,
}

impl Listening {
    pub(crate) fn new(run: &Run) -> Self {
        Self {
            events: Events::new(run.aggregates()),
            tenant: run.task().tenant.clone(),
            open: BTreeMap::new(),
            cursors: BTreeMap::new(),
            unsaid: BTreeMap::new(),
            said: BTreeMap::new(),
            said_at: Instant::now(),
            paused: BTreeMap::new(),
        }
    }

    /// Takes up the cursors that an earlier run has left: in its records, and in its checkpoint, which may be further.
    pub(crate) fn take_up(&mut self, heard: BTreeMap<Id, Position>, checkpoint: &Value) {
        let noted: Vec<(Id, Position)> =
            checkpoint.get("heard").and_then(|heard| serde_json::from_value(heard.clone()).ok()).unwrap_or_default();
        self.cursors = heard;
        for (listen, position) in noted {
            self.cursors.entry(listen).and_modify(|cursor| *cursor = position.max(*cursor));
        }
        self.said = self.cursors.clone();
    }

    /// Where the waits begin that are about to.
    pub(crate) async fn begin(&mut self, run: &Run, listens: &[Id]) -> Result<(), ChildError> {
        let new: Vec<Id> = listens.iter().filter(|listen| !self.cursors.contains_key(listen)).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        let end = loop {
            match self.events.end(&self.tenant).await {
                Ok(end) => break end,
                Err(error) => again(run, error).await?,
            }
        };
        for listen in new {
            self.set(listen, end);
        }
        Ok(())
    }

    /// Sends an event that comes after others, which have come through so many flows. Where it stands.
    pub(crate) async fn publish(&self, run: &Run, event: &Value, hops: u32) -> Result<Position, Over> {
        let limits = run.limits();
        let hops = hops.saturating_add(1);
        if hops > limits.event_hops_max {
            let text = format!(
                "an event would come through more flows than event_hops_max, which is {}: one begins another in a circle",
                limits.event_hops_max
            );
            return Err(failed(Fault::new("event-hops", text)));
        }
        let mut event = event.clone();
        event[HOPS] = hops.into();
        let event = CloudEvent::read(event, limits.event_bytes_max)
            .map_err(|fault| failed(Fault::new("bad-event", format!("an event cannot be sent: {fault}"))))?;
        run.may_publish(event.json()).map_err(failed)?;
        loop {
            match self.events.publish(&self.tenant, &event).await {
                Ok(published) => return Ok(published.position),
                Err(error) => again(run, error).await?,
            }
        }
    }

    /// A wait begins after this event, which its own run has sent before it.
    pub(crate) fn begin_after(&mut self, listen: Id, sent: Position) {
        if self.cursors.get(&listen).is_some_and(|cursor| *cursor < sent) {
            self.set(listen, sent);
        }
    }

    fn set(&mut self, listen: Id, position: Position) {
        for cursors in [&mut self.cursors, &mut self.unsaid, &mut self.said] {
            cursors.insert(listen, position);
        }
    }

    /// Cursors that are to be kept with the next record.
    pub(crate) fn unsaid(&mut self) -> Vec<(Id, Position)> {
        std::mem::take(&mut self.unsaid).into_iter().collect()
    }

    /// A wait is there.
    pub(crate) fn open(&mut self, listen: Id, filters: Vec<BTreeMap<String, Value>>) {
        self.open.insert(listen, Arc::new(filters));
        self.paused.insert(listen, None);
    }

    /// A wait is over.
    pub(crate) fn close(&mut self, listen: Id) {
        self.open.remove(&listen);
        self.paused.remove(&listen);
        self.cursors.remove(&listen);
        self.said.remove(&listen);
        self.unsaid.remove(&listen);
    }

    /// A wait has heard this far, and goes on once what it has heard is decided.
    pub(crate) fn pause(&mut self, listen: Id, cursor: Position, listener: Option<Listener>) {
        if self.open.contains_key(&listen) {
            self.cursors.insert(listen, cursor);
            self.paused.insert(listen, listener);
        }
    }

    /// The waits that are to go on.
    pub(crate) fn resume(&mut self, run: &Run) -> Vec<(Id, impl Future<Output = Hearing> + Send + use<>)> {
        let paused = std::mem::take(&mut self.paused);
        let hear = |(listen, listener): (Id, Option<Listener>)| {
            let (filters, cursor) = (self.open.get(&listen)?.clone(), *self.cursors.get(&listen)?);
            let (run, events, tenant) = (run.clone(), self.events.clone(), self.tenant.clone());
            Some((listen, hear(run, events, tenant, cursor, filters, listener)))
        };
        paused.into_iter().filter_map(hear).collect()
    }

    /// How far all waits have heard, if that should be kept: one has passed over so many events, or over some for so long.
    pub(crate) fn far_enough(&self, run: &Run) -> Option<Value> {
        let is_time = self.said_at.elapsed() >= said_within(run.limits());
        let least = if is_time { 1 } else { PASSED_MAX };
        let is_far = |(listen, cursor): (&Id, &Position)| {
            let said = self.said.get(listen).copied().unwrap_or_default();
            cursor.0.saturating_sub(said.0) >= least
        };
        self.cursors.iter().any(is_far).then(|| self.noted())
    }

    /// How far all waits have heard is kept.
    pub(crate) fn is_said(&mut self) {
        (self.said, self.said_at) = (self.cursors.clone(), Instant::now());
    }

    /// How far all waits have heard.
    pub(crate) fn noted(&self) -> Value {
        json!(self.cursors.iter().collect::<Vec<_>>())
    }
}

/// How long a wait for events may have heard what it has not said.
pub(crate) fn said_within(limits: &Limits) -> Duration {
    (limits.events_kept() / SAID_WITHIN).max(LOOK_AGAIN)
}

/// What is sent against the rules ends the flow.
fn failed(fault: Fault) -> Over {
    Over::Outcome(Outcome::Failed(fault))
}

async fn hear(
    run: Run,
    events: Events,
    tenant: Tenant,
    cursor: Position,
    filters: Filters,
    listener: Option<Listener>,
) -> Hearing {
    let mut listener = match listener {
        Some(listener) => listener,
        None => match listen(&run, &events, &tenant, cursor).await {
            Ok(listener) => listener,
            Err(error) => return Hearing { events: Vec::new(), end: Err(error) },
        },
    };
    let mut passed = 0;
    let mut found = Vec::new();
    let say_by = Instant::now() + said_within(run.limits());
    loop {
        let next = match found.is_empty() {
            true => match timeout_at(say_by, listener.next()).await {
                Ok(next) => next,
                Err(_elapsed) => break,
            },
            false if found.len() >= AT_ONCE => break,
            false => match listener.next().now_or_never() {
                Some(next) => next,
                None => break,
            },
        };
        match next {
            Ok(Heard { position, event }) => {
                let event = event.map(|event| event.to_value()).filter(|event| passes(&filters, event));
                match event {
                    Some(event) => found.push((position, event)),
                    None => passed += 1,
                }
                if found.is_empty() && passed >= PASSED_MAX {
                    break;
                }
            }
            // What was heard is taken first. A listener made anew at its cursor finds this again.
            Err(_) if !found.is_empty() => {
                let cursor = found.last().map_or(cursor, |(position, _)| *position);
                return Hearing { events: found, end: Ok((cursor, None)) };
            }
            Err(ListenError::Engine(EngineError::Unavailable(_))) => {
                tokio::time::sleep(LOOK_AGAIN).await;
                match listen(&run, &events, &tenant, listener.cursor()).await {
                    Ok(again) => listener = again,
                    Err(error) => return Hearing { events: Vec::new(), end: Err(error) },
                }
            }
            Err(error) => return Hearing { events: Vec::new(), end: Err(error) },
        }
    }
    Hearing { events: found, end: Ok((listener.cursor(), Some(listener))) }
}

async fn listen(run: &Run, events: &Events, tenant: &Tenant, after: Position) -> Result<Listener, ListenError> {
    loop {
        match events.listen(tenant, after).await {
            Err(ListenError::Engine(EngineError::Unavailable(_))) => tokio::time::sleep(LOOK_AGAIN).await,
            Err(ListenError::Engine(EngineError::Draining)) => {
                run.canceled().await;
                return Err(EngineError::Draining.into());
            }
            listened => return listened,
        }
    }
}

/// Whether an event may pass one of these filters.
fn passes(filters: &[BTreeMap<String, Value>], event: &Value) -> bool {
    let is = |(name, wanted): (&String, &Value)| event.get(name).unwrap_or(&Value::Null) == wanted;
    filters.is_empty() || filters.iter().any(|filter| filter.iter().all(is))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_passes_by_what_is_known_of_it() {
        let event = json!({ "type": "a", "source": "/s", "data": { "n": 1 } });
        let filters = |sets: Value| serde_json::from_value::<Vec<BTreeMap<String, Value>>>(sets).unwrap();
        for (sets, expected) in [
            (json!([]), true),
            (json!([{}]), true),
            (json!([{ "type": "a" }]), true),
            (json!([{ "type": "b" }]), false),
            (json!([{ "type": "a", "source": "/t" }]), false),
            (json!([{ "type": "b" }, { "source": "/s", "data": { "n": 1 } }]), true),
            (json!([{ "subject": null }]), true),
        ] {
            assert_eq!(passes(&filters(sets.clone()), &event), expected, "{sets}");
        }
    }
}
