//! A server's standard error: read to its end, and its last lines kept for whoever asks why the server died.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::ChildStderr,
};
use tokio_util::sync::CancellationToken;

use super::{
    pulse::PulseReader,
    shim::{NOT_ISOLATED, SEEN},
};
use crate::{last_words::with_last_words, secrets::Secrets};

/// Lines of standard error that are kept for whoever asks why the server died.
const TAIL_LINES: usize = 20;

/// Bytes that are kept of one line of standard error.
const TAIL_LINE_BYTES: usize = 512;

/// Bytes of standard error that go into an error which a caller sees: its end, where the reason stands.
const LAST_WORDS_BYTES: usize = 1_000;

/// How long the end of standard error is waited for when a server is gone: the shim closes it some milliseconds later.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(300);

/// The last lines that a server wrote to its standard error.
#[derive(Debug, Default)]
pub(crate) struct StderrTail {
    lines: Mutex<VecDeque<String>>,
    /// The newest line that speaks of an error: some programs print it, and then how they are used, at length.
    error: Mutex<Option<String>>,
    /// Nothing more will come.
    ended: CancellationToken,
    /// What it was given that is not to be repeated.
    secrets: Secrets,
}

impl StderrTail {
    pub(super) fn new(secrets: Secrets) -> Self {
        Self { secrets, ..Self::default() }
    }

    /// Of a server that has none.
    #[cfg(test)]
    pub(super) fn without_stderr() -> Arc<Self> {
        let tail = Self::default();
        tail.ended.cancel();
        Arc::new(tail)
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().expect("nobody panics while holding a few lines")
    }

    fn error(&self) -> MutexGuard<'_, Option<String>> {
        self.error.lock().expect("nobody panics while holding a line")
    }

    fn push(&self, line: String) {
        let speaks_of_error = ["error", "fatal", "panic"]
            .iter()
            .any(|word| line.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes())));
        if speaks_of_error {
            *self.error() = Some(line.clone());
        }
        let mut lines = self.lines();
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// What it said at last, oldest line first. Waits a moment for the end of it.
    pub(crate) async fn last_words(&self) -> String {
        let _ = tokio::time::timeout(LAST_WORDS_WAIT, self.ended.cancelled()).await;
        let text = self.lines().iter().map(String::as_str).collect::<Vec<_>>().join("\n");
        let error = self.error().clone().unwrap_or_default();
        let error = error.trim();
        let start = text.ceil_char_boundary(text.len().saturating_sub(LAST_WORDS_BYTES));
        // From the beginning of a line, if there is one.
        let start = if start > 0 { text[start..].find('\n').map_or(start, |end| start + end + 1) } else { 0 };
        let end = &text[start..];
        match (end.contains(error), start) {
            (true, 0) => text,
            (true, _) => format!("…\n{end}"),
            (false, _) => format!("{error}\n…\n{end}"),
        }
    }

    /// Why a server ended, and below it what it said at last.
    pub(crate) async fn explain(&self, why: &str) -> String {
        with_last_words(why, &self.last_words().await)
    }
}

/// Reads standard error to its end: a server that cannot write would stop.
pub(super) async fn read_stderr(name: String, mark: String, stderr: PulseReader<ChildStderr>, tail: Arc<StderrTail>) {
    // Also when this is dropped.
    let _ended = tail.ended.clone().drop_guard();
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    // So that a secret that begins in what is kept is whole when it is looked for.
    let max = TAIL_LINE_BYTES + tail.secrets.longest();
    let mut is_first = true;
    loop {
        let (taken, is_whole) = match stderr.fill_buf().await {
            Ok(bytes) if !bytes.is_empty() => match bytes.iter().position(|&byte| byte == b'\n') {
                Some(end) => (keep(&mut line, &bytes[..end], max) + 1, true),
                None => (keep(&mut line, bytes, max), false),
            },
            Ok(_) | Err(_) => break,
        };
        stderr.consume(taken);
        if is_whole && std::mem::take(&mut is_first) && is_told(&name, &mark, &line) {
            line.clear();
        } else if is_whole {
            say(&name, &tail, &mut line);
        }
    }
    say(&name, &tail, &mut line);
}

/// Appends as much as there is room for. Returns how much was given.
fn keep(line: &mut Vec<u8>, bytes: &[u8], max: usize) -> usize {
    let room = max.saturating_sub(line.len()).min(bytes.len());
    line.extend_from_slice(&bytes[..room]);
    bytes.len()
}

fn say(name: &str, tail: &StderrTail, line: &mut Vec<u8>) {
    let text = tail.secrets.hide_in_beginning(String::from_utf8_lossy(line).trim_end(), TAIL_LINE_BYTES).into_owned();
    line.clear();
    if !text.is_empty() {
        tracing::debug!(agent = name, line = %text, "server's standard error");
        tail.push(text);
    }
}

/// Whether a first line of standard error is the shim's, on isolation: it begins with the mark that nobody else knows yet.
fn is_told(name: &str, mark: &str, line: &[u8]) -> bool {
    let Some(told) = std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix(mark)) else { return false };
    let words = told.trim_start();
    if let Some(why) = words.strip_prefix(NOT_ISOLATED) {
        tracing::warn!(
            agent = name,
            "not isolated: the MCP server could read this node's keys and store:{why}. Say `isolation: required` to start \
             no such server, or `isolation: off` if that is how it should be"
        );
    } else if let Some(files) = words.strip_prefix(SEEN) {
        tracing::warn!(
            agent = name,
            "the MCP server could read{files}: there is no mount namespace to be had here, so they must lie outside of the folders that \
             it works in"
        );
    } else {
        tracing::debug!(agent = name, "the MCP server is{told}");
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::last_words::headline;

    #[tokio::test]
    async fn last_words_are_few_and_keep_secrets() {
        let tail = StderrTail::new(Secrets::of(["hunter22", "80"].map(str::to_owned)));
        tail.ended.cancel();
        assert_eq!(tail.explain("it ended").await, "it ended");
        say("a", &tail, &mut b"port 80 with hunter22".to_vec());
        tail.push("bye".to_owned());
        let text = tail.explain("it ended").await;
        assert_eq!(text, "it ended. Its last words:\nport 80 with …\nbye");
        assert_eq!(headline(&text), "it ended");
        tail.push("Error: unknown command \"stdoi\"".to_owned());
        for number in 0..100 {
            tail.push(format!("--flag-{number} {}", "ä".repeat(100)));
        }
        let words = tail.last_words().await;
        assert!(words.starts_with("Error: unknown command \"stdoi\"\n…\n--flag-9") && words.ends_with('ä'), "{words}");
        assert!(words.len() <= LAST_WORDS_BYTES + TAIL_LINE_BYTES + "\n…\n".len(), "{}", words.len());
    }
}
