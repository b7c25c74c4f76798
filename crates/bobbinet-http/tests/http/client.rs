//! The client against the server, over good connections and bad ones.

use std::{net::SocketAddr, sync::Arc};

use bobbinet_core::{
    Message, MessageId, Part, Role, State,
    operation::{Configuration, ListParams, SendParams},
};
use bobbinet_http::{
    Client, ClientError, ClientOptions, Credentials, SendOptions,
    client::{CardFetch, Event, Outbound, TaskStream},
};
use bobbinet_outbound::{Guard, Origin, OutboundLimits, Refused};
use bobbinet_wire::view::{Sent, StreamEvent, TaskView};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};

use crate::node::{Form, Node, short_of};

pub(crate) fn says(text: &str) -> SendParams {
    let message = Message::from_agent(MessageId::parse("m").unwrap(), vec![Part::text(text)]);
    SendParams {
        message: Message { role: Role::User, ..message },
        context: None,
        task: None,
        configuration: Configuration::default(),
        metadata: None,
        tenant: None,
    }
}

fn options(node: &Node) -> ClientOptions {
    ClientOptions { credentials: Credentials::Bearer(node.token()), ..ClientOptions::default() }
}

async fn connect(node: &Node) -> Client {
    Client::connect(&node.url, options(node)).await.unwrap()
}

fn task(sent: Sent) -> TaskView {
    match sent {
        Sent::Task(task) => task,
        Sent::Message(message) => panic!("no task: {message:?}"),
    }
}

fn short(event: &Event) -> String {
    short_of(event.id.as_deref(), &event.json.to_value())
}

async fn rest(stream: &mut TaskStream) -> Vec<String> {
    let mut events = Vec::new();
    while let Some(event) = stream.next().await.unwrap() {
        events.push(short(&event));
    }
    events
}

#[tokio::test]
async fn every_method() {
    let node = Node::with(Form { is_root: false, ..Form::default() }).await;
    let client = connect(&node).await;
    assert_eq!((client.url(), client.card().value.name.as_str()), (node.url.as_str(), "worker"));
    let none = SendOptions::default();

    let done = task(client.send(says("echo x"), &none).await.unwrap().value);
    assert_eq!((done.status.state, done.artifacts[0].parts[0].as_text()), (State::Completed, Some("x")));
    let got = client.get(&done.id, None).await.unwrap();
    assert_eq!(got.value, done);
    assert_eq!(got.json.to_value()["id"], done.id.as_str());
    let page = client.list(ListParams::default()).await.unwrap().value;
    assert_eq!((page.total_size, page.tasks[0].id.as_str()), (1, done.id.as_str()));

    let asked = task(client.send(says("ask"), &none).await.unwrap().value);
    assert_eq!(asked.status.state, State::InputRequired);
    let answer = SendParams { task: Some(asked.id.clone()), ..says("that") };
    assert_eq!(task(client.send(answer, &none).await.unwrap().value).status.state, State::Completed);

    let at_once = Configuration { return_immediately: true, ..Configuration::default() };
    let busy = task(client.send(SendParams { configuration: at_once, ..says("steps 1") }, &none).await.unwrap().value);
    assert_eq!(client.cancel(&busy.id).await.unwrap().value.status.state, State::Canceled);

    let mut stream = client.send_streaming(says("echo x"), &none).await.unwrap();
    let mut seen = None;
    while let Some(event) = stream.next().await.unwrap() {
        match (&mut seen, event.value) {
            (None, StreamEvent::Task(task)) => seen = Some(task),
            (Some(task), event) => task.apply(event),
            (None, event) => panic!("the task comes first: {event:?}"),
        }
    }
    let seen = seen.unwrap();
    assert_eq!((seen.status.state, seen.artifacts[0].parts[0].as_text()), (State::Completed, Some("x")));
    let mut again = client.subscribe(&seen.id, Some("2")).await.unwrap();
    assert_eq!(rest(&mut again).await, ["3 artifact x lastChunk", "4 COMPLETED"]);
}

