//! Call slots: how many calls an agent has in flight, and which tasks wait for one.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt::{self, Debug},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bobbinet_core::TaskId;
use tokio::sync::Notify;

use crate::{
    EngineError,
    lanes::{Lane, Lanes},
};

/// Slots of calls that wait, for their callers or for one another, which are lent to new tasks meanwhile. Calls beyond that
/// wait with their slots: no new task begins on those, but whoever wants a lent one back goes on as if they were free.
const LENT_MAX: usize = 32;

/// How many tasks stand in one agent's line in memory. Those beyond wait in the log, and reconcile puts them in line as it
/// gets shorter.
const LINE_MAX: usize = 10_000;

/// Whose calls take the slots.
pub(crate) trait Callee: Debug + Send + Sync {
    /// Whether a call could begin now.
    fn takes_calls(&self) -> bool;
}

/// Who begins calls: the engine.
pub(crate) trait SlotOwner: Send + Sync + 'static {
    /// Whether it begins no more.
    fn is_draining(&self) -> bool;

    /// Whether it may begin any now.
    fn may_claim(&self) -> bool;

    /// A slot is free for the task that has waited longest.
    fn claim(self: Arc<Self>, id: TaskId, permit: Permit);
}

/// The call slots of one agent, and the line of tasks that wait for one.
#[derive(Debug)]
pub(crate) struct Slots {
    callee: Arc<dyn Callee>,
    max: usize,
    state: Mutex<SlotsState>,
    /// A slot was given back that somebody wants to have back.
    freed: Notify,
}

#[derive(Debug, Default)]
struct SlotsState {
    used: usize,
    lent: usize,
    /// Of those used: of calls that wait, and were not lent since enough are.
    idle: usize,
    /// Those that have lent theirs, and want it back.
    wanted: usize,
    line: VecDeque<Waiter>,
    /// Which calls run one at a time, and who waits for that. Whoever waits there is not in the line yet.
    lanes: Lanes,
    /// The ids of all who wait, to keep one from doing so twice.
    in_line: BTreeSet<TaskId>,
}

/// A task in line.
#[derive(Debug)]
struct Waiter {
    id: TaskId,
    /// What is kept for its call.
    lane: Option<Lane>,
}

/// The right to have one call in flight. Given back when dropped: to the task that has waited longest, if one does.
pub(crate) struct Permit {
    slots: Arc<Slots>,
    owner: Weak<dyn SlotOwner>,
    /// What is kept for it.
    lane: Option<Lane>,
}

impl Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl SlotsState {
    /// Puts a task at the end of the line, or of the queue for its lane, unless it waits already or that is as long as it may be.
    fn stand(&mut self, id: TaskId, lane: Option<Lane>) {
        if self.in_line.contains(&id) {
            return;
        }
        match lane {
            Some(lane) if !self.lanes.is_free(&lane) => {
                if self.lanes.waiting() < LINE_MAX {
                    self.lanes.wait(id, lane);
                    self.in_line.insert(id);
                }
            }
            lane => {
                if self.line.len() < LINE_MAX {
                    if let Some(lane) = &lane {
                        self.lanes.hold(lane.clone());
                    }
                    self.line.push_back(Waiter { id, lane });
                    self.in_line.insert(id);
                }
            }
        }
    }

    /// Gives up a lane: whoever is next in it stands in line for a slot now.
    fn leave_lane(&mut self, lane: Option<Lane>) {
        let Some(lane) = lane else { return };
        self.lanes.release(&lane);
        while let Some((id, lane)) = self.lanes.next() {
            self.line.push_back(Waiter { id, lane: Some(lane) });
        }
    }

    /// Whether one more that has waited may go on. Nobody waits for those that wait themselves.
    fn has_room(&self, max: usize) -> bool {
        self.used.saturating_sub(self.idle) < max
    }
}

impl Slots {
    /// So many slots.
    pub(crate) fn new(callee: Arc<dyn Callee>, max: usize) -> Arc<Self> {
        Arc::new(Self { callee, max, state: Mutex::default(), freed: Notify::new() })
    }

