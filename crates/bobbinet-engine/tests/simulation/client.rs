//! Those who call: they submit, follow, answer, cancel, lose their connection and come back. What they saw is history.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bobbinet_core::{
    AgentName, Caller, Generation, Json, Message, MessageId, Part, Principal, QuestionKind, Role, State, Task, TaskId,
    Tenant,
};
use bobbinet_engine::{Engine, EngineError, Filter, Handle, NewTask, PublicEvent, Reply, Resumed, encode};
use tokio::{
    task::JoinSet,
    time::{Duration, Instant},
};

use crate::{
    history::{List, Moment, Read, Refusal, Said, Submit, Subscriber, Wanted},
    planted::Plant,
    scene::{Process, Scene},
};

/// The key of a message's metadata that tells what was meant to be said once.
pub(crate) const MARK: &str = "said";

const OWNERS: [&str; 2] = ["ann", "bob"];

/// The ways to the processes that run now, by their seats.
pub(crate) type Door = Mutex<BTreeMap<u64, Connection>>;

#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) process: Arc<Process>,
    pub(crate) engine: Engine,
}

/// Why there was no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The process died, or the caller went away.
    Lost,
    Engine(EngineError),
}

/// Something that is said to a task, once or more than once.
struct Words {
    text: String,
    /// What its messages are marked with.
    mark: String,
    /// Whether it has a key. If not, it is known by its message's id.
    has_key: bool,
}

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) scene: Arc<Scene>,
    pub(crate) door: Arc<Door>,
    pub(crate) number: u64,
    /// The agent that it has to do with at the moment.
    pub(crate) agent: u64,
}

pub(crate) fn agent(number: u64) -> AgentName {
    AgentName::parse(&format!("tool-{number}")).unwrap()
}

fn caller(name: &str) -> Caller {
    Caller {
        principal: Principal::parse(name).unwrap(),
        tenant: Tenant::parse("tenant").unwrap(),
        is_node_owner: false,
        scopes: Vec::new(),
        chain: Vec::new(),
        issuer: None,
        claims: None,
    }
}

impl Connection {
    pub(crate) async fn ask<T>(
        &self,
        scene: &Scene,
        work: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, Trouble> {
        let patience = if scene.happens(scene.nature.impatience) { scene.up_to(400) } else { 120_000 };
        tokio::select! {
            biased;
            () = self.process.dead.cancelled() => Err(Trouble::Lost),
            answer = work => answer.map_err(Trouble::Engine),
            () = tokio::time::sleep(Duration::from_millis(patience)) => Err(Trouble::Lost),
        }
    }
}

/// Waits for a process that is there.
pub(crate) async fn connect(scene: &Scene, door: &Door) -> Connection {
    loop {
        let mut open: Vec<_> = door.lock().unwrap().values().cloned().collect();
        match open.len() {
            0 => tokio::time::sleep(Duration::from_millis(20 + scene.up_to(200))).await,
            1 => return open.remove(0),
            count => return open.swap_remove(usize::try_from(scene.up_to(count as u64 - 1)).unwrap()),
        }
    }
}

impl Client {
    fn owner(&self) -> &'static str {
        OWNERS[usize::try_from(self.number).unwrap() % OWNERS.len()]
    }

    async fn connect(&self) -> Connection {
        connect(&self.scene, &self.door).await
    }

    /// Has one thing done after another, for as long as the world lasts.
    pub(crate) async fn live(mut self) {
        let mut subscribers = JoinSet::new();
        self.scene.pause(self.scene.nature.chaos).await;
        for round in 0.. {
            self.agent = self.scene.up_to(self.scene.nature.agents - 1);
            let Some(task) = self.submit(round).await else { continue };
            for _ in 0..self.scene.up_to(3) {
                subscribers.spawn(self.clone().subscribe(task));
            }
            let mut seen = State::Submitted;
            // All that is wanted is wanted in the chaos; in the calm it is only brought to its end.
            while !seen.is_terminal() || self.scene.calm.is_cancelled() {
                self.scene.pause(if seen.is_terminal() { 60_000 } else { 1_500 }).await;
                let connection = self.connect().await;
                let (mut is_certain, mut replied) = (true, Vec::new());
                match self.look(&connection, task).await {
                    Ok(state) => seen = state,
                    Err(Trouble::Engine(EngineError::NotFound)) if self.scene.calm.is_cancelled() => {
                        // Nothing more is wanted; what it subscribed to goes on.
                        drop(connection);
                        return std::future::pending().await;
                    }
                    Err(Trouble::Engine(EngineError::NotFound)) => break,
                    Err(_) => {}
                }
                match self.scene.up_to(9) {
                    0 => self.list(&connection).await,
                    1 => self.pry(&connection, task).await,
                    2 if self.scene.happens(self.scene.nature.cancel) => {
                        is_certain = self.cancel(&connection, task).await;
                    }
                    3 => {
                        subscribers.spawn(self.clone().subscribe(task));
                    }
                    4 => replied = self.reply(&connection, task).await,
                    _ if seen.is_interrupted() => replied = self.reply(&connection, task).await,
                    _ => {}
                }
                drop(connection);
                for words in replied {
                    self.say_again(task, &words).await;
                }
                if !is_certain && self.scene.happens(50) {
                    // Some do not come back to ask what became of their cancel.
                    self.scene.pause(40_000).await;
                }
            }
        }
    }

