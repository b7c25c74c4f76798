//! Standard input and output as a way to this door: for hosts that start their servers themselves. Each line is one message, and each is
//! one request of HTTP to a node, as the revision that it speaks has it.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bobbinet_core::{Json, json::line};
use bobbinet_outbound::sse::SseParser;
use http::{HeaderName, HeaderValue, StatusCode, header};
use reqwest::{RequestBuilder, Response};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    sync::{Mutex as AsyncMutex, mpsc},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    headers,
    line_messages::{is_answer_to, stateless, version_of, with_id},
    rpc::{self, Incoming, Params, RpcError},
};

/// Bytes of one line. A host whose line is longer is not heard any further.
const LINE_MAX: u64 = 32 << 20;

/// Messages that wait to be written before more are read.
const OUT_MAX: usize = 64;

/// How long a node that cannot be connected to is tried: one that is started anew takes a moment.
const RECONNECT_MAX: Duration = Duration::from_secs(30);

/// The same for one that was never there: a host waits for its handshake, and gives up.
const FIRST_CONNECT_MAX: Duration = Duration::from_secs(4);
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// Between two tries to hear what the node tells by itself.
const RELISTEN_PAUSE: Duration = Duration::from_secs(1);

/// How long what is at work may go on when the host has said its last word.
const LAST_WORDS_MAX: Duration = Duration::from_secs(2);

/// How long the end of a session may take to be told.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Headers that show a node who asks; made anew for each request, as a token is good for minutes.
pub type ShowWho = dyn Fn() -> Result<Vec<(HeaderName, HeaderValue)>, String> + Send + Sync;

/// A node's door, from outside.
#[derive(Clone)]
pub struct NodeDoor {
    /// What carries the requests.
    pub http: reqwest::Client,
    /// The door's URL, such as `http://127.0.0.1:7420/mcp`.
    pub url: String,
    /// Who asks.
    pub who: Arc<ShowWho>,
    /// Is told, once each time, that the node cannot be reached: for whoever looks for the reason of a silence.
    pub unreached: Arc<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for NodeDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeDoor").field("url", &self.url).finish_non_exhaustive()
    }
}

struct Bridge {
    door: NodeDoor,
    state: Mutex<State>,
    /// Held by whoever begins a session anew.
    beginning: AsyncMutex<()>,
    /// Told when the host has said its last word.
    closing: CancellationToken,
    out: mpsc::Sender<Json>,
}

#[derive(Default)]
struct State {
    /// Whether the node has answered before.
    was_reached: bool,
    /// Whether it was told that it cannot be reached now.
    is_unreached: bool,
    session: Option<String>,
    version: Option<String>,
    /// The handshake, to be said again if the node has forgotten it.
    hello: Option<Json>,
    /// What is at work in a revision that takes it back by closing its stream.
    stateless: BTreeMap<String, CancellationToken>,
}

/// Why there is no answer.
enum Broken {
    /// The host reads no more.
    Host,
    /// In words for whoever asked.
    Node(String),
}

