//! Agreeing with a server on how to talk: which era it speaks, and in the older one the handshake.
//!
//! Not the library's own: that gives a probe ten seconds and then loses the server for good, speaks of one version only, and
//! reads answers more strictly than anybody needs.

use std::{sync::Arc, time::Duration};

use bobbinet_core::Json;
use rmcp::{
    model::{
        ClientConfig, EmptyResult, Implementation, JsonRpcMessage, ProtocolVersion, RequestMetaObject,
        ServerCapabilities, ServerJsonRpcMessage, ServerPeerInfo, ServerRequest,
    },
    transport::Transport as _,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    config::ProtocolEra,
    in_flight::{HANDSHAKE_ID_FIRST, InFlight},
    json_object::JsonObject,
    last_words::headline,
    mailbox::{ConnectionError, Mailbox, Reply, RpcError},
    opening::Opening,
    rpc_channel::RpcChannel,
    server_task,
    transport::Connection,
};

/// How long a server that was asked for its era may be at rest without an answer before it is greeted in the older way too:
/// an old one may not answer what it does not know. One that answers late is believed all the same.
const REST: Duration = Duration::from_secs(2);

/// How long after its start a server is greeted in the older way too, however busy it is.
const PROBE_MAX: Duration = Duration::from_secs(10);

/// Versions that are proposed in one life: the first, and another after a refusal.
const PROPOSALS_MAX: usize = 2;

/// The era without a handshake.
const MODERN: &str = "2026-07-28";

/// The versions with a handshake that we speak, the newest first.
const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// The error code by which a server of the new era refuses a version (2026-07-28).
const UNSUPPORTED_VERSION: i64 = -32_022;

/// The error codes by which a server of the new era refuses (2026-07-28): it is one all the same.
const MODERN_REFUSALS: [i64; 3] = [-32_022, -32_021, -32_020];

/// Where a result of the new era says who its server is.
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// Why a handshake came to nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HandshakeError {
    pub(crate) text: String,
    /// The version to propose in its next life, if the server hinted at one, or refused the newest.
    pub(crate) version: Option<&'static str>,
    /// Its output is closed.
    pub(crate) is_gone: bool,
}

/// A request of ours on its way; forgotten when dropped.
#[derive(Debug)]
struct HandshakeRequest {
    serial: u64,
    mailbox: Arc<Mailbox>,
    in_flight: Arc<InFlight>,
}

impl Drop for HandshakeRequest {
    fn drop(&mut self) {
        self.in_flight.end(self.serial);
    }
}

/// What a handshake waits for.
enum HandshakeEvent {
    Discovered(Reply),
    Initialized(Reply),
    /// Something that is not for us: a request of the server, or a stand-in.
    Other(Box<ServerJsonRpcMessage>),
    Rest,
    Closed,
}

/// Agrees with a server. Returns who it says it is; its version tells the era. Whoever calls bounds the time.
pub(crate) async fn negotiate(
    channel: &mut RpcChannel,
    opening: &Opening,
    connection: &dyn Connection,
    me: &ClientConfig,
) -> Result<ServerPeerInfo, HandshakeError> {
    let mut handshake = Handshake {
        channel,
        connection,
        opening,
        me,
        next_id: HANDSHAKE_ID_FIRST,
        initialize: None,
        tried: Vec::new(),
        refusal: None,
        kept: Vec::new(),
    };
    let agreed = handshake.run().await;
    let kept = handshake.kept;
    channel.put_back(kept);
    agreed
}

/// A handshake under way: one question or two, and what came in between.
struct Handshake<'a> {
    channel: &'a mut RpcChannel,
    connection: &'a dyn Connection,
    opening: &'a Opening,
    /// Who we say we are, and what we offer.
    me: &'a ClientConfig,
    next_id: i64,
    initialize: Option<HandshakeRequest>,
    /// The versions that were proposed.
    tried: Vec<&'static str>,
    /// A refusal of the handshake, while the answer to the other question may still come, and since when.
    refusal: Option<(RpcError, Instant)>,
    /// Requests of the server that came early. They are answered when all is agreed.
    kept: Vec<ServerJsonRpcMessage>,
}

