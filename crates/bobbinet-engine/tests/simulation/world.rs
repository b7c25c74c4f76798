//! One simulated world: processes that come and go on one disk, and those who call them.

use std::{
    cell::RefCell,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
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
    counters::{CounterUser, change_once_more, register},
    disk::{Access, Disk},
    history::{Away, Execution, History},
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

/// How long one of several processes is paused or cut off, in milliseconds: for short, or for longer than its lease. At least, and by
/// so much more at the most.
const AWAY: [(u64, u64); 2] = [(0, 3_000), (11_000, 15_000)];

/// How often one of several processes may be paused or cut off, in milliseconds.
const AWAY_EVERY: u64 = 12_000;

/// How soon one of several processes knows what the others have ended: `COUNT_EVERY` of the engine, and a look.
const COUNTED_WITHIN: Duration = Duration::from_secs(35);

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
    processes: AtomicU32,
}

/// A process, and its way to the disk: to see whether anything of it is left when it has stopped.
struct Running {
    process: Arc<Process>,
    engine: Engine,
    access: Weak<Access>,
}

impl World {
    fn new(scene: &Arc<Scene>) -> Self {
        Self { scene: scene.clone(), disk: Disk::new(scene), door: Arc::default(), processes: AtomicU32::new(0) }
    }

    async fn live(self) {
        let mut clients = JoinSet::new();
        for number in 1..=self.scene.nature.clients {
            let client = Client { scene: self.scene.clone(), door: self.door.clone(), number, agent: 0 };
            clients.spawn(client.live());
        }
        for _ in 0..self.scene.nature.counter_users {
            clients.spawn(CounterUser { scene: self.scene.clone(), door: self.door.clone() }.live());
        }
        let seats = self.scene.nature.processes;
        let mut left = futures::future::join_all((0..seats).map(|seat| self.chaos(seat))).await;
        let is_one_lost = seats > 1 && self.scene.nature.stays_lost;
        if is_one_lost && let Some(lost) = left[0].take() {
            self.kill(&lost.process);
        }
        self.scene.note(format_args!("calm"));
        self.scene.calm.cancel();
        let mut running = Vec::new();
        for (seat, left) in (0..).zip(left).skip(usize::from(is_one_lost)) {
            running.push(self.go_on(seat, left).await);
        }
        tokio::time::sleep(SETTLES_WITHIN).await;
        if seats > 1 && self.scene.nature.absences > 0 {
            // Those that lacked an agent had its tasks wait, and no process that has it knows before it counts anew.
            tokio::time::sleep(COUNTED_WITHIN).await;
        }
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
        let hung_up = self.scene.moment();
        self.scene.history().hung_up = hung_up;
        if seats > 1 {
            tokio::time::sleep(COUNTED_WITHIN).await;
        }
        for running in &running {
            self.submit_one_more(running).await;
            let connection = Connection { process: running.process.clone(), engine: running.engine.clone() };
            change_once_more(&self.scene, &self.door, &connection).await;
        }
        for running in running {
            self.stop(running, Duration::from_secs(1)).await;
        }
        let (logs, counters) = (self.disk.logs().await, self.disk.counters().await);
        let end = self.scene.moment();
        let mut history = self.scene.history();
        history.logs = logs;
        history.counters = counters;
        history.end = end;
    }

    /// The process of a seat in the calm: the one that is left, if it has the agents that are to stay.
    async fn go_on(&self, seat: u64, left: Option<Running>) -> Running {
        match left {
            Some(running) if running.process.absent == self.absent() => return running,
            Some(other) => self.stop(other, Duration::ZERO).await,
            None => {}
        }
        self.start(seat).await.expect("nothing kills a process in the calm")
    }

