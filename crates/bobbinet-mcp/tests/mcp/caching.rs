//! What a server says of how long its resources may be kept, and for whom (2026-07-28).

use std::time::Duration;

use bobbinet_core::Effect;
use bobbinet_mcp::{CacheConfig, CachedTools, McpConfig};

use crate::{
    lab::{Lab, limits, say, settled, until, view},
    offers::offering,
};

const MODE: &str = "modern";

async fn lab(change: impl Fn(&mut McpConfig)) -> Lab {
    let lab = Lab::with(&[MODE], limits(), |config| {
        offering(config);
        // It takes its time with some of these reads.
        config.limits.idle_ms = 15_000;
        change(config);
    });
    lab.await.ready().await
}

async fn read_as(lab: &Lab, who: &str, uri: &str) -> String {
    view(&lab.send_as(who, MODE, say(&format!("resource:read {uri}"))).await)
}

#[tokio::test]
async fn what_was_read_is_kept_as_its_server_says_and_for_whom_it_says() {
    let lab = lab(|_| {}).await;
    for (who, uri, expected) in [
        ("ann", "demo://kept/private", "read 1"),
        ("ann", "demo://kept/private", "read 1"),
        ("bob", "demo://kept/private", "read 2"),
        ("ann", "demo://kept/private", "read 1"),
        ("ann", "demo://kept/public", "read 1"),
        ("bob", "demo://kept/public", "read 1"),
        ("bob", "demo://kept/public/other", "read 1"),
    ] {
        assert_eq!(read_as(&lab, who, uri).await, format!("completed: {expected}"), "{who} {uri}");
    }
    lab.close().await;
}

#[tokio::test]
async fn who_waits_for_somebody_elses_private_read_makes_one_of_his_own() {
    let lab = lab(|config| {
        config.cache = CacheConfig { tools: CachedTools::Reads, is_public: true, ..CacheConfig::default() };
    });
    let lab = lab.await;
    let slow = || say("resource:read demo://kept/slow/private");
    let (ann, again) = (lab.submit(MODE, slow()), lab.submit(MODE, slow()));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let bob = lab.submit_as("bob", MODE, slow());
    let mut said = Vec::new();
    for handle in [&ann, &again, &bob] {
        said.push(view(&settled(handle).await));
    }
    assert_eq!(said, ["completed: read 1", "completed: read 1", "completed: read 2"]);
    // What the server calls everybody's is read once for those who come together.
    let slow = || say("resource:read demo://kept/slow/public");
    let (ann, bob) = (lab.submit(MODE, slow()), lab.submit_as("bob", MODE, slow()));
    for handle in [&ann, &bob] {
        assert_eq!(view(&settled(handle).await), "completed: read 1");
    }
    lab.close().await;
}

#[tokio::test]
async fn what_was_kept_is_old_once_the_server_says_that_it_has_changed() {
    // The operator's word: or each touch would take away all that is kept.
    let touches = |config: &mut McpConfig| config.effects.extend([("touch".to_owned(), Effect::ReadOnly)]);
    let lab = lab(touches).await;
    let uri = "demo://live/kept";
    let follow = format!(r#"data:{{"skill":"resource:read","arguments":{{"uri":"{uri}","follow":true}}}}"#);
    let _followed = lab.submit(MODE, say(&follow));
    let told = lab.notes(MODE).join("subscribed");
    until("the server knows that it is followed", || told.exists()).await;
    let touch = |touched: &str| say(&format!(r#"data:{{"skill":"touch","arguments":{{"uri":"{touched}"}}}}"#));
    assert_eq!(read_as(&lab, "bob", uri).await, "completed: 0");
    // What nobody is told of is kept for as long as the server has said.
    let untold = "demo://live/kept/untold";
    assert_eq!(read_as(&lab, "bob", untold).await, "completed: 0");
    assert_eq!(view(&lab.send(MODE, touch(untold)).await), "completed: touched");
    assert_eq!(read_as(&lab, "bob", untold).await, "completed: 0");
    assert_eq!(view(&lab.send(MODE, touch(uri)).await), "completed: touched");
    assert_eq!(read_as(&lab, "bob", uri).await, "completed: 1");
    lab.close().await;
}

#[tokio::test]
async fn a_list_is_good_for_as_long_as_its_server_says_and_is_read_again_for_those_who_call() {
    let lab = Lab::with(&["modern-lists"], limits(), |config| config.limits.list_fresh_min_ms = 150);
    let lab = lab.await.ready().await;
    let notes = lab.notes("modern-lists").join("lists");
    let lists = || std::fs::read_to_string(&notes).unwrap_or_default().lines().count();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(lists(), 1, "nobody has called it");
    assert_eq!(view(&lab.send("modern-lists", say("echo text=hello")).await), "completed: hello");
    until("it is read again", || lists() == 2).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(lists(), 2, "nobody has called it since");
    lab.close().await;
}