    /// Submits until it is acknowledged, under a key if it has one; without one it may give up.
    async fn submit(&self, number: u32) -> Option<TaskId> {
        let scene = &self.scene;
        let has_key = scene.happens(60);
        let what = match scene.up_to(19) {
            0 => "reject".to_owned(),
            1..4 => "hm".to_owned(),
            _ => self.call(),
        };
        for round in 0.. {
            let thing = format!("#{}.{number}", self.number);
            let tag = if has_key { thing } else { format!("{thing}.{round}") };
            let is_over = match self.submit_once(&tag, &format!("{what} {tag}"), has_key).await {
                Ok(task) => return Some(task),
                // It was made, and kept for as long as it is.
                Err(Trouble::Engine(EngineError::NotFound)) => true,
                Err(Trouble::Engine(EngineError::UnknownAgent)) => scene.happens(40),
                Err(_) => !has_key && scene.happens(40),
            };
            if is_over {
                return None;
            }
            scene.pause(700).await;
        }
        None
    }

    /// Submits, perhaps the same twice at once.
    async fn submit_once(&self, tag: &str, text: &str, has_key: bool) -> Result<TaskId, Trouble> {
        let scene = &self.scene;
        let connection = self.connect().await;
        if !has_key && scene.happens(scene.nature.for_outcome) {
            return self.ask_for_outcome(&connection, tag, text).await;
        }
        let times = if has_key && scene.happens(30) { 2 } else { 1 };
        let handles: Vec<_> =
            (0..times).map(|_| self.begin(&connection.engine, text, has_key.then_some(tag))).collect();
        let answers = handles.iter().map(|handle| async {
            let handle = handle.as_ref().map_err(|error| Trouble::Engine(error.clone()))?;
            connection.ask(scene, async { handle.accepted().await }).await
        });
        let mut came_to = Err(Trouble::Lost);
        for answer in futures::future::join_all(answers).await {
            scene.note(format_args!("client {} submits {text}: {}", self.number, print(&answer)));
            if matches!(answer, Err(Trouble::Engine(EngineError::NotFound))) {
                let now = scene.moment();
                scene.history().missing.push((Wanted::Tag(tag.to_owned()), now));
            }
            let acknowledged = answer.as_ref().ok().map(|task| (task.id, scene.moment()));
            let (tag, owner) = (tag.to_owned(), self.owner().to_owned());
            scene.history().submits.push(Submit { tag, owner, agent: self.agent, has_key, acknowledged });
            came_to = came_to.or(answer.map(|task| task.id));
        }
        came_to
    }

    /// Submits, and hears of nothing but what it comes to, if that is soon enough.
    async fn ask_for_outcome(&self, connection: &Connection, tag: &str, text: &str) -> Result<TaskId, Trouble> {
        let (scene, engine) = (&self.scene, &connection.engine);
        let asked = scene.moment();
        let patience = Duration::from_millis(500 + scene.up_to(9_000));
        scene.history().for_outcome.insert(tag.to_owned());
        // Most who wait so want to know something.
        let read = format!("call read-only {tag}");
        let text = if scene.happens(60) { &read } else { text };
        let new = NewTask { message: said(text), context: None, skill: None, trace: None, idempotency: None };
        let settled = async {
            let handle = engine.submit_for_outcome(&caller(self.owner()), engine.plan(&self.agent(), new)?)?;
            handle.settled().await
        };
        let settled = tokio::time::timeout(patience, connection.ask(scene, settled)).await;
        let answer = settled.unwrap_or(Err(Trouble::Lost));
        scene.note(format_args!("client {} asks for what {text} comes to: {}", self.number, print(&answer)));
        let acknowledged = answer.as_ref().ok().map(|task| (task.id, scene.moment()));
        let (tag, owner) = (tag.to_owned(), self.owner().to_owned());
        scene.history().submits.push(Submit { tag, owner, agent: self.agent, has_key: false, acknowledged });
        answer.map(|task| {
            self.saw(&task, asked);
            task.id
        })
    }

