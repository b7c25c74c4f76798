//! Reading an event stream (the `text/event-stream` of the HTML standard) as its bytes arrive.

use std::time::Duration;

/// The most one event may take, in bytes: more than the largest task that a node of ours keeps by default.
pub const SSE_EVENT_MAX: usize = 96 << 20;

/// The longest last event id that is remembered, in bytes; it is sent back in a header.
const EVENT_ID_LENGTH_MAX: usize = 1_024;

/// An event stream that cannot be followed. The parser is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// One event is larger than the parser's limit.
    #[error("an event of the stream is larger than {max} bytes")]
    Large {
        /// The most that the parser was told to take.
        max: usize,
    },
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// The last id that the stream has given, with this event or before it: where to go on after this event.
    pub id: Option<String>,
    /// The event's type, if it is not just a message.
    pub event: Option<String>,
    /// Its data; several lines are joined by line feeds.
    pub data: String,
}

/// Puts events together from chunks of bytes that may end anywhere.
#[derive(Debug)]
pub struct SseParser {
    limit: usize,
    line: Vec<u8>,
    /// Whether the last byte was a carriage return: a line feed after it belongs to it.
    after_return: bool,
    /// Whether no line has ended yet: the first may begin with a byte order mark.
    at_start: bool,
    data: Vec<u8>,
    event: Option<String>,
    id: Option<String>,
    retry: Option<Duration>,
}

impl Default for SseParser {
    fn default() -> Self {
        Self::with_limit(SSE_EVENT_MAX)
    }
}

impl SseParser {
    /// A parser at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// A parser that takes no event of more than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            after_return: false,
            at_start: true,
            data: Vec::new(),
            event: None,
            id: None,
            retry: None,
        }
    }

    /// How long the stream wants its reader to wait before it connects again.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// The last id that the stream has given, for `Last-Event-ID`.
    pub fn last_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Goes on with another connection: what the last one has left unfinished is dropped, its place in the stream is kept.
    pub fn begin_again(&mut self) {
        self.line.clear();
        self.data.clear();
        (self.event, self.after_return, self.at_start) = (None, false, true);
    }

    /// Takes the next bytes, and gives the events that they complete. What is incomplete when the stream ends is no event.
    pub fn feed(&mut self, mut chunk: &[u8]) -> Result<Vec<SseEvent>, SseError> {
        let mut events = Vec::new();
        if self.after_return && !chunk.is_empty() {
            self.after_return = false;
            chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        while let Some(end) = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&chunk[..end])?;
            let is_return = chunk[end] == b'\r';
            chunk = &chunk[end + 1..];
            if is_return {
                self.after_return = chunk.is_empty();
                chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
            }
            let line = std::mem::take(&mut self.line);
            events.extend(self.end_line(&line));
            self.line = line;
            self.line.clear();
        }
        self.extend(chunk)?;
        Ok(events)
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        if self.line.len() + self.data.len() + bytes.len() > self.limit {
            return Err(SseError::Large { max: self.limit });
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, line: &[u8]) -> Option<SseEvent> {
        let line = if self.at_start { line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line) } else { line };
        self.at_start = false;
        if line.is_empty() {
            return self.dispatch();
        }
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => self.event = Some(text(value)),
            b"id" if !value.contains(&0) && value.len() <= EVENT_ID_LENGTH_MAX => self.id = Some(text(value)),
            b"retry" => self.retry = text(value).parse().ok().map(Duration::from_millis).or(self.retry),
            // A comment has an empty name; other names mean nothing.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let event = self.event.take().filter(|event| !event.is_empty());
        if self.data.is_empty() {
            return None;
        }
        let mut data = std::mem::take(&mut self.data);
        data.pop();
        Some(SseEvent { id: self.id.clone().filter(|id| !id.is_empty()), event, data: text(&data) })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
