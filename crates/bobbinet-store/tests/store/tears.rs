//! What is behind the last mark after an unclean stop: a tear in the last group opens and is told, damage before it is
//! refused, and nothing is dropped in silence.

use std::{fs, path::Path};

use bobbinet_store::{
    Commit, Durability, Key, Loaded, OpenError, SledOptions, SledStore, Step, Store, StoreError, StreamId, Version,
    check,
    conformance::{record, step, stream, summary},
};

use crate::damage::copy;

/// A random number for each trial, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)) % end
    }
}

/// Where a sync costs nothing, if there is such a place: these tests open thousands of stores.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn options(folder: &Path, durability: Durability) -> SledOptions {
    SledOptions { durability, ..SledOptions::new(folder) }
}

fn name(number: u64) -> StreamId {
    stream(&format!("t{number:04}"))
}

/// What one group is: a task of two records, with a cell for some, and a name forgotten or a mark set for others.
async fn group(store: &SledStore, number: u64, size: usize) {
    let body = format!("{number}/{}", "x".repeat(size));
    let cells = if number.is_multiple_of(3) { vec![(Key("k".into()), Some("v".into()))] } else { Vec::new() };
    let records = vec![record(body.clone()), record(body)];
    let summary = Some(summary(&format!("c{}", number % 7), 1, number));
    let one = Step { records, cells, summary, ..step(&format!("t{number:04}"), 0, &[]) };
    store.commit(Commit::of(one)).await.unwrap();
    if number % 5 == 4 {
        store.mark(&name(number - 1), "web", Version(1)).await.unwrap();
    }
    if number % 11 == 10 {
        store.forget(&name(number - 5)).await.unwrap();
    }
}

fn is_forgotten(number: u64, groups: u64) -> bool {
    number % 11 == 5 && number + 5 < groups
}

/// The groups as they are while the store is open, which is how a killed process leaves them: the mark is that of the
/// opening.
async fn unclean(folder: &Path, groups: u64, durability: Durability) -> Vec<Loaded> {
    let live = folder.join("live");
    let store = SledStore::open(options(&live, durability)).unwrap();
    let mark = fs::read(live.join("MARK")).unwrap();
    let mut all = Vec::new();
    for number in 0..groups {
        group(&store, number, (number * 37 % 700) as usize).await;
        all.push(store.load(&name(number)).await.unwrap().unwrap());
    }
    copy(&live, &folder.join("unclean"));
    fs::write(folder.join("unclean/MARK"), mark).unwrap();
    all
}

/// Damages a file behind its first bytes in one of the ways in which disks do. Says how, and how many bytes in use lie behind.
fn damage(db: &mut [u8], random: &mut Random) -> (String, u64) {
    let used = db.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    let at = (1_000 + random.below(used - 1_000)) as usize;
    let mut end = at + 1;
    let mut fill = |db: &mut [u8], size: usize, value: u8| {
        let begin = at / size * size;
        end = (begin + size).min(db.len());
        db[begin..end].fill(value);
    };
    let what = match random.below(6) {
        0 | 1 => {
            db[at] ^= 1 << random.below(8);
            format!("a bit at {at} of {used}")
        }
        2 => {
            fill(db, 512, 0);
            format!("512 zeros at {at} of {used}")
        }
        3 => {
            fill(db, 4_096, 0);
            format!("4096 zeros at {at} of {used}")
        }
        4 => {
            fill(db, 512, 0xa5);
            format!("512 other bytes at {at} of {used}")
        }
        _ => {
            let from = at - at.min(70_000) / 2;
            let (head, tail) = db.split_at_mut(at);
            let length = tail.len().min(at - from);
            tail[..length].copy_from_slice(&head[from..from + length]);
            end = at + length;
            format!("bytes of elsewhere at {at} of {used}")
        }
    };
    // Later segments of a longer log may lie before it in the file.
    let behind = if used < 1 << 20 { used.saturating_sub(end as u64) } else { 0 };
    (what, behind)
}

/// How much of the log is certainly more than its last two groups, in bytes.
const GROUPS: u64 = 40_000;

#[derive(Debug, Default)]
struct Outcomes {
    refused: u32,
    told: u32,
    partly: u32,
    harmless: u32,
}