/// Passes messages on, both ways, until the host says no more.
///
/// # Errors
/// If the host cannot be heard or written to.
pub async fn bridge(input: impl AsyncRead + Unpin, output: impl AsyncWrite + Unpin, door: NodeDoor) -> io::Result<()> {
    let (out, told) = mpsc::channel::<Json>(OUT_MAX);
    let (beginning, closing) = (AsyncMutex::new(()), CancellationToken::new());
    let bridge = Arc::new(Bridge { door, state: Mutex::default(), beginning, closing, out });
    let writing = async move {
        // Gone with the last word that can be written, so that whoever has more to say notices.
        let (mut told, mut output) = (told, output);
        while let Some(message) = told.recv().await {
            let mut text = Vec::with_capacity(message.as_str().len() + 1);
            line::push(&mut text, message.as_str());
            text.push(b'\n');
            let written = match output.write_all(&text).await {
                Ok(()) => output.flush().await,
                Err(error) => Err(error),
            };
            match written {
                Ok(()) => {}
                // A host that has gone is no fault.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    let reading = async move {
        let mut at_work = JoinSet::new();
        let heard = bridge.hear(input, &mut at_work).await;
        bridge.closing.cancel();
        // Nobody who is gone is waited for long.
        timeout(LAST_WORDS_MAX, async { while at_work.join_next().await.is_some() {} }).await.ok();
        at_work.shutdown().await;
        bridge.end().await;
        drop(bridge);
        heard
    };
    let (written, heard) = tokio::join!(writing, reading);
    written.and(heard)
}

impl Bridge {
    async fn hear(self: &Arc<Self>, input: impl AsyncRead + Unpin, at_work: &mut JoinSet<()>) -> io::Result<()> {
        let mut input = BufReader::new(input);
        loop {
            let mut text = Vec::new();
            let mut line = (&mut input).take(LINE_MAX);
            tokio::select! {
                read = line.read_until(b'\n', &mut text) => if read? == 0 { return Ok(()) },
                // Nobody reads what is written.
                () = self.out.closed() => return Ok(()),
            }
            if text.last() != Some(&b'\n') && text.len() as u64 >= LINE_MAX {
                let error = RpcError::parse(&format!("a line has {LINE_MAX} bytes at the most"));
                self.out.send(error.to_json(None)).await.ok();
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of the host is too long"));
            }
            while at_work.try_join_next().is_some() {}
            if text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let json = std::str::from_utf8(&text).ok().and_then(|text| Json::parse(text.trim()).ok());
            let Some(json) = json else {
                self.out.send(RpcError::parse("a line is one message of JSON-RPC").to_json(None)).await.ok();
                continue;
            };
            self.pass(json, at_work).await;
        }
    }

    async fn pass(self: &Arc<Self>, json: Json, at_work: &mut JoinSet<()>) {
        let bridge = self.clone();
        if json.as_str().starts_with('[') {
            at_work.spawn(async move { bridge.tell(&json).await });
            return;
        }
        match Incoming::read(&json) {
            Ok(Incoming::Request { id, method, params }) => {
                let canceled = CancellationToken::new();
                if headers::is_stateless_in_body(&params) {
                    self.lock().stateless.insert(id.as_str().to_owned(), canceled.clone());
                }
                at_work.spawn(async move {
                    tokio::select! {
                        () = bridge.request(&json, &id, &method, &params) => {}
                        () = canceled.cancelled() => {}
                    }
                    bridge.lock().stateless.remove(id.as_str());
                    if method == "initialize" {
                        bridge.listen().await;
                    }
                });
            }
            Ok(Incoming::Notification { method, params }) => {
                let named = params.get("requestId").filter(|_| method == "notifications/cancelled");
                let canceled = named.and_then(|id| self.lock().stateless.remove(id.as_str()));
                match canceled {
                    Some(canceled) => canceled.cancel(),
                    None => drop(at_work.spawn(async move { bridge.tell(&json).await })),
                }
            }
            Ok(Incoming::Response { .. }) => drop(at_work.spawn(async move { bridge.tell(&json).await })),
            Err((id, error)) => drop(self.out.send(error.to_json(id.as_ref())).await),
        }
    }

    /// Passes on what is not answered, or is answered by several.
    async fn tell(&self, json: &Json) {
        let told = async {
            let response = self.post(json, &[]).await?;
            let is_answered = response.status().is_success() || json.as_str().starts_with('[');
            if is_answered && response.status() != StatusCode::ACCEPTED {
                self.forward(response, None).await?;
            }
            Ok::<_, Broken>(())
        };
        if let Err(Broken::Node(why)) = told.await {
            tracing::warn!(why, "a message of the host did not arrive");
        }
    }

    async fn request(&self, json: &Json, id: &Json, method: &str, params: &Params) {
        if let Err(Broken::Node(why)) = self.exchange(json, id, method, params).await {
            self.out.send(RpcError::no_node(&why).to_json(Some(id))).await.ok();
        }
    }

    async fn exchange(&self, json: &Json, id: &Json, method: &str, params: &Params) -> Result<(), Broken> {
        let headers = if headers::is_stateless_in_body(params) { stateless(method, params) } else { Vec::new() };
        let is_hello = method == "initialize" && headers.is_empty();
        let (session, has_begun) = {
            let state = self.lock();
            (state.session.clone(), state.session.is_some() || state.hello.is_some())
        };
        if !has_begun && headers.is_empty() && !is_hello && method != "ping" {
            let text = "no handshake was said yet: begin with `initialize`, or say in `_meta` which revision this is";
            return self.say(RpcError::invalid_request(text).to_json(Some(id))).await;
        }
        let mut response = self.post(json, &headers).await?;
        if response.status() == StatusCode::NOT_FOUND && session.is_some() && headers.is_empty() && !is_hello {
            // The node has forgotten the session, and so has not looked at the request.
            self.begin_again(session).await?;
            response = self.post(json, &headers).await?;
        }
        if is_hello && response.status().is_success() {
            self.note_session(&response);
            let answer = self.forward(response, Some(id)).await?;
            let mut state = self.lock();
            state.version = answer.as_ref().and_then(version_of);
            state.hello = Some(json.clone());
            return Ok(());
        }
        match response.status() {
            StatusCode::UNAUTHORIZED => {
                let text = "the node does not know who asks: give it a token (--bearer, A2ACLI_BEARER) or an API key, or run on its machine";
                Err(Broken::Node(format!("{text} ({})", self.door.url)))
            }
            _ => self.forward(response, Some(id)).await.map(drop),
        }
    }

    fn note_session(&self, response: &Response) {
        let session = response.headers().get(headers::SESSION).and_then(|value| value.to_str().ok());
        self.lock().session = session.map(str::to_owned);
    }

    /// Passes on what the node tells the session by itself, until the host has said its last word, or the node tells nothing.
    async fn listen(&self) {
        loop {
            let told = async {
                let request = self.door.http.get(&self.door.url).header(header::ACCEPT, "text/event-stream");
                let response = self.with_state(request, &[])?.send().await.map_err(|error| broke(&error))?;
                let has_session = response.status() == StatusCode::NOT_FOUND || response.status().is_success();
                if response.status().is_success() {
                    self.forward(response, None).await?;
                }
                Ok::<_, Broken>(has_session)
            };
            tokio::select! {
                () = self.closing.cancelled() => return,
                told = told => match told {
                    Ok(true) | Err(Broken::Node(_)) => {}
                    Ok(false) | Err(Broken::Host) => return,
                },
            }
            // A node that is started anew, and a session that is begun again with the next request, take a moment.
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = sleep(RELISTEN_PAUSE) => {}
            }
        }
    }

    /// Says the handshake again, once for all who have lost their session with this one.
    async fn begin_again(&self, lost: Option<String>) -> Result<(), Broken> {
        let _beginning = self.beginning.lock().await;
        let hello = {
            let mut state = self.lock();
            if state.session != lost {
                return Ok(());
            }
            state.session = None;
            state.hello.clone()
        };
        let Some(hello) = hello else { return Ok(()) };
        let response = self.post(&hello, &[]).await?;
        if !response.status().is_success() {
            return Err(Broken::Node(format!("the node begins no session anew: it answers {}", response.status())));
        }
        self.note_session(&response);
        self.post(&rpc::notification("notifications/initialized", &BTreeMap::<String, Json>::new()), &[])
            .await
            .map(drop)
    }

    /// One request of HTTP. A node that cannot be connected to has heard nothing, and is tried again for a while.
    async fn post(&self, json: &Json, headers: &[(HeaderName, HeaderValue)]) -> Result<Response, Broken> {
        let begun = Instant::now();
        let patience = if self.lock().was_reached { RECONNECT_MAX } else { FIRST_CONNECT_MAX };
        loop {
            match self.prepared(json, headers)?.send().await {
                Ok(response) => {
                    let mut state = self.lock();
                    (state.was_reached, state.is_unreached) = (true, false);
                    return Ok(response);
                }
                Err(error) if error.is_connect() => {
                    let text = format!("no node answers at {}: start it with `bobbinet up`", self.door.url);
                    if !std::mem::replace(&mut self.lock().is_unreached, true) {
                        (self.door.unreached)(&text);
                    }
                    if begun.elapsed() >= patience {
                        return Err(Broken::Node(text));
                    }
                    sleep(RECONNECT_PAUSE).await;
                }
                Err(error) => return Err(broke(&error)),
            }
        }
    }

    fn prepared(&self, json: &Json, headers: &[(HeaderName, HeaderValue)]) -> Result<RequestBuilder, Broken> {
        let request = self.door.http.post(&self.door.url).body(json.as_str().to_owned());
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream");
        self.with_state(request, headers)
    }

    fn with_state(
        &self,
        request: RequestBuilder,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<RequestBuilder, Broken> {
        let who = (self.door.who)().map_err(Broken::Node)?;
        let state = self.lock();
        let of_session = |request: RequestBuilder| match (&state.session, &state.version) {
            (Some(session), Some(version)) => {
                request.header(headers::SESSION, session).header(headers::VERSION, version)
            }
            (Some(session), None) => request.header(headers::SESSION, session),
            (None, _) => request,
        };
        let request = if headers.is_empty() { of_session(request) } else { request };
        Ok(who.iter().chain(headers).fold(request, |request, (name, value)| request.header(name, value)))
    }

    /// Passes all messages of an answer on to the host. `id` is that of the request, whose answer this is; gives that.
    async fn forward(&self, mut response: Response, id: Option<&Json>) -> Result<Option<Json>, Broken> {
        let is_stream = response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        if !is_stream {
            let status = response.status();
            let text = response.text().await.map_err(|error| broke(&error))?;
            let answer =
                Json::parse(&text).map_err(|_| Broken::Node(format!("the node answers {status}, and no JSON")))?;
            let answer = match id {
                Some(id) => with_id(&answer, id),
                None => answer,
            };
            self.say(answer.clone()).await?;
            return Ok(Some(answer));
        }
        let (mut parser, mut answer) = (SseParser::new(), None);
        while let Some(chunk) = response.chunk().await.map_err(|error| broke(&error))? {
            for event in parser.feed(&chunk).map_err(|error| Broken::Node(error.to_string()))? {
                let Ok(message) = Json::parse(&event.data) else { continue };
                if id.is_some_and(|id| is_answer_to(&message, id)) {
                    answer = Some(message.clone());
                }
                self.say(message).await?;
            }
        }
        Ok(answer)
    }

    async fn say(&self, message: Json) -> Result<(), Broken> {
        self.out.send(message).await.map_err(|_| Broken::Host)
    }

    /// Tells the node that the session is over.
    async fn end(&self) {
        if self.lock().session.is_none() {
            return;
        }
        if let Ok(request) = self.with_state(self.door.http.delete(&self.door.url), &[]) {
            timeout(GOODBYE_MAX, request.send()).await.ok();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn broke(error: &reqwest::Error) -> Broken {
    Broken::Node(format!(
        "the connection to the node broke ({}): what it has begun goes on, and mesh_task without a task lists it among your newest: look \
         there before you call again",
        if error.is_timeout() { "it took too long" } else { "it ended in the middle of an answer" }
    ))
}