#[tokio::test]
async fn what_goes_wrong_is_told_by_its_kind() {
    let node = Node::start().await;
    let client = connect(&node).await;
    match client.get("nowhere", None).await {
        Err(ClientError::Rpc(error)) => {
            assert_eq!((error.code, error.reason.as_deref()), (-32001, Some("TASK_NOT_FOUND")));
            assert!(error.hint.is_some());
        }
        other => panic!("{other:?}"),
    }
    match client
        .send(
            SendParams { message: Message { parts: Vec::new(), ..says("x").message }, ..says("x") },
            &SendOptions::default(),
        )
        .await
    {
        Err(ClientError::Rpc(error)) => assert_eq!((error.code, error.violations.len()), (-32602, 1)),
        other => panic!("{other:?}"),
    }
    match client.subscribe("nowhere", None).await {
        Err(ClientError::Rpc(error)) => assert_eq!(error.code, -32001),
        other => panic!("{other:?}"),
    }
    let stranger = ClientOptions { credentials: Credentials::Bearer("x".to_owned()), ..ClientOptions::default() };
    let stranger = Client::connect(&node.url, stranger).await.unwrap();
    let refused = stranger.list(ListParams::default()).await;
    assert!(matches!(&refused, Err(ClientError::Unauthorized { hint, .. }) if !hint.is_empty()), "{refused:?}");

    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let unreachable = Client::connect(&nobody.to_string(), ClientOptions::default()).await;
    assert!(matches!(unreachable, Err(ClientError::Unreachable { .. })), "{unreachable:?}");
    let cardless = Client::connect(&format!("{}/nowhere", node.url), ClientOptions::default()).await;
    assert!(matches!(cardless, Err(ClientError::NoCard { .. })), "{cardless:?}");
    let nonsense = Client::connect("ftp://x", ClientOptions::default()).await;
    assert!(matches!(nonsense, Err(ClientError::BadUrl(_))), "{nonsense:?}");

    let hasty = ClientOptions { wait_timeout: Some(std::time::Duration::from_millis(50)), ..options(&node) };
    let hasty = Client::connect(&node.url, hasty).await.unwrap();
    let late = hasty.send(says("steps 1"), &SendOptions::default()).await;
    let is_late = |error: &ClientError| matches!(error, ClientError::Timeout { .. });
    assert!(matches!(&late, Err(ClientError::OutcomeUnknown { source, .. }) if is_late(source)), "{late:?}");
}

#[tokio::test]
async fn a_card_that_points_elsewhere_is_not_followed() {
    let node = Node::with(Form { public_url: Some("https://elsewhere.example"), ..Form::default() }).await;
    let refused = Client::connect(&node.url, options(&node)).await;
    assert!(matches!(refused, Err(ClientError::OtherOrigin { .. })), "{refused:?}");
    let allowed = ClientOptions { is_other_origin_allowed: true, ..options(&node) };
    assert_eq!(Client::connect(&node.url, allowed).await.unwrap().url(), "https://elsewhere.example/");
}

#[tokio::test]
async fn a_token_is_made_when_it_is_needed() {
    let node = Node::start().await;
    let (url, keys) = (node.url.clone(), node.keys.clone());
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = asked.clone();
    let token = node.token();
    let mint = move |audience: &str| {
        assert!(!keys.list().is_empty());
        heard.lock().unwrap().push(audience.to_owned());
        Ok(token.clone())
    };
    let options = ClientOptions { credentials: Credentials::Mint(Arc::new(mint)), ..ClientOptions::default() };
    let client = Client::connect(&url, options).await.unwrap();
    client.list(ListParams::default()).await.unwrap();
    client.list(ListParams::default()).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), [format!("{url}/")], "once for both, for the URL that the card names");
}

/// A way to the node that can be cut.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    cut: Arc<Notify>,
    _work: JoinSet<()>,
}