impl Handshake<'_> {
    async fn run(&mut self) -> Result<ServerPeerInfo, HandshakeError> {
        let mut discover = match self.opening.era {
            ProtocolEra::Auto | ProtocolEra::Modern => Some(self.discover().await?),
            ProtocolEra::Legacy => None,
        };
        if discover.is_none() {
            self.initialize(self.opening.version.unwrap_or(LEGACY[0])).await?;
        }
        let mut was_asked_again = false;
        loop {
            match self.hear(discover.as_ref()).await {
                // It does not take what it says it takes: it may have changed while it was asked.
                HandshakeEvent::Discovered(Reply::Error(error)) if !was_asked_again && names_modern(&error) => {
                    was_asked_again = true;
                    discover = Some(self.discover().await?);
                }
                HandshakeEvent::Discovered(reply) => {
                    discover = None;
                    let discovery = match discovered(reply) {
                        // One request that broke off says nothing of the next.
                        Discovery::Gone(broken) if self.is_apart() => {
                            Discovery::Legacy(headline(&broken.to_string()).to_owned())
                        }
                        discovery @ (Discovery::Modern(_)
                        | Discovery::Legacy(_)
                        | Discovery::Refused(_)
                        | Discovery::Gone(_)) => discovery,
                    };
                    match (discovery, self.opening.era) {
                        (Discovery::Modern(info), _) => return Ok(*info),
                        (Discovery::Gone(broken), _) => return Err(self.broken(&broken)),
                        (Discovery::Legacy(_), ProtocolEra::Auto) if self.tried.is_empty() => {
                            self.initialize(self.opening.version.unwrap_or(LEGACY[0])).await?;
                        }
                        // It was greeted already. What it says to that counts.
                        (Discovery::Legacy(_), ProtocolEra::Auto) => {
                            if let Some((error, _)) = self.refusal.take() {
                                self.propose_another(&error).await?;
                            }
                        }
                        (Discovery::Legacy(why) | Discovery::Refused(why), _) => return Err(refused(why, None)),
                    }
                }
                HandshakeEvent::Initialized(Reply::Result(result)) => {
                    let info = initialized(&result);
                    let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
                    return self.put(&note).await.map(|()| info);
                }
                HandshakeEvent::Initialized(Reply::Error(error)) => {
                    self.initialize = None;
                    if discover.is_some() {
                        self.refusal = Some((error, Instant::now()));
                    } else {
                        self.propose_another(&error).await?;
                    }
                }
                HandshakeEvent::Initialized(Reply::Unreadable(why)) => {
                    return Err(refused(format!("its answer to the handshake cannot be read: {why}"), None));
                }
                HandshakeEvent::Initialized(Reply::Broken(broken) | Reply::NotSent(broken)) => {
                    return Err(self.broken(&broken));
                }
                HandshakeEvent::Other(message) => match *message {
                    JsonRpcMessage::Request(request) if matches!(request.request, ServerRequest::PingRequest(_)) => {
                        let pong = JsonRpcMessage::response(EmptyResult {}.into(), request.id);
                        if self.channel.send(pong).await.is_err() {
                            return Err(self.gone("it takes no more input"));
                        }
                    }
                    JsonRpcMessage::Request(request) => self.kept.push(JsonRpcMessage::Request(request)),
                    JsonRpcMessage::Response(_) | JsonRpcMessage::Notification(_) | JsonRpcMessage::Error(_) => {}
                },
                HandshakeEvent::Rest => match self.refusal.take() {
                    None => self.initialize(self.opening.version.unwrap_or(LEGACY[0])).await?,
                    Some((error, _)) => {
                        discover = None;
                        self.propose_another(&error).await?;
                    }
                },
                HandshakeEvent::Closed => {
                    let known = self.channel.in_flight().broken();
                    return Err(known.map_or_else(|| self.gone("it closed its output"), |broken| self.broken(&broken)));
                }
            }
        }
    }

    async fn hear(&mut self, discover: Option<&HandshakeRequest>) -> HandshakeEvent {
        // It is asked in both ways only where nobody knows better, and once.
        let may_greet = self.opening.era == ProtocolEra::Auto && self.tried.is_empty();
        let refused_at = self.refusal.as_ref().map(|(_, at)| *at);
        tokio::select! {
            biased;
            reply = replied(discover) => HandshakeEvent::Discovered(reply),
            reply = replied(self.initialize.as_ref()) => HandshakeEvent::Initialized(reply),
            message = self.channel.receive() => message.map_or(HandshakeEvent::Closed, |message| HandshakeEvent::Other(Box::new(message))),
            () = self.connection.at_rest(REST, PROBE_MAX), if may_greet => HandshakeEvent::Rest,
            () = later(refused_at, REST) => HandshakeEvent::Rest,
        }
    }

    async fn discover(&mut self) -> Result<HandshakeRequest, HandshakeError> {
        let me = self.me.clone();
        let meta =
            RequestMetaObject::with_client_context(ProtocolVersion::V_2026_07_28, me.client_info, me.capabilities);
        self.ask("server/discover", json!({ "_meta": meta })).await
    }

    async fn initialize(&mut self, version: &'static str) -> Result<(), HandshakeError> {
        let me = self.me;
        // Extensions are the new era's.
        let mut capabilities = me.capabilities.clone();
        capabilities.extensions = None;
        let params = json!({"protocolVersion": version, "capabilities": capabilities, "clientInfo": me.client_info});
        self.tried.push(version);
        self.initialize = Some(self.ask("initialize", params).await?);
        Ok(())
    }

    /// After the handshake was refused: once more with another version.
    async fn propose_another(&mut self, error: &RpcError) -> Result<(), HandshakeError> {
        match other_version(error, &self.tried).filter(|_| self.tried.len() < PROPOSALS_MAX) {
            Some(version) => {
                tracing::debug!(version, error.message, "the handshake was refused; trying another version");
                self.initialize(version).await
            }
            None => {
                // 0: it has none, and the words are ours.
                let code = if error.code == 0 { String::new() } else { format!(" ({})", error.code) };
                let why = format!("it refused the handshake: {}{code}", error.message);
                Err(refused(why, None))
            }
        }
    }

    async fn ask(&mut self, method: &str, params: Value) -> Result<HandshakeRequest, HandshakeError> {
        let in_flight = self.channel.in_flight().clone();
        let (serial, mailbox) = in_flight.begin(None).map_err(|broken| self.broken(&broken))?;
        let asking = HandshakeRequest { serial, mailbox, in_flight };
        let id = self.next_id;
        self.next_id += 1;
        asking.in_flight.sent(serial, id, None);
        self.put(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await?;
        Ok(asking)
    }

    async fn put(&mut self, message: &Value) -> Result<(), HandshakeError> {
        let written = self.channel.send_raw(message).await;
        written.map_err(|_| self.gone("it takes no input"))
    }

    /// Whether each request goes by itself, and more can be asked.
    fn is_apart(&self) -> bool {
        !self.connection.ends_of_words() && self.channel.in_flight().broken().is_none()
    }

    fn gone(&self, why: &str) -> HandshakeError {
        // One that ends over the newest version may take the oldest in its next life.
        let is_hint = self.opening.version.is_none() && self.connection.ends_of_words();
        let version = is_hint.then_some(LEGACY[LEGACY.len() - 1]);
        HandshakeError { text: format!("{why} before it was ready"), version, is_gone: true }
    }

    fn broken(&self, broken: &ConnectionError) -> HandshakeError {
        match broken {
            ConnectionError::Died(why) => self.gone(headline(why)),
            ConnectionError::Garbage(why) => refused(why.clone(), None),
            ConnectionError::Expired => refused(broken.to_string(), None),
        }
    }
}

