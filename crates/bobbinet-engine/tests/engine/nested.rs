//! Agents whose runs begin tasks of others.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Child as Process, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bobbinet_core::{
    AgentName, Artifact, ArtifactId, Call, Caller, Description, Effect, Event, Fault, Json, Limits, Outcome, Part,
    Plan, State, Task, TaskId,
};
use bobbinet_engine::{
    Agent, AllowAll, Authorizer, ChildError, Engine, EngineError, NewChild, NewTask, Request, Run, Setup, SystemEnv,
};
use bobbinet_store::{MemoryStore, SledOptions, SledStore, Store};

use crate::lab::{Lab, caller, name_of, said, until};

/// Its text is a chain of agents to go through: `b c d` begins a task of `b` that says `c d`, and so on; the last one waits for
/// `hold`, and says how many there are. `fan N` begins N children of `leaf`, one after the other, with a checkpoint after each.
#[derive(Debug, Default)]
struct Relay {
    runs: Arc<AtomicUsize>,
    /// Whether the last of a chain never returns.
    holds: bool,
}

fn text_of(task: &Task) -> String {
    task.artifacts.first().and_then(|artifact| artifact.parts[0].as_text()).unwrap_or_default().to_owned()
}

fn done(run: &Run, text: &str) -> Outcome {
    let id = ArtifactId::parse(&format!("result-{}", run.attempt())).unwrap();
    Outcome::Completed { artifacts: vec![Arc::new(Artifact::new(id, vec![Part::text(text)]))], message: None }
}

fn child(run: &Run, name: &str, agent: &str, text: &str) -> NewChild {
    NewChild {
        name: name.into(),
        agent: name_of(agent),
        message: said(run.message_id(name).as_str(), text),
        skill: None,
        time: None,
        budget: Some(u32::MAX),
    }
}

fn failed(error: &ChildError) -> Outcome {
    match error {
        ChildError::Over => Outcome::Unknown { fault: Fault::new("over", "it is over"), again: false },
        ChildError::Denied(fault) => Outcome::Rejected(fault.clone()),
        ChildError::Engine(error) => Outcome::Failed(Fault::new("no-child", error.to_string())),
    }
}

impl Relay {
    async fn go(&self, run: &Run) -> Result<Outcome, ChildError> {
        let text = run.message().text();
        let mut words = text.split(' ');
        match (words.next().unwrap_or_default(), words.next()) {
            ("fan", Some(count)) => {
                let count: usize = count.parse().unwrap();
                let so_far = run.checkpointed().map_or(0, |json| json.as_str().parse().unwrap());
                for number in so_far..count {
                    let begun = run.begin_child(NewChild {
                        budget: Some(0),
                        ..child(run, &format!("leaf {number}"), "leaf", "hold")
                    });
                    let begun = begun.await?;
                    assert_eq!(run.wait_for(&begun).await?.state, State::Completed);
                    run.checkpoint(Json::of(&(number + 1))).await?;
                }
                Ok(done(run, &count.to_string()))
            }
            ("hold", None) if self.holds => std::future::pending().await,
            ("" | "hold", None) => Ok(done(run, "0")),
            (next, _) => {
                let rest = text[next.len()..].trim_start();
                let begun = run.begin_child(child(run, "next", next, rest)).await?;
                let ended = run.wait_for(&begun).await?;
                assert_eq!(run.begin_child(child(run, "next", next, rest)).await?.id(), ended.id, "it is begun once");
                match ended.state {
                    State::Completed => {
                        let count: u32 = text_of(&ended).parse().unwrap();
                        Ok(done(run, &(count + 1).to_string()))
                    }
                    State::Submitted
                    | State::Working
                    | State::InputRequired
                    | State::AuthRequired
                    | State::Failed
                    | State::Canceled
                    | State::Rejected => Ok(Outcome::Failed(Fault::new("child-failed", text_of_status(&ended)))),
                }
            }
        }
    }
}

fn text_of_status(task: &Task) -> String {
    task.status_message.as_ref().map(|message| message.text()).unwrap_or_default()
}

