//! What everybody in one simulated world shares: chance, time, the transcript and the history.

use std::{
    fmt,
    hash::{DefaultHasher, Hasher},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use bobbinet_core::Timestamp;
use bobbinet_engine::Env;
use tokio::{
    task::JoinSet,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    history::{History, Moment},
    planted::Plant,
};

/// When every simulated world begins: in milliseconds since 1970.
pub(crate) const BEGINNING: u64 = 1_795_258_800_000;

/// Longer than any world lasts, whatever its clocks say.
const WEEK: u64 = 7 * 24 * 3_600_000;

/// As long as a finished task is kept where nothing else is said.
const MONTH: u64 = 30 * 24 * 3_600_000;

/// The busiest of a thousand worlds has two thousand steps.
const STEPS_MAX: u64 = 20_000;

/// Calls of several processes last longer than their leases now and then: so often, in percent.
const LEASE_AND_MORE: u64 = 15_000;
const HANGS_MIN: u64 = 20;

/// By how much longer the chaos of several processes lasts.
const LONGER: u64 = 35_000;

/// Chance by seed: SplitMix64, so that a seed means the same whatever the version of a library.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn up_to(&mut self, max: u64) -> u64 {
        self.next() % (max + 1)
    }

    /// A rate of its own for each seed, in percent; in a third of the worlds the thing never happens.
    fn rate(&mut self, max: u64) -> u64 {
        if self.up_to(2) == 0 { 0 } else { self.up_to(max) }
    }
}

/// How this world treats those who live in it. Rates in percent, times in milliseconds.
#[derive(Debug)]
pub(crate) struct Nature {
    pub(crate) commit_fails: u64,
    pub(crate) commit_kept_but_failed: u64,
    pub(crate) commit_slow: u64,
    pub(crate) read_fails: u64,
    pub(crate) read_slow: u64,
    /// The longest that something slow takes on each side of its effect.
    pub(crate) slow_max: u64,
    pub(crate) yields: u64,
    /// How long a process lives at the most; zero: for as long as the chaos lasts.
    pub(crate) life_max: u64,
    pub(crate) down_max: u64,
    pub(crate) shutdown: u64,
    pub(crate) clock_jump: u64,
    /// How often the clock of a process is set forward while it runs.
    pub(crate) clock_set: u64,
    pub(crate) chaos: u64,
    /// How many agents there are, each with so many slots.
    pub(crate) agents: u64,
    /// How often a process lacks one of them.
    pub(crate) absences: u64,
    /// Whether one is gone for good in the end.
    pub(crate) stays_gone: bool,
    pub(crate) unserved_life: u64,
    pub(crate) retention: u64,
    pub(crate) slots: usize,
    pub(crate) hot_tasks_max: usize,
    pub(crate) run_limit: u64,
    pub(crate) ask_hold: u64,
    /// Who calls, each with one task at a time.
    pub(crate) clients: u64,
    pub(crate) cancel: u64,
    pub(crate) impatience: u64,
    /// How often an answer is said again, under its name.
    pub(crate) repeats: u64,
    pub(crate) asks: u64,
    pub(crate) failures: u64,
    pub(crate) hangs: u64,
    /// How often somebody waits for nothing but an outcome.
    pub(crate) for_outcome: u64,
    /// How often a call is over sooner than the first commit of its task is withheld.
    pub(crate) quick: u64,
    /// Who changes counters.
    pub(crate) counter_users: u64,
    /// How many processes live at a time, on one store.
    pub(crate) processes: u64,
    /// How often one of several is paused, or cut off from the store.
    pub(crate) pauses: u64,
    pub(crate) cut_offs: u64,
    /// Whether one of several is gone for good in the end.
    pub(crate) stays_lost: bool,
}

