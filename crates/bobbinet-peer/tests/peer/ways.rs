//! A peer that is called over several bindings: what may have been taken over one is said again over that one alone, since a node takes
//! the same under the same key for another message where it comes over another.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use bobbinet_core::{State, operation::Operation};
use bobbinet_http::{ClientError, client::GrpcRequest};
use bobbinet_outbound::Refused;
use bobbinet_peer::PeerConfig;
use bobbinet_wire::{ErrorKind, RemoteError};
use reqwest::Response;
use serde_json::{Value, json};

use crate::{
    far::{Form, Way},
    far_task::task,
    lab::Lab,
    node::wait_for,
};

type Carried = Pin<Box<dyn Future<Output = Result<Response, ClientError>> + Send>>;

fn says(result: &Value) -> Result<Response, ClientError> {
    let response = axum::http::Response::builder().header("content-type", "application/json");
    Ok(response.body(result.to_string()).unwrap().into())
}

/// Nothing is sent.
fn refused() -> Result<Response, ClientError> {
    Err(Refused::LocalName { origin: "http://far".to_owned() }.into())
}

/// It was sent, and nobody knows what became of it.
fn cut() -> Result<Response, ClientError> {
    Err(ClientError::Protocol("cut".to_owned()))
}

fn both(way: Way) -> Form {
    Form { way, keys: true, bindings: &["GRPC", "JSONRPC"], ..Form::default() }
}

#[tokio::test]
async fn what_one_process_sent_over_a_binding_the_next_sends_over_no_other() {
    static IS_THERE: AtomicBool = AtomicBool::new(false);
    static CARRIED: AtomicUsize = AtomicUsize::new(0);
    fn carry(_: GrpcRequest) -> Carried {
        Box::pin(async {
            if !IS_THERE.load(Ordering::SeqCst) {
                return refused();
            }
            CARRIED.fetch_add(1, Ordering::SeqCst);
            cut()
        })
    }
    let over_grpc = |config: &mut PeerConfig| {
        config.grpc = Some(carry);
        // The next process waits for the card.
        config.limits.patience = Duration::from_secs(5);
    };
    let bindings: [&[&str]; 2] = [&["GRPC", "JSONRPC"], &["GRPC"]];
    for (left, state, count) in [(bindings[0], State::Completed, 2), (bindings[1], State::Failed, 1)] {
        IS_THERE.store(false, Ordering::SeqCst);
        let lab = Lab::new(both(Way::Silent)).await;
        let node = lab.node_with(over_grpc).await;
        node.ready().await;
        let handle = node.begin("go");
        wait_for(|| !lab.sent().is_empty()).await;
        node.die().await;
        // What its card prefers is there by now.
        IS_THERE.store(true, Ordering::SeqCst);
        lab.set_bindings(left);
        lab.set_way(Way::Works);
        let node = lab.node_with(over_grpc).await;
        let task = node.settled(&handle.id()).await;
        assert_eq!((task.state, lab.sent().len()), (state, count), "{left:?}: {task:?}");
        assert_eq!(CARRIED.load(Ordering::SeqCst), 0, "{left:?}");
        let text = task.status_message.as_ref().unwrap().text();
        assert_eq!(text.contains("nobody knows what became of it"), state == State::Failed, "{text}");
    }
}

#[tokio::test]
async fn what_was_cut_over_a_binding_is_not_sent_over_the_one_that_another_call_found_open() {
    static IS_GONE: AtomicBool = AtomicBool::new(false);
    static CARRIED: AtomicUsize = AtomicUsize::new(0);
    fn carry(_: GrpcRequest) -> Carried {
        Box::pin(async {
            if IS_GONE.swap(true, Ordering::SeqCst) {
                return refused();
            }
            CARRIED.fetch_add(1, Ordering::SeqCst);
            cut()
        })
    }
    let lab = Lab::new(both(Way::Works)).await;
    let node = lab.node_with(|config| {
        config.grpc = Some(carry);
        // Time for another call before it is sent again.
        (config.limits.pause_min, config.limits.pause_max) = (Duration::from_secs(1), Duration::from_secs(1));
    });
    let node = node.await;
    node.ready().await;
    let first = node.begin("first");
    wait_for(|| CARRIED.load(Ordering::SeqCst) == 1).await;
    assert_eq!(node.send("second").await.state, State::Completed);
    let task = node.settled(&first.id()).await;
    assert_eq!((task.state, lab.sent().len()), (State::Failed, 1), "{task:?}");
    let text = task.status_message.as_ref().unwrap().text();
    assert!(text.contains("nobody knows what became of it"), "{text}");
}