#[async_trait]
impl Agent for Relay {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        let call = Call { arguments: Some(Json::of(&request.message.text())), ..Call::of_message(Effect::Idempotent) };
        Plan::Call(Arc::new(call))
    }

    fn max_concurrency(&self) -> usize {
        1
    }

    fn begins_tasks(&self) -> bool {
        true
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.go(&run).await.unwrap_or_else(|error| failed(&error))
    }

    async fn shutdown(&self) {}
}

/// Nobody but the node's owner may call `secret`.
#[derive(Debug)]
struct NoSecrets;

impl Authorizer for NoSecrets {
    fn allows_call(&self, caller: &Caller, agent: &AgentName, _: &Call) -> Result<(), Fault> {
        let is_allowed = agent.as_str() != "secret" || caller.is_node_owner;
        is_allowed.then_some(()).ok_or_else(|| Fault::new("denied", "that is secret"))
    }
}

struct Nest {
    engine: Engine,
    runs: Arc<AtomicUsize>,
}

impl Nest {
    async fn open(store: Arc<dyn Store>, agents: &[String], holds: bool, limits: Limits) -> Self {
        let runs = Arc::new(AtomicUsize::new(0));
        let agent = |name: &String| (name_of(name), Arc::new(Relay { runs: runs.clone(), holds }) as Arc<dyn Agent>);
        let setup = Setup {
            store,
            agents: agents.iter().map(agent).collect::<BTreeMap<_, _>>(),
            env: Arc::new(SystemEnv),
            limits,
            authorizer: Arc::new(NoSecrets),
        };
        Self { engine: Engine::open(setup).await.unwrap(), runs }
    }

    fn begin(&self, owner: &Caller, agent: &str, text: &str) -> bobbinet_engine::Handle {
        let new = NewTask { message: said("first", text), context: None, skill: None, trace: None, idempotency: None };
        self.engine.submit(owner, &name_of(agent), new).unwrap()
    }

    async fn ended(&self, agent: &str, text: &str) -> Arc<Task> {
        self.ended_for(&caller("ann"), agent, text).await
    }

    async fn ended_for(&self, owner: &Caller, agent: &str, text: &str) -> Arc<Task> {
        let begun = self.begin(owner, agent, text);
        let settled = tokio::time::timeout(Duration::from_secs(60), begun.settled());
        settled.await.expect("it does not hang").unwrap()
    }

    async fn get(&self, agent: &str, id: &TaskId) -> Arc<Task> {
        self.engine.get(&caller("ann"), &name_of(agent), id).await.unwrap()
    }
}

fn names(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("a{number}")).collect()
}

