//! The load: connections that each ask one thing at a time, as fast as they are answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

use crate::{
    a2a::{self, Endpoint, Saying, cut},
    asker::{Chance, Line, Sayings},
    events::{self, Streamed},
    process,
    sample::{Latencies, Sample},
};

/// A connection that gets this many wrong answers gives up: something is broken, and the numbers are worth nothing.
const ERRORS_MAX: u64 = 20;

/// How long after the end of a measurement an answer may still be under way.
const LATE_MAX: Duration = Duration::from_secs(20);

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// `SendMessage`, answered when the task is completed.
    Send(Saying),
    /// `SendStreamingMessage`.
    Stream,
    /// `GetTask` of one of these, at random.
    Get(Arc<[String]>),
    /// `ListTasks`: the first page, or the one after one of these tokens, at random.
    List(Arc<[Option<String>]>),
}

/// How it is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    /// Asked for this long before anything is counted.
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
}

/// When answers are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    from: Instant,
    until: Instant,
}

/// One that asks one thing at a time.
pub(crate) trait Ask: Send + Sized + 'static {
    /// Asks once, and looks whether the answer is right. Of a stream it says what that was like.
    fn ask(&mut self) -> impl Future<Output = Result<Option<Streamed>>> + Send;

    /// Begins anew after an answer that was wrong.
    fn begin_again(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Puts the load on a server and says what came of it. `server` is the process whose time is counted.
pub(crate) async fn measure(endpoint: &Endpoint, server: u32, work: &Work, shape: Shape) -> Result<Sample> {
    let mut workers = Vec::with_capacity(shape.connections);
    for number in 0..shape.connections {
        workers.push(Worker::new(endpoint, work, number).await?);
    }
    watch(server, shape, workers).await
}

/// Lets all of them ask, and says what came of it.
pub(crate) async fn watch<A: Ask>(server: u32, shape: Shape, askers: Vec<A>) -> Result<Sample> {
    let from = Instant::now() + shape.warm_up;
    let span = Span { from, until: from + shape.window };
    let mut connections = JoinSet::new();
    for asker in askers {
        connections.spawn(keep_asking(asker, span));
    }
    let usage = || (process::time_of_tree(server), process::time_of_one(std::process::id()));
    tokio::time::sleep_until(span.from.into()).await;
    let (before, at) = (usage(), Instant::now());
    tokio::time::sleep_until(span.until.into()).await;
    let (after, seconds) = (usage(), at.elapsed().as_secs_f64());
    let mut tally = Tally::default();
    let gather = async {
        while let Some(joined) = connections.join_next().await {
            tally.merge(joined.context("a connection of the load panicked")?);
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(LATE_MAX, gather).await.context("waiting for the last answers")??;
    let right = tally.latencies.len();
    let streams = (tally.events > 0).then_some(right as f64);
    Ok(Sample {
        per_second: right as f64 / shape.window.as_secs_f64(),
        server_micros: after.0.saturating_sub(before.0).as_secs_f64() * 1e6 / right.max(1) as f64,
        load_share: after.1.saturating_sub(before.1).as_secs_f64() / seconds,
        latency: tally.latencies.quantiles(),
        first_event: tally.first_events.quantiles(),
        events_per_stream: streams.map(|streams| tally.events as f64 / streams.max(1.0)),
        errors: tally.errors,
        first_error: tally.first_error,
    })
}

/// Makes `count` tasks with as many connections as help, and gives the ids of the last ones.
pub(crate) async fn fill(endpoint: &Endpoint, saying: Saying, count: u64, keep: usize) -> Result<Vec<String>> {
    const CONNECTIONS: usize = 64;
    let next = Arc::new(AtomicU64::new(0));
    let mut connections = JoinSet::new();
    for number in 0..CONNECTIONS {
        let mut worker = Worker::new(endpoint, &Work::Send(saying), number).await?;
        let next = next.clone();
        connections.spawn(async move {
            let mut ids = Vec::new();
            loop {
                let mine = next.fetch_add(1, Ordering::Relaxed);
                if mine >= count {
                    return anyhow::Ok(ids);
                }
                let id = worker.send_and_read(saying).await?;
                if mine + keep as u64 >= count {
                    ids.push(id);
                }
            }
        });
    }
    let mut ids = Vec::new();
    while let Some(joined) = connections.join_next().await {
        ids.extend(joined.context("a connection of the load panicked")?.context("making tasks")?);
    }
    Ok(ids)
}

/// The tokens of the pages of a list, the first page's `None` included, as far as `patience` goes.
pub(crate) async fn page_tokens(endpoint: &Endpoint, patience: Duration) -> Result<Vec<Option<String>>> {
    const PAGES_MAX: usize = 400;
    let mut line = Line::open(endpoint).await?;
    let begin = Instant::now();
    let mut tokens = vec![None];
    while begin.elapsed() < patience && tokens.len() < PAGES_MAX {
        let token = tokens.last().and_then(Option::as_deref);
        match a2a::page_of(line.ask(|writer| writer.list(token)).await?)?.next {
            Some(next) => tokens.push(Some(next)),
            None => break,
        }
    }
    Ok(tokens)
}

/// One page, to see whether and what this server lists.
pub(crate) async fn first_page(endpoint: &Endpoint) -> Result<a2a::Page> {
    let mut line = Line::open(endpoint).await?;
    a2a::page_of(line.ask(|writer| writer.list(None)).await?)
}

/// One connection and what it asks.
#[derive(Debug)]
struct Worker {
    line: Line,
    work: Work,
    sayings: Sayings,
    chance: Chance,
}

#[derive(Debug, Default)]
struct Tally {
    latencies: Latencies,
    first_events: Latencies,
    events: u64,
    errors: u64,
    first_error: Option<String>,
}

impl Tally {
    fn merge(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.first_events.extend(other.first_events);
        self.events += other.events;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

impl Worker {
    async fn new(endpoint: &Endpoint, work: &Work, number: usize) -> Result<Self> {
        Ok(Self {
            line: Line::open(endpoint).await?,
            work: work.clone(),
            sayings: Sayings::of(number),
            chance: Chance::of(number),
        })
    }

    async fn send_and_read(&mut self, saying: Saying) -> Result<String> {
        self.sayings.say_new();
        let text = &self.sayings.text;
        self.line.ask_and_read(text, |writer| writer.send(saying, text)).await
    }
}

impl Ask for Worker {
    async fn ask(&mut self) -> Result<Option<Streamed>> {
        match &self.work {
            Work::Send(saying) => {
                let saying = *saying;
                // Read in full once; after that only searched.
                if self.sayings.said == 0 {
                    self.send_and_read(saying).await?;
                    return Ok(None);
                }
                self.sayings.say_new();
                let text = &self.sayings.text;
                self.line.ask_for(text, |writer| writer.send(saying, text)).await?;
                Ok(None)
            }
            Work::Stream => {
                self.sayings.say_new();
                let Line { connection, writer, .. } = &mut self.line;
                events::stream(connection, writer.stream(&self.sayings.text), &self.sayings.text).await.map(Some)
            }
            Work::Get(ids) => {
                let id = self.chance.pick(ids);
                self.line.ask_for(id, |writer| writer.get(id)).await?;
                Ok(None)
            }
            Work::List(tokens) => {
                let token = self.chance.pick(tokens);
                let body = self.line.ask(|writer| writer.list(token.as_deref())).await?;
                ensure!(memchr::memmem::find(body, b"\"tasks\"").is_some(), "not a list: {}", cut(body));
                Ok(None)
            }
        }
    }

    async fn begin_again(&mut self) -> Result<()> {
        self.line.open_again().await
    }
}

async fn keep_asking(mut asker: impl Ask, Span { from, until }: Span) -> Tally {
    let mut tally = Tally::default();
    loop {
        let start = Instant::now();
        if start >= until || tally.errors >= ERRORS_MAX {
            return tally;
        }
        let asked = asker.ask().await;
        let end = Instant::now();
        match asked {
            // Counted where it ended, as the rate is one of answers.
            Ok(streamed) if (from..until).contains(&end) => {
                tally.latencies.add(end - start);
                if let Some(streamed) = streamed {
                    tally.first_events.add(streamed.first_event);
                    tally.events += streamed.events;
                }
            }
            Ok(_) => {}
            Err(error) => {
                tally.errors += 1;
                tally.first_error.get_or_insert_with(|| format!("{error:#}"));
                if asker.begin_again().await.is_err() {
                    return tally;
                }
            }
        }
    }
}
