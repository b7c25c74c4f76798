//! One simulated world: processes that come and go on one disk, and those who call them.

use std::{
    cell::RefCell,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use bobbinet_core::{Limits, State, Timestamp};
use bobbinet_engine::{Agent, AllowAll, Engine, Setup};
use tokio::{
    task::JoinSet,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

use crate::{
    agent::Tool,
    checker::{Violation, check},
    client::{Client, Connection, Door, agent},
    disk::{Access, Disk},
    history::History,
    planted::Plant,
    scene::{Clock, Process, Scene},
};

/// How soon after the last fault every task must have ended, wait for its caller or be at work: DESIGN section 8.
const SETTLES_WITHIN: Duration = Duration::from_secs(30);

/// How long a world goes on after that at the most: even the longest line of hanging calls comes to its end.
const GOES_ON: Duration = Duration::from_secs(600);

/// How far a clock is set forward at the most, in milliseconds: less than an idempotency key is remembered.
const CLOCK_SET_MAX: u64 = 20 * 3_600_000;

/// How often to look whether it is quiet.
const LOOKS_EVERY: Duration = Duration::from_secs(5);

/// More than all callers together have open at a time.
const TASKS_OPEN_MAX: usize = 12;

/// How much longer than its grace a shutdown may take.
const SHUTDOWN_SLACK: Duration = Duration::from_secs(10);

thread_local! {
    /// Panics of this thread's world, if one is being lived.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// What became of a world.
pub(crate) struct Lived {
    pub(crate) violations: Vec<Violation>,
    pub(crate) fingerprint: u64,
    pub(crate) transcript: Vec<String>,
    pub(crate) history: History,
}

/// Lets a panic in a simulated world be that world's violation, and say nothing else.
pub(crate) fn catch_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_simulated = PANICS.with_borrow_mut(|panics| match panics {
            Some(panics) => {
                panics.push(panic.to_string());
                true
            }
            None => false,
        });
        if !is_simulated {
            usual(panic);
        }
    }));
}