    fn call(&self) -> String {
        let effects = ["read-only", "idempotent", "keyed", "at-most-once"];
        format!("call {}", effects[usize::try_from(self.scene.up_to(3)).unwrap()])
    }

    pub(crate) fn begin(&self, engine: &Engine, text: &str, key: Option<&str>) -> Result<Handle, EngineError> {
        let idempotency = key.map(|key| (key.to_owned(), [7; 32]));
        let new = NewTask { message: said(text), context: None, skill: None, trace: None, idempotency };
        engine.submit(&caller(self.owner()), &self.agent(), new)
    }

    fn agent(&self) -> AgentName {
        agent(self.agent)
    }

    /// Notes that a task was said not to be there.
    fn heed<T>(&self, task: TaskId, answer: &Result<T, Trouble>) {
        if let Err(Trouble::Engine(EngineError::NotFound)) = answer {
            let now = self.scene.moment();
            self.scene.history().missing.push((Wanted::Task(task), now));
        }
    }

    async fn look(&self, connection: &Connection, task: TaskId) -> Result<State, Trouble> {
        let asked = self.scene.moment();
        let caller = caller(self.owner());
        let answer = connection.ask(&self.scene, connection.engine.get(&caller, &self.agent(), &task)).await;
        self.heed(task, &answer);
        answer.map(|found| {
            self.saw(&found, asked);
            found.state
        })
    }

    fn saw(&self, task: &Task, asked: Moment) {
        let answered = self.scene.moment();
        let read = Read { task: task.id, asked, answered, generation: task.generation.0, state: task.state };
        self.scene.history().reads.push(read);
    }

    async fn list(&self, connection: &Connection) {
        let asked = self.scene.moment();
        let caller = caller(self.owner());
        let filter = Filter { page_size: 1_000, bytes_max: usize::MAX, ..Filter::default() };
        let listing = connection.ask(&self.scene, connection.engine.list(&caller, &self.agent(), filter)).await;
        if let Ok(listing) = listing {
            let answered = self.scene.moment();
            let tasks = listing.tasks.iter().map(|task| task.id).collect();
            for task in &listing.tasks {
                self.saw(task, asked);
            }
            let strangers = listing.tasks.iter().filter(|task| task.owner.as_str() != self.owner());
            let leaks: Vec<_> = strangers.map(|task| (task.id, "list")).collect();
            let mut history = self.scene.history();
            history.leaks.extend(leaks);
            history.lists.push(List { owner: self.owner().to_owned(), agent: self.agent, asked, answered, tasks });
        }
    }

    /// Somebody else tries the same.
    async fn pry(&self, connection: &Connection, task: TaskId) {
        let engine = &connection.engine;
        let (eve, agent) = (caller("eve"), self.agent());
        let seen = [
            ("get", connection.ask(&self.scene, engine.get(&eve, &agent, &task)).await.is_ok()),
            ("cancel", connection.ask(&self.scene, engine.cancel(&eve, &agent, &task)).await.is_ok()),
            ("follow", connection.ask(&self.scene, engine.follow(&eve, &agent, &task)).await.is_ok()),
            (
                "reply",
                connection.ask(&self.scene, engine.reply(&eve, &agent, &task, answer(said("retry")))).await.is_ok(),
            ),
        ];
        let leaks = seen.into_iter().filter(|(_, is_let_in)| *is_let_in).map(|(what, _)| (task, what));
        self.scene.history().leaks.extend(leaks);
        self.look_elsewhere(connection, task).await;
    }

    /// Its owner asks for it at the next agent: there it is to be found only while its own is gone.
    async fn look_elsewhere(&self, connection: &Connection, task: TaskId) {
        let next = (self.agent + 1) % self.scene.nature.agents;
        if next == self.agent {
            return;
        }
        let asked = if self.scene.plant == Plant::MixesAgents { self.agent } else { next };
        let caller = caller(self.owner());
        let answer = connection.ask(&self.scene, connection.engine.get(&caller, &agent(asked), &task)).await;
        if connection.process.absent == Some(self.agent) {
            self.heed(task, &answer);
        } else if answer.is_ok() {
            self.scene.history().leaks.push((task, "get at another agent"));
        }
    }