/// What is in a store of which something was damaged. Nothing may be missing without a word.
async fn look(folder: &Path, groups: u64, expected: &[Loaded], (what, behind): (&str, u64), outcomes: &mut Outcomes) {
    let torn = match check(options(folder, Durability::Power)) {
        Ok(report) => report.torn,
        Err(OpenError::Corrupt(_) | OpenError::NewerFormat { .. } | OpenError::OlderFormat { .. }) => {
            outcomes.refused += 1;
            return;
        }
        Err(error) => panic!("{what}: {error:?}"),
    };
    let store = SledStore::open(options(folder, Durability::Process)).unwrap();
    let (mut missing, mut is_partly) = (0, false);
    for (number, expected) in (0..).zip(expected) {
        match store.load(&name(number)).await {
            Ok(Some(loaded)) if is_forgotten(number, groups) => {
                assert_eq!(loaded, *expected, "{what}");
                missing += 1;
            }
            Ok(Some(loaded)) => assert_eq!(loaded, *expected, "{what}: stream {number}"),
            Ok(None) if is_forgotten(number, groups) => {}
            Ok(None) => missing += 1,
            Err(StoreError::Corrupt(_)) => is_partly = true,
            Err(error) => panic!("{what}: {error:?}"),
        }
        if number % 5 == 4 && !is_forgotten(number - 1, groups) {
            match store.marks(&name(number - 1)).await {
                Ok(marks) => missing += u32::from(marks.is_empty()),
                Err(_) => is_partly = true,
            }
        }
    }
    if missing > 0 {
        assert_ne!(torn, [], "{what}: {missing} are gone without a word");
        // Where nothing is left of what came later, nothing shows how much that was.
        let is_more = missing > 4 && behind > GROUPS;
        assert!(!is_more, "{what}: {missing} are gone, which is more than the last groups: {torn:?}");
    }
    if is_partly {
        outcomes.partly += 1;
    } else if torn.is_empty() {
        outcomes.harmless += 1;
    } else {
        assert!(torn[0].bytes > 0, "{what}");
        outcomes.told += 1;
    }
}

async fn trials(trials: u64, groups: u64) -> Outcomes {
    let folder = scratch();
    let expected = unclean(folder.path(), groups, Durability::Power).await;
    let original = fs::read(folder.path().join("unclean/log/db")).unwrap();
    let mut outcomes = Outcomes::default();
    for trial in 0..trials {
        let mut random = Random(trial);
        let damaged = folder.path().join("damaged");
        copy(&folder.path().join("unclean"), &damaged);
        let mut db = original.clone();
        let (how, behind) = damage(&mut db, &mut random);
        fs::write(damaged.join("log/db"), &db).unwrap();
        look(&damaged, groups, &expected, (&format!("trial {trial}: {how}"), behind), &mut outcomes).await;
        fs::remove_dir_all(damaged).unwrap();
    }
    outcomes
}