    /// A slot, if one is free and nobody waits for it, and the same of this lane.
    pub(crate) fn try_take(self: &Arc<Self>, owner: &Arc<impl SlotOwner>, lane: Option<Lane>) -> Option<Permit> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = state.used < self.max && state.line.is_empty() && state.wanted == 0;
        let is_free = is_free && lane.as_ref().is_none_or(|lane| state.lanes.is_free(lane));
        if !is_free || !self.callee.takes_calls() || !owner.may_claim() {
            return None;
        }
        state.used += 1;
        if let Some(lane) = &lane {
            state.lanes.hold(lane.clone());
        }
        Some(Permit { slots: self.clone(), owner: weak(owner), lane })
    }

    /// Puts a task in the queue for its lane, unless that is free.
    ///
    /// # Errors
    /// If so many wait already.
    pub(crate) fn wait_in_lane(&self, id: TaskId, lane: Lane, max: usize) -> Result<(), EngineError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.lanes.is_free(&lane) {
            return Ok(());
        }
        if state.lanes.waiting() >= max {
            return Err(EngineError::Limit { what: "lane_queue_max", max: max as u64 });
        }
        state.stand(id, Some(lane));
        Ok(())
    }

    /// A task does not wait any more.
    pub(crate) fn leave(self: &Arc<Self>, owner: &Arc<impl SlotOwner>, id: &TaskId) {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if !state.in_line.remove(id) {
                return;
            }
            state.lanes.leave(id);
            let position = state.line.iter().position(|waiter| waiter.id == *id);
            let lane = position.and_then(|position| state.line.remove(position)).and_then(|waiter| waiter.lane);
            state.leave_lane(lane);
        }
        self.serve_line(&weak(owner));
    }

    /// Puts a task at the end of the line, unless it stands there. Gives the first in the line, with a slot, if one is free.
    pub(crate) fn line_up(
        self: &Arc<Self>,
        owner: &Arc<impl SlotOwner>,
        id: TaskId,
        lane: Option<Lane>,
    ) -> Option<(TaskId, Permit)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stand(id, lane);
        if state.used >= self.max || state.wanted > 0 || !self.callee.takes_calls() || !owner.may_claim() {
            return None;
        }
        let Waiter { id: first, lane } = state.line.pop_front()?;
        state.in_line.remove(&first);
        state.used += 1;
        drop(state);
        Some((first, Permit { slots: self.clone(), owner: weak(owner), lane }))
    }

    /// Gives free slots to those who have waited longest.
    fn serve_line(self: &Arc<Self>, owner: &Weak<dyn SlotOwner>) {
        loop {
            let Some(owned) = owner.upgrade().filter(|owner| !owner.is_draining() && owner.may_claim()) else { return };
            let Waiter { id, lane } = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.used >= self.max || state.wanted > 0 || state.line.is_empty() || !self.callee.takes_calls() {
                    return;
                }
                let Some(first) = state.line.pop_front() else { return };
                state.in_line.remove(&first.id);
                state.used += 1;
                first
            };
            owned.claim(id, Permit { slots: self.clone(), owner: owner.clone(), lane });
        }
    }

    /// Lends the slot of a call that waits, and its lane. Where what this gives is dropped instead of taken back, the agent may have
    /// more calls than slots for a while, and more than one in a lane: nobody who has an answer waits for others.
    pub(crate) fn lend(self: &Arc<Self>, owner: &Arc<impl SlotOwner>, lane: Option<Lane>) -> Lent {
        self.lend_for(&weak(owner), lane)
    }

    /// The same for a call that waits for tasks it has begun, which need slots too, perhaps of the same agent; or for an equal call, beside which
    /// it does nothing: so there is no bound but that of tasks.
    pub(crate) fn lend_to_all(self: &Arc<Self>, owner: &Arc<impl SlotOwner>, lane: Option<Lane>) -> Lent {
        self.lend_within(&weak(owner), usize::MAX, lane)
    }

    fn lend_for(self: &Arc<Self>, owner: &Weak<dyn SlotOwner>, lane: Option<Lane>) -> Lent {
        self.lend_within(owner, LENT_MAX, lane)
    }

    fn lend_within(self: &Arc<Self>, owner: &Weak<dyn SlotOwner>, lent_max: usize, lane: Option<Lane>) -> Lent {
        let is_kept = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.leave_lane(lane.clone());
            let is_kept = state.lent >= lent_max;
            if is_kept {
                state.idle += 1;
                self.wake_if_room(&state);
            } else {
                state.lent += 1;
            }
            is_kept
        };
        if is_kept {
            self.serve_line(owner);
        } else {
            // Dropped at once: to whoever is next.
            drop(Permit { slots: self.clone(), owner: owner.clone(), lane: None });
        }
        Lent { slots: self.clone(), lane, is_kept, is_back: false }
    }

    /// Takes back a slot and its lane.
    fn put_back(&self, lane: Option<Lane>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.used -= 1;
        state.leave_lane(lane);
        self.wake_if_room(&state);
    }

    /// Wakes one that wants its slot back, if there is room.
    fn wake_if_room(&self, state: &SlotsState) {
        if state.wanted > 0 && state.has_room(self.max) {
            self.freed.notify_one();
        }
    }
}

fn weak<O: SlotOwner>(owner: &Arc<O>) -> Weak<dyn SlotOwner> {
    Arc::<O>::downgrade(owner)
}

/// A slot that is lent. Dropped, it is taken back, whether it is free or not.
#[derive(Debug)]
pub(crate) struct Lent {
    slots: Arc<Slots>,
    /// Lent with it.
    lane: Option<Lane>,
    /// Enough were lent: no new task has this one.
    is_kept: bool,
    is_back: bool,
}

impl Lent {
    /// Takes the slot back once there is a free one: before any task that waits in line for its first.
    pub(crate) async fn take_back(mut self) {
        let slots = self.slots.clone();
        let _wanted = Wanted::begin(&slots);
        loop {
            let mut freed = std::pin::pin!(slots.freed.notified());
            freed.as_mut().enable();
            if self.try_take_back() {
                return;
            }
            freed.await;
        }
    }

