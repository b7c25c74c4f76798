//! What a server says for its client's log, in ours: as one line each, cut, without the secrets that it was given, and no more of
//! it than anybody reads.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use bobbinet_core::{Json, text};
use bobbinet_engine::{CallLog, CallName, Severity};
use serde_json::Value;
use tokio::time::Instant;

use crate::{json_object::JsonObject, rpc_message, secrets::Secrets};

/// Messages that are taken in one [`WINDOW`]. What is more is counted.
const MESSAGES_MAX: u32 = 50;

/// The time in which [`MESSAGES_MAX`] messages are taken.
const WINDOW: Duration = Duration::from_secs(10);

/// Characters of one message.
const TEXT_MAX: usize = 2_000;

/// Characters of the name of who says it.
const LOGGER_MAX: usize = 100;

/// Bytes of a message that goes to those who listen as it is.
const LINE_BYTES_MAX: usize = 16 << 10;

/// The log of one session with a server.
pub(crate) struct ServerLog {
    agent: String,
    /// Those who listen to single calls.
    calls: Arc<CallLog>,
    /// What it was given, which is not to be repeated.
    secrets: Secrets,
    window: Option<Instant>,
    taken: u32,
    passed_over: u64,
}

/// Says nothing of what the server was given.
impl fmt::Debug for ServerLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agent, taken, passed_over, .. } = self;
        let mut shown = f.debug_struct("ServerLog");
        shown.field("agent", agent).field("taken", taken).field("passed_over", passed_over).finish_non_exhaustive()
    }
}

/// How grave a message is, in the words of our log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

impl LogLevel {
    /// The least grave that this process writes at all. `None`: it writes nothing.
    pub(crate) fn wanted() -> Option<Self> {
        // Asked where the messages are written, as what is written may differ from module to module.
        if tracing::enabled!(tracing::Level::DEBUG) {
            Some(Self::Debug)
        } else if tracing::enabled!(tracing::Level::INFO) {
            Some(Self::Info)
        } else if tracing::enabled!(tracing::Level::WARN) {
            Some(Self::Warn)
        } else {
            tracing::enabled!(tracing::Level::ERROR).then_some(Self::Error)
        }
    }

    /// The protocol's word for it, which is that of syslog (RFC 5424).
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warning",
            Self::Error => "error",
        }
    }

    /// What is meant by a word of the protocol, or one that others use for it.
    fn read(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "debug" | "trace" => Self::Debug,
            "warning" | "warn" => Self::Warn,
            "error" | "critical" | "alert" | "emergency" | "fatal" => Self::Error,
            _ => Self::Info,
        }
    }
}

impl ServerLog {
    pub(crate) fn new(agent: &str, secrets: Secrets, calls: Arc<CallLog>) -> Self {
        Self { agent: agent.to_owned(), calls, secrets, window: None, taken: 0, passed_over: 0 }
    }

    /// Writes a message, by the parameters of its notification.
    pub(crate) fn write(&mut self, params: Option<&Json>, now: Instant) {
        let Some(fields) = params.and_then(JsonObject::read) else { return };
        let level = LogLevel::read(&fields.text("level").unwrap_or_default());
        // What is not written anyway takes nobody's place.
        if LogLevel::wanted().is_none_or(|wanted| level < wanted) {
            return;
        }
        let Some(passed_over) = self.take(now) else { return };
        if passed_over > 0 {
            tracing::warn!(agent = self.agent, messages = passed_over, "server said more for the log than is written");
        }
        let (logger, said) = self.read(&fields);
        let agent = self.agent.as_str();
        match level {
            LogLevel::Debug => tracing::debug!(agent, logger, said, "server's log"),
            LogLevel::Info => tracing::info!(agent, logger, said, "server's log"),
            LogLevel::Warn => tracing::warn!(agent, logger, said, "server's log"),
            LogLevel::Error => tracing::error!(agent, logger, said, "server's log"),
        }
    }

    /// Whether anybody listens to what is said.
    pub(crate) fn is_listened(&self) -> bool {
        self.calls.is_listened()
    }

    /// Tells a message to those who listen to the first of these calls that anybody listens to.
    pub(crate) fn tell(&self, calls: &[CallName], params: Option<&Json>) {
        let heard = calls.iter().find(|call| self.calls.wanted(call).is_some());
        let Some((call, fields)) = heard.zip(params.and_then(JsonObject::read)) else { return };
        let word = fields.text("level").unwrap_or_default().to_ascii_lowercase();
        let known = || Severity::read(LogLevel::read(&word).word());
        let Some(severity) = Severity::read(&word).or_else(known) else { return };
        let mut line = JsonObject::default();
        line.set("level", Json::of(severity.word()));
        if let Some(logger) = fields.text("logger") {
            line.set("logger", Json::of(&self.shown(&logger, LOGGER_MAX)));
        }
        line.set("data", fields.get("data").map_or_else(|| Json::of(&()), |data| self.told(data)));
        self.calls.tell(call, severity, &line.to_json());
    }

    /// What was said, without secrets; cut to a text, if it is too long.
    fn told(&self, data: &Json) -> Json {
        if data.as_str().len() > LINE_BYTES_MAX {
            let said = data.read().unwrap_or_else(|_| data.as_str().to_owned());
            return Json::of(&self.shown(&said, TEXT_MAX));
        }
        let mut value = data.to_value();
        match self.hide(&mut value) {
            true => Json::from(&value),
            false => data.clone(),
        }
    }