impl Wire {
    pub(crate) async fn to(node: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(Notify::new());
        let cutter = cut.clone();
        let mut work = JoinSet::new();
        work.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    biased;
                    () = cutter.notified() => connections.shutdown().await,
                    accepted = listener.accept() => {
                        let (mut near, _) = accepted.unwrap();
                        connections.spawn(async move {
                            let mut far = TcpStream::connect(node).await.unwrap();
                            // An error is what a cut looks like.
                            copy_bidirectional(&mut near, &mut far).await.ok();
                        });
                    }
                }
            }
        });
        Self { address, cut, _work: work }
    }

    /// Ends each connection that there is.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_goes_on_without_gap_or_repeat() {
    const STEPS: usize = 20;
    let node = Node::start().await;
    let wire = Wire::to(node.address).await;
    let options = ClientOptions { is_other_origin_allowed: true, ..options(&node) };
    let client = Client::connect(&wire.address.to_string(), options).await.unwrap();
    let mut stream = client.send_streaming(says(&format!("steps {STEPS}")), &SendOptions::default()).await.unwrap();
    let mut ids = Vec::new();
    for step in 0.. {
        // Sometimes with events under way, sometimes with none.
        if step % 3 == 1 {
            wire.cut();
        }
        node.worker.gate.add_permits(1);
        let Some(event) = stream.next().await.unwrap() else { break };
        ids.push(event.id.unwrap().parse::<usize>().unwrap());
    }
    assert_eq!(ids, (1..=STEPS + 3).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_send_under_a_key_outlives_its_connection() {
    let node = Node::start().await;
    let wire = Wire::to(node.address).await;
    let options = ClientOptions { is_other_origin_allowed: true, ..options(&node) };
    let client = Client::connect(&wire.address.to_string(), options).await.unwrap();
    let keyed = SendOptions { idempotency_key: Some("k".to_owned()), ..SendOptions::default() };
    let sending = client.send(says("steps 1"), &keyed);
    let cutting = async {
        while node.result("ListTasks", serde_json::json!({})).await["totalSize"] != 1 {
            tokio::task::yield_now().await;
        }
        wire.cut();
        node.worker.gate.add_permits(1);
    };
    let (sent, ()) = tokio::join!(sending, cutting);
    assert_eq!(task(sent.unwrap().value).status.state, State::Completed);
    assert_eq!(node.result("ListTasks", serde_json::json!({})).await["totalSize"], 1);
}

/// A guard that lets requests go to this URL's origin, wherever it is.
fn guarded(configured: &[&str]) -> Outbound {
    let origin = |url: &&str| Origin::of(&reqwest::Url::parse(url).unwrap()).unwrap();
    let guard = Guard::new(configured.iter().map(origin), OutboundLimits::default()).unwrap();
    Outbound::Guarded { guard, at: None }
}

#[tokio::test]
async fn through_the_guard_an_agent_is_called_where_the_operator_said_and_nowhere_else_inside() {
    let node = Node::start().await;
    let through = |outbound| ClientOptions { outbound, ..options(&node) };
    let client = Client::connect(&node.url, through(guarded(&[&node.url]))).await.unwrap();
    let done = client.send(says("echo x"), &SendOptions::default()).await.unwrap();
    assert_eq!(task(done.value).status.state, State::Completed);
    let stream = client.send_streaming(says("echo y"), &SendOptions::default()).await;
    assert_eq!(
        rest(&mut stream.unwrap()).await.last().map(|event| event.to_lowercase().contains("completed")),
        Some(true)
    );
    let refused = Client::connect(&node.url, through(guarded(&[]))).await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused(Refused::Address { .. })), "{refused:?}");
    assert!(!refused.is_passing() && refused.is_unsent());
    // A card that leads elsewhere, though that is allowed: elsewhere is inside, and nobody wrote it down.
    let elsewhere = Node::start().await;
    let card = serde_json::json!({
        "name": "a", "supportedInterfaces": [{"url": elsewhere.url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new()
        .route("/.well-known/agent-card.json", axum::routing::get(move || async move { axum::Json(card) }));
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let allowed = |outbound| ClientOptions { is_other_origin_allowed: true, ..through(outbound) };
    let refused = Client::connect(&at, allowed(guarded(&[&at]))).await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused(Refused::Address { .. })), "{refused:?}");
    let client = Client::connect(&at, allowed(guarded(&[&at, &elsewhere.url]))).await.unwrap();
    assert_eq!(client.url().trim_end_matches('/'), elsewhere.url);
}

#[tokio::test]
async fn a_card_that_has_not_changed_is_not_sent_again() {
    let node = Node::start().await;
    let options = options(&node);
    let CardFetch::New(fetched) = Client::fetch_card(&node.url, &options, None).await.unwrap() else {
        panic!("nothing was known")
    };
    assert_eq!(fetched.freshness.fresh_for, Some(std::time::Duration::from_secs(60)));
    let again = Client::fetch_card(&node.url, &options, Some(&fetched)).await.unwrap();
    assert!(matches!(again, CardFetch::Same(_)), "{again:?}");
    let client = Client::with_card(&fetched, options).unwrap();
    let done = client.send(says("echo x"), &SendOptions::default()).await.unwrap();
    assert_eq!(task(done.value).status.state, State::Completed);
}