fn refused(text: String, version: Option<&'static str>) -> HandshakeError {
    HandshakeError { text, version, is_gone: false }
}

/// Returns so long after a point in time; never, if there is none.
async fn later(since: Option<Instant>, wait: Duration) {
    match since {
        Some(since) => tokio::time::sleep_until(since + wait).await,
        None => std::future::pending().await,
    }
}

async fn replied(asking: Option<&HandshakeRequest>) -> Reply {
    match asking {
        Some(asking) => asking.mailbox.replied().await,
        None => std::future::pending().await,
    }
}

/// What a server's answer to `server/discover` means.
#[derive(Debug)]
enum Discovery {
    Modern(Box<ServerPeerInfo>),
    /// It knows no such thing, and why we think so.
    Legacy(String),
    /// It speaks the new era, and refuses all the same.
    Refused(String),
    Gone(ConnectionError),
}

/// Whether it refuses our version, and names just that as one that it speaks.
fn names_modern(error: &RpcError) -> bool {
    let data = error.data.as_ref().and_then(JsonObject::read);
    let supported: Option<Vec<String>> = data.and_then(|data| data.get("supported")?.read().ok());
    error.code == UNSUPPORTED_VERSION && supported.is_some_and(|all| all.iter().any(|version| version == MODERN))
}