#[tokio::test]
async fn fifty_nested_agents_of_one_slot_each_come_to_their_end() {
    let nest = Nest::open(Arc::new(MemoryStore::new()), &names(50), false, Limits::default()).await;
    let chain = names(50)[1..].join(" ");
    let ended = nest.ended("a1", &chain).await;
    assert_eq!((ended.state, text_of(&ended).as_str()), (State::Completed, "49"), "{}", text_of_status(&ended));
    // In the same context, for the same owner, each the child of the one before.
    let child = nest.get("a2", &ended.children[0].task).await;
    assert_eq!((&child.context, &child.owner), (&ended.context, &ended.owner));
    assert_eq!(child.parent.as_ref().map(|parent| parent.task), Some(ended.id));
    nest.engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_agent_of_one_slot_can_call_itself_again_and_again() {
    let nest = Nest::open(Arc::new(MemoryStore::new()), &names(1), false, Limits::default()).await;
    let ended = nest.ended("a1", &["a1"; 49].join(" ")).await;
    assert_eq!((ended.state, text_of(&ended).as_str()), (State::Completed, "49"), "{}", text_of_status(&ended));
    assert_eq!(nest.runs.load(Ordering::SeqCst), 50);
    // Many at once, each of which waits for children of the same agent.
    let both = (0..40).map(|_| nest.ended("a1", "a1 a1"));
    let states = futures::future::join_all(both).await;
    assert!(states.iter().all(|task| task.state == State::Completed));
    nest.engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_budget_ends_a_chain_without_an_end() {
    let limits = Limits { descendants_max: 10, ..Limits::default() };
    let nest = Nest::open(Arc::new(MemoryStore::new()), &names(1), false, limits).await;
    let ended = nest.ended("a1", &["a1"; 30].join(" ")).await;
    assert_eq!(ended.state, State::Failed);
    assert_eq!(nest.runs.load(Ordering::SeqCst), 11, "one, and ten beneath it");
    let mut why = text_of_status(&ended);
    let mut task = ended;
    while let Some(child) = task.children.first() {
        task = nest.get("a1", &child.task).await;
        why = text_of_status(&task);
    }
    assert!(why.contains("descendants_max is reached: 10"), "{why}");
    nest.engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn policy_is_asked_about_children_for_whoever_asked_for_their_parent() {
    let agents = ["a1", "a2", "secret"].map(str::to_owned);
    let nest = Nest::open(Arc::new(MemoryStore::new()), &agents, false, Limits::default()).await;
    let denied = nest.ended("a1", "a2 secret").await;
    assert_eq!(denied.state, State::Failed);
    let middle = nest.get("a2", &denied.children[0].task).await;
    assert_eq!((middle.state, text_of_status(&middle).as_str()), (State::Rejected, "that is secret"));
    assert!(middle.children.is_empty(), "what is denied leaves nothing");
    let owner = Caller { is_node_owner: true, ..caller("ann") };
    assert_eq!(nest.ended_for(&owner, "a1", "a2 secret").await.state, State::Completed);
    nest.engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_cancel_reaches_the_children() {
    let nest = Nest::open(Arc::new(MemoryStore::new()), &names(3), true, Limits::default()).await;
    let ann = caller("ann");
    let begun = nest.begin(&ann, "a1", "a2 a3 hold").accepted().await.unwrap();
    let mut leaf = begun.clone();
    for agents in [["a1", "a2"], ["a2", "a3"]] {
        while leaf.children.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            leaf = nest.get(agents[0], &leaf.id).await;
        }
        leaf = until_there(&nest, agents[1], &leaf.children[0].task).await;
    }
    nest.engine.cancel(&ann, &name_of("a1"), &begun.id).await.unwrap();
    until(&nest.engine, &ann, "a3", &leaf.id, State::Canceled).await;
    nest.engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_child_that_begins_as_its_parent_is_being_canceled_is_canceled_too() {
    let lab = Lab::new(Limits::default());
    let nest = Nest::open(lab.store.clone(), &names(2), true, Limits::default()).await;
    let ann = caller("ann");
    lab.store.holds_children.store(true, Ordering::SeqCst);
    let begun = nest.begin(&ann, "a1", "a2 hold").accepted().await.unwrap();
    let is_on_its_way = async {
        while !lab.store.has_held.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), is_on_its_way).await.expect("it begins");
    assert!(children(&nest, &begun.id).await.is_empty(), "the child and that there is one are one commit");
    let name = name_of("a1");
    let (canceled, ()) = tokio::join!(nest.engine.cancel(&ann, &name, &begun.id), async {
        lab.store.holds_children.store(false, Ordering::SeqCst);
    });
    canceled.unwrap();
    let child = children(&nest, &begun.id).await["next"];
    until(&nest.engine, &ann, "a2", &child, State::Canceled).await;
    nest.engine.shutdown(Duration::ZERO).await;
}

/// Begins one child twice at once.
#[derive(Debug)]
struct Twice;

#[async_trait]
impl Agent for Twice {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        Relay::default().prepare(request)
    }

    fn max_concurrency(&self) -> usize {
        1
    }

    fn begins_tasks(&self) -> bool {
        true
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        let begin = || run.begin_child(child(&run, "next", "a1", "hold"));
        let begun = tokio::join!(begin(), begin(), begin(), begin());
        let ids = [begun.0, begun.1, begun.2, begun.3].map(|begun| begun.unwrap());
        assert!(ids.iter().all(|begun| begun.id() == ids[0].id()));
        run.wait_for(&ids[0]).await.unwrap();
        done(&run, "one")
    }

    async fn shutdown(&self) {}
}

#[tokio::test]
async fn a_child_that_is_begun_twice_at_once_is_one_and_counts_once() {
    let agents: BTreeMap<AgentName, Arc<dyn Agent>> =
        [(name_of("twice"), Arc::new(Twice) as Arc<dyn Agent>), (name_of("a1"), Arc::new(Relay::default()))].into();
    let store = Lab::new(Limits::default()).store;
    let setup = Setup {
        store: store.clone(),
        agents,
        env: Arc::new(SystemEnv),
        // A task and its child, with the other three that want to begin it.
        limits: Limits { tasks_open_per_owner_max: 5, ..Limits::default() },
        authorizer: Arc::new(AllowAll),
    };
    let nest = Nest { engine: Engine::open(setup).await.unwrap(), runs: Arc::default() };
    for _ in 0..6 {
        store.holds_children.store(true, Ordering::SeqCst);
        let release = async {
            // Long enough for the others to try again.
            tokio::time::sleep(Duration::from_millis(350)).await;
            store.holds_children.store(false, Ordering::SeqCst);
        };
        let (ended, ()) = tokio::join!(nest.ended("twice", "go"), release);
        assert_eq!(text_of(&ended), "one", "{}", text_of_status(&ended));
    }
    nest.engine.shutdown(Duration::ZERO).await;
}

async fn until_there(nest: &Nest, agent: &str, id: &TaskId) -> Arc<Task> {
    loop {
        match nest.engine.get(&caller("ann"), &name_of(agent), id).await {
            Ok(task) => return task,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

#[tokio::test]
async fn a_child_ends_by_its_deadline_also_while_it_waits() {
    #[derive(Debug)]
    struct Hasty(Relay);

    #[async_trait]
    impl Agent for Hasty {
        fn describe(&self) -> Arc<Description> {
            Arc::default()
        }

        fn prepare(&self, request: &Request<'_>) -> Plan {
            self.0.prepare(request)
        }

        fn max_concurrency(&self) -> usize {
            1
        }

        fn begins_tasks(&self) -> bool {
            true
        }

        fn ready(&self) -> Result<(), String> {
            Ok(())
        }

        async fn run(&self, run: Run) -> Outcome {
            let new = NewChild { time: Some(Duration::from_millis(300)), ..child(&run, "next", "a1", "a2") };
            let begun = run.begin_child(new).await.unwrap();
            let ended = run.wait_for(&begun).await.unwrap();
            done(&run, ended.state.as_str())
        }

        async fn shutdown(&self) {}
    }

    let holding = |holds| Arc::new(Relay { runs: Arc::default(), holds });
    let agents: BTreeMap<AgentName, Arc<dyn Agent>> = [
        (name_of("hasty"), Arc::new(Hasty(Relay::default())) as Arc<dyn Agent>),
        (name_of("a1"), holding(true)),
        (name_of("a2"), Arc::new(Stuck)),
    ]
    .into();
    let setup = Setup {
        store: Arc::new(MemoryStore::new()),
        agents,
        env: Arc::new(SystemEnv),
        limits: Limits::default(),
        authorizer: Arc::new(AllowAll),
    };
    let engine = Engine::open(setup).await.unwrap();
    let nest = Nest { engine, runs: Arc::default() };
    let ended = nest.ended("hasty", "go").await;
    assert_eq!((ended.state, text_of(&ended).as_str()), (State::Completed, "failed"));
    let middle = nest.get("a1", &ended.children[0].task).await;
    assert!(text_of_status(&middle).contains("deadline"), "{}", text_of_status(&middle));
    // And its child with it, which inherited the deadline and is canceled besides.
    let leaf = middle.children[0].task;
    let leaf = loop {
        let leaf = nest.get("a2", &leaf).await;
        if leaf.state.is_terminal() {
            break leaf;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(leaf.deadline(), middle.deadline());
    nest.engine.shutdown(Duration::ZERO).await;
}

/// Never returns.
#[derive(Debug)]
struct Stuck;

#[async_trait]
impl Agent for Stuck {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, _: &Request<'_>) -> Plan {
        Plan::Call(Arc::new(Call::of_message(Effect::Idempotent)))
    }

    fn max_concurrency(&self) -> usize {
        1
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, _: Run) -> Outcome {
        std::future::pending().await
    }

    async fn shutdown(&self) {}
}

/// Set in the process that is to be killed: where its store is.
const FOLDER: &str = "BOBBINET_TEST_NESTED_FOLDER";

fn fan_agents() -> Vec<String> {
    ["a1", "leaf"].map(str::to_owned).to_vec()
}

async fn open_fan(folder: &std::path::Path) -> Nest {
    let store = Arc::new(SledStore::open(SledOptions::new(folder.join("store"))).unwrap());
    Nest::open(store, &fan_agents(), false, Limits::default()).await
}

/// Not a test by itself: what [`a_killed_process_goes_on_with_the_very_same_children`] kills.
#[tokio::test]
async fn process_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let nest = open_fan(&folder).await;
    if !folder.join("begun").exists() {
        let begun = nest.begin(&caller("ann"), "a1", "fan 400").accepted().await.unwrap();
        std::fs::write(folder.join("begun"), begun.id.to_string()).unwrap();
    }
    std::future::pending().await
}

fn start(folder: &std::path::Path) -> Process {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nested::process_that_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The children in a parent's log, by their names.
async fn children(nest: &Nest, id: &TaskId) -> BTreeMap<String, TaskId> {
    let log = nest.engine.log(&caller("ann"), &name_of("a1"), id).await.unwrap();
    let spawned = log.into_iter().filter_map(|(_, recorded)| {
        let Event::Spawned(child) = recorded.event else { return None };
        Some((child.name.to_string(), child.task))
    });
    let spawned: Vec<_> = spawned.collect();
    let by_name: BTreeMap<_, _> = spawned.iter().cloned().collect();
    assert_eq!(spawned.len(), by_name.len(), "each is begun once");
    by_name
}

#[tokio::test]
async fn a_killed_process_goes_on_with_the_very_same_children() {
    let folder = tempfile::tempdir().unwrap();
    let mut known = BTreeMap::new();
    let mut id = None;
    for round in 0..3 {
        let mut process = start(folder.path());
        let is_begun = async {
            while !folder.path().join("begun").exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), is_begun).await.expect("it begins");
        tokio::time::sleep(Duration::from_millis(150 + 70 * round)).await;
        process.kill().unwrap();
        process.wait().unwrap();
        // Looked at with nobody who could go on.
        let store = Arc::new(SledStore::open(SledOptions::new(folder.path().join("store"))).unwrap());
        let nest = Nest::open(store, &[], false, Limits::default()).await;
        let text = std::fs::read_to_string(folder.path().join("begun")).unwrap();
        let parent = *id.get_or_insert(TaskId::parse(&text).unwrap());
        let now = children(&nest, &parent).await;
        assert!(known.iter().all(|(name, child)| now.get(name) == Some(child)), "a child was begun anew");
        assert!(now.len() >= known.len());
        known = now;
        nest.engine.shutdown(Duration::ZERO).await;
    }
    assert!(!known.is_empty(), "it was killed in the middle");
    let nest = open_fan(folder.path()).await;
    let id = id.unwrap();
    let ended = until_ended(&nest, &id).await;
    assert_eq!((ended.state, text_of(&ended).as_str()), (State::Completed, "400"), "{}", text_of_status(&ended));
    let now = children(&nest, &id).await;
    assert_eq!(now.len(), 400);
    assert!(known.iter().all(|(name, child)| now.get(name) == Some(child)), "a child was begun anew");
    for child in now.values() {
        assert_eq!(nest.get("leaf", child).await.calls.len(), 1, "and called once, but for attempts");
    }
    nest.engine.shutdown(Duration::ZERO).await;
}

async fn until_ended(nest: &Nest, id: &TaskId) -> Arc<Task> {
    for _ in 0..6_000 {
        match nest.engine.get(&caller("ann"), &name_of("a1"), id).await {
            Ok(task) if task.state.is_terminal() => return task,
            Ok(_) | Err(EngineError::NotFound) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it does not end")
}
