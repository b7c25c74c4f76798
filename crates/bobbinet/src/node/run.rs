//! The life of a node: started, ready, told to stop, drained, gone.

use std::{sync::Arc, time::Duration};

use bobbinet_store::SledStore;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    plan::{Plan, Whom},
    running::Announcement,
    start, stop,
};
use crate::{
    failure::{Code, Failure},
    output::Output,
};

/// How often the store is asked how it is.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// What ends a node.
enum End {
    /// It was told to.
    Told,
    /// Its store takes nothing any more.
    Store(String),
    /// Nobody serves any more.
    Server,
}

/// Signals that come within this time are one: a terminal and whoever stands in between both pass on the same Ctrl-C.
const SIGNALS_TOGETHER: Duration = Duration::from_secs(1);

/// Whoever may tell the process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Heard so that it does not end us without a word: the write that a limit forbids fails, and says so.
    _file_too_large: Signal,
    last: Option<Instant>,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::of(Code::Internal, &error));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            _file_too_large: listen(SignalKind::from_raw(nix::libc::SIGXFSZ))?,
            last: None,
        })
    }

    /// Returns when the process is told to end, once more than [`SIGNALS_TOGETHER`] after the last time. Safe to drop.
    async fn next(&mut self) {
        loop {
            tokio::select! {
                biased;
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            let is_same = self.last.is_some_and(|last| last.elapsed() < SIGNALS_TOGETHER);
            if !is_same {
                self.last = Some(Instant::now());
                return;
            }
        }
    }
}

/// Runs a node until it is told to stop, and takes it down in order. A second signal ends it where it stands: what is
/// durable is durable, and the next start goes on from there.
pub(crate) async fn run(output: Output, plan: Plan) -> Result<(), Failure> {
    run_node(Whom::Everybody(output), plan, CancellationToken::new()).await
}

/// The same for a command that has a node of its own: says nothing, and ends when the token says so.
pub(crate) async fn run_until(plan: Plan, told: CancellationToken) -> Result<(), Failure> {
    run_node(Whom::Nobody, plan, told).await
}

async fn run_node(whom: Whom, plan: Plan, told: CancellationToken) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    if let Err(error) = bobbinet_mcp::adopt_orphans() {
        tracing::warn!(%error, "a server's process that leaves everything behind may stay when its guardian is killed");
    }
    let announcement = Announcement::begin(&plan.node.data);
    let (pre_stop_delay, grace) = (plan.node.pre_stop_delay, plan.node.grace);
    let stop = CancellationToken::new();
    let node = tokio::select! {
        biased;
        () = signals.next() => return Ok(()),
        node = start::start(whom, plan, announcement, stop.clone()) => node?,
    };
    let mut serving = Box::pin(bobbinet_http::serve(node.listener, node.server.clone()));
    let engine = node.engine.clone();
    let end = tokio::select! {
        biased;
        () = signals.next() => End::Told,
        () = told.cancelled() => End::Told,
        why = fault(&node.store) => End::Store(why),
        // The terminal is gone.
        () = node.reload.follow() => End::Told,
        () = &mut serving => End::Server,
    };
    let why = match end {
        End::Told => None,
        End::Store(why) => {
            tracing::error!(why, "the store takes nothing any more; ending");
            Some(
                Failure::new(Code::StoreDamaged, format!("the store takes nothing any more: {why}"))
                    .hint("make a copy of the data folder, then look at it with `bobbinet store check`"),
            )
        }
        End::Server => Some(Failure::new(Code::Internal, "the server has ended by itself")),
    };
    // What cannot be kept need not come to its end.
    let (pre_stop_delay, grace) =
        if why.is_some() { (Duration::ZERO, Duration::ZERO) } else { (pre_stop_delay, grace) };
    let mut starts = node.starts;
    starts.shutdown().await;
    node.scheduler.stop().await;
    let down = stop::stop(
        stop::Stopping { engine, webhooks: node.webhooks, server: node.server, stop, pre_stop_delay, grace },
        serving,
    );
    tokio::select! {
        biased;
        () = signals.next() => {
            tracing::warn!("told twice: ending at once");
            drop(node.announcement);
            // Nothing is written behind anybody's back, so nothing is lost by not unwinding.
            std::process::exit(1);
        }
        () = down => {}
    }
    drop(node.announcement);
    // The store writes its watermark and frees the folder when the last of its users lets it go.
    drop(node.engine);
    Arc::into_inner(node.store);
    tracing::info!("stopped");
    match why {
        None => Ok(()),
        Some(failure) => Err(failure),
    }
}

/// Returns when the store will never take anything again, with the reason.
async fn fault(store: &SledStore) -> String {
    let mut ticks = interval(HEALTH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(why) = store.fault() {
            return why.to_owned();
        }
    }
}
