//! The events of a tenant on a real engine, over stores that are opened again.

#![allow(clippy::unwrap_used, reason = "tests may")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bobbinet_core::{CloudEvent, Limits, Tenant};
use bobbinet_engine::{AllowAll, Engine, EngineError, Setup, SystemEnv};
use bobbinet_events::{Events, ListenError, Listener, Position, Published};
use bobbinet_store::{MemoryStore, SledOptions, SledStore, Store};
use serde_json::{Value, json};

struct Place {
    engine: Engine,
    events: Events,
}

fn acme() -> Tenant {
    Tenant::parse("acme").unwrap()
}

fn event(number: u64) -> CloudEvent {
    let event = json!({ "specversion": "1.0", "id": number.to_string(), "source": "/t", "type": "t", "data": number });
    CloudEvent::read(event, 1 << 20).unwrap()
}

impl Place {
    async fn open(store: &Arc<dyn Store>, limits: Limits) -> Self {
        let env = Arc::new(SystemEnv);
        let authorizer = Arc::new(AllowAll);
        let setup = Setup { store: store.clone(), agents: BTreeMap::new(), env, limits, authorizer };
        let engine = Engine::open(setup).await.unwrap();
        Self { events: Events::new(engine.aggregates()), engine }
    }

    async fn publish(&self, number: u64) -> Published {
        self.events.publish(&acme(), &event(number)).await.unwrap()
    }

    async fn listen(&self, after: u64) -> Listener {
        self.events.listen(&acme(), Position(after)).await.unwrap()
    }

    async fn stop(self) {
        self.engine.shutdown(Duration::ZERO).await;
    }
}

/// The data of the next event.
async fn next(listener: &mut Listener) -> Value {
    loop {
        let heard = tokio::time::timeout(Duration::from_secs(20), listener.next()).await.unwrap().unwrap();
        if let Some(event) = heard.event {
            return event.to_value()["data"].clone();
        }
    }
}

fn sled(folder: &tempfile::TempDir) -> Arc<dyn Store> {
    Arc::new(SledStore::open(SledOptions::new(folder.path().join("store"))).unwrap())
}

#[tokio::test]
async fn an_event_is_there_once_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = sled(&folder);
    let place = Place::open(&store, Limits::default()).await;
    assert_eq!(place.publish(1).await, Published { position: Position(1), is_new: true });
    assert_eq!(place.publish(2).await, Published { position: Position(2), is_new: true });
    assert_eq!(place.publish(1).await, Published { position: Position(1), is_new: false });
    let other = Tenant::parse("other").unwrap();
    assert!(place.events.publish(&other, &event(1)).await.unwrap().is_new, "each tenant has its own");
    place.stop().await;
    drop(store);
    let store = sled(&folder);
    let place = Place::open(&store, Limits::default()).await;
    assert_eq!(place.publish(2).await, Published { position: Position(2), is_new: false });
    assert_eq!(place.publish(3).await, Published { position: Position(3), is_new: true });
    let mut listener = place.listen(1).await;
    assert_eq!((next(&mut listener).await, next(&mut listener).await), (json!(2), json!(3)));
    assert_eq!(listener.cursor(), Position(3));
    place.stop().await;
}

/// Many at once are few commits, and all are there, once each.
#[tokio::test]
async fn what_is_published_at_once_is_heard_in_order_by_everybody() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let place = Place::open(&store, Limits::default()).await;
    let end = place.events.end(&acme()).await.unwrap();
    let mut listeners = [place.listen(end.0).await, place.listen(end.0).await];
    let all = futures_of(&place, 200).await;
    assert!(all.iter().all(|published| published.is_new));
    let mut heard = Vec::new();
    for listener in &mut listeners {
        let mut numbers = Vec::new();
        for _ in 0..200 {
            numbers.push(next(listener).await.as_u64().unwrap());
        }
        heard.push(numbers);
    }
    assert_eq!(heard[0], heard[1]);
    let mut sorted = heard.remove(0);
    sorted.sort_unstable();
    assert_eq!(sorted, (0..200).collect::<Vec<_>>());
    place.stop().await;
}

async fn futures_of(place: &Place, count: u64) -> Vec<Published> {
    let mut set = tokio::task::JoinSet::new();
    for number in 0..count {
        let events = place.events.clone();
        set.spawn(async move { events.publish(&acme(), &event(number)).await.unwrap() });
    }
    set.join_all().await
}

#[tokio::test]
async fn the_oldest_make_room_and_whoever_has_not_heard_them_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { events_kept_max: 64, ..Limits::default() };
    let mut store = sled(&folder);
    let place = Place::open(&store, limits.clone()).await;
    let mut slow = place.listen(0).await;
    for number in 1..=500 {
        place.publish(number).await;
    }
    // The listener has opened the stream, so the first event stands at 2.
    assert_eq!(next(&mut place.listen(450).await).await, json!(450));
    place.stop().await;
    drop(slow);
    drop(store);
    store = sled(&folder);
    let place = Place::open(&store, limits).await;
    let loaded = bobbinet_store::Store::load(&*store, &stream()).await.unwrap().unwrap();
    assert!((60..=64).contains(&loaded.records.len()), "{}", loaded.records.len());
    assert_eq!(place.publish(500).await, Published { position: Position(501), is_new: false });
    assert!(place.publish(3).await.is_new, "what is not kept is not known");
    slow = place.listen(1).await;
    let first = match slow.next().await {
        Err(ListenError::Trimmed { after: Position(1), first }) => first,
        other => panic!("{other:?}"),
    };
    assert_eq!(first.0, 501 - loaded.records.len() as u64 + 1);
    assert_eq!(next(&mut slow).await, json!(first.0 - 1), "it goes on with what is there");
    place.stop().await;
}

fn stream() -> bobbinet_core::StreamId {
    <bobbinet_events::EventStream as bobbinet_engine::Aggregate>::stream(&bobbinet_events::StreamKey::of(&acme()))
}

/// Nobody publishes, and what is old goes all the same.
#[tokio::test]
async fn events_go_when_they_are_old() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let place = Place::open(&store, Limits { events_kept_ms: 500, ..Limits::default() }).await;
    for number in 1..=20 {
        place.publish(number).await;
    }
    for _ in 0..500 {
        let loaded = store.load(&stream()).await.unwrap().unwrap();
        if loaded.trimmed.0 == 20 {
            assert_eq!(loaded.records.len(), 1);
            assert!(place.publish(1).await.is_new);
            place.stop().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("they are still there");
}

#[tokio::test]
async fn an_event_has_a_size() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let place = Place::open(&store, Limits { event_bytes_max: 200, ..Limits::default() }).await;
    let large = json!({ "specversion": "1.0", "id": "1", "source": "/t", "type": "t", "data": "x".repeat(200) });
    let large = CloudEvent::read(large, 1 << 20).unwrap();
    let refused = place.events.publish(&acme(), &large).await.unwrap_err();
    assert_eq!(refused, EngineError::Limit { what: "event_bytes_max", max: 200 });
    place.stop().await;
}