/// Whatever is not an answer of the new era means the old one.
fn discovered(reply: Reply) -> Discovery {
    match reply {
        Reply::Result(result) => {
            let supported = JsonObject::read(&result).and_then(|fields| fields.get("supportedVersions")?.read().ok());
            let supported: Vec<String> = supported.unwrap_or_default();
            if supported.iter().any(|version| version == MODERN) {
                return Discovery::Modern(Box::new(info(&result, ProtocolVersion::V_2026_07_28)));
            }
            Discovery::Legacy(format!("it does not speak {MODERN}"))
        }
        Reply::Error(error) => {
            let text = format!("it refused to say what it speaks: {} ({})", error.message, error.code);
            let speaks_older = named_versions(&error).any(|version| LEGACY.contains(&version));
            if MODERN_REFUSALS.contains(&error.code) && !speaks_older {
                return Discovery::Refused(text);
            }
            Discovery::Legacy(text)
        }
        Reply::NotSent(broken) | Reply::Broken(broken) => Discovery::Gone(broken),
        // It has answered, if badly: not in the new era.
        Reply::Unreadable(why) => Discovery::Legacy(why),
    }
}

/// Who a server says it is at the end of a handshake. Whatever it says, it has agreed.
fn initialized(result: &Json) -> ServerPeerInfo {
    let version = JsonObject::read(result).and_then(|fields| fields.text("protocolVersion")).unwrap_or_default();
    let version = match version.as_str() {
        "" => ProtocolVersion::V_2025_11_25,
        version => serde_json::from_value(Value::from(version)).unwrap_or(ProtocolVersion::V_2025_11_25),
    };
    // It has shaken hands, whatever it calls that: requests that stand alone are not for it.
    let version = if version.has_initialize() { version } else { ProtocolVersion::V_2025_11_25 };
    info(result, version)
}

/// Reads what a server says of itself, as far as it can be read: nothing of it is needed to call its tools.
fn info(result: &Json, version: ProtocolVersion) -> ServerPeerInfo {
    let fields = JsonObject::read(result).unwrap_or_default();
    let inner = |fields: &JsonObject, name: &str| fields.get(name).and_then(JsonObject::read);
    let capabilities = fields.get("capabilities").and_then(|json| json.read::<ServerCapabilities>().ok());
    let capabilities = capabilities.unwrap_or_else(|| {
        let tools = inner(&fields, "capabilities").and_then(|fields| inner(&fields, "tools"));
        let list_changed = tools.and_then(|fields| fields.get("listChanged")?.read::<bool>().ok()).unwrap_or_default();
        serde_json::from_value(json!({"tools": {"listChanged": list_changed}})).unwrap_or_default()
    });
    let mut capabilities = capabilities;
    if let Some(declared) = inner(&fields, "capabilities") {
        server_task::note_core(&mut capabilities, &declared);
    }
    let mut info = ServerPeerInfo::new(version, capabilities);
    let server = inner(&fields, "serverInfo").or_else(|| inner(&inner(&fields, "_meta")?, SERVER_INFO));
    info.server_info = server.and_then(|fields| implementation(&fields));
    info.instructions = fields.text("instructions");
    info
}