    /// Processes start and die on one seat, until it is over. Gives the last, if it lives.
    async fn chaos(&self, seat: u64) -> Option<Running> {
        let over = Instant::now() + Duration::from_millis(self.scene.nature.chaos);
        loop {
            let running = self.start(seat).await;
            if let Some(running) = running {
                let life_max = self.scene.nature.life_max;
                let life = if life_max == 0 { self.scene.nature.chaos } else { self.scene.up_to(life_max) };
                let until = over.min(Instant::now() + Duration::from_millis(life));
                self.live_through(&running.process, until, over).await;
                if Instant::now() >= over {
                    return Some(running);
                }
                if !running.process.is_away() && self.scene.happens(self.scene.nature.shutdown) {
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

    /// One of several processes is away now and then.
    async fn live_through(&self, process: &Process, until: Instant, over: Instant) {
        let (scene, nature) = (&self.scene, &self.scene.nature);
        let left = |until: Instant| u64::try_from(until.saturating_duration_since(Instant::now()).as_millis()).unwrap();
        while nature.processes > 1 && left(until) > 0 {
            let pause = scene.up_to(AWAY_EVERY).min(left(until));
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let (is_paused, is_cut_off) = (scene.happens(nature.pauses), scene.happens(nature.cut_offs));
            if is_paused || is_cut_off {
                let (least, more) = AWAY[usize::try_from(scene.up_to(1)).unwrap()];
                // With the chaos this is over too.
                let away = (least + scene.up_to(more)).min(left(over));
                let (from, to) = (scene.millis(), scene.millis() + away);
                if is_paused {
                    process.paused_until.store(to, Ordering::Relaxed);
                } else {
                    process.cut_off_until.store(to, Ordering::Relaxed);
                }
                let number = process.number;
                let what = if is_paused { "paused" } else { "cut off" };
                scene.note(format_args!("process {number} is {what} for {away}"));
                scene.history().away.push(Away { process: number, from, to });
                tokio::time::sleep(Duration::from_millis(away.min(left(until)))).await;
            }
        }
        tokio::time::sleep_until(until).await;
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
    async fn start(&self, seat: u64) -> Option<Running> {
        let number = self.processes.fetch_add(1, Ordering::Relaxed) + 1;
        let is_zombie = self.scene.plant == Plant::IgnoresVersions;
        let absent = self.absent();
        let process = Arc::new(Process {
            scene: self.scene.clone(),
            number,
            seat,
            absent,
            set_by: AtomicU64::default(),
            dead: CancellationToken::new(),
            is_zombie,
            paused_until: AtomicU64::default(),
            cut_off_until: AtomicU64::default(),
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
                    register(&engine);
                    let connection = Connection { process: process.clone(), engine: engine.clone() };
                    self.door.lock().unwrap().insert(seat, connection);
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
                    let moment = self.scene.moment();
                    self.scene.history().unopened.push((number, moment));
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
        self.door.lock().unwrap().remove(&process.seat);
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
    async fn look_for_orphans(&self, running: &[Running]) {
        let summaries = self.disk.summaries().await;
        let mut history = self.scene.history();
        let lives = |run: &&Execution| {
            run.ended.is_none() && running.iter().any(|running| running.process.number == run.process)
        };
        let at_work: Vec<_> = history.executions.iter().filter(lives).collect();
        let orphans = summaries.iter().filter(|(task, summary)| {
            let has_room = running.iter().any(|running| {
                let number = running.process.number;
                let is_beside = |run: &&&Execution| run.process == number && run.agent.as_str() == &*summary.agent;
                at_work.iter().filter(is_beside).count() < self.scene.nature.slots
            });
            // What is to be planned waits for its agent, which takes its time.
            let is_planned = summary.due != Some(Timestamp::from_millis(1));
            let is_waiting = summary.state == State::Submitted.code() && is_planned && has_room;
            let is_ownerless = summary.state == State::Working.code() && !at_work.iter().any(|run| run.task == *task);
            is_waiting || is_ownerless
        });
        let orphans = orphans.map(|(task, _)| *task).collect();
        drop(at_work);
        history.orphans.push(orphans);
    }
}
