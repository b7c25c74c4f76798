//! What those who ask have in common: a connection that is kept, another text each time, and a choice that looks like chance.

use anyhow::{Result, ensure};

use crate::{
    a2a::{Endpoint, Writer, cut},
    http::Connection,
};

/// A connection to a server, and what writes requests for it.
#[derive(Debug)]
pub(crate) struct Line {
    endpoint: Endpoint,
    pub(crate) connection: Connection,
    pub(crate) writer: Writer,
}

impl Line {
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self> {
        let connection = Connection::open(endpoint).await?;
        Ok(Self { connection, writer: endpoint.writer(), endpoint: endpoint.clone() })
    }

    /// Drops the connection for another one.
    pub(crate) async fn open_again(&mut self) -> Result<()> {
        self.connection = Connection::open(&self.endpoint).await?;
        Ok(())
    }

    /// Asks, and gives the body of the answer, which must be a good one.
    pub(crate) async fn ask(&mut self, write: impl FnOnce(&mut Writer) -> &[u8]) -> Result<&[u8]> {
        let (status, body) = self.connection.exchange(write(&mut self.writer)).await?;
        ensure!(status == 200, "the status is {status}: {}", cut(body));
        Ok(body)
    }

    /// Asks for a completed task that has this text in it. The answer is only searched for that, which costs less than the server's own
    /// work.
    pub(crate) async fn ask_for(&mut self, text: &str, write: impl FnOnce(&mut Writer) -> &[u8]) -> Result<()> {
        let dialect = self.endpoint.dialect;
        let body = self.ask(write).await?;
        ensure!(dialect.is_echo(body, text), "not the task of {text:?}: {}", cut(body));
        Ok(())
    }

    /// Asks for the same, reads the answer in full, and gives the task's id.
    pub(crate) async fn ask_and_read(
        &mut self,
        text: &str,
        write: impl FnOnce(&mut Writer) -> &[u8],
    ) -> Result<String> {
        let dialect = self.endpoint.dialect;
        dialect.task_of(self.ask(write).await?, text)
    }
}

/// What one of them says: another text each time, and none that anyone else says.
#[derive(Debug)]
pub(crate) struct Sayings {
    pub(crate) text: String,
    pub(crate) number: usize,
    /// How many there were.
    pub(crate) said: u64,
}

impl Sayings {
    pub(crate) fn of(number: usize) -> Self {
        Self { text: String::new(), number, said: 0 }
    }

    /// Goes on to the next text.
    pub(crate) fn say_new(&mut self) {
        use std::fmt::Write as _;
        self.said += 1;
        self.text.clear();
        let _ = write!(self.text, "say-{:03}-{:010}-again", self.number, self.said);
    }
}

/// Choices by xorshift: good enough to spread, and next to free. The same ones in each run, so that runs differ in nothing that we choose.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn of(number: usize) -> Self {
        // Any but zero.
        Self(0x9e37_79b9_7f4a_7c15 ^ ((number as u64 + 1) << 32))
    }

    /// One of these, of which there must be any.
    pub(crate) fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let index = self.0 % among.len() as u64;
        &among[usize::try_from(index).expect("less than a length")]
    }
}
