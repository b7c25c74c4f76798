//! A second kind of aggregate: a counter, through the same commit loop, cache, followers and reconcile as tasks.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bobbinet_core::{Generation, Limits, Refused};
use bobbinet_engine::{Aggregates, AllowAll, Engine, EngineError, Setup, SystemEnv, Transaction};
use bobbinet_store::{SledOptions, SledStore};

use crate::{
    counter::{Command, Counter, CounterId, Event, LENT_FOR},
    lab::{Lab, begin, caller},
};

async fn add(counters: &Aggregates<Counter>, id: u8, more: i64) -> i64 {
    counters.command(&CounterId(id), Command::Add(more)).await.unwrap().value
}

async fn value(engine: &Engine, id: u8) -> Option<i64> {
    engine.aggregates::<Counter>().get(&CounterId(id)).await.unwrap().map(|counter| counter.value)
}

#[tokio::test]
async fn another_kind_is_decided_kept_followed_and_read_back_like_tasks() {
    let lab = Lab::new(Limits::default());
    let engine = lab.open(&["tool"]).await;
    let counters = engine.aggregates::<Counter>();
    assert_eq!(value(&engine, 1).await, None);
    assert_eq!(counters.follow(&CounterId(1), Generation(0)).await.err(), Some(EngineError::NotFound));
    let put = |seen, value| Command::PutIf { seen, value };
    assert_eq!(counters.command(&CounterId(1), put(3, 4)).await, Err(Refused::Busy.into()));
    assert_eq!(value(&engine, 1).await, None, "what is refused does not begin one");
    let adds = (0..50).map(|_| add(&counters, 1, 2));
    let mut values = futures::future::join_all(adds).await;
    values.sort_unstable();
    // Several of one batch are answered with what all of it came to.
    assert_eq!((values.last(), value(&engine, 1).await), (Some(&100), Some(100)));
    assert_eq!(counters.command(&CounterId(1), put(100, 7)).await.unwrap().value, 7);
    assert_eq!(counters.command(&CounterId(1), put(100, 8)).await, Err(Refused::Busy.into()));
    counters.command(&CounterId(1), Command::Lend).await.unwrap();

    let mut follower = counters.follow(&CounterId(1), Generation(48)).await.unwrap();
    for expected in [Generation(49), Generation(50), Generation(51)] {
        assert_eq!(follower.next().await.unwrap().unwrap().generation, expected);
    }
    let more = async {
        let told = follower.next().await.unwrap().unwrap();
        assert!(matches!(told.event, Event::Is(8)), "{told:?}");
    };
    tokio::join!(more, add(&counters, 1, 1));

    lab.kill(engine).await;
    let engine = lab.open(&["tool"]).await;
    assert_eq!(value(&engine, 1).await, Some(8), "folded from its log");
    let mut follower = engine.aggregates::<Counter>().follow(&CounterId(1), Generation(0)).await.unwrap();
    for expected in 1..=52 {
        assert_eq!(follower.next().await.unwrap().unwrap().generation, Generation(expected));
    }
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_a_commit_in_doubt_is_not_taken_for_the_newest() {
    let lab = Lab::new(Limits::default());
    let engine = lab.open(&["tool"]).await;
    assert_eq!(add(&engine.aggregates(), 1, 1).await, 1);
    engine.shutdown(Duration::ZERO).await;

    // What a reader is to be told is on its way when another, who was faster, writes and is not told that it is kept.
    let engine = lab.open(&["tool"]).await;
    lab.store.load_late.store(100, Ordering::SeqCst);
    let reader = value(&engine, 1);
    let writer = async {
        lab.store.be_vague(true);
        let told = engine.aggregates::<Counter>().command(&CounterId(1), Command::Add(1)).await;
        assert!(matches!(told, Err(EngineError::Unavailable(_))), "{told:?}");
        lab.store.be_vague(false);
    };
    let (read, ()) = tokio::join!(reader, writer);
    assert_eq!(read, Some(2), "it is in the log");
    assert_eq!(value(&engine, 1).await, Some(2), "and stays known");
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn what_two_processes_write_is_decided_again() {
    let lab = Lab::new(Limits::default());
    let (one, two) = (lab.open(&["tool"]).await, lab.open(&["tool"]).await);
    let of = |engine: &Engine| engine.aggregates::<Counter>();
    for round in 0..10 {
        let (one, two) = (of(&one), of(&two));
        tokio::join!(add(&one, 1, 1), add(&two, 1, 1), add(&two, 2 + round, 1), add(&one, 2 + round, 1));
    }
    for engine in [&one, &two] {
        // What another process has written is seen once it is asked for anew.
        of(engine).command(&CounterId(1), Command::Add(0)).await.unwrap();
        assert_eq!(value(engine, 1).await, Some(20));
    }
    assert_eq!(of(&one).command(&CounterId(2), Command::Add(0)).await.unwrap().value, 2);
    one.shutdown(Duration::ZERO).await;
    two.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn what_was_refused_here_and_made_elsewhere_is_found_here() {
    let lab = Lab::new(Limits::default());
    let (one, two) = (lab.open(&["tool"]).await, lab.open(&["tool"]).await);
    let (here, there) = (one.aggregates::<Counter>(), two.aggregates::<Counter>());
    let put = || Command::PutIf { seen: 1, value: 2 };
    assert_eq!(here.command(&CounterId(1), put()).await, Err(Refused::Busy.into()));
    let refused = Transaction::default().with(&here, CounterId(2), put());
    assert_eq!(one.transact(refused).await, Err(Refused::Busy.into()));
    for id in [1, 2] {
        add(&there, id, 5).await;
        assert_eq!(value(&one, id).await, Some(5), "counter {id}");
    }
    one.shutdown(Duration::ZERO).await;
    // An engine that stops begins nothing.
    let late = Transaction::default().with(&here, CounterId(3), Command::Add(1));
    assert_eq!(one.transact(late).await, Err(EngineError::Draining));
    two.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_due_is_told_so() {
    let lab = Lab::new(Limits::default());
    let engine = lab.open(&["tool"]).await;
    let counters = engine.aggregates::<Counter>();
    add(&counters, 1, 5).await;
    counters.command(&CounterId(1), Command::Lend).await.unwrap();
    let mut follower = counters.follow(&CounterId(1), Generation(1)).await.unwrap();
    lab.clock.forward(LENT_FOR + Duration::from_secs(1));
    let told = follower.next().await.unwrap().unwrap();
    assert!(matches!(told.event, Event::Returned), "{told:?}");
    assert_eq!(value(&engine, 1).await, Some(0));
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_transaction_is_whole_and_two_never_wait_for_each_other() {
    let lab = Lab::new(Limits::default());
    let engine = Arc::new(lab.open(&["tool"]).await);
    let counters = engine.aggregates::<Counter>();
    let transfer = |from: u8, to: u8, count: i64| {
        let counters = engine.aggregates::<Counter>();
        Transaction::default().with(&counters, CounterId(from), Command::Add(-count)).with(
            &counters,
            CounterId(to),
            Command::Add(count),
        )
    };
    add(&counters, 1, 100).await;
    engine.transact(transfer(1, 2, 30)).await.unwrap();
    assert_eq!((value(&engine, 1).await, value(&engine, 2).await), (Some(70), Some(30)));

    // What one part refuses, none does.
    let put = Command::PutIf { seen: 1, value: 2 };
    let refused = transfer(1, 2, 1).with(&counters, CounterId(3), put);
    assert_eq!(engine.transact(refused).await, Err(Refused::Busy.into()));
    assert_eq!((value(&engine, 1).await, value(&engine, 3).await), (Some(70), None));
    // Nor does one that is not kept.
    lab.store.is_away.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(engine.transact(transfer(1, 2, 5)).await.is_err());
    lab.store.is_away.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!((value(&engine, 1).await, value(&engine, 2).await), (Some(70), Some(30)));

    // In both directions at once, with others who ask for the same ones, and some who do not wait.
    let both = (0..40).map(|round| {
        let (engine, counters) = (engine.clone(), counters.clone());
        let transfer = if round % 2 == 0 { transfer(1, 2, 1) } else { transfer(2, 1, 1) };
        async move {
            if round % 5 == 0 {
                let _ = futures::FutureExt::now_or_never(engine.transact(Transaction::default().with(
                    &counters,
                    CounterId(1),
                    Command::Add(0),
                )));
            }
            engine.transact(transfer).await.unwrap();
            add(&counters, 1, 0).await;
        }
    });
    let all = tokio::time::timeout(Duration::from_secs(20), futures::future::join_all(both));
    all.await.expect("nobody waits for ever");
    assert_eq!((value(&engine, 1).await, value(&engine, 2).await), (Some(70), Some(30)));
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_kind_lasts_on_the_embedded_store() {
    let folder = tempfile::tempdir().unwrap();
    let open = async || {
        let store = SledStore::open(SledOptions::new(folder.path().join("store"))).unwrap();
        let setup = Setup {
            store: Arc::new(store),
            agents: BTreeMap::new(),
            env: Arc::new(SystemEnv),
            limits: Limits::default(),
            authorizer: Arc::new(AllowAll),
        };
        Engine::open(setup).await.unwrap()
    };
    for round in 1..=3 {
        let engine = open().await;
        let counters = engine.aggregates::<Counter>();
        add(&counters, 1, 10).await;
        let transfer = Transaction::default().with(&counters, CounterId(1), Command::Add(-4)).with(
            &counters,
            CounterId(2),
            Command::Add(4),
        );
        engine.transact(transfer).await.unwrap();
        assert_eq!((value(&engine, 1).await, value(&engine, 2).await), (Some(6 * round), Some(4 * round)));
        let mut follower = counters.follow(&CounterId(1), Generation(0)).await.unwrap();
        for expected in 1..=2 * u64::try_from(round).unwrap() {
            assert_eq!(follower.next().await.unwrap().unwrap().generation, Generation(expected));
        }
        drop(follower);
        engine.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn tasks_and_other_kinds_do_not_meet() {
    let lab = Lab::new(Limits::default());
    let engine = lab.open(&["tool"]).await;
    add(&engine.aggregates::<Counter>(), 1, 1).await;
    lab.let_go(1);
    let task = begin(&engine, &caller("ann"), "work").unwrap().settled().await.unwrap();
    assert!(engine.aggregates::<Counter>().get(&CounterId(7)).await.unwrap().is_none());
    assert!(task.state.is_terminal());
    engine.shutdown(Duration::ZERO).await;
}
