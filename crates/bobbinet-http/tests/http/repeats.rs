//! What a client sends again, and what it does not: work of an agent that does not know repeats would be done twice.

use std::sync::atomic::{AtomicUsize, Ordering};

use bobbinet_http::{Client, ClientError, ClientOptions, SendOptions, client::Way};
use bobbinet_wire::{Transport, view::Sent};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener, task::JoinSet};

use crate::{
    client::says,
    foreign::{Asked, Does, Foreign, card, keyed, task},
};

fn under(key: &str) -> SendOptions {
    SendOptions { idempotency_key: Some(key.to_owned()), ..SendOptions::default() }
}

fn hasty() -> ClientOptions {
    let timeout = std::time::Duration::from_millis(200);
    ClientOptions { retries_max: 3, wait_timeout: Some(timeout), ..ClientOptions::default() }
}

/// What comes of a send and of a stream whose first answer is `broken`, and how often each was sent.
async fn check(card: fn(&str) -> Value, broken: fn() -> Does, is_known: bool, sent: usize) {
    let does = move |asked: &Asked| match (asked.method.as_str(), asked.number) {
        ("SendMessage" | "SendStreamingMessage", 0) => broken(),
        ("SendMessage", _) => Does::Result(json!({ "task": task("COMPLETED") })),
        ("SendStreamingMessage", _) => Does::Stream(vec![json!({ "task": task("COMPLETED") })]),
        _ => Does::Error(-32001),
    };
    let agent = Foreign::start(card, does).await;
    let client = Client::connect(&agent.url, hasty()).await.unwrap();
    let outcomes = [
        client.send(says("pay 100"), &under("k")).await.map(|_| ()),
        match client.send_streaming(says("pay 100"), &under("k")).await {
            Ok(mut stream) => stream.next().await.map(|_| ()),
            Err(error) => Err(error),
        },
    ];
    for (method, outcome) in ["SendMessage", "SendStreamingMessage"].into_iter().zip(outcomes) {
        match &outcome {
            Ok(()) => assert!(is_known, "{method}"),
            Err(ClientError::OutcomeUnknown { task: None, .. }) => assert!(!is_known, "{method}"),
            Err(error) => panic!("{method}: {error:?}"),
        }
        assert_eq!(agent.count(method), sent, "{method}");
    }
}

#[tokio::test]
async fn what_was_sent_is_not_sent_again_to_an_agent_that_does_not_know_repeats() {
    check(card, || Does::HangsUp, false, 1).await;
    check(card, || Does::Says(502, "text/html", "<html>Bad Gateway".to_owned()), false, 1).await;
    check(card, || Does::Says(503, "application/json", "{}".to_owned()), false, 1).await;
    check(card, || Does::Says(200, "application/json", "{\"jsonrpc\":".to_owned()), false, 1).await;
    check(card, || Does::Says(200, "text/html", "<html>Welcome".to_owned()), false, 1).await;
    check(card, || Does::Says(200, "text/event-stream", ": nothing\n\n".to_owned()), false, 1).await;
    // What cannot be read may be the answer of work that was done.
    check(card, || Does::Result(json!({ "task": 7 })), false, 1).await;
    check(card, || Does::Stream(vec![json!({ "task": 7 })]), false, 1).await;
    check(keyed, || Does::Result(json!({ "task": 7 })), false, 1).await;
}

#[tokio::test]
async fn an_agent_that_honours_keys_is_asked_again() {
    check(keyed, || Does::HangsUp, true, 2).await;
    check(keyed, || Does::Says(503, "text/html", "<html>Busy".to_owned()), true, 2).await;
}

#[tokio::test]
async fn what_may_have_been_taken_is_said_again_only_as_it_was_said() {
    // Takes the message, and is gone.
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = format!("http://{}", first.local_addr().unwrap());
    let mut taken = JoinSet::new();
    taken.spawn(async move {
        let (mut stream, _) = first.accept().await.unwrap();
        stream.read(&mut [0; 1 << 10]).await.unwrap()
    });
    let card = |url: &str| {
        let mut card = keyed(url);
        let interfaces = card["supportedInterfaces"].as_array_mut().unwrap();
        interfaces.insert(0, json!({ "url": there, "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0" }));
        card
    };
    let agent = Foreign::start(card, |_: &Asked| Does::Result(json!({ "task": task("COMPLETED") }))).await;
    let options = ClientOptions { is_other_origin_allowed: true, ..hasty() };
    let client = Client::connect(&agent.url, options.clone()).await.unwrap();
    let error = client.send(says("pay 100"), &under("k")).await.unwrap_err();
    assert!(error.to_string().contains(&there), "where it went: {error}");
    let ClientError::OutcomeUnknown { way, .. } = error else { panic!("{error:?}") };
    assert!(taken.join_next().await.unwrap().unwrap() > 0);
    // Another message goes where there is somebody, and so does what comes after it.
    assert!(client.send(says("pay 100"), &under("l")).await.is_ok());
    assert!(client.url().starts_with(&agent.url));
    // The way is known by its words, by the same client and by another one.
    let words = serde_json::to_value(&way).unwrap();
    let way = || Some(serde_json::from_value::<Way>(words.clone()).unwrap());
    let another = Client::connect(&agent.url, options.clone()).await.unwrap();
    for client in [&client, &another] {
        let error = client.send(says("pay 100"), &SendOptions { way: way(), ..under("k") }).await.unwrap_err();
        assert!(error.is_unsent(), "{error:?}");
        let stream = client.send_streaming(says("pay 100"), &SendOptions { way: way(), ..under("k") }).await;
        assert!(stream.unwrap_err().is_unsent());
    }
    // One that is not on the card: nobody knows, and nobody is asked.
    let by_rpc = ClientOptions { transports: vec![Transport::JsonRpc], ..options };
    let by_rpc = Client::connect(&agent.url, by_rpc).await.unwrap();
    let error = by_rpc.send(says("pay 100"), &SendOptions { way: way(), ..under("k") }).await.unwrap_err();
    assert!(matches!(&error, ClientError::OutcomeUnknown { key: Some(_), .. }), "{error:?}");
    assert!(error.to_string().contains(&there), "{error}");
    assert_eq!((agent.count("SendMessage"), agent.count("SendStreamingMessage")), (1, 0));
    assert_eq!(another.ways().first().map(Way::to_string), words.as_str().map(str::to_owned), "as the card prefers");
}