    /// Whether it was acknowledged.
    async fn cancel(&self, connection: &Connection, task: TaskId) -> bool {
        let answer =
            connection.ask(&self.scene, connection.engine.cancel(&caller(self.owner()), &self.agent(), &task)).await;
        self.scene.note(format_args!("client {} cancels {task}: {}", self.number, print(&answer)));
        self.heed(task, &answer);
        if answer.is_ok() {
            let acknowledged = self.scene.moment();
            self.scene.history().said.push(Said { task, message: None, acknowledged, got: None });
        }
        answer.is_ok()
    }

    /// Answers what is asked, mostly to the point. Gives what was said.
    async fn reply(&self, connection: &Connection, task: TaskId) -> Vec<Words> {
        let caller = caller(self.owner());
        let asked = connection.ask(&self.scene, connection.engine.get(&caller, &self.agent(), &task)).await;
        self.heed(task, &asked);
        let Ok(found) = asked else { return Vec::new() };
        let text = match found.question.as_ref().map(|question| question.kind) {
            _ if self.scene.happens(10) => "hm".to_owned(),
            _ if self.scene.happens(3) => "reject".to_owned(),
            Some(QuestionKind::Input) if found.calls.is_empty() => self.call(),
            Some(QuestionKind::Outcome { .. }) => {
                ["retry", "retry", "happened", "failed"][usize::try_from(self.scene.up_to(3)).unwrap()].to_owned()
            }
            Some(_) => format!("answer {}", number_of(&found)),
            None => self.call(),
        };
        // Some say it twice at once, and mean it.
        let times = if self.scene.happens(10) { 2 } else { 1 };
        futures::future::join_all((0..times).map(|_| self.say(connection, task, &text))).await
    }

    /// Says something, perhaps twice at once.
    async fn say(&self, connection: &Connection, task: TaskId, text: &str) -> Words {
        let scene = &self.scene;
        let mark = format!("reply-{}-{}", self.number, scene.moment().step);
        let words = Words { text: text.to_owned(), mark, has_key: scene.happens(50) };
        let times = if scene.happens(scene.nature.repeats) { 2 } else { 1 };
        let at_once = (0..times).map(|copy| self.say_once(connection, task, &words, copy));
        futures::future::join_all(at_once).await;
        words
    }

    /// Says it again later, because there was no answer or for no reason.
    async fn say_again(&self, task: TaskId, words: &Words) {
        for copy in 2..4 {
            if self.scene.happens(self.scene.nature.repeats) {
                self.scene.pause(3_000).await;
                let connection = self.connect().await;
                self.say_once(&connection, task, words, copy).await;
            }
        }
    }

    async fn say_once(&self, connection: &Connection, task: TaskId, words: &Words, copy: u32) {
        let Words { text, mark, has_key } = words;
        let mut message = said(text);
        let is_anew = self.scene.plant == Plant::AnswersAnew && copy > 0;
        let name = if is_anew { format!("{mark}-again-{copy}") } else { mark.clone() };
        let id = if *has_key { format!("{name}-copy-{copy}") } else { name.clone() };
        message.id = MessageId::parse(&id).unwrap();
        message.metadata = Some(Json::of(&serde_json::json!({ MARK: mark })));
        let idempotency = has_key.then(|| (name, [7; 32]));
        let reply = Reply { message, context: None, skill: None, idempotency };
        let asked = self.scene.moment();
        let caller = caller(self.owner());
        let answer = connection.ask(&self.scene, connection.engine.reply(&caller, &self.agent(), &task, reply)).await;
        let number = self.number;
        self.scene.note(format_args!("client {number} replies {text} ({id}) to {task}: {}", print(&answer)));
        self.heed(task, &answer);
        let handle = match answer {
            Ok(handle) => handle,
            Err(Trouble::Engine(
                why @ (EngineError::Refused(_) | EngineError::UnknownAgent | EngineError::Draining),
            )) => {
                let refusal = Refusal { task, message: mark.clone(), asked, why: why.to_string() };
                self.scene.history().refusals.push(refusal);
                return;
            }
            Err(_) => return,
        };
        let acknowledged = self.scene.moment();
        let place = {
            let mut history = self.scene.history();
            history.said.push(Said { task, message: Some(mark.clone()), acknowledged, got: None });
            history.said.len() - 1
        };
        let settled = connection.ask(&self.scene, async { handle.settled().await }).await;
        self.heed(task, &settled);
        if let Ok(found) = settled {
            // What other processes have done since is not looked for: it is shown as it settled.
            self.saw(&found, if self.scene.nature.processes > 1 { asked } else { acknowledged });
            self.scene.history().said[place].got = Some(found.generation.0);
            if !(found.state.is_terminal() || found.state.is_interrupted()) {
                self.scene.history().faults.push(format!("{task} was said to be settled and is {:?}", found.state));
            }
        }
    }