/// A power supply that flaps: the first group after a told tear is torn as well, and again nothing acknowledged is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tear_after_a_tear_is_one_as_well() {
    let folder = scratch();
    let live = folder.path().join("live");
    let mut told = 0;
    for trial in 0..20 {
        let mut random = Random(trial);
        let store = SledStore::open(options(&live, Durability::Power)).unwrap();
        group(&store, 1, 10).await;
        let expected = store.load(&name(1)).await.unwrap().unwrap();
        drop(store);
        for tear in 0..3 {
            let store = SledStore::open(options(&live, Durability::Power)).unwrap();
            assert_eq!(store.load(&name(1)).await.unwrap().as_ref(), Some(&expected), "trial {trial}, tear {tear}");
            let (mark, before) = (fs::read(live.join("MARK")).unwrap(), fs::read(live.join("log/db")).unwrap());
            let records: Vec<_> = (0..4).map(|at| record(vec![at as u8; 60_000])).collect();
            store.commit(Commit::of(Step { records, ..step(&format!("torn{tear}"), 0, &[]) })).await.unwrap();
            let mut db = fs::read(live.join("log/db")).unwrap();
            drop(store);
            for begin in (0..db.len()).step_by(512) {
                let end = (begin + 512).min(db.len());
                let old: Vec<u8> = (begin..end).map(|at| before.get(at).copied().unwrap_or(0)).collect();
                if db[begin..end] != old && random.below(40) == 0 {
                    db[begin..end].copy_from_slice(&old);
                }
            }
            fs::write(live.join("log/db"), &db).unwrap();
            fs::write(live.join("MARK"), &mark).unwrap();
            let report =
                check(options(&live, Durability::Power)).unwrap_or_else(|error| panic!("trial {trial}: {error:?}"));
            told += u32::from(report.torn.len() > tear);
        }
        fs::remove_dir_all(&live).unwrap();
    }
    assert!(told > 20, "most of them leave something to be told: {told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_behind_the_mark_is_never_dropped_in_silence() {
    let outcomes = trials(150, 300).await;
    assert!(outcomes.refused > 75, "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the long form"]
async fn damage_behind_the_mark_is_never_dropped_in_silence_long() {
    for groups in [40, 300, 1_500] {
        println!("{groups} groups: {:?}", trials(1_000, groups).await);
    }
}

/// Every mixture of what was on the disk before the last group and after it is what a power cut may leave.
async fn tears(trials: u64, groups: u64, last: usize) -> Outcomes {
    let folder = scratch();
    let live = folder.path().join("live");
    let store = SledStore::open(options(&live, Durability::Power)).unwrap();
    let mark = fs::read(live.join("MARK")).unwrap();
    let mut expected = Vec::new();
    for number in 0..groups {
        group(&store, number, (number * 37 % 700) as usize).await;
        expected.push(store.load(&name(number)).await.unwrap().unwrap());
    }
    let before = fs::read(live.join("log/db")).unwrap();
    let records: Vec<_> = (0..last).map(|at| record(vec![at as u8; 60_000])).collect();
    store.commit(Commit::of(Step { records, ..step("last", 0, &[]) })).await.unwrap();
    let after = fs::read(live.join("log/db")).unwrap();
    copy(&live, &folder.path().join("unclean"));
    fs::write(folder.path().join("unclean/MARK"), mark).unwrap();
    let mut outcomes = Outcomes::default();
    for trial in 0..trials {
        let mut random = Random(trial);
        let torn = folder.path().join("torn");
        copy(&folder.path().join("unclean"), &torn);
        let mut db = after.clone();
        let size = if trial % 2 == 0 { 512 } else { 4_096 };
        let one_in = 1 + random.below(if trial % 3 == 0 { 400 } else { 6 });
        let mut lost = 0;
        for begin in (0..db.len()).step_by(size) {
            let end = (begin + size).min(db.len());
            let old: Vec<u8> = (begin..end).map(|at| before.get(at).copied().unwrap_or(0)).collect();
            if db[begin..end] != old && random.below(one_in) == 0 {
                db[begin..end].copy_from_slice(&old);
                lost += 1;
            }
        }
        fs::write(torn.join("log/db"), &db).unwrap();
        let what = format!("trial {trial}: {lost} sectors of {size} lost");
        let report = check(options(&torn, Durability::Power)).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(report.faults, Vec::<String>::new(), "{what}");
        let store = SledStore::open(options(&torn, Durability::Process)).unwrap();
        let is_whole = store.load(&stream("last")).await.unwrap().is_some();
        for (number, expected) in (0..groups).zip(&expected) {
            let loaded = store.load(&name(number)).await.unwrap();
            let expected = (!is_forgotten(number, groups)).then_some(expected);
            assert_eq!(loaded.as_ref(), expected, "{what}: stream {number}");
        }
        // It goes on, and what is written now is there at the next start.
        group(&store, groups, 10).await;
        drop(store);
        let again = check(options(&torn, Durability::Power)).unwrap();
        assert_eq!((again.torn.len(), again.faults), (report.torn.len(), Vec::new()), "{what}");
        if lost == 0 {
            assert!(is_whole && report.torn.is_empty(), "{what}");
            outcomes.harmless += 1;
        } else if !report.torn.is_empty() {
            assert!(report.torn[0].bytes > 0);
            outcomes.told += 1;
        } else {
            // Nothing of it can be recognised: its first bytes never came to the disk.
            assert!(!is_whole || lost > 0, "{what}");
            outcomes.harmless += 1;
        }
        fs::remove_dir_all(torn).unwrap();
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tear_in_the_last_group_opens_and_is_told() {
    for (trials, groups, last) in [(30, 60, 1), (30, 200, 4), (12, 60, 24)] {
        let outcomes = tears(trials, groups, last).await;
        assert!(outcomes.told > 6, "{groups} groups, {last} records in the last: {outcomes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_sync_of_each_group_a_tear_of_many_is_told_and_not_refused() {
    let folder = scratch();
    unclean(folder.path(), 200, Durability::Process).await;
    let torn = folder.path().join("unclean");
    let mut db = fs::read(torn.join("log/db")).unwrap();
    let used = db.iter().rposition(|byte| *byte != 0).unwrap();
    db[used / 3] ^= 1;
    fs::write(torn.join("log/db"), &db).unwrap();
    for _ in 0..2 {
        let report = check(options(&torn, Durability::Power)).unwrap();
        let [tear] = report.torn[..] else { panic!("{:?}", report.torn) };
        assert!(tear.bytes as usize > used / 2 && tear.newest > tear.after + 50, "{tear:?}");
        assert_eq!(report.faults, Vec::<String>::new());
    }
    // What is written from now on is synced, and so it is refused when it is damaged.
    let store = SledStore::open(options(&torn, Durability::Power)).unwrap();
    for number in 500..600 {
        group(&store, number, 300).await;
    }
    // The number of no group that was torn is given out again: what is left of one somewhere can be told from what is new.
    let again = folder.path().join("again");
    copy(&torn, &again);
    let mut db = fs::read(again.join("log/db")).unwrap();
    let used = db.iter().rposition(|byte| *byte != 0).unwrap();
    db[used - 10] ^= 1;
    fs::write(again.join("log/db"), db).unwrap();
    let report = check(options(&again, Durability::Power)).unwrap();
    let [first, second] = report.torn[..] else { panic!("{:?}", report.torn) };
    assert!(second.after > first.newest, "{first:?}, {second:?}");
    let damaged = folder.path().join("damaged");
    copy(&torn, &damaged);
    let mut db = fs::read(damaged.join("log/db")).unwrap();
    let used = db.iter().rposition(|byte| *byte != 0).unwrap();
    db[used - 20_000] ^= 1;
    fs::write(damaged.join("log/db"), &db).unwrap();
    let refused = SledStore::open(options(&damaged, Durability::Power)).unwrap_err();
    assert!(matches!(refused, OpenError::Corrupt(_)), "{refused:?}");
    // The refusal has erased nothing: it is the same the next time.
    assert_eq!(fs::read(damaged.join("log/db")).unwrap(), db);
    assert_eq!(SledStore::open(options(&damaged, Durability::Power)).unwrap_err().to_string(), refused.to_string());
}