#[tokio::test]
async fn a_stream_without_an_event_is_begun_again_under_a_key_alone() {
    let begun = |card: fn(&str) -> Value| async move {
        let agent = Foreign::start(card, |asked| match asked.number {
            0 => Does::Stream(Vec::new()),
            _ => Does::Stream(vec![json!({ "task": task("COMPLETED") })]),
        });
        let agent = agent.await;
        let client = Client::connect(&agent.url, hasty()).await.unwrap();
        let mut stream = client.send_streaming(says("pay 100"), &under("k")).await.unwrap();
        let first = stream.next().await;
        (first.map(|event| event.is_some()), agent.count("SendStreamingMessage"))
    };
    assert!(matches!(begun(keyed).await, (Ok(true), 2)));
    assert!(matches!(begun(card).await, (Err(ClientError::OutcomeUnknown { .. }), 1)));
}

#[tokio::test]
async fn a_stream_that_broke_and_cannot_be_begun_again_leaves_its_outcome_open() {
    let begun_again = |answer: fn() -> Does| async move {
        let agent = Foreign::start(keyed, move |asked| match asked.number {
            0 => Does::Stream(Vec::new()),
            _ => answer(),
        });
        let agent = agent.await;
        let client = Client::connect(&agent.url, hasty()).await.unwrap();
        let mut stream = client.send_streaming(says("pay 100"), &under("k")).await.unwrap();
        let error = stream.next().await.unwrap_err();
        assert_eq!(agent.count("SendStreamingMessage"), 2, "{error:?}");
        error
    };
    for status in [|| Does::Says(404, "text/html", "<html>".to_owned()), || Does::Says(401, "text/html", String::new())]
    {
        let error = begun_again(status).await;
        assert!(matches!(error, ClientError::OutcomeUnknown { key: Some(_), .. }), "{error:?}");
    }
    // What the agent itself says of the message closes it.
    let error = begun_again(|| Does::Error(-32602)).await;
    assert!(matches!(error, ClientError::Rpc(_)), "{error:?}");
}

#[tokio::test]
async fn an_answer_to_a_task_is_as_any_message() {
    let does = |asked: &Asked| match asked.number {
        0 => Does::HangsUp,
        _ => Does::Result(json!({ "task": task("COMPLETED") })),
    };
    let mut answer = says("yes");
    answer.task = Some("t-1".to_owned());
    let agent = Foreign::start(card, move |asked| does(asked)).await;
    let client = Client::connect(&agent.url, hasty()).await.unwrap();
    let outcome = client.send(answer.clone(), &under("k")).await;
    assert!(matches!(&outcome, Err(ClientError::OutcomeUnknown { task: Some(task), key: None, .. }) if task == "t-1"));
    assert_eq!(agent.count("SendMessage"), 1);
    let agent = Foreign::start(keyed, move |asked| does(asked)).await;
    let client = Client::connect(&agent.url, hasty()).await.unwrap();
    assert!(client.send(answer, &under("k")).await.is_ok());
    assert_eq!(agent.count("SendMessage"), 2);
}

#[tokio::test]
async fn what_an_agent_refuses_is_its_own_word() {
    let refusals: [fn() -> Does; 3] = [
        || Does::Error(-32603),
        || Does::Says(404, "text/html", "<html>".to_owned()),
        || Does::Says(302, "text/html", String::new()),
    ];
    for refusal in refusals {
        let agent = Foreign::start(card, move |_| refusal()).await;
        let client = Client::connect(&agent.url, hasty()).await.unwrap();
        let outcome = client.send(says("pay 100"), &under("k")).await;
        let is_told = matches!(outcome, Err(ClientError::Rpc(_) | ClientError::NotAnAgent { .. }));
        assert!(is_told, "{outcome:?}");
        assert_eq!(agent.count("SendMessage"), 1);
    }
}

#[tokio::test]
async fn what_was_not_sent_is_sent_again_to_any_agent() {
    // An agent that is there for its card, is away, and comes back at the same address.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.json");
    std::fs::write(&path, card(&format!("http://{address}")).to_string()).unwrap();
    let client = Client::connect(path.to_str().unwrap(), ClientOptions::default()).await.unwrap();
    let tried = AtomicUsize::new(0);
    let coming = async {
        // It is back only after it was missed: the first pause is at least 50 ms, and this begins after the first try.
        while tried.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let listener = TcpListener::bind(address).await.unwrap();
        Foreign::on(listener, |_| Does::Result(json!({ "task": task("COMPLETED") })))
    };
    let sending = async {
        let options = SendOptions::default();
        let sending = client.send(says("pay 100"), &options);
        tokio::pin!(sending);
        let first = tokio::time::timeout(std::time::Duration::from_millis(40), &mut sending).await;
        assert!(first.is_err(), "{first:?}");
        tried.store(1, Ordering::Relaxed);
        sending.await
    };
    let (sent, agent) = tokio::join!(sending, coming);
    assert!(matches!(sent.unwrap().value, Sent::Task(_)));
    assert_eq!(agent.count("SendMessage"), 1);
}
