//! Who may call at the same time as whom, so that it is known whose a question is (`question`).
//!
//! Up to 2025-11-25 a question that comes over a pipe names no call. So it is known whose it is only if one call can have
//! asked it. Between the calls of one owner a mistake shows nobody what is not theirs. Across owners nothing is guessed:
//! a call that may ask is kept apart from everybody else's.

mod question;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bobbinet_core::Task;
use tokio::{sync::Notify, time::Instant};

use crate::{blame::Blame, config::McpConfig};

pub(crate) use question::Question;

/// Whose a call is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner(Arc<str>);

impl Owner {
    pub(crate) fn of(task: &Task) -> Self {
        Self(format!("{}\n{}", task.tenant, task.owner).into())
    }

    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Self {
        Self(name.into())
    }
}

/// What is known of the call's manners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It never asks: by the operator's word, or because its era has other means.
    Silent,
    /// It only reads, and is not known to ask.
    Reads,
    /// Nothing.
    Unknown,
    /// It is known to ask.
    Asks,
    /// The server has died under it: it runs alone, so that it takes nobody with it. That is over, in line and inside,
    /// after as long as the death is held against it: a long call does not keep everybody out to its end.
    Deadly,
}

/// A call at the door.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub(crate) owner: Owner,
    pub(crate) tool: String,
    pub(crate) manner: Manner,
}

/// Why a call has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Somebody's call waits for the answer to its question.
    Question,
    /// One that may ask is at work, or this one may ask.
    Asks,
    /// This one may ask, and so may a call of somebody else that was given up.
    GivenUp,
    /// One under which the server has died, or this one.
    Deadly,
}

impl Why {
    /// For the status of the task that waits: nothing of anybody else's call.
    pub(crate) fn words(self, hold: Duration) -> String {
        let why = match self {
            Self::Question => format!(
                "another caller's call waits for an answer, and the MCP server does not say whose its questions are. \
                 That answer is waited for, but for no longer than {hold:?}"
            ),
            Self::Asks => {
                "a call that may ask its caller runs without others beside it, since the MCP server does not say \
                 whose its questions are"
                    .to_owned()
            }
            Self::GivenUp => {
                "another caller's call was given up and may still ask, and the MCP server does not say whose its \
                 questions are. That is over within a minute"
                    .to_owned()
            }
            Self::Deadly => "the MCP server has died under a call, which is now made alone".to_owned(),
        };
        format!("waiting for its turn: {why}")
    }
}

/// The calls of one server.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Under which calls the server has died.
    pub(crate) blame: Blame,
    /// Tools that are known to ask: by the operator's word, or because they have.
    asking: Mutex<BTreeSet<String>>,
    inner: Mutex<Inner>,
    changed: Notify,
    hold: Duration,
    /// How long a call is [`Manner::Deadly`].
    deadly_for: Duration,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    /// Those that wait, in the order they came.
    line: Vec<Waiting>,
    inside: BTreeMap<u64, Inside>,
}

/// A call that waits.
#[derive(Debug)]
struct Waiting {
    ticket: u64,
    guest: Guest,
    since: Instant,
}

/// A call that was let in.
#[derive(Debug)]
struct Inside {
    guest: Guest,
    since: Instant,
    /// Its questions that wait for their answers.
    questions: usize,
    /// It has its answer, and waits until it may go on.
    is_resuming: bool,
    /// Since when a call of somebody else waits for its questions.
    in_the_way_since: Option<Instant>,
    /// Until when it may still ask although nobody waits for it any more.
    given_up_until: Option<Instant>,
}

impl Inside {
    fn waits_for_answer(&self) -> bool {
        self.questions > 0 && !self.is_resuming
    }
}

/// Whether a call can be let in.
enum Door {
    Open,
    Closed(Why),
}

