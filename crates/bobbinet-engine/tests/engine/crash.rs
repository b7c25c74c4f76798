//! The crash loop of counters: a process that changes them is killed again and again, at random and at the store's crash points, and
//! every change that it acknowledged is there once.
//!
//! Short by default; `BOBBINET_LONG=1`: 300 kills.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child as Process, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bobbinet_core::{Generation, Limits};
use bobbinet_engine::{Aggregate, Aggregates, AllowAll, Engine, Setup, SystemEnv, decode};
use bobbinet_store::{SledOptions, SledStore, Store};

use crate::counter::{Answer, Change, Counter, CounterId, Event, Places, tally};

/// Set in the process that is to be killed: where its store is.
const FOLDER: &str = "BOBBINET_TEST_COUNTERS_FOLDER";

/// Set in the same: its how-manieth life this is.
const LIFE: &str = "BOBBINET_TEST_COUNTERS_LIFE";

/// The crash points that a change of a counter comes to.
const POINTS: [&str; 6] =
    ["commit-before", "commit-applied", "sync-before", "sync-after", "publish-before", "publish-after"];

/// So many lives have one for each point, and some that end at random.
const ROUND: u64 = 9;

/// How many kills there are.
const KILLS: u64 = 2 * ROUND;
const KILLS_LONG: u64 = 300;

/// How many change counters at the same time.
const WORKERS: u64 = 4;

/// More than one worker changes in one life.
const CHANGES_MAX: u64 = 1_000_000;

const COUNTERS: [CounterId; 3] = [CounterId(1), CounterId(2), CounterId(3)];

async fn open(folder: &Path) -> Engine {
    let store = SledStore::open(SledOptions::new(folder.join("store"))).unwrap();
    let setup = Setup {
        store: Arc::new(store),
        agents: BTreeMap::new(),
        env: Arc::new(SystemEnv),
        limits: Limits::default(),
        authorizer: Arc::new(AllowAll),
    };
    Engine::open(setup).await.unwrap()
}

/// What a worker does next, and what its number is.
async fn next(engine: &Engine, worker: u64, round: u64) -> Change {
    let id = |place: u64| COUNTERS[usize::try_from(place).unwrap() % COUNTERS.len()];
    let counter = id(worker + round);
    match round % 3 {
        0 => Change::Add(counter),
        1 => {
            let counters: Aggregates<Counter> = engine.aggregates();
            let seen = counters.get(&counter).await.unwrap().map_or(0, |counter| counter.value);
            Change::PutIf { id: counter, seen }
        }
        _ => Change::Move { from: counter, to: id(worker + round + 1) },
    }
}

/// A line of the journal that outlives the process: what is asked, or what was answered.
fn write(mut journal: &File, number: i64, change: Change, answer: Answer) {
    let (kind, first, second) = match change {
        Change::Add(id) => ("add", id, 0),
        Change::PutIf { id, seen } => ("put", id, seen),
        Change::Move { from, to } => ("move", from, to.0.into()),
    };
    let line = format!("{number} {kind} {} {second} {answer:?}\n", first.0);
    // In one piece: what a killed process has written is whole.
    journal.write_all(line.as_bytes()).unwrap();
}

/// What was asked over all lives, each with the last that was said of it.
fn read(folder: &Path) -> BTreeMap<i64, (Change, Answer)> {
    let text = std::fs::read_to_string(folder.join("journal")).unwrap_or_default();
    let change = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let [number, kind, first, second, answer] = words[..] else { panic!("{line}") };
        let (id, second): (_, i64) = (CounterId(first.parse().unwrap()), second.parse().unwrap());
        let change = match kind {
            "add" => Change::Add(id),
            "put" => Change::PutIf { id, seen: second },
            "move" => Change::Move { from: id, to: CounterId(second.try_into().unwrap()) },
            _ => panic!("{line}"),
        };
        let all = [Answer::Done, Answer::Refused, Answer::Unknown];
        let answer = all.into_iter().find(|known| format!("{known:?}") == answer).expect("one of three");
        (number.parse().unwrap(), (change, answer))
    };
    text.lines().map(change).collect()
}

