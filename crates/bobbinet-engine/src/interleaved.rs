//! The locking of live tasks, in many orders of its steps: threads stop and go on wherever a lock is taken or given back.
//! What is found says how to see it again.

use std::{
    collections::BTreeMap,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bobbinet_core::{
    AgentName, Command, ContextId, Event, Generation, Limits, Message, MessageId, Part, Principal, State, Task, TaskId,
    Tenant, Timestamp, task::Submitted,
};
use bobbinet_store::{Step, Version};
use futures::FutureExt;
use shuttle::{
    future::block_on,
    sync::Mutex,
    thread::{self, JoinHandle},
};
use uuid::Uuid;

use crate::{
    PublicEvent,
    cache::{Cache, Place},
    live::{After, Drive, Live, Queued},
    task_live::{LiveTask, TaskHeld},
    unkept::{News, Unkept},
};

/// How many orders each test goes through.
const ORDERS: usize = 500;

/// In how many places at most a thread is stopped, where that is what is varied.
const STOPS: usize = 3;

fn in_many_orders(test: fn()) {
    shuttle::check_random(test, ORDERS);
    shuttle::check_pct(test, ORDERS, STOPS);
}

fn id(number: u128) -> TaskId {
    TaskId::new(Uuid::from_u128(number))
}

fn join<T>(threads: Vec<JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// A command that says which one it is.
fn queued(number: u64) -> Queued<Task> {
    let command = Command::Expire { since: Timestamp::from_millis(number) };
    Queued { command, held: TaskHeld::default(), idempotency: None, answer: None }
}

#[test]
fn what_is_queued_is_driven_once_and_by_one_at_a_time() {
    in_many_orders(|| {
        let (live, drivers) = (Live::new(id(1)), Arc::new(AtomicUsize::new(0)));
        let threads = (0..3).map(|number| {
            let (live, drivers) = (live.clone(), drivers.clone());
            thread::spawn(move || {
                let mut driven = Vec::new();
                for command in 0..2 {
                    if live.enqueue(queued(number * 2 + command)) {
                        assert_eq!(drivers.fetch_add(1, Ordering::SeqCst), 0, "two drive");
                        loop {
                            thread::yield_now();
                            let Some(batch) = live.take_batch(|| drivers.fetch_sub(1, Ordering::SeqCst)) else {
                                break;
                            };
                            driven.extend(batch.commands.into_iter().map(|queued| {
                                let Command::Expire { since } = queued.command else { panic!("{queued:?}") };
                                since.as_millis()
                            }));
                        }
                    }
                }
                driven
            })
        });
        let mut driven = join(threads.collect()).concat();
        driven.sort_unstable();
        assert_eq!(driven, [0, 1, 2, 3, 4, 5], "something is queued and nobody drives, or it was driven twice");
        assert_eq!(drivers.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn what_is_withheld_goes_out_once_and_before_what_is_asked() {
    in_many_orders(|| {
        let live: Arc<LiveTask> = Live::new(id(1));
        let (state, _) = life().remove(0);
        let step =
            Step { stream: id(1).stream(), expected: Version::ZERO, records: vec![], cells: vec![], summary: None };
        live.withhold(Unkept { step, news: News { state, events: Vec::new() } });
        let (outs, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let threads = (0..3).map(|number| {
            let (live, outs, asked) = (live.clone(), outs.clone(), asked.clone());
            thread::spawn(move || {
                let drives = if number == 0 { live.enqueue(queued(1)) } else { live.let_go() };
                while drives && let Some(batch) = live.take_batch(|| ()) {
                    thread::yield_now();
                    outs.fetch_add(usize::from(batch.withheld.is_some()), Ordering::SeqCst);
                    assert!(batch.commands.is_empty() || outs.load(Ordering::SeqCst) == 1, "it is asked before");
                    asked.fetch_add(batch.commands.len(), Ordering::SeqCst);
                }
            })
        });
        join(threads.collect());
        assert_eq!((outs.load(Ordering::SeqCst), asked.load(Ordering::SeqCst)), (1, 1));
        assert!(!live.lock().is_driven && !live.is_withheld());
    });
}

/// Decides what is queued, as the commit loop does, and counts who is at it.
#[derive(Clone, Debug, Default)]
struct Driver {
    at_it: Arc<AtomicUsize>,
    driven: Arc<AtomicUsize>,
}

impl Driver {
    fn enter(&self) {
        assert_eq!(self.at_it.fetch_add(1, Ordering::SeqCst), 0, "two decide");
    }

    fn leave(&self) {
        self.at_it.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drive<Task> for Driver {
    fn start_driving(&self, live: Arc<LiveTask>) {
        self.enter();
        loop {
            thread::yield_now();
            if live.has_turns() {
                self.leave();
                if live.hand_over() {
                    return;
                }
                self.enter();
            }
            let Some(batch) = live.take_batch(|| self.leave()) else { return };
            self.driven.fetch_add(batch.commands.len(), Ordering::SeqCst);
        }
    }
}

#[test]
fn a_transaction_gets_its_turn_and_leaves_nobody_waiting() {
    in_many_orders(|| {
        let (live, driver): (Arc<LiveTask>, _) = (Live::new(id(1)), Driver::default());
        let turns = Arc::new(AtomicUsize::new(0));
        let threads = (0..4).map(|number| {
            let (live, driver, turns) = (live.clone(), driver.clone(), turns.clone());
            thread::spawn(move || {
                if number % 2 == 0 {
                    if live.enqueue(queued(number)) {
                        driver.start_driving(live.clone());
                    }
                    return;
                }
                if number == 3 {
                    // One that does not wait for its turn, which may have come all the same.
                    drop(live.turn(Arc::new(driver.clone())).now_or_never());
                }
                let turn = block_on(live.turn(Arc::new(driver.clone()))).expect("whoever decides hands over");
                driver.enter();
                turns.fetch_add(1, Ordering::SeqCst);
                thread::yield_now();
                driver.leave();
                drop(turn);
            })
        });
        join(threads.collect());
        assert_eq!((turns.load(Ordering::SeqCst), driver.driven.load(Ordering::SeqCst)), (2, 2));
        assert!(!live.lock().is_driven);
    });
}

/// A task's whole life: each of its states with the event that led to it.
fn life() -> Vec<(Arc<Task>, Arc<PublicEvent>)> {
    let message = Message::from_agent(MessageId::parse("m").unwrap(), vec![Part::text("hello")]);
    let submitted = Submitted {
        tenant: Tenant::parse("tenant").unwrap(),
        owner: Principal::parse("ann").unwrap(),
        agent: AgentName::parse("tool").unwrap(),
        context: ContextId::parse("c").unwrap(),
        message: Arc::new(message),
        planned_call: None,
        trace: None,
        parent: None,
        caller: None,
    };
    let progressed = || Event::Progressed { message: None, metadata: None };
    let end = Event::Ended { state: State::Completed, message: None, metadata: None };
    let events = [Event::Submitted(Arc::new(submitted)), progressed(), progressed(), end];
    let at = Timestamp::default();
    let state = |count: usize| Task::fold(id(1), events[..count].iter().map(|event| (at, event))).unwrap();
    let event =
        |count: usize| PublicEvent { generation: Generation(count as u64), at, event: events[count - 1].clone() };
    (1..=events.len()).map(|count| (Arc::new(state(count)), Arc::new(event(count)))).collect()
}

#[test]
fn a_follower_hears_all_and_is_never_left_asleep() {
    in_many_orders(|| {
        let live = Live::new(id(1));
        let mut life = life();
        let (first, event) = life.remove(0);
        live.publish(first, [event]);
        let followers = (0..2).map(|_| {
            let live = live.clone();
            thread::spawn(move || {
                let mut heard = 1;
                loop {
                    let changed = live.changed.notified();
                    tokio::pin!(changed);
                    match live.look(Generation(heard), changed.as_mut()) {
                        After::Event(event) => {
                            assert_eq!(event.generation.0, heard + 1);
                            heard += 1;
                        }
                        After::Over => return heard,
                        After::Wait => block_on(changed),
                        found @ (After::Behind | After::Unknown) => panic!("{found:?}"),
                    }
                }
            })
        });
        let followers = followers.collect();
        for (task, event) in life {
            live.publish(task, [event]);
        }
        assert_eq!(join(followers), [4, 4]);
    });
}

#[test]
fn a_task_has_one_entry_at_most() {
    /// Finds or brings a task as the engine does; every third time what is read for it cannot be read.
    fn find(hot: &Cache<Task>, task: TaskId, is_broken: bool) -> Option<Arc<LiveTask>> {
        match hot.find(&task) {
            Place::Here(live) => Some(live),
            Place::Arriving(_) if is_broken => None,
            Place::Arriving(arriving) => {
                thread::yield_now();
                Some(hot.insert(arriving.live.clone()))
            }
        }
    }

    in_many_orders(|| {
        let limits = Limits { hot_tasks_max: 1, ..Limits::default() };
        let hot = Arc::new(Cache::new(&limits));
        let held: Arc<Mutex<BTreeMap<TaskId, Vec<Arc<LiveTask>>>>> = Arc::default();
        let threads = (0..3).map(|number: usize| {
            let (hot, held) = (hot.clone(), held.clone());
            thread::spawn(move || {
                for round in 0..3 {
                    let task = id(1 + (round % 2) as u128);
                    let Some(live) = find(&hot, task, (number + round).is_multiple_of(3)) else { continue };
                    {
                        let mut held = held.lock().unwrap();
                        let others = held.entry(task).or_default();
                        assert!(others.iter().all(|other| ptr::eq(&**other, &*live)), "a task has two entries");
                        others.push(live.clone());
                    }
                    thread::yield_now();
                    held.lock().unwrap().get_mut(&task).unwrap().pop();
                    drop(live);
                }
            })
        });
        join(threads.collect());
    });
}