impl Nature {
    fn draw(chance: &mut Chance) -> Self {
        let agents = 1 + chance.up_to(2);
        let stays_gone = agents > 1 && chance.up_to(3) == 0;
        let unserved_life = if stays_gone || chance.up_to(2) == 0 { 500 + chance.up_to(8_000) } else { WEEK };
        let retention = if chance.up_to(2) == 0 { MONTH } else { 1_000 + chance.up_to(20_000) };
        Self {
            agents,
            absences: [0, 30, 70][usize::try_from(chance.up_to(2)).unwrap()],
            stays_gone,
            unserved_life,
            retention,
            repeats: chance.rate(60),
            commit_fails: chance.rate(20),
            commit_kept_but_failed: chance.rate(20),
            commit_slow: chance.rate(50),
            read_fails: chance.rate(20),
            read_slow: chance.rate(50),
            slow_max: [30, 300, 1_500][usize::try_from(chance.up_to(2)).unwrap()],
            yields: chance.rate(60),
            life_max: [0, 300, 2_000, 8_000][usize::try_from(chance.up_to(3)).unwrap()],
            down_max: [0, 100, 3_000][usize::try_from(chance.up_to(2)).unwrap()],
            shutdown: chance.rate(60),
            // What is to end within this world must not wait for an hour that was seen once.
            clock_jump: if stays_gone { 0 } else { chance.rate(50) },
            clock_set: if stays_gone { 0 } else { chance.rate(50) },
            chaos: 3_000 + chance.up_to(12_000),
            slots: 1 + usize::try_from(chance.up_to(2)).unwrap(),
            hot_tasks_max: [1, 2, 4_096][usize::try_from(chance.up_to(2)).unwrap()],
            run_limit: 2_000 + chance.up_to(20_000),
            ask_hold: 500 + chance.up_to(3_000),
            clients: 1 + chance.up_to(7),
            cancel: chance.rate(30),
            impatience: chance.rate(20),
            asks: chance.rate(40),
            failures: chance.rate(40),
            hangs: chance.rate(25),
            for_outcome: chance.rate(100),
            quick: chance.rate(100),
            counter_users: chance.up_to(3),
            processes: [1, 1, 1, 2, 2, 3][usize::try_from(chance.up_to(5)).unwrap()],
            pauses: chance.rate(60),
            cut_offs: chance.rate(60),
            stays_lost: chance.up_to(1) == 0,
        }
        .of_several()
    }
}

impl Nature {
    /// Where there are several processes some live long, and are away for longer than their leases.
    fn of_several(self) -> Self {
        if self.processes == 1 {
            return self;
        }
        let life_max = match self.life_max {
            300 => 0,
            8_000 => 30_000,
            life_max => life_max,
        };
        let (run_limit, hangs) = (self.run_limit + LEASE_AND_MORE, self.hangs.max(HANGS_MIN));
        Self { chaos: self.chaos + LONGER, life_max, run_limit, hangs, ..self }
    }
}

/// What was said in this world: kept whole for a replay, else only its fingerprint.
#[derive(Debug)]
struct Transcript {
    hasher: DefaultHasher,
    lines: Option<Vec<String>>,
}

/// One simulated world.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) nature: Nature,
    pub(crate) plant: Plant,
    /// No more faults from here on.
    pub(crate) calm: CancellationToken,
    start: Instant,
    chance: Mutex<Chance>,
    transcript: Mutex<Transcript>,
    history: Mutex<History>,
    /// What a planted fault does later.
    later: Mutex<JoinSet<()>>,
}

impl Scene {
    pub(crate) fn new(seed: u64, plant: Plant, keep_lines: bool) -> Arc<Self> {
        let mut chance = Chance(seed.wrapping_mul(0x2545_F491_4F6C_DD1D));
        let nature = Nature::draw(&mut chance);
        let history = History {
            slots: nature.slots,
            run_limit: nature.run_limit,
            retention: nature.retention,
            unserved_life: nature.unserved_life,
            is_shared: nature.processes > 1,
            ..History::default()
        };
        let lines = keep_lines.then(Vec::new);
        let scene = Self {
            nature,
            plant,
            calm: CancellationToken::new(),
            start: Instant::now(),
            chance: Mutex::new(chance),
            transcript: Mutex::new(Transcript { hasher: DefaultHasher::new(), lines }),
            history: Mutex::new(history),
            later: Mutex::default(),
        };
        scene.note(format_args!("seed {seed}: {:?}", scene.nature));
        Arc::new(scene)
    }

    pub(crate) fn up_to(&self, max: u64) -> u64 {
        self.chance.lock().unwrap().up_to(max)
    }

    /// Whether something happens that happens so often: in percent.
    pub(crate) fn happens(&self, percent: u64) -> bool {
        percent > 0 && self.up_to(99) < percent
    }

    /// Whether a fault happens: never once all is calm.
    pub(crate) fn strikes(&self, percent: u64) -> bool {
        !self.calm.is_cancelled() && self.happens(percent)
    }

