//! The webhooks that are told what happens, and how it goes.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bobbinet_core::{Limits, Principal, TaskId, Tenant, Timestamp};
use bobbinet_engine::EngineError;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::Of;

/// A webhook of a task, by its serial.
pub(crate) type Key = (TaskId, u64);

/// All that are told what happens.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    hooks: BTreeMap<Key, Arc<Told>>,
    owners: BTreeMap<(Tenant, Principal), usize>,
    /// Room that is taken by those that are about to be kept, by their registrations.
    rooms: BTreeMap<Arc<str>, (Tenant, Principal)>,
}

/// One that is told what happens.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) of: Of,
    pub(crate) id: Arc<str>,
    pub(crate) receiver: String,
    /// It is not to be told any more.
    pub(crate) stop: CancellationToken,
    /// It is not to wait any longer.
    pub(crate) now: Notify,
    trouble: Mutex<Option<Trouble>>,
}

/// Why a webhook waits.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) attempts: u32,
    pub(crate) next: Timestamp,
    pub(crate) why: Arc<str>,
}

/// Room for one more webhook of an owner, until it is told what happens, which takes it over, or is not kept.
#[derive(Debug)]
pub(crate) struct Room {
    running: Arc<Running>,
    registration: Arc<str>,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more is told what happens from now on, in the room that was taken for its registration, if any was; `None` if it is already.
    pub(crate) fn begin(
        &self,
        key: Key,
        registration: Option<&str>,
        told: Told,
        parent: &CancellationToken,
    ) -> Option<Arc<Told>> {
        let mut table = self.lock();
        let Entry::Vacant(place) = table.hooks.entry(key) else { return None };
        let told = Arc::new(Told { stop: parent.child_token(), ..told });
        place.insert(told.clone());
        if registration.and_then(|registration| table.rooms.remove(registration)).is_none() {
            *table.owners.entry((told.of.tenant.clone(), told.of.owner.clone())).or_default() += 1;
        }
        Some(told)
    }

    /// It is over.
    pub(crate) fn end(&self, key: &Key) {
        let mut table = self.lock();
        if let Some(told) = table.hooks.remove(key) {
            table.give_back(&(told.of.tenant.clone(), told.of.owner.clone()));
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Told>> {
        self.lock().hooks.get(key).cloned()
    }

    /// Those of one task, by their serials.
    pub(crate) fn of(&self, task: &TaskId) -> Vec<(u64, Arc<Told>)> {
        let table = self.lock();
        let of_task = table.hooks.range((*task, 0)..=(*task, u64::MAX));
        of_task.map(|((_, serial), told)| (*serial, told.clone())).collect()
    }

    pub(crate) fn all(&self) -> Vec<(Key, Arc<Told>)> {
        self.lock().hooks.iter().map(|(key, told)| (*key, told.clone())).collect()
    }
}

impl Table {
    fn give_back(&mut self, owner: &(Tenant, Principal)) {
        if let Some(count) = self.owners.get_mut(owner) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.owners.remove(owner);
            }
        }
    }
}

impl Room {
    pub(crate) fn of(
        running: &Arc<Running>,
        registration: &Arc<str>,
        of: &Of,
        limits: &Limits,
    ) -> Result<Self, EngineError> {
        let full = |what, max| Err(EngineError::Limit { what, max: max as u64 });
        let mut table = running.lock();
        if table.hooks.len() + table.rooms.len() >= limits.webhooks_max {
            return full("webhooks_max", limits.webhooks_max);
        }
        let owner = (of.tenant.clone(), of.owner.clone());
        let count = table.owners.entry(owner.clone()).or_default();
        if *count >= limits.webhooks_per_owner_max {
            return full("webhooks_per_owner_max", limits.webhooks_per_owner_max);
        }
        *count += 1;
        table.rooms.insert(registration.clone(), owner);
        drop(table);
        Ok(Self { running: running.clone(), registration: registration.clone() })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut table = self.running.lock();
        if let Some(owner) = table.rooms.remove(&self.registration) {
            table.give_back(&owner);
        }
    }
}

impl Told {
    pub(crate) fn new(of: Of, id: Arc<str>, receiver: String) -> Self {
        Self { of, id, receiver, stop: CancellationToken::new(), now: Notify::new(), trouble: Mutex::default() }
    }

    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_trouble(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

#[cfg(test)]
mod tests {
    use bobbinet_core::AgentName;

    use super::*;

    #[test]
    fn one_that_begins_is_counted_once_while_its_room_is_held() {
        let limits = Limits { webhooks_per_owner_max: 2, webhooks_max: 2, ..Limits::default() };
        let of = Of {
            tenant: Tenant::parse("t").unwrap(),
            owner: Principal::parse("o").unwrap(),
            agent: AgentName::parse("a").unwrap(),
        };
        let running = Arc::new(Running::default());
        let room = |registration: &str| Room::of(&running, &registration.into(), &of, &limits);
        let key = (TaskId::parse("01234567-89ab-7def-8123-456789abcdef").unwrap(), 1);
        let told = || Told::new(of.clone(), "h".into(), "https://a.example".to_owned());
        let first = room("x").unwrap();
        assert!(running.begin(key, Some("x"), told(), &CancellationToken::new()).is_some());
        let second = room("y").unwrap();
        assert!(room("z").is_err(), "one is told, and there is room for one");
        drop(first);
        assert!(room("z").is_err(), "it is still told");
        drop(second);
        drop(room("z").unwrap());
        // One without a room, as when the node starts, is counted too.
        let other = (key.0, 2);
        assert!(running.begin(other, None, told(), &CancellationToken::new()).is_some());
        assert!(room("z").is_err());
        running.end(&key);
        running.end(&other);
        assert!(running.lock().owners.is_empty());
    }
}