fn implementation(fields: &JsonObject) -> Option<Implementation> {
    let name = fields.text("name").filter(|name| !name.trim().is_empty())?;
    let version = fields.text("version").or_else(|| fields.get("version").map(|json| json.as_str().to_owned()));
    let mut server = Implementation::new(name, version.unwrap_or_else(|| "0".to_owned()));
    server.title = fields.text("title");
    server.description = fields.text("description");
    Some(server)
}

/// The version to propose after this error: one that it names, else the oldest.
fn other_version(error: &RpcError, tried: &[&'static str]) -> Option<&'static str> {
    let untried = |version: &&'static str| !tried.contains(version);
    named_versions(error).find(untried).or_else(|| LEGACY.last().copied().filter(untried))
}

/// The versions of ours that an error names, the newest first.
fn named_versions(error: &RpcError) -> impl Iterator<Item = &'static str> {
    let data = error.data.as_ref().map(|data| data.as_str().to_owned()).unwrap_or_default();
    let message = error.message.clone();
    LEGACY.into_iter().filter(move |version| message.contains(version) || data.contains(version))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};

    use super::*;
    use crate::{
        config::McpConfig,
        elicitation_handler::client_config,
        secrets::Secrets,
        server_log::ServerLog,
        transport::{memory::Pipe, stdio::over_pipe},
    };

    /// Talks to a server that answers each of our lines as `answer` says; `None` ends it.
    async fn check(
        opening: &Opening,
        mut answer: impl FnMut(&str, i64, &str) -> Option<String>,
    ) -> (Result<ServerPeerInfo, HandshakeError>, String) {
        let (ours, theirs) = duplex(1 << 16);
        let (input, output) = tokio::io::split(ours);
        let in_flight = Arc::new(InFlight::of(&McpConfig::new("a", "x", &[])));
        let (source, sink) = over_pipe(input, output, 1 << 20);
        let mut channel =
            RpcChannel::new(source, sink, in_flight, ServerLog::new("a", Secrets::default(), Arc::default()));
        let mut methods = Vec::new();
        let server = async {
            let (input, mut output) = tokio::io::split::<DuplexStream>(theirs);
            let mut lines = BufReader::new(input).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let message: Value = serde_json::from_str(&line).unwrap();
                let method = message["method"].as_str().unwrap_or_default();
                let version = message["params"]["protocolVersion"].as_str().unwrap_or_default();
                methods.push(format!("{method} {version}").trim().to_owned());
                match answer(method, message["id"].as_i64().unwrap_or_default(), version) {
                    Some(text) => output.write_all(text.as_bytes()).await.unwrap(),
                    None => return,
                }
            }
        };
        let agreed = async {
            let agreed = negotiate(&mut channel, opening, &Pipe, &client_config(&McpConfig::new("a", "x", &[]))).await;
            drop(channel);
            agreed
        };
        let (agreed, ()) = tokio::join!(agreed, server);
        (agreed, methods.join(", "))
    }

    fn auto() -> Opening {
        Opening { era: ProtocolEra::Auto, version: None, ends: 0 }
    }

    fn result(id: i64, result: &str) -> Option<String> {
        Some(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}\n"))
    }

    fn error(id: &str, code: i64, message: &str) -> Option<String> {
        Some(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{code},\"message\":\"{message}\"}}}}\n"))
    }

    const DISCOVERED: &str = r#"{"supportedVersions":["2026-07-28","2025-11-25"],"capabilities":{"tools":{}}}"#;
    const INITIALIZED: &str =
        r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}"#;

    #[tokio::test(start_paused = true)]
    async fn the_new_era_is_one_question_and_the_old_one_two() {
        let (agreed, said) = check(&auto(), |_, id, _| result(id, DISCOVERED)).await;
        assert_eq!((agreed.unwrap().protocol_version.as_str(), said.as_str()), ("2026-07-28", "server/discover"));
        for id in ["2000000000", "null", "\"2000000000\""] {
            let (agreed, said) = check(&auto(), |method, own, _| match method {
                "server/discover" => error(id, -32_601, "what?"),
                "initialize" => result(own, INITIALIZED),
                _ => Some(String::new()),
            })
            .await;
            assert_eq!(agreed.unwrap().protocol_version.as_str(), "2025-06-18", "{id}");
            assert_eq!(said, "server/discover, initialize 2025-11-25, notifications/initialized", "{id}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_keeps_silent_is_greeted_in_the_old_way_and_a_late_answer_is_believed() {
        let begun = Instant::now();
        let (agreed, said) = check(&auto(), |method, id, _| match method {
            "initialize" => result(id, INITIALIZED),
            _ => Some(String::new()),
        })
        .await;
        assert_eq!(agreed.unwrap().protocol_version.as_str(), "2025-06-18");
        assert_eq!(said, "server/discover, initialize 2025-11-25, notifications/initialized");
        assert_eq!(begun.elapsed(), REST);

        let (agreed, _) = check(&auto(), |method, id, _| match method {
            "initialize" => {
                Some(error(&id.to_string(), -32_022, "not that way").unwrap() + &result(id - 1, DISCOVERED).unwrap())
            }
            _ => Some(String::new()),
        })
        .await;
        assert_eq!(agreed.unwrap().protocol_version.as_str(), "2026-07-28");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_version_is_tried_once_more_with_another() {
        let legacy = Opening { era: ProtocolEra::Legacy, version: None, ends: 0 };
        for (message, expected) in [
            (
                "supported: 2024-10-07, 2025-03-26",
                "initialize 2025-11-25, initialize 2025-03-26, notifications/initialized",
            ),
            ("bad version", "initialize 2025-11-25, initialize 2024-11-05, notifications/initialized"),
        ] {
            let (agreed, said) = check(&legacy, |method, id, version| match (method, version) {
                ("initialize", "2025-11-25") => error(&id.to_string(), -32_602, message),
                ("initialize", _) => result(id, INITIALIZED),
                _ => Some(String::new()),
            })
            .await;
            assert!(agreed.is_ok());
            assert_eq!(said, expected);
        }
        let (agreed, said) = check(&legacy, |_, id, _| error(&id.to_string(), -32_000, "no key")).await;
        assert_eq!(agreed.unwrap_err().text, "it refused the handshake: no key (-32000)");
        assert_eq!(said, "initialize 2025-11-25, initialize 2024-11-05");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_ends_is_told_from_one_that_refuses() {
        let (agreed, _) = check(&auto(), |_, _, _| None).await;
        let refusal = agreed.unwrap_err();
        assert_eq!((refusal.is_gone, refusal.text.as_str()), (true, "it closed its output before it was ready"));
        let modern = Opening { era: ProtocolEra::Modern, version: None, ends: 0 };
        let (agreed, said) = check(&modern, |_, id, _| error(&id.to_string(), -32_601, "what?")).await;
        assert_eq!(agreed.unwrap_err().text, "it refused to say what it speaks: what? (-32601)");
        assert_eq!(said, "server/discover");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_read_as_far_as_it_can_be() {
        for (text, name, version) in [
            (r#"{}"#, None, "2025-11-25"),
            ("[]", None, "2025-11-25"),
            (r#"{"protocolVersion":"1.0","serverInfo":{"name":"s","version":7},"capabilities":[]}"#, Some("s"), "1.0"),
            (r#"{"protocolVersion":"2026-07-28","serverInfo":"s","instructions":3}"#, None, "2025-11-25"),
            (
                r#"{"protocolVersion":7,"capabilities":{"tools":{"listChanged":true},"logging":"x"}}"#,
                None,
                "2025-11-25",
            ),
        ] {
            let info = initialized(&Json::parse(text).unwrap());
            assert_eq!(info.protocol_version.as_str(), version, "{text}");
            assert_eq!(info.server_info.map(|it| it.name).as_deref(), name, "{text}");
        }
        let odd =
            initialized(&Json::parse(r#"{"capabilities":{"tools":{"listChanged":true},"logging":"x"}}"#).unwrap());
        assert_eq!(odd.capabilities.tools.unwrap().list_changed, Some(true));
        let told = format!(r#"{{"_meta":{{"{SERVER_INFO}":{{"name":"m","title":"M"}}}}}}"#);
        let modern = info(&Json::parse(&told).unwrap(), ProtocolVersion::V_2026_07_28);
        assert_eq!(modern.server_info.unwrap().title.as_deref(), Some("M"));
    }
}
