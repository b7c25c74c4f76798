//! A load by itself, on a server that somebody else started: to look at it with a profiler meanwhile.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::{
    a2a::{Dialect, Endpoint, Saying, Shown},
    load::{self, Shape, Work},
    process::Cores,
    server,
};

/// Puts a load on a server that runs already.
#[derive(Debug, Args)]
pub(crate) struct Alone {
    /// Where it listens, as host:port.
    address: SocketAddr,
    /// What is asked of it.
    #[arg(long, value_enum, default_value_t = Asked::Send)]
    work: Asked,
    /// In which words: streams and lists in JSON-RPC of 1.0 alone.
    #[arg(long, value_enum, default_value_t)]
    dialect: Dialect,
    /// On how many connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// For how long.
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// The process whose time is counted.
    #[arg(long)]
    pid: Option<u32>,
    /// The token or API key to show.
    #[arg(long)]
    bearer: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Asked {
    /// `SendMessage`.
    Send,
    /// `SendMessage` that calls the tool `echo` of a wrapped server.
    Call,
    /// `SendStreamingMessage`.
    Stream,
    /// `GetTask`.
    Get,
    /// `ListTasks`, the first page.
    List,
}

impl Alone {
    /// Runs it, and prints what came of it as JSON.
    pub(crate) async fn run(self) -> Result<()> {
        Cores::pin(Cores::choose()?.load)?;
        let is_plain = matches!(self.work, Asked::Send | Asked::Call | Asked::Get);
        ensure!(
            is_plain || self.dialect == Dialect::JsonRpc,
            "in {} there are no streams and lists here",
            self.dialect
        );
        let (path, dialect) = ("/".to_owned(), self.dialect);
        let shown = self.bearer.map_or(Shown::Nothing, Shown::This);
        let mut endpoint = Endpoint { address: self.address, path, dialect, shown, tls: None };
        server::find_path(&mut endpoint, server::CARD).await.context("reading the agent's card")?;
        let work = match self.work {
            Asked::Send => Work::Send(Saying::Text),
            Asked::Call => Work::Send(Saying::Call),
            Asked::Stream => Work::Stream,
            Asked::Get => Work::Get(load::fill(&endpoint, Saying::Text, 1_000, 1_000).await?.into()),
            Asked::List => Work::List(Arc::from([None])),
        };
        let window = Duration::from_secs_f64(self.seconds);
        let shape = Shape { connections: self.connections, warm_up: Duration::from_millis(500), window };
        let sample = load::measure(&endpoint, self.pid.unwrap_or_default(), &work, shape).await?;
        println!("{}", serde_json::to_string_pretty(&sample)?);
        Ok(())
    }
}
