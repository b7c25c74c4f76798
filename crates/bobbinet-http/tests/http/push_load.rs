//! How long notifications take, with and without a receiver that is dead. Prints figures; run it by name, in release.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    node::{Form, Node},
    push::{Came, Receiver, with_webhook},
};

/// Tasks whose receivers are well.
const TASKS: usize = 1_000;
/// Tasks whose receiver never answers, among them.
const DEAD: usize = 100;
const RECEIVERS: usize = 10;
/// Requests at a time.
const AT_A_TIME: usize = 8;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures and takes a minute"]
async fn one_dead_receiver_among_a_thousand_tasks() {
    let without = run(0).await;
    let with = run(DEAD).await;
    println!("p99 {} ms without a dead receiver, {} ms with one", without, with);
}

/// Milliseconds from an event to its notification, of one in a hundred.
async fn run(dead: usize) -> u64 {
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead_origin = format!("http://{}", hole.local_addr().unwrap());
    let mut receivers = Vec::new();
    for _ in 0..RECEIVERS {
        receivers.push(Receiver::start().await);
    }
    let origins = receivers.iter().map(|receiver| receiver.origin.clone()).chain([dead_origin.clone()]).collect();
    let node = Node::with(Form { receivers: Some(origins), ..Form::default() }).await;
    let begun = Instant::now();
    let urls: Vec<String> = (0..TASKS + dead)
        .map(|number| match dead > 0 && number % (TASKS / DEAD + 1) == 0 && number / (TASKS / DEAD + 1) < dead {
            true => format!("{dead_origin}/hook"),
            false => receivers[number % RECEIVERS].url(),
        })
        .collect();
    let lost = urls.iter().filter(|url| url.starts_with(&dead_origin)).count();
    let sends = urls.iter().map(|url| node.result("SendMessage", with_webhook("echo hi", json!({ "url": url }))));
    stream::iter(sends).buffer_unordered(AT_A_TIME).for_each(|_| async {}).await;
    let sent = begun.elapsed();
    let expected = (TASKS + dead - lost) * 4;
    let mut came: Vec<Came> = Vec::new();
    let patience = Instant::now() + Duration::from_secs(120);
    while came.len() < expected {
        assert!(Instant::now() < patience, "{} of {expected}", came.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
        came.clear();
        for receiver in &receivers {
            came.extend(receiver.until(0).await);
        }
    }
    let whole = begun.elapsed();
    let mut took: Vec<u64> =
        came.iter().filter_map(|came| Some(came.at.saturating_sub(happened(&came.body)?))).collect();
    took.sort_unstable();
    let [half, most] = [took[took.len() / 2], took[took.len() * 99 / 100]];
    println!(
        "{} tasks ({lost} to a dead receiver) sent in {sent:?}; {expected} notifications, {:.0} a second; p50 {half} ms, p99 {most} ms",
        urls.len(),
        expected as f64 / whole.as_secs_f64(),
    );
    drop(hole);
    most
}

/// When what a notification tells has happened, in milliseconds; an artifact does not say.
fn happened(body: &Value) -> Option<u64> {
    let status = body.get("task").or_else(|| body.get("statusUpdate"))?;
    let at: jiff::Timestamp = status["status"]["timestamp"].as_str()?.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok()
}