impl Lane {
    pub(crate) fn of(config: &McpConfig) -> Self {
        let limits = &config.limits;
        let deadly_for = Duration::from_millis(limits.deaths_within_ms);
        Self {
            blame: Blame::new(deadly_for),
            asking: Mutex::new(config.interactive.iter().cloned().collect()),
            inner: Mutex::default(),
            changed: Notify::new(),
            hold: Duration::from_millis(limits.hold_for_others_ms),
            deadly_for,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().expect("nobody panics while looking who is in whose way");
        let now = Instant::now();
        for (guest, since) in inner.guests() {
            if guest.manner == Manner::Deadly && since + self.deadly_for <= now {
                guest.manner = if self.is_asking(&guest.tool) { Manner::Asks } else { Manner::Unknown };
            }
        }
        inner
    }

    fn asking(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.asking.lock().expect("nobody panics while holding a few names")
    }

    /// Whether this tool is known to ask.
    pub(crate) fn is_asking(&self, tool: &str) -> bool {
        self.asking().contains(tool)
    }

    fn change(&self, mut inner: MutexGuard<'_, Inner>) {
        inner.look_who_is_in_the_way();
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Lets a call in if that can be done now.
    pub(crate) fn try_enter(self: &Arc<Self>, guest: &Guest) -> Result<Place, Why> {
        let guest = self.informed(guest);
        let mut inner = self.inner();
        match inner.door(&guest, None, self.hold) {
            Door::Closed(why) => Err(why),
            Door::Open => {
                let ticket = inner.let_in(guest);
                self.change(inner);
                Ok(Place { lane: self.clone(), ticket })
            }
        }
    }

    /// Puts a call at the end of the line.
    pub(crate) fn line_up(self: &Arc<Self>, guest: &Guest) -> Spot {
        let guest = self.informed(guest);
        let mut inner = self.inner();
        let ticket = inner.ticket();
        inner.line.push(Waiting { ticket, guest, since: Instant::now() });
        self.change(inner);
        Spot { lane: self.clone(), ticket }
    }

    /// The guest, with what was learned of its tool while it waited.
    fn informed(&self, guest: &Guest) -> Guest {
        let manner = match guest.manner {
            Manner::Reads | Manner::Unknown if self.is_asking(&guest.tool) => Manner::Asks,
            Manner::Silent | Manner::Reads | Manner::Unknown | Manner::Asks | Manner::Deadly => guest.manner,
        };
        Guest { manner, ..guest.clone() }
    }

    /// Nobody waits for the call any more, but it may still ask.
    pub(crate) fn give_up(&self, ticket: u64, until: Instant) {
        let mut inner = self.inner();
        if let Some(inside) = inner.inside.get_mut(&ticket) {
            inside.given_up_until = Some(until);
            inside.questions = 0;
        }
        self.change(inner);
    }

    /// A call that was given up is over after all.
    pub(crate) fn forget(&self, ticket: u64) {
        let mut inner = self.inner();
        inner.inside.remove(&ticket);
        self.change(inner);
    }

    /// Whether nobody is inside, and nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        let mut inner = self.inner();
        inner.forget_old(Instant::now());
        inner.inside.is_empty() && inner.line.is_empty()
    }
}

impl Inner {
    fn ticket(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn let_in(&mut self, guest: Guest) -> u64 {
        let ticket = self.ticket();
        let inside = Inside {
            guest,
            since: Instant::now(),
            questions: 0,
            is_resuming: false,
            in_the_way_since: None,
            given_up_until: None,
        };
        self.inside.insert(ticket, inside);
        ticket
    }

    fn forget_old(&mut self, now: Instant) {
        self.inside.retain(|_, inside| inside.given_up_until.is_none_or(|until| until > now));
    }

    /// All calls, and since when they are where they are.
    fn guests(&mut self) -> impl Iterator<Item = (&mut Guest, Instant)> {
        let line = self.line.iter_mut().map(|waiting| (&mut waiting.guest, waiting.since));
        line.chain(self.inside.values_mut().map(|inside| (&mut inside.guest, inside.since)))
    }

    /// When the next call may be let in although nothing has changed, if time does that.
    fn next_lapse(&mut self, deadly_for: Duration) -> Option<Instant> {
        let given_up = self.inside.values().filter_map(|inside| inside.given_up_until).min();
        let deadly = self.guests().filter(|(guest, _)| guest.manner == Manner::Deadly);
        let deadly = deadly.map(|(_, since)| since + deadly_for).min();
        given_up.into_iter().chain(deadly).min()
    }

    /// Whether the guest can be let in: nobody inside keeps it out, and it is not the turn of somebody before it in line.
    fn door(&mut self, guest: &Guest, place: Option<u64>, hold: Duration) -> Door {
        let now = Instant::now();
        self.forget_old(now);
        if let Some(why) = self.inside.values().find_map(|inside| keeps_out(inside, guest)) {
            return Door::Closed(why);
        }
        for Waiting { ticket, guest: earlier, since } in &self.line {
            if place == Some(*ticket) {
                break;
            }
            let Some(why) = keep_apart(earlier, guest) else { continue };
            // Whoever waits for people, or for what nobody knows the end of, is overtaken, but not for ever: each call that
            // overtakes may ask a question of its own.
            let waits_for_people = self.inside.values().any(|inside| {
                let is_slow = inside.waits_for_answer() || inside.given_up_until.is_some();
                is_slow && keeps_out(inside, earlier).is_some()
            });
            if !waits_for_people || *since + hold <= now {
                return Door::Closed(why);
            }
        }
        Door::Open
    }

    fn look_who_is_in_the_way(&mut self) {
        let now = Instant::now();
        for inside in self.inside.values_mut() {
            let is_in_the_way = inside.waits_for_answer()
                && self.line.iter().any(|Waiting { guest, .. }| {
                    guest.owner != inside.guest.owner && keeps_out(inside, guest) == Some(Why::Question)
                });
            inside.in_the_way_since = is_in_the_way.then(|| inside.in_the_way_since.unwrap_or(now));
        }
    }
}

/// Whether a call that is inside keeps another one out.
fn keeps_out(inside: &Inside, guest: &Guest) -> Option<Why> {
    let is_others = inside.guest.owner != guest.owner;
    if inside.given_up_until.is_some() {
        let may_be_mistaken = is_others && inside.guest.manner != Manner::Silent;
        return (may_be_mistaken && guest.manner == Manner::Asks).then_some(Why::GivenUp);
    }
    if inside.waits_for_answer() {
        let is_let_by = match guest.manner {
            Manner::Silent | Manner::Reads => true,
            Manner::Unknown | Manner::Asks | Manner::Deadly => false,
        };
        return (is_others && !is_let_by).then_some(Why::Question);
    }
    keep_apart(&inside.guest, guest)
}

/// Whether two calls cannot be at work at the same time.
fn keep_apart(one: &Guest, other: &Guest) -> Option<Why> {
    let is = |manner| one.manner == manner || other.manner == manner;
    if is(Manner::Deadly) {
        return Some(Why::Deadly);
    }
    (is(Manner::Asks) && !is(Manner::Silent)).then_some(Why::Asks)
}

async fn sleep_until_or_never(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A spot in the line. Dropped, it is given up.
#[derive(Debug)]
pub(crate) struct Spot {
    lane: Arc<Lane>,
    ticket: u64,
}

impl Spot {
    /// Returns when the call can be let in. `wait` hears why it waits, each time that this changes.
    pub(crate) async fn turn(&self, mut wait: impl FnMut(String)) {
        let mut told = None;
        loop {
            let mut changed = std::pin::pin!(self.lane.changed.notified());
            changed.as_mut().enable();
            let (why, look_again) = match self.look() {
                Ok(_) => return,
                Err(closed) => closed,
            };
            if told.replace(why) != Some(why) {
                wait(why.words(self.lane.hold));
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = sleep_until_or_never(look_again) => {}
            }
        }
    }

    /// Lets the call in, if that can still be done.
    pub(crate) fn enter(&self) -> Option<Place> {
        let (mut inner, guest) = self.look().ok()?;
        inner.line.retain(|waiting| waiting.ticket != self.ticket);
        let ticket = inner.let_in(guest);
        self.lane.change(inner);
        Some(Place { lane: self.lane.clone(), ticket })
    }

    /// Whether the call can be let in, or why not, and when to look again although nothing has changed.
    fn look(&self) -> Result<(MutexGuard<'_, Inner>, Guest), (Why, Option<Instant>)> {
        let mut inner = self.lane.inner();
        let place = inner.line.iter().position(|waiting| waiting.ticket == self.ticket);
        let place = place.expect("it stands in line until it is let in, and is not asked for after that");
        let guest = self.lane.informed(&inner.line[place].guest);
        if guest.manner != inner.line[place].guest.manner {
            // It may be in need of other things now.
            inner.line[place].guest = guest.clone();
            inner.look_who_is_in_the_way();
            self.lane.changed.notify_waiters();
        }
        match inner.door(&guest, Some(self.ticket), self.lane.hold) {
            Door::Open => Ok((inner, guest)),
            Door::Closed(why) => Err((why, inner.next_lapse(self.lane.deadly_for))),
        }
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        let mut inner = self.lane.inner();
        inner.line.retain(|waiting| waiting.ticket != self.ticket);
        self.lane.change(inner);
    }
}

/// A call that was let in, while it runs. Dropped, it is over, unless it was given up before.
#[derive(Debug)]
pub(crate) struct Place {
    lane: Arc<Lane>,
    pub(crate) ticket: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.lane.inner();
        let is_over = inner.inside.get(&self.ticket).is_some_and(|inside| inside.given_up_until.is_none());
        if is_over {
            inner.inside.remove(&self.ticket);
        }
        self.lane.change(inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn lane() -> Arc<Lane> {
        Arc::new(Lane::of(&McpConfig::new("a", "x", &[])))
    }

    pub(super) async fn line_up(lane: &Arc<Lane>, guest: &Guest, wait: impl FnMut(String)) -> Place {
        let spot = lane.line_up(guest);
        spot.turn(wait).await;
        spot.enter().unwrap()
    }

    pub(super) fn guest(owner: &str, manner: Manner) -> Guest {
        Guest { owner: Owner::named(owner), tool: format!("{owner}-{manner:?}"), manner }
    }

    pub(super) fn enter(lane: &Arc<Lane>, owner: &str, manner: Manner) -> Result<Place, Why> {
        lane.try_enter(&guest(owner, manner))
    }

    #[test]
    fn who_is_let_in_beside_whom() {
        use Manner::{Asks, Deadly, Reads, Silent, Unknown};
        let lane = lane();
        let check = |inside: &str, expected: &[(&str, Manner, Option<Why>)]| {
            for (owner, manner, why) in expected {
                let entered = enter(&lane, owner, *manner);
                assert_eq!(entered.err(), *why, "{owner} {manner:?} beside {inside}");
            }
        };
        let unknown = enter(&lane, "ann", Unknown).unwrap();
        check(
            "one of which nothing is known",
            &[
                ("bob", Reads, None),
                ("bob", Unknown, None),
                ("bob", Silent, None),
                ("bob", Asks, Some(Why::Asks)),
                ("ann", Asks, Some(Why::Asks)),
                ("ann", Deadly, Some(Why::Deadly)),
            ],
        );
        let question = lane.whose(&[unknown.ticket]).unwrap();
        check(
            "an open question",
            &[
                ("bob", Reads, None),
                ("bob", Silent, None),
                ("bob", Unknown, Some(Why::Question)),
                ("bob", Asks, Some(Why::Question)),
                ("ann", Reads, None),
                ("ann", Unknown, None),
                ("ann", Asks, None),
            ],
        );
        drop(question);
        check("one that has asked before", &[("bob", Reads, Some(Why::Asks)), ("bob", Silent, None)]);
        lane.give_up(unknown.ticket, Instant::now() + Duration::from_secs(60));
        drop(unknown);
        check(
            "one that was given up",
            &[("bob", Reads, None), ("bob", Unknown, None), ("bob", Asks, Some(Why::GivenUp)), ("ann", Asks, None)],
        );
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_people_is_overtaken_and_whoever_waits_for_a_call_is_not() {
        let lane = lane();
        let asker = enter(&lane, "ann", Manner::Unknown).unwrap();
        let question = lane.whose(&[asker.ticket]).unwrap();
        let patient = guest("bob", Manner::Asks);
        let mut patient = std::pin::pin!(line_up(&lane, &patient, |_| {}));
        assert!(tokio::time::timeout(Duration::from_secs(1), patient.as_mut()).await.is_err());
        let read = enter(&lane, "eve", Manner::Reads).unwrap();
        drop((question, asker));
        assert_eq!(enter(&lane, "eve", Manner::Reads).unwrap_err(), Why::Asks, "it is the other's turn now");
        drop(read);
        patient.await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_killed_its_server_runs_alone_for_a_while_and_not_to_its_end() {
        let lane = lane();
        let long = enter(&lane, "ann", Manner::Unknown).unwrap();
        let (deadly, other) = (guest("ann", Manner::Deadly), guest("bob", Manner::Unknown));
        let begun = Instant::now();
        // Nothing happens that would make them look: each waits for its time alone.
        let waiting = async { tokio::join!(line_up(&lane, &deadly, |_| {}), line_up(&lane, &other, |_| {})) };
        let minutes = Duration::from_secs(600);
        let places = tokio::time::timeout(minutes, waiting).await.expect("in line, it is over");
        assert_eq!(begun.elapsed().as_secs(), lane.deadly_for.as_secs());
        drop((long, places));
        let inside = enter(&lane, "ann", Manner::Deadly).unwrap();
        assert_eq!(enter(&lane, "bob", Manner::Reads).unwrap_err(), Why::Deadly);
        tokio::time::timeout(minutes, line_up(&lane, &other, |_| {})).await.expect("inside, it is over");
        drop(inside);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_people_is_overtaken_for_no_longer_than_a_question_is_held() {
        let lane = lane();
        let asker = enter(&lane, "ann", Manner::Asks).unwrap();
        let question = lane.whose(&[asker.ticket]).unwrap();
        let patient = guest("bob", Manner::Asks);
        let mut patient = std::pin::pin!(line_up(&lane, &patient, |_| {}));
        assert!(tokio::time::timeout(lane.hold - Duration::from_secs(1), patient.as_mut()).await.is_err());
        let second = enter(&lane, "ann", Manner::Asks).unwrap();
        let another = lane.whose(&[second.ticket]).unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(1), patient.as_mut()).await.is_err());
        drop((question, asker));
        assert_eq!(enter(&lane, "ann", Manner::Asks).unwrap_err(), Why::Asks, "it is the other's turn after these");
        drop((another, second));
        patient.await;
    }
}