    pub(crate) async fn pause(&self, max: u64) {
        tokio::time::sleep(Duration::from_millis(self.up_to(max))).await;
    }

    pub(crate) fn later(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.later.lock().unwrap().spawn(work);
    }

    pub(crate) fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap()
    }

    /// Now, and after all that was before.
    pub(crate) fn moment(&self) -> Moment {
        let mut history = self.history.lock().unwrap();
        history.steps += 1;
        let steps = history.steps;
        drop(history);
        assert!(steps < STEPS_MAX, "something goes round in circles");
        Moment { step: steps, millis: self.millis() }
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }

    pub(crate) fn note(&self, line: fmt::Arguments<'_>) {
        let line = format!("{:>7} {line}", self.millis());
        let mut transcript = self.transcript.lock().unwrap();
        transcript.hasher.write(line.as_bytes());
        if let Some(lines) = &mut transcript.lines {
            lines.push(line);
        }
    }

    /// The fingerprint of all that was said, and all of it if it was kept.
    pub(crate) fn transcript(&self) -> (u64, Vec<String>) {
        let mut transcript = self.transcript.lock().unwrap();
        (transcript.hasher.finish(), transcript.lines.take().unwrap_or_default())
    }
}

/// One process: what it starts has no effect on anything once it is dead.
///
/// Its futures are not dropped but stand still for ever, which nobody can tell apart: all that they could reach (the
/// store, the calls, their callers) asks first whether the process is alive.
///
/// So do those of a paused process until it goes on; what they do in the pause has no effect before its end, and so their clock shows
/// that already.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) scene: Arc<Scene>,
    pub(crate) number: u32,
    /// Which one of those that live at the same time.
    pub(crate) seat: u64,
    /// The agent that is not configured.
    pub(crate) absent: Option<u64>,
    /// By how much its clock was set forward since it was ready.
    pub(crate) set_by: AtomicU64,
    pub(crate) dead: CancellationToken,
    /// It works on when it is dead: a planted fault.
    pub(crate) is_zombie: bool,
    /// Until when it is paused, and cut off from the store: in milliseconds of its world.
    pub(crate) paused_until: AtomicU64,
    pub(crate) cut_off_until: AtomicU64,
}

impl Process {
    /// Never returns in a dead process, nor in a paused one before it goes on.
    pub(crate) async fn alive(&self) {
        loop {
            if self.dead.is_cancelled() && !self.is_zombie {
                std::future::pending::<()>().await;
            }
            let left = self.paused_until.load(Ordering::Relaxed).saturating_sub(self.scene.millis());
            if left == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(left)).await;
        }
    }

    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut_off_until.load(Ordering::Relaxed) > self.scene.millis()
    }

    pub(crate) fn is_away(&self) -> bool {
        self.is_cut_off() || self.paused_until.load(Ordering::Relaxed) > self.scene.millis()
    }

    /// The time by its clocks.
    fn millis(&self) -> u64 {
        self.scene.millis().max(self.paused_until.load(Ordering::Relaxed))
    }
}

/// A process's clock and ids.
#[derive(Debug)]
pub(crate) struct Clock {
    pub(crate) scene: Arc<Scene>,
    pub(crate) process: Arc<Process>,
    /// How wrong its clock is: later than this by an hour at the most.
    pub(crate) fast_by: u64,
}

impl Env for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(
            BEGINNING + self.process.millis() + self.fast_by + self.process.set_by.load(Ordering::Relaxed),
        )
    }

    fn monotonic(&self) -> Duration {
        let set_by =
            if self.scene.plant == Plant::ClockLeaps { self.process.set_by.load(Ordering::Relaxed) } else { 0 };
        let plant = self.scene.plant;
        // The leases of others are over sooner for it, and its own never is.
        if plant == Plant::TimeRaces {
            return Duration::from_millis(4 * self.process.millis());
        }
        if plant == Plant::TimeStands {
            return Duration::ZERO;
        }
        Duration::from_millis(self.process.millis() + set_by)
    }

    fn uuid(&self) -> Uuid {
        let random = u128::from(self.scene.chance.lock().unwrap().next()).to_be_bytes();
        uuid::Builder::from_unix_timestamp_millis(self.now().as_millis(), random[6..].try_into().unwrap()).into_uuid()
    }
}