    fn try_take_back(&mut self) -> bool {
        let mut state = self.slots.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.has_room(self.slots.max) {
            self.put_back(&mut state);
            self.is_back = true;
        }
        self.is_back
    }

    fn put_back(&self, state: &mut SlotsState) {
        if let Some(lane) = &self.lane {
            state.lanes.hold(lane.clone());
        }
        if self.is_kept {
            state.idle -= 1;
        } else {
            state.lent -= 1;
            state.used += 1;
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.is_back {
            let mut state = self.slots.state.lock().unwrap_or_else(PoisonError::into_inner);
            self.put_back(&mut state);
        }
    }
}

/// While this lives, no task in line gets a slot.
struct Wanted(Arc<Slots>);

impl Wanted {
    fn begin(slots: &Arc<Slots>) -> Self {
        slots.state.lock().unwrap_or_else(PoisonError::into_inner).wanted += 1;
        Self(slots.clone())
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.wanted -= 1;
        self.0.wake_if_room(&state);
    }
}

impl Permit {
    /// What is kept for its call.
    pub(crate) fn lane(&self) -> Option<&Lane> {
        self.lane.as_ref()
    }

    /// The same slot, with this lane; unless that is not free: then the task waits for it, and somebody else has the slot.
    pub(crate) fn in_lane(mut self, id: TaskId, lane: Option<Lane>) -> Option<Self> {
        if self.lane == lane {
            return Some(self);
        }
        let is_free = {
            let mut state = self.slots.state.lock().unwrap_or_else(PoisonError::into_inner);
            let before = self.lane.take();
            state.leave_lane(before);
            let is_free = lane.as_ref().is_none_or(|lane| state.lanes.is_free(lane));
            match &lane {
                Some(lane) if is_free => state.lanes.hold(lane.clone()),
                Some(lane) => state.stand(id, Some(lane.clone())),
                None => {}
            }
            is_free
        };
        if is_free {
            self.lane = lane;
        }
        is_free.then_some(self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.slots.put_back(self.lane.take());
        // Where nothing begins any more, the line is left as it is; it is in the log.
        self.slots.serve_line(&self.owner);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    /// Always takes calls, and begins none.
    #[derive(Debug)]
    struct Nobody;

    impl Callee for Nobody {
        fn takes_calls(&self) -> bool {
            true
        }
    }

    impl SlotOwner for Nobody {
        fn is_draining(&self) -> bool {
            true
        }

        fn may_claim(&self) -> bool {
            false
        }

        fn claim(self: Arc<Self>, _: TaskId, _: Permit) {}
    }

    /// An owner that is gone.
    fn gone() -> Weak<dyn SlotOwner> {
        let gone: Weak<Nobody> = Weak::new();
        gone
    }

    /// Whether the loan is taken back once this was done.
    async fn is_taken_back_after(slots: &Arc<Slots>, loan: Lent, deed: impl FnOnce()) -> bool {
        let mut back = std::pin::pin!(loan.take_back());
        let soon = Duration::from_secs(1);
        assert!(tokio::time::timeout(soon, back.as_mut()).await.is_err(), "{:?}", slots.state);
        deed();
        tokio::time::timeout(soon, back).await.is_ok()
    }

    fn with(state: SlotsState) -> Arc<Slots> {
        Arc::new(Slots { state: Mutex::new(state), ..Arc::into_inner(Slots::new(Arc::new(Nobody), 1)).unwrap() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_that_becomes_free_while_nothing_begins_any_more_goes_to_whoever_wants_one_back() {
        let slots = with(SlotsState { used: 1, lent: 1, ..SlotsState::default() });
        let loan = Lent { slots: slots.clone(), lane: None, is_kept: false, is_back: false };
        // Of an engine that is gone.
        let permit = Permit { slots: slots.clone(), owner: gone(), lane: None };
        assert!(is_taken_back_after(&slots, loan, || drop(permit)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_the_slot_of_a_call_that_waits_itself() {
        let slots = with(SlotsState { used: 1, lent: LENT_MAX, ..SlotsState::default() });
        let loan = Lent { slots: slots.clone(), lane: None, is_kept: false, is_back: false };
        let kept = std::cell::OnceCell::new();
        let wait = || kept.set(slots.lend_for(&gone(), None)).unwrap();
        assert!(is_taken_back_after(&slots, loan, wait).await);
        // It goes on when the other has given its own back, and takes no second slot.
        let permit = Permit { slots: slots.clone(), owner: gone(), lane: None };
        assert!(is_taken_back_after(&slots, kept.into_inner().unwrap(), || drop(permit)).await);
        let state = slots.state.lock().unwrap();
        assert_eq!((state.used, state.lent, state.idle, state.wanted), (1, LENT_MAX - 1, 0, 0));
    }

    #[test]
    fn a_line_has_an_end() {
        let mut state = SlotsState::default();
        for _ in 0..2 {
            for number in 0..=LINE_MAX as u128 {
                state.stand(TaskId::new(Uuid::from_u128(number)), None);
            }
        }
        assert_eq!((state.line.len(), state.in_line.len()), (LINE_MAX, LINE_MAX));
    }
}
