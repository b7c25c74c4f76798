//! Those who change counters and follow them, and the one registration that it takes.

use std::sync::Arc;

use bobbinet_core::Generation;
use bobbinet_engine::{Aggregates, Engine, encode};
use tokio::{
    task::JoinSet,
    time::{Duration, Instant},
};

use crate::{
    client::{Connection, Door, Trouble, connect, print},
    counter::{Answer, Change, Command, Counter, CounterId},
    history::{Changed, Count, CountFollower},
    planted::Plant,
    scene::Scene,
};

/// Those that are changed; the last is lent besides, and so goes back to zero.
const COUNTERS: [CounterId; 3] = [CounterId(1), CounterId(2), CounterId(3)];
const LENT: CounterId = CounterId(3);

/// How often one who has no answer asks for the same again: a planted fault.
const AGAIN_PERCENT: u64 = 50;

/// How often a change is asked for in the calm, at the most.
const TRIES: usize = 8;

/// Makes counters known to an engine: from then on those that are due are told so.
pub(crate) fn register(engine: &Engine) -> Aggregates<Counter> {
    engine.aggregates()
}

#[derive(Clone)]
pub(crate) struct CounterUser {
    pub(crate) scene: Arc<Scene>,
    pub(crate) door: Arc<Door>,
}

impl CounterUser {
    /// Changes counters for as long as the chaos lasts.
    pub(crate) async fn live(self) {
        let mut followers = JoinSet::new();
        for _ in 0..=self.scene.up_to(2) {
            followers.spawn(self.clone().follow(self.any()));
        }
        while !self.scene.calm.is_cancelled() {
            self.scene.pause(1_500).await;
            let connection = connect(&self.scene, &self.door).await;
            match self.scene.up_to(9) {
                0..4 => self.change(&connection, Change::Add(self.any())).await,
                4..6 => self.put(connection).await,
                6..8 => {
                    let (from, to) = if self.scene.happens(50) { (0, 1) } else { (1, 0) };
                    self.change(&connection, Change::Move { from: COUNTERS[from], to: COUNTERS[to] }).await;
                }
                8 => {
                    self.get(&connection, self.any()).await;
                }
                _ => self.lend(&connection).await,
            }
        }
        // What it follows goes on.
        std::future::pending().await
    }

    fn any(&self) -> CounterId {
        COUNTERS[usize::try_from(self.scene.up_to(COUNTERS.len() as u64 - 1)).unwrap()]
    }

    async fn get(&self, connection: &Connection, id: CounterId) -> Option<i64> {
        let asked = self.scene.moment();
        let counters = register(&connection.engine);
        let found = connection.ask(&self.scene, counters.get(&id)).await.ok()?;
        let (version, value) = found.map_or((0, 0), |counter| (counter.version, counter.value));
        let answered = self.scene.moment();
        self.scene.history().counts.push(Count { id, version, value, asked, answered });
        Some(value)
    }

    /// Looks, and puts if nobody else has in between.
    async fn put(&self, connection: Connection) {
        let id = self.any();
        let Some(seen) = self.get(&connection, id).await else { return };
        drop(connection);
        self.scene.pause(100).await;
        let connection = connect(&self.scene, &self.door).await;
        self.change(&connection, Change::PutIf { id, seen }).await;
    }

    async fn change(&self, connection: &Connection, change: Change) {
        let scene = &self.scene;
        let asked = scene.moment();
        let number = {
            let mut history = scene.history();
            history.changes.push(Changed { change, asked, answer: Answer::Unknown, answered: asked });
            history.changes.len()
        };
        let amount = i64::try_from(number).unwrap();
        loop {
            let answer = connection.ask(scene, change.ask(amount, &connection.engine)).await;
            scene.note(format_args!("{change:?} of {number}: {}", print(&answer)));
            let answered = scene.moment();
            if let Ok(Some((id, counter))) = &answer {
                let count = Count { id: *id, version: counter.version, value: counter.value, asked, answered };
                scene.history().counts.push(count);
            }
            let answer = match answer {
                Ok(_) => Answer::Done,
                Err(Trouble::Lost) => Answer::Unknown,
                Err(Trouble::Engine(error)) => Answer::of::<()>(&Err(error)),
            };
            let changed = &mut scene.history().changes[number - 1];
            (changed.answer, changed.answered) = (answer, answered);
            let is_asked_again = answer == Answer::Unknown && scene.plant == Plant::ChangesAgain;
            if !is_asked_again || connection.process.dead.is_cancelled() || !scene.happens(AGAIN_PERCENT) {
                return;
            }
        }
    }

    /// It goes back to zero by itself.
    async fn lend(&self, connection: &Connection) {
        let counters = register(&connection.engine);
        let lent = connection.ask(&self.scene, counters.command(&LENT, Command::Lend)).await;
        self.scene.note(format_args!("{LENT} is lent: {}", print(&lent)));
    }

    /// Follows one over deaths and disconnections.
    async fn follow(self, id: CounterId) {
        let index = {
            let mut history = self.scene.history();
            history.count_followers.push(CountFollower { id, told: Vec::new() });
            history.count_followers.len() - 1
        };
        let mut cursor = Generation(0);
        loop {
            self.follow_once(id, index, &mut cursor).await;
            self.scene.pause(800).await;
        }
    }

    /// Follows for as long as one connection lasts.
    async fn follow_once(&self, id: CounterId, index: usize, cursor: &mut Generation) {
        let connection = connect(&self.scene, &self.door).await;
        let counters = register(&connection.engine);
        let Ok(mut follower) = connection.ask(&self.scene, counters.follow(&id, *cursor)).await else { return };
        let leaves = Instant::now() + Duration::from_millis(100 + self.scene.up_to(8_000));
        loop {
            let next = tokio::select! {
                biased;
                () = connection.process.dead.cancelled() => return,
                next = follower.next() => next,
                () = tokio::time::sleep_until(leaves) => return,
            };
            let Ok(Some(told)) = next else { return };
            let moment = self.scene.moment();
            let record = encode(told.at, [(Some(told.generation), &told.event)].into_iter()).remove(0);
            self.scene.note(format_args!("follower {index} of {id} hears {}", told.generation.0));
            *cursor = told.generation;
            if self.scene.plant == Plant::SkipsAnEvent && self.scene.happens(3) {
                continue;
            }
            let heard = (told.generation.0, record.body.to_vec(), moment);
            self.scene.history().count_followers[index].told.push(heard);
        }
    }
}

/// In the calm every counter takes one more change, and shows what has come of all.
pub(crate) async fn change_once_more(scene: &Arc<Scene>, door: &Arc<Door>, connection: &Connection) {
    let user = CounterUser { scene: scene.clone(), door: door.clone() };
    for id in COUNTERS {
        let mut answer = None;
        // Some do not wait for the answer.
        for _ in 0..TRIES {
            user.change(connection, Change::Add(id)).await;
            answer = scene.history().changes.last().map(|changed| changed.answer);
            if answer == Some(Answer::Done) {
                break;
            }
        }
        if answer != Some(Answer::Done) {
            scene.history().faults.push(format!("{id} takes no change in the calm: {answer:?}"));
        }
        user.get(connection, id).await;
    }
}
