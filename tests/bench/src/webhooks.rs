//! Tasks that are told to webhooks: how many notifications arrive in a second, and how long after a task's end its last one does.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tokio::{net::TcpListener, sync::oneshot};

use crate::{
    asker::{Line, Sayings},
    events::Streamed,
    load::{self, Ask, Shape},
    receiver::{Board, Receivers},
    sample::{Quantiles, Sample},
    server::{Place, Server},
    wrapping::Wrapping,
};

/// Receivers that take what they are sent, each at a port of its own: a node has few notifications on their way to one at a time.
const RECEIVERS: usize = 8;

/// Where one receiver is dead, one in so many tasks is told to it.
const DEAD_EVERY: u64 = 64;

/// How long the notifications of one task may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// How many tasks there are at a time, each begun when all of the one before has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Crowd {
    Few,
    Many,
    /// And one receiver takes connections and never answers.
    ManyAndOneDead,
}

impl Crowd {
    pub(crate) const ALL: [Self; 3] = [Self::Few, Self::Many, Self::ManyAndOneDead];

    fn tasks(self) -> usize {
        match self {
            Self::Few => 8,
            Self::Many | Self::ManyAndOneDead => 64,
        }
    }
}

impl std::fmt::Display for Crowd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tasks = self.tasks();
        match self {
            Self::Few | Self::Many => write!(f, "{tasks} tasks at a time, {RECEIVERS} receivers"),
            Self::ManyAndOneDead => write!(f, "{tasks} tasks at a time, {RECEIVERS} receivers and a dead one"),
        }
    }
}

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Delivered {
    pub(crate) deliveries_per_second: f64,
    /// Tasks all of whose notifications arrived.
    pub(crate) tasks_per_second: f64,
    pub(crate) deliveries_per_task: f64,
    /// From the time that a task's last status has to the arrival of the notification that says so.
    pub(crate) after_end: Option<Quantiles>,
    /// The server's processor time for each task, the tool's call and the notifications included.
    pub(crate) server_micros_per_task: f64,
    pub(crate) load_share: f64,
    pub(crate) errors: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_error: Option<String>,
}

impl Delivered {
    fn of(sample: Sample) -> Self {
        let per_task = sample.events_per_stream.unwrap_or_default();
        Self {
            deliveries_per_second: sample.per_second * per_task,
            tasks_per_second: sample.per_second,
            deliveries_per_task: per_task,
            after_end: sample.first_event,
            server_micros_per_task: sample.server_micros,
            load_share: sample.load_share,
            errors: sample.errors,
            first_error: sample.first_error,
        }
    }
}

/// A server that may tell our receivers, and they.
#[derive(Debug)]
pub(crate) struct Webhooks {
    wrapping: Wrapping,
    configuration: PathBuf,
    receivers: Receivers,
    dead: String,
    /// Nobody takes what comes here, so the kernel takes connections and nobody answers.
    _dead: TcpListener,
}

impl Webhooks {
    /// Begins to receive, and writes the server's configuration into this folder.
    pub(crate) async fn begin(wrapping: Wrapping, folder: &Path) -> Result<Self> {
        let receivers = Receivers::serve(RECEIVERS).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("binding a port")?;
        let dead = format!("http://{}", listener.local_addr()?);
        let mut origins = receivers.origins.clone();
        origins.push(dead.clone());
        let configuration = folder.join("webhooks.yaml");
        let origins = serde_json::Value::from(origins);
        let text = format!("node: {{ webhooks: {origins} }}\n{}\n", wrapping.agent_line());
        fs::write(&configuration, text).context("writing a configuration")?;
        Ok(Self { wrapping, configuration, receivers, dead, _dead: listener })
    }

    /// Measures each crowd once, on one server.
    pub(crate) async fn round(&self, place: &Place, shape: impl Fn(usize) -> Shape) -> Result<Vec<(Crowd, Delivered)>> {
        let recipe = self.wrapping.up("webhooks", "with webhooks", &self.configuration);
        let server = Server::start(&recipe, place).await?;
        let mut found = Vec::new();
        // The dead one last: what waits for it waits on.
        for crowd in Crowd::ALL {
            let mut senders = Vec::new();
            for number in 0..crowd.tasks() {
                senders.push(self.sender(&server, crowd, number).await?);
            }
            let sample = load::watch(server.pid, shape(crowd.tasks()), senders).await?;
            found.push((crowd, Delivered::of(sample)));
        }
        server.stop().await?;
        Ok(found)
    }

    async fn sender(&self, server: &Server, crowd: Crowd, number: usize) -> Result<Sender> {
        let hook = |origin: &str| format!("{origin}/hook");
        Ok(Sender {
            line: Line::open(&server.endpoint).await?,
            receiver: hook(&self.receivers.origins[number % RECEIVERS]),
            dead: match crowd {
                Crowd::Few | Crowd::Many => None,
                Crowd::ManyAndOneDead => Some(hook(&self.dead)),
            },
            board: self.receivers.board.clone(),
            sayings: Sayings::of(number),
        })
    }
}

/// One that sends a message, and waits until its receiver has been told of the end.
#[derive(Debug)]
struct Sender {
    line: Line,
    receiver: String,
    dead: Option<String>,
    board: Arc<Board>,
    sayings: Sayings,
}

/// Sends what is said now, and has this receiver told of it.
async fn send(line: &mut Line, text: &str, receiver: &str) -> Result<()> {
    line.ask_for(text, |writer| writer.send_told(text, receiver)).await
}

impl Ask for Sender {
    async fn ask(&mut self) -> Result<Option<Streamed>> {
        let Self { line, receiver, dead, board, sayings } = self;
        sayings.say_new();
        if let Some(dead) = dead
            && sayings.said % DEAD_EVERY == sayings.number as u64 % DEAD_EVERY
        {
            send(line, &sayings.text, dead).await?;
            sayings.say_new();
        }
        let (told, hears) = oneshot::channel();
        board.expect(&sayings.text, told);
        let heard = match send(line, &sayings.text, receiver).await {
            Ok(()) => tokio::time::timeout(PATIENCE, hears).await,
            Err(error) => {
                board.forget(&sayings.text);
                return Err(error);
            }
        };
        match heard {
            Ok(Ok(arrived)) => arrived.map(Some),
            Ok(Err(_)) => bail!("the receivers have ended"),
            Err(_) => {
                board.forget(&sayings.text);
                bail!("the end of a task has not arrived within {} s", PATIENCE.as_secs())
            }
        }
    }

    async fn begin_again(&mut self) -> Result<()> {
        self.line.open_again().await
    }
}