#[tokio::test]
async fn an_answer_that_was_cut_over_a_binding_is_not_sent_over_another() {
    static IS_GONE: AtomicBool = AtomicBool::new(false);
    static ANSWERS: AtomicUsize = AtomicUsize::new(0);
    fn carry(request: GrpcRequest) -> Carried {
        Box::pin(async move {
            let asks = task("INPUT_REQUIRED", Some("which?"), &[]);
            if IS_GONE.load(Ordering::SeqCst) {
                return refused();
            }
            match request.operation {
                Operation::Send(send) | Operation::SendStreaming(send) if send.task.is_some() => {
                    ANSWERS.fetch_add(1, Ordering::SeqCst);
                    IS_GONE.store(true, Ordering::SeqCst);
                    cut()
                }
                Operation::Send(_) | Operation::SendStreaming(_) => says(&json!({ "task": asks })),
                Operation::Get(_) => says(&asks),
                Operation::List(_)
                | Operation::Cancel(_)
                | Operation::Subscribe(_)
                | Operation::ExtendedCard(_)
                | Operation::PushConfig(_) => refused(),
            }
        })
    }
    let lab = Lab::new(both(Way::AsksAndBreaks)).await;
    let node = lab.node_with(|config| config.grpc = Some(carry)).await;
    node.ready().await;
    let asked = node.send("go").await;
    assert_eq!(asked.state, State::InputRequired, "{asked:?}");
    let task = node.answer(&asked.id, "blue").await;
    assert_eq!((ANSWERS.load(Ordering::SeqCst), lab.sent().len()), (1, 0), "{task:?}");
}

#[tokio::test]
async fn an_answer_that_one_process_handed_on_over_a_binding_the_next_hands_on_over_no_other() {
    static IS_GONE: AtomicBool = AtomicBool::new(false);
    static ANSWERS: AtomicUsize = AtomicUsize::new(0);
    fn carry(request: GrpcRequest) -> Carried {
        Box::pin(async move {
            let asks = task("INPUT_REQUIRED", Some("which?"), &[]);
            match request.operation {
                Operation::Send(send) | Operation::SendStreaming(send) if send.task.is_some() => {
                    if IS_GONE.load(Ordering::SeqCst) {
                        return refused();
                    }
                    ANSWERS.fetch_add(1, Ordering::SeqCst);
                    std::future::pending().await
                }
                Operation::Send(_) | Operation::SendStreaming(_) => says(&json!({ "task": asks })),
                Operation::Get(_) => says(&asks),
                Operation::List(_)
                | Operation::Cancel(_)
                | Operation::Subscribe(_)
                | Operation::ExtendedCard(_)
                | Operation::PushConfig(_) => refused(),
            }
        })
    }
    let lab = Lab::new(both(Way::Works)).await;
    let node = lab.node_with(|config| config.grpc = Some(carry)).await;
    node.ready().await;
    let asked = node.send("go").await;
    assert_eq!(asked.state, State::InputRequired, "{asked:?}");
    node.begin_answer(&asked.id, "blue").await;
    wait_for(|| ANSWERS.load(Ordering::SeqCst) == 1).await;
    node.die().await;
    IS_GONE.store(true, Ordering::SeqCst);
    let node = lab.node_with(|config| config.grpc = Some(carry)).await;
    let task = node.settled(&asked.id).await;
    assert_eq!((task.state, ANSWERS.load(Ordering::SeqCst), lab.sent().len()), (State::Failed, 1, 0), "{task:?}");
}

#[tokio::test]
async fn what_went_the_way_that_the_card_preferred_is_not_said_to_be_refused_where_another_card_led_elsewhere() {
    fn carry(_: GrpcRequest) -> Carried {
        let kind = Some(ErrorKind::InvalidRequest);
        let message = "The Idempotency-Key was used for another request".to_owned();
        Box::pin(async move { Err(ClientError::Rpc(RemoteError { kind, message, ..RemoteError::default() })) })
    }
    let over_grpc = |config: &mut PeerConfig| {
        config.grpc = Some(carry);
        // The next process waits for the card.
        config.limits.patience = Duration::from_secs(5);
    };
    let lab = Lab::new(Form { bindings: &["JSONRPC", "GRPC"], ..both(Way::Silent) }).await;
    let node = lab.node_with(over_grpc).await;
    node.ready().await;
    let handle = node.begin("go");
    wait_for(|| !lab.sent().is_empty()).await;
    node.die().await;
    lab.set_bindings(&["GRPC", "JSONRPC"]);
    lab.set_way(Way::Works);
    let task = lab.node_with(over_grpc).await.settled(&handle.id()).await;
    let text = task.status_message.as_ref().unwrap().text();
    assert_eq!((task.state, lab.sent().len()), (State::Failed, 1), "{text}");
    assert!(text.contains("nobody knows what became of it"), "{text}");
}

#[tokio::test]
async fn the_way_that_a_card_prefers_costs_no_commit() {
    fn carry(_: GrpcRequest) -> Carried {
        Box::pin(async { refused() })
    }
    let bindings: [(&[&str], bool); 2] = [(&["JSONRPC", "GRPC"], false), (&["GRPC", "JSONRPC"], true)];
    for (bindings, is_kept) in bindings {
        let lab = Lab::new(Form { bindings, ..both(Way::Quick) }).await;
        let node = lab.node_with(|config| config.grpc = Some(carry)).await;
        node.ready().await;
        let task = node.send("go").await;
        assert_eq!((task.state, task.checkpoint.is_some()), (State::Completed, is_kept), "{bindings:?}: {task:?}");
    }
}
