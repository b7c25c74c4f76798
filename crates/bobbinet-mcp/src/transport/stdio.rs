//! The stdio transport: the server is a child process, a message is a line on its pipes.
//!
//! The process runs behind a [`shim`] (an [`isolation`] from this node's keys and store, and the certain end of its whole
//! tree), is known to be alive by its [`pulse`] and to be dead by its exit status, explains itself on [`stderr`], and is
//! written down so that a later life of ours can [`sweep`] it away.

mod isolation;
mod launcher;
mod lines;
mod process;
mod procfs;
mod pulse;
mod rlimits;
mod shim;
mod stderr;
mod sweep;

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use bobbinet_core::json::line;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::Mutex,
};
use tokio_util::task::TaskTracker;

use self::{
    lines::{LineRead, Lines},
    process::ServerProcess,
    stderr::StderrTail,
};
use crate::{
    config::{McpConfig, ServerCommand},
    transport::{Connection, ConnectionParts, MessageSink, MessageSource, OutgoingMessage, Received, Transport},
};

pub use self::{
    launcher::{FreshEnv, Launcher},
    shim::exec_mcp,
    sweep::adopt_orphans,
};

/// How long closing waits for a write that the server does not take.
const CLOSE_WAIT: Duration = Duration::from_millis(200);

/// Starts a process for each connection.
#[derive(Debug)]
pub(crate) struct StdioTransport {
    /// The agent's name.
    agent: String,
    server: ServerCommand,
    line_bytes_max: usize,
    launcher: Launcher,
    /// Of the tasks that read what servers write.
    tracker: TaskTracker,
}

impl StdioTransport {
    /// For this server of the configuration's.
    pub(crate) fn new(config: &McpConfig, server: ServerCommand, launcher: Launcher, tracker: TaskTracker) -> Self {
        let line_bytes_max = config.limits.line_bytes_max;
        Self { agent: config.name.clone(), server, line_bytes_max, launcher, tracker }
    }
}

#[async_trait]
impl Transport for StdioTransport {
    async fn connect(&self, folder: &Path) -> io::Result<ConnectionParts> {
        let Self { agent, server, launcher, tracker, .. } = self;
        let (process, stdin, stdout) = ServerProcess::start(agent, server, launcher, folder, tracker)?;
        let messages = LineSource { lines: Lines::new(stdout, self.line_bytes_max), tail: process.tail().clone() };
        let secrets = process.secrets().clone();
        Ok(ConnectionParts {
            messages: Box::new(messages),
            sink: Arc::new(LineSink::new(stdin)),
            secrets,
            connection: Box::new(process),
        })
    }

    async fn clean_up(&self, folder: &Path) -> usize {
        let folder = folder.to_owned();
        tokio::task::spawn_blocking(move || sweep::sweep(&folder)).await.unwrap_or_default()
    }
}

#[async_trait]
impl Connection for ServerProcess {
    fn peer(&self) -> String {
        format!("process {}", self.pid())
    }

    async fn at_rest(&self, rest: Duration, limit: Duration) {
        self.pulse().at_rest(rest, limit).await;
    }

    async fn given_up(&self, patience: Duration, limit: Duration) -> String {
        self.pulse().given_up(self.pid(), patience, limit).await
    }

    async fn gone(&mut self) {
        self.ended().await;
    }

    async fn own_end(&mut self) -> Option<String> {
        self.own_status().await.map(|status| status.to_string())
    }

    async fn explain(&self, why: &str) -> String {
        self.tail().explain(why).await
    }

    async fn close(&mut self, grace: Duration) {
        self.stop(grace).await;
    }
}

/// A server's standard output.
#[derive(Debug)]
pub(crate) struct LineSource<R> {
    lines: Lines<R>,
    /// Where the server's last words are.
    tail: Arc<StderrTail>,
}

#[async_trait]
impl<R: AsyncRead + fmt::Debug + Send + Unpin> MessageSource for LineSource<R> {
    async fn next(&mut self) -> Received {
        match self.lines.next().await {
            LineRead::Line => Received::Message(std::mem::take(&mut self.lines.line)),
            LineRead::Long(ids) => Received::TooLong { ids, bytes: self.lines.max },
            LineRead::Longer => Received::StillTooLong { bytes: self.lines.max },
            LineRead::End => Received::End(self.tail.explain("it closed its output").await),
        }
    }

    fn recycle(&mut self, buffer: Vec<u8>) {
        self.lines.give_back(buffer);
    }
}

/// A server's standard input.
#[derive(Debug)]
pub(crate) struct LineSink<W> {
    /// `None` once it was closed: an orderly server ends at the end of its input.
    writer: Mutex<Option<W>>,
}

impl<W> LineSink<W> {
    fn new(writer: W) -> Self {
        Self { writer: Mutex::new(Some(writer)) }
    }
}

#[async_trait]
impl<W: AsyncWrite + fmt::Debug + Send + Unpin> MessageSink for LineSink<W> {
    async fn send(&self, message: OutgoingMessage) -> io::Result<()> {
        let OutgoingMessage { text: mut message, .. } = message;
        // One message is one line (MCP, stdio transport), however its reader splits lines.
        line::escape_from(&mut message, 0);
        message.push(b'\n');
        match self.writer.lock().await.as_mut() {
            Some(writer) => {
                writer.write_all(&message).await?;
                writer.flush().await
            }
            None => Err(io::Error::new(io::ErrorKind::NotConnected, "the pipe is closed")),
        }
    }

    async fn close(&self) {
        if let Ok(mut writer) = tokio::time::timeout(CLOSE_WAIT, self.writer.lock()).await {
            writer.take();
        }
    }
}

/// Both ends of a pipe whose other end is no process.
#[cfg(test)]
pub(crate) fn over_pipe<R, W>(
    reader: R,
    writer: W,
    line_bytes_max: usize,
) -> (Box<dyn MessageSource>, Arc<dyn MessageSink>)
where
    R: AsyncRead + fmt::Debug + Send + Unpin + 'static,
    W: AsyncWrite + fmt::Debug + Send + Unpin + 'static,
{
    let source = LineSource { lines: Lines::new(reader, line_bytes_max), tail: StderrTail::without_stderr() };
    (Box::new(source), Arc::new(LineSink::new(writer)))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_message_is_one_line_however_its_reader_splits_lines() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 10);
        let sink = LineSink::new(ours);
        sink.send("{\"a\":\"x\u{2028}\"}".as_bytes().to_vec().into()).await.unwrap();
        sink.close().await;
        assert!(sink.send(b"{}".to_vec().into()).await.is_err(), "it is closed");
        let mut written = String::new();
        theirs.read_to_string(&mut written).await.unwrap();
        assert_eq!(written, "{\"a\":\"x\\u2028\"}\n");
    }
}