/// Lives through one world and judges it.
pub(crate) fn live(seed: u64, plant: Plant, keep_lines: bool) -> Lived {
    PANICS.set(Some(Vec::new()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let scene = runtime.block_on(async {
        let scene = Scene::new(seed, plant, keep_lines);
        let lived = AssertUnwindSafe(World::new(&scene).live());
        if futures::FutureExt::catch_unwind(lived).await.is_err() {
            scene.history().faults.push("the world broke".to_owned());
        }
        scene
    });
    drop(runtime);
    let mut history = std::mem::take(&mut *scene.history());
    history.faults.extend(PANICS.take().unwrap_or_default());
    let (fingerprint, transcript) = scene.transcript();
    Lived { violations: check(&history), fingerprint, transcript, history }
}

struct World {
    scene: Arc<Scene>,
    disk: Arc<Disk>,
    door: Arc<Door>,
    processes: u32,
}

/// A process, and its way to the disk: to see whether anything of it is left when it has stopped.
struct Running {
    process: Arc<Process>,
    engine: Engine,
    access: Weak<Access>,
}

impl World {
    fn new(scene: &Arc<Scene>) -> Self {
        Self { scene: scene.clone(), disk: Disk::new(scene), door: Arc::new(Mutex::new(None)), processes: 0 }
    }

    async fn live(mut self) {
        let mut clients = JoinSet::new();
        for number in 1..=self.scene.nature.clients {
            let client = Client { scene: self.scene.clone(), door: self.door.clone(), number, agent: 0 };
            clients.spawn(client.live());
        }
        let running = self.chaos().await;
        self.scene.note(format_args!("calm"));
        self.scene.calm.cancel();
        let running = match running {
            Some(running) if running.process.absent == self.absent() => running,
            other => {
                if let Some(other) = other {
                    self.stop(other, Duration::ZERO).await;
                }
                self.start().await.expect("nothing kills a process in the calm")
            }
        };
        tokio::time::sleep(SETTLES_WITHIN).await;
        // What is between two of its steps is nobody's for a moment: only what stays so is an orphan.
        for _ in 0..3 {
            self.look_for_orphans(&running).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let over = Instant::now() + GOES_ON;
        while Instant::now() < over && !self.is_quiet().await {
            tokio::time::sleep(LOOKS_EVERY).await;
        }
        clients.shutdown().await;
        self.submit_one_more(&running).await;
        self.stop(running, Duration::from_secs(1)).await;
        let logs = self.disk.logs().await;
        let end = self.scene.moment();
        let mut history = self.scene.history();
        history.logs = logs;
        history.end = end;
    }

    /// Processes start and die, until it is over. Gives the last, if it lives.
    async fn chaos(&mut self) -> Option<Running> {
        let over = Instant::now() + Duration::from_millis(self.scene.nature.chaos);
        loop {
            let running = self.start().await;
            if let Some(running) = running {
                let life_max = self.scene.nature.life_max;
                let life = if life_max == 0 { self.scene.nature.chaos } else { self.scene.up_to(life_max) };
                tokio::time::sleep_until(over.min(Instant::now() + Duration::from_millis(life))).await;
                if Instant::now() >= over {
                    return Some(running);
                }
                if self.scene.happens(self.scene.nature.shutdown) {
                    let grace = Duration::from_millis(self.scene.up_to(2_000));
                    self.stop(running, grace).await;
                } else {
                    self.kill(&running.process);
                }
            }
            if Instant::now() >= over {
                return None;
            }
            self.scene.pause(self.scene.nature.down_max).await;
        }
    }

    /// Which agent the next process is to lack.
    fn absent(&self) -> Option<u64> {
        let nature = &self.scene.nature;
        if self.scene.calm.is_cancelled() {
            return nature.stays_gone.then_some(nature.agents - 1);
        }
        self.scene.happens(nature.absences).then(|| self.scene.up_to(nature.agents - 1))
    }

    /// Starts a process. `None` if it died before it was ready.
    async fn start(&mut self) -> Option<Running> {
        self.processes += 1;
        let number = self.processes;
        let is_zombie = self.scene.plant == Plant::IgnoresVersions;
        let absent = self.absent();
        let process = Arc::new(Process {
            number,
            absent,
            set_by: AtomicU64::default(),
            dead: CancellationToken::new(),
            is_zombie,
        });
        let fast_by = if self.scene.strikes(self.scene.nature.clock_jump) { self.scene.up_to(3_600_000) } else { 0 };
        self.scene.note(format_args!("process {number} starts without {absent:?}, its clock fast by {fast_by}"));
        {
            let mut history = self.scene.history();
            history.clocks.insert(number, fast_by);
            if let Some(absent) = absent {
                history.absent.insert(number, absent);
            }
        }
        let dies_after = if self.scene.strikes(10) { self.scene.up_to(500) } else { 120_000 };
        let dies_at = Instant::now() + Duration::from_millis(dies_after);
        loop {
            let access = Arc::new(Access { disk: self.disk.clone(), process: process.clone() });
            let is_held = Arc::downgrade(&access);
            let setup = self.setup(access, &process, fast_by);
            let opened = tokio::select! {
                biased;
                () = tokio::time::sleep_until(dies_at) => {
                    self.kill(&process);
                    return None;
                }
                opened = Engine::open(setup) => opened,
            };
            match opened {
                Ok(engine) => {
                    *self.door.lock().unwrap() = Some(Connection { process: process.clone(), engine: engine.clone() });
                    let set_by = if self.scene.strikes(self.scene.nature.clock_set) {
                        self.scene.up_to(CLOCK_SET_MAX)
                    } else {
                        0
                    };
                    process.set_by.store(set_by, Ordering::Relaxed);
                    self.scene.note(format_args!("process {number} is ready, its clock set forward by {set_by}"));
                    return Some(Running { process, engine, access: is_held });
                }
                Err(error) => {
                    self.scene.note(format_args!("process {number} is not ready: {error}"));
                    self.is_gone(&is_held, "an engine that could not open");
                    self.scene.pause(200).await;
                }
            }
        }
    }

    fn setup(&self, access: Arc<Access>, process: &Arc<Process>, fast_by: u64) -> Setup {
        let nature = &self.scene.nature;
        let tool: Arc<dyn Agent> = Arc::new(Tool { scene: self.scene.clone(), process: process.clone() });
        Setup {
            store: access,
            agents: (0..nature.agents)
                .filter(|number| process.absent != Some(*number))
                .map(|number| (agent(number), tool.clone()))
                .collect(),
            env: Arc::new(Clock { scene: self.scene.clone(), process: process.clone(), fast_by }),
            authorizer: Arc::new(AllowAll),
            limits: Limits {
                run_limit_ms: nature.run_limit,
                ask_hold_max_ms: nature.ask_hold,
                hot_tasks_max: nature.hot_tasks_max,
                retention_ms: nature.retention,
                unserved_life_ms: nature.unserved_life,
                tasks_open_max: TASKS_OPEN_MAX,
                ..Limits::default()
            },
        }
    }

    /// All that the process is vanishes at once.
    fn kill(&self, process: &Process) {
        self.scene.note(format_args!("process {} dies", process.number));
        self.end(process);
    }

    fn end(&self, process: &Process) {
        process.dead.cancel();
        *self.door.lock().unwrap() = None;
        self.disk.cut_off(process.number);
        let moment = self.scene.moment();
        let mut history = self.scene.history();
        history.deaths.insert(process.number, moment);
        for execution in &mut history.executions {
            if execution.process == process.number {
                execution.ended.get_or_insert(moment);
            }
        }
    }

    /// Asks the process to stop, and looks whether it does so in time and leaves nothing behind.
    async fn stop(&self, running: Running, grace: Duration) {
        let Running { process, engine, access } = running;
        let number = process.number;
        self.scene.note(format_args!("process {number} stops within {grace:?}"));
        let moment = self.scene.moment();
        self.scene.history().drains.insert(number, moment);
        let is_in_time = tokio::time::timeout(grace + SHUTDOWN_SLACK, engine.shutdown(grace)).await.is_ok();
        if is_in_time {
            let history = self.scene.history();
            let left = history.executions.iter().any(|run| run.process == number && run.ended.is_none());
            drop(history);
            if left {
                self.scene.history().faults.push(format!("process {number} stopped before its runs had"));
            }
        } else {
            self.scene.history().faults.push(format!("process {number} does not stop"));
        }
        self.end(&process);
        self.scene.note(format_args!("process {number} has stopped"));
        drop(engine);
        // Callers hang up.
        tokio::time::sleep(Duration::from_millis(1)).await;
        if is_in_time {
            self.is_gone(&access, "an engine that was stopped");
        }
    }

    fn is_gone(&self, access: &Weak<Access>, what: &str) {
        if access.strong_count() > 0 {
            self.scene.history().faults.push(format!("{what} left something behind"));
        }
    }

    /// When all has ended there is room for more.
    async fn submit_one_more(&self, running: &Running) {
        let client = Client { scene: self.scene.clone(), door: self.door.clone(), number: 0, agent: 0 };
        if let Err(error) = client.begin(&running.engine, "reject", None) {
            self.scene.history().faults.push(format!("nothing is at work, and a submission is refused: {error}"));
        }
    }

    /// Whether all have ended or wait for their callers.
    async fn is_quiet(&self) -> bool {
        let open = [State::Submitted.code(), State::Working.code()];
        self.disk.summaries().await.iter().all(|(_, summary)| !open.contains(&summary.state))
    }

    /// Tasks that ought to be at work and are not.
    async fn look_for_orphans(&self, running: &Running) {
        let summaries = self.disk.summaries().await;
        let mut history = self.scene.history();
        let of_this = |run: &&crate::history::Execution| run.process == running.process.number && run.ended.is_none();
        let at_work: Vec<_> = history.executions.iter().filter(of_this).collect();
        let orphans = summaries.iter().filter(|(task, summary)| {
            let beside = at_work.iter().filter(|run| run.agent.as_str() == &*summary.agent).count();
            // What is to be planned waits for its agent, which takes its time.
            let is_planned = summary.due != Some(Timestamp::from_millis(1));
            let is_waiting = summary.state == State::Submitted.code() && is_planned && beside < self.scene.nature.slots;
            let is_ownerless = summary.state == State::Working.code() && !at_work.iter().any(|run| run.task == *task);
            is_waiting || is_ownerless
        });
        let orphans = orphans.map(|(task, _)| *task).collect();
        drop(at_work);
        history.orphans.push(orphans);
    }
}