async fn work(engine: &Engine, journal: &File, life: u64, worker: u64) {
    for round in 0..CHANGES_MAX {
        let number = i64::try_from((life * WORKERS + worker) * CHANGES_MAX + round + 1).unwrap();
        let change = next(engine, worker, round).await;
        write(journal, number, change, Answer::Unknown);
        write(journal, number, change, Answer::of(&change.ask(number, engine).await));
    }
}

/// Not a test by itself: what [`no_change_is_lost_or_made_twice`] kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let life = std::env::var(LIFE).unwrap().parse().unwrap();
    let engine = open(&folder).await;
    let journal = OpenOptions::new().create(true).append(true).open(folder.join("journal")).unwrap();
    futures::future::join_all((0..WORKERS).map(|worker| work(&engine, &journal, life, worker))).await;
}

fn start(folder: &Path, life: u64, point: Option<&str>) -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crash::process_that_is_killed", "--nocapture"]).env(FOLDER, folder);
    command.env(LIFE, life.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(point) = point {
        command.env("BOBBINET_CRASH_AT", format!("{point}:{}", 1 + life * 7 % 60));
    }
    command.spawn().unwrap()
}

/// One life: to a point, or to some moment after its first change.
async fn live(folder: &Path, life: u64) {
    let point = POINTS.get(usize::try_from(life % ROUND).unwrap()).copied();
    let before = read(folder).len();
    let mut process = start(folder, life, point);
    let is_dead = async {
        while process.try_wait().unwrap().is_none() {
            if point.is_none() && read(folder).len() > before {
                tokio::time::sleep(Duration::from_millis(life * 37 % 200)).await;
                process.kill().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), is_dead).await.expect("it comes to the point, and its work begins");
    let died = process.wait().unwrap();
    assert_eq!(died.signal(), Some(9), "life {life} to {point:?} ended with {died:?}");
}

/// What the store has after all that was asked.
async fn judge(folder: &Path) -> Places {
    let store = SledStore::open(SledOptions::new(folder.join("store"))).unwrap();
    let mut logs = Vec::new();
    for id in COUNTERS {
        let records = store.load(&Counter::stream(&id)).await.unwrap().map_or(Vec::new(), |loaded| loaded.records);
        let events: Vec<_> = records.iter().map(|record| decode::<Event>(record).unwrap().event).collect();
        logs.push((id, events));
    }
    let (places, wrong) = tally(&read(folder), logs.iter().map(|(id, events)| (*id, events.iter().collect())));
    assert!(wrong.is_empty(), "{:#?}", &wrong[..wrong.len().min(5)]);
    places
}

#[tokio::test]
async fn no_change_is_lost_or_made_twice() {
    let kills = if std::env::var_os("BOBBINET_LONG").is_some() { KILLS_LONG } else { KILLS };
    let folder = tempfile::tempdir().unwrap();
    for life in 0..kills {
        live(folder.path(), life).await;
        judge(folder.path()).await;
    }
    let places = judge(folder.path()).await;
    let changes = read(folder.path());
    let done = changes.values().filter(|(_, answer)| *answer == Answer::Done).count();
    eprintln!("{kills} kills, {} changes asked, {done} acknowledged, {} made", changes.len(), places.len());
    assert!(done > 50, "it was killed at work");

    // What is left goes on, and whoever follows is told all of it.
    let engine = open(folder.path()).await;
    let counters: Aggregates<Counter> = engine.aggregates();
    for id in COUNTERS {
        let counter = counters.get(&id).await.unwrap().unwrap();
        let mut follower = counters.follow(&id, Generation(0)).await.unwrap();
        let mut last = None;
        for generation in 1..=counter.version {
            let told = follower.next().await.unwrap().unwrap();
            assert_eq!(told.generation, Generation(generation));
            last = Some(told.event.clone());
        }
        assert_eq!(last, Some(Event::Is(counter.value)));
    }
    engine.shutdown(Duration::ZERO).await;
}