    /// Follows a task over deaths and disconnections, until it is told that this was all.
    async fn subscribe(self, task: TaskId) {
        let index = {
            let subscriber = Subscriber { task, after: None, told: Vec::new(), is_over: false, was_resynced: false };
            let mut history = self.scene.history();
            history.subscribers.push(subscriber);
            history.subscribers.len() - 1
        };
        let mut cursor = self.scene.happens(30).then_some(Generation(self.scene.up_to(1)));
        self.scene.history().subscribers[index].after = cursor.map(|cursor| cursor.0);
        loop {
            match self.follow(task, index, &mut cursor).await {
                Followed::ToTheEnd => break,
                Followed::Forgotten => return,
                Followed::ForNow => self.scene.pause(800).await,
            }
        }
        self.scene.history().subscribers[index].is_over = true;
    }

    /// Follows for as long as one connection lasts.
    async fn follow(&self, task: TaskId, index: usize, cursor: &mut Option<Generation>) -> Followed {
        let connection = self.connect().await;
        let (scene, engine, caller) = (&self.scene, &connection.engine, caller(self.owner()));
        let opened = match *cursor {
            None => {
                let asked = scene.moment();
                let followed = connection.ask(scene, engine.follow(&caller, &self.agent(), &task)).await;
                followed.map(|(found, follower)| {
                    self.saw(&found, asked);
                    *cursor = Some(found.generation);
                    scene.history().subscribers[index].after = Some(found.generation.0);
                    follower
                })
            }
            Some(after) => {
                let resumed = connection.ask(scene, engine.resume(&caller, &self.agent(), &task, after)).await;
                resumed.map(|resumed| match resumed {
                    Resumed::After(follower) => follower,
                    Resumed::Resync(_, follower) => {
                        scene.history().subscribers[index].was_resynced = true;
                        follower
                    }
                })
            }
        };
        self.heed(task, &opened);
        let mut follower = match opened {
            Ok(follower) => follower,
            Err(Trouble::Engine(EngineError::NotFound)) => return Followed::Forgotten,
            Err(_) => return Followed::ForNow,
        };
        let leaves = Instant::now() + Duration::from_millis(100 + scene.up_to(8_000));
        loop {
            let next = tokio::select! {
                biased;
                () = connection.process.dead.cancelled() => return Followed::ForNow,
                next = follower.next() => next,
                () = tokio::time::sleep_until(leaves) => return Followed::ForNow,
            };
            match next {
                Ok(Some(told)) => {
                    *cursor = Some(told.generation);
                    self.heard(index, &told);
                }
                Ok(None) => return Followed::ToTheEnd,
                Err(error) => {
                    let is_forgotten = error == EngineError::NotFound;
                    self.heed::<()>(task, &Err(Trouble::Engine(error)));
                    return if is_forgotten { Followed::Forgotten } else { Followed::ForNow };
                }
            }
        }
    }

    fn heard(&self, index: usize, told: &PublicEvent) {
        let moment = self.scene.moment();
        let [record] = &encode(told.at, [(Some(told.generation), &told.event)].into_iter())[..] else {
            unreachable!("one record for one event")
        };
        let bytes = record.body.to_vec();
        self.scene.note(format_args!("subscriber {index} of client {} hears {}", self.number, told.generation.0));
        if self.scene.plant == Plant::SkipsAnEvent && self.scene.happens(3) {
            return;
        }
        self.scene.history().subscribers[index].told.push((told.generation.0, bytes, moment));
    }
}

/// How far following came.
enum Followed {
    /// That was all.
    ToTheEnd,
    /// There is nothing any more.
    Forgotten,
    /// It goes on with the next connection.
    ForNow,
}

/// The number of the question that is open.
fn number_of(task: &Task) -> String {
    let text = task.question.as_ref().map(|question| question.message.text()).unwrap_or_default();
    text.split(' ').next_back().unwrap_or_default().to_owned()
}

fn said(text: &str) -> Message {
    Message { role: Role::User, ..Message::from_agent(MessageId::parse("said").unwrap(), vec![Part::text(text)]) }
}

fn answer(message: Message) -> Reply {
    Reply { message, context: None, skill: None, idempotency: None }
}

pub(crate) fn print<T>(answer: &Result<T, Trouble>) -> String {
    match answer {
        Ok(_) => "done".to_owned(),
        Err(Trouble::Lost) => "no answer".to_owned(),
        Err(Trouble::Engine(error)) => error.to_string(),
    }
}