    /// Takes secrets out of all texts; whether there were any.
    fn hide(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => {
                let hidden = match self.secrets.hide(text) {
                    Cow::Borrowed(_) => return false,
                    Cow::Owned(hidden) => hidden,
                };
                *text = hidden;
                true
            }
            Value::Array(values) => {
                values.iter_mut().map(|value| self.hide(value)).filter(|is_hidden| *is_hidden).count() > 0
            }
            Value::Object(fields) => {
                let mut is_found = false;
                for (mut name, mut value) in std::mem::take(fields) {
                    let mut named = Value::String(std::mem::take(&mut name));
                    is_found |= self.hide(&mut named) | self.hide(&mut value);
                    if let Value::String(name) = named {
                        fields.insert(name, value);
                    }
                }
                is_found
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// Whether one more is written, and then how many were not since the last one.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let is_over = self.window.is_none_or(|begun| now.duration_since(begun) >= WINDOW);
        if is_over {
            (self.window, self.taken) = (Some(now), 0);
        }
        if self.taken == MESSAGES_MAX {
            self.passed_over += 1;
            return None;
        }
        self.taken += 1;
        Some(std::mem::take(&mut self.passed_over))
    }

    /// Who says what.
    fn read(&self, fields: &JsonObject) -> (String, String) {
        let logger = self.shown(&fields.text("logger").unwrap_or_default(), LOGGER_MAX);
        let said = fields.get("data").map(|data| data.read().unwrap_or_else(|_| data.as_str().to_owned()));
        (logger, self.shown(&said.unwrap_or_default(), TEXT_MAX))
    }

    fn shown(&self, said: &str, max: usize) -> String {
        // Before it is cut: half of a secret is known for none.
        let said = self.secrets.hide(said);
        text::line(&rpc_message::shorten(&said, max)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use bobbinet_engine::CallLine;

    use super::*;

    fn log() -> ServerLog {
        ServerLog::new("a", Secrets::of(["hunter22".to_owned()]), Arc::default())
    }

    #[test]
    fn a_message_is_one_line_without_secrets() {
        let read = |params: &str| {
            let fields = JsonObject::read(&Json::parse(params).unwrap()).unwrap();
            let (logger, said) = log().read(&fields);
            (LogLevel::read(&fields.text("level").unwrap_or_default()), logger, said)
        };
        let check = |params: &str, expected: (LogLevel, &str, &str)| {
            let found = read(params);
            assert_eq!((found.0, found.1.as_str(), found.2.as_str()), expected, "{params}");
        };
        check(
            r#"{"level":"warning","logger":"db\u001b[2J","data":"a\nb hunter22"}"#,
            (LogLevel::Warn, "db\u{fffd}[2J", "a b …"),
        );
        check(r#"{"level":"alert","data":{"n":1.0,"t":["x"]}}"#, (LogLevel::Error, "", r#"{"n":1.0,"t":["x"]}"#));
        check(r#"{"level":"notice","data":"x"}"#, (LogLevel::Info, "", "x"));
        check(r#"{"level":7}"#, (LogLevel::Info, "", ""));
        let long = format!(r#"{{"level":"debug","data":"{}"}}"#, "x".repeat(10_000));
        let (level, _, said) = read(&long);
        assert_eq!((level, said.chars().count()), (LogLevel::Debug, TEXT_MAX + 1));
    }

    #[test]
    fn who_listens_hears_a_message_as_it_was_said_without_secrets() {
        let log = log();
        let name = |id: &str| CallName::of_message(bobbinet_core::MessageId::parse(id).unwrap());
        assert!(!log.is_listened());
        let lines = log.calls.listen(name("m"), Severity::Info);
        let check = |params: &str, expected: Option<&str>| {
            log.tell(&[name("n"), name("m")], Some(&Json::parse(params).unwrap()));
            let heard = lines.take().map(|line| match line {
                CallLine::Said(line) => line.as_str().to_owned(),
                CallLine::LeftOut(count) => count.to_string(),
            });
            assert_eq!(heard.as_deref(), expected, "{params}");
        };
        check(r#"{"level":"notice","data":{"b":1.0,"a":[1]}}"#, Some(r#"{"level":"notice","data":{"b":1.0,"a":[1]}}"#));
        check(r#"{"level":"debug","data":"x"}"#, None);
        check(
            r#"{"level":"fatal","logger":"db hunter22","data":{"hunter22":["a hunter22"]},"_meta":{}}"#,
            Some(r#"{"level":"error","logger":"db …","data":{"…":["a …"]}}"#),
        );
        log.tell(&[name("n")], Some(&Json::parse(r#"{"level":"error","data":"x"}"#).unwrap()));
        assert_eq!(lines.take(), None, "it is of another call");
        let long = format!(r#"{{"level":"error","data":["{}"]}}"#, "hunter22".repeat(4_000));
        log.tell(&[name("m")], Some(&Json::parse(&long).unwrap()));
        let Some(CallLine::Said(line)) = lines.take() else { panic!() };
        assert!(line.as_str().len() < 3 * TEXT_MAX + 100 && !line.as_str().contains("hunter"), "{}", line.as_str());
    }

    #[test]
    fn a_flood_is_counted_and_not_written() {
        let (mut log, mut now) = (log(), Instant::now());
        let taken = (0..1_000).filter(|_| log.take(now).is_some()).count();
        assert_eq!(taken, MESSAGES_MAX as usize);
        now += WINDOW;
        assert_eq!((log.take(now), log.take(now)), (Some(1_000 - u64::from(MESSAGES_MAX)), Some(0)));
    }
}
