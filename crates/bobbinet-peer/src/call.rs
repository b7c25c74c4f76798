//! One run: the message goes out, or the task over there is gone on with, and what comes of it becomes the outcome.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bobbinet_core::{Outcome, chain::Chain};
use bobbinet_engine::Run;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::{
    artifacts::Artifacts,
    asked::Asked,
    begin::{self, Begun},
    checkpoint::Checkpoint,
    fallback, fault,
    follow::{Following, Held, Next, Source},
    gathered::Gathered,
    peer::Peer,
};

/// How long a send that is in flight when its task is canceled may still take to say which task it has become.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// Further away than any run lasts.
const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// How long what a peer says is held back, as its task's end may be the next word: longer than a quick call takes, and shorter than
/// anybody waits.
const HOLD_MAX: Duration = Duration::from_millis(10);

/// How often it is looked whether a peer that was not there is.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Carries out a run of an agent.
pub(crate) async fn carry_out(peer: &Arc<Peer>, run: &Run) -> Outcome {
    carry_out_as(peer, run, None).await
}

/// Carries out a run that says what is sent, and what becomes of what is answered.
pub(crate) async fn carry_out_as(peer: &Arc<Peer>, run: &Run, asked: Option<&Asked>) -> Outcome {
    let mut checkpoint = run.checkpointed().and_then(Checkpoint::read).unwrap_or_default();
    let config = &peer.config;
    if let Some(agent) = config.fallback.as_ref().filter(|_| checkpoint.is_fallback) {
        return fallback::carry_out(config, run, agent).await;
    }
    if checkpoint.task.is_some() {
        return go_on(peer, run, asked, checkpoint).await;
    }
    let is_sent = checkpoint.sent_at == Some(run.task().counted.len());
    if is_sent && !checkpoint.may_repeat(run) {
        return fault::unknown(config, "the process that sent it died before it knew which task it became", false);
    }
    let time_is_up = time_is_up(peer, run);
    let mut is_canceled = false;
    let is_out = AtomicBool::new(begin::is_perhaps_sent(run, &checkpoint));
    let begun = if !is_out.load(Ordering::Relaxed) && time_is_up <= Instant::now() {
        None
    } else {
        let mut begin = pin!(begin::begin(peer, run, asked, &mut checkpoint, &is_out));
        tokio::select! {
            biased;
            () = run.canceled() => {
                is_canceled = true;
                // What is not on its way stays here.
                match is_out.load(Ordering::Relaxed) {
                    true => timeout(SETTLE_MAX, begin).await.ok(),
                    false => None,
                }
            }
            () = sleep_until(run.deadline().min(time_is_up)) => None,
            begun = &mut begin => Some(begun),
        }
    };
    let taken = match begun {
        Some(Begun::Taken(taken)) => taken,
        Some(Begun::NotSent(outcome)) => {
            return match &config.fallback {
                Some(agent) if !is_canceled => fallback::carry_out(config, run, agent).await,
                Some(_) | None => outcome,
            };
        }
        Some(Begun::Over(outcome)) => return outcome,
        None => {
            let why = if is_canceled { "its task was canceled here" } else { "the time was up" };
            return match is_out.load(Ordering::Relaxed) {
                true => fault::unknown(config, &format!("{why} while it was sent"), false),
                false => {
                    let text = format!("nothing was sent: {why}");
                    Outcome::Failed(fault::of_peer(config, "peer-unreachable", &text))
                }
            };
        }
    };
    let streams = taken.stream.is_some();
    checkpoint.replica = taken.lease.address;
    let source = taken.stream.map_or(Source::Look, |stream| Source::Stream(Box::new(stream)));
    let mut following = Following {
        peer,
        run,
        checkpoint,
        artifacts: Artifacts::of(&run.task().artifacts),
        client: taken.client,
        lease: taken.lease,
        source,
        streams,
        heard: Instant::now(),
        failures: 0,
        garbage: 0,
        held: Held::default(),
        gathered: asked.map(|asked| Gathered::new(asked, run)),
    };
    let next = following.take(taken.first).await;
    follow(following, next).await
}

/// When whoever began the chain of calls needs it done, if that is said.
fn time_is_up(peer: &Peer, run: &Run) -> Instant {
    let left = Chain::of(run.first_message()).by.map(|by| by.since(peer.config.env.now()));
    Instant::now() + left.unwrap_or(NEVER).min(NEVER)
}

/// Goes on with the task that an earlier run has begun.
async fn go_on(peer: &Arc<Peer>, run: &Run, asked: Option<&Asked>, checkpoint: Checkpoint) -> Outcome {
    let begun = Instant::now();
    let silence_max = peer.config.limits.silence_max;
    let connected = async {
        loop {
            // One that is no longer fresh will do: it leads to the task.
            if let Some(known) = peer.cards.last() {
                let lease = peer.replicas.at(checkpoint.replica);
                match peer.client(&known, lease.address).await {
                    Ok(client) => return Ok((client, lease, known.streams)),
                    Err(error) if begun.elapsed() >= silence_max => return Err(fault::told(&error)),
                    Err(_) => {}
                }
            }
            if begun.elapsed() >= silence_max {
                return Err(peer.cards.failed().unwrap_or_else(|| "its card did not come".to_owned()));
            }
            sleep(LOOK_AGAIN).await;
        }
    };
    let connected = tokio::select! {
        biased;
        () = run.canceled() => Err("its task was canceled here, and it could not be told so".to_owned()),
        () = sleep_until(run.deadline().min(time_is_up(peer, run))) => Err("the time was up".to_owned()),
        connected = connected => connected,
    };
    let (client, lease, streams) = match connected {
        Ok(connected) => connected,
        Err(why) => return fault::unknown(&peer.config, &why, false),
    };
    let following = Following {
        peer,
        run,
        checkpoint,
        artifacts: Artifacts::of(&run.task().artifacts),
        client,
        lease,
        source: Source::Look,
        streams,
        heard: begun,
        failures: 0,
        garbage: 0,
        held: Held::default(),
        gathered: asked.map(|asked| Gathered::new(asked, run)),
    };
    follow(following, Next::GoOn).await
}

/// What is to be done about a task over there.
enum Turn {
    Next(Next),
    /// Nothing followed at once.
    Flush,
    Canceled,
    TimeIsUp,
}

async fn follow(mut following: Following<'_>, first: Next) -> Outcome {
    let mut next = first;
    let time_is_up = time_is_up(following.peer, following.run);
    loop {
        let run = following.run;
        let turn = match next {
            Next::Over(outcome) => {
                if let Source::Stream(stream) = following.source {
                    stream.finish().await;
                }
                return outcome;
            }
            Next::Ask(status) => match following.flush().await {
                Next::GoOn => Turn::Next(following.ask(status).await),
                over @ (Next::Ask(_) | Next::Over(_)) => Turn::Next(over),
            },
            Next::GoOn => {
                let held = following.held.is_something();
                // The next process goes on with its task, which is kept, or is found by its key.
                let is_found = following.checkpoint.task.is_some() || following.checkpoint.may_repeat(run);
                let _elsewhere = is_found.then(|| run.works_elsewhere());
                tokio::select! {
                    biased;
                    () = run.canceled() => Turn::Canceled,
                    () = sleep_until(run.deadline().min(time_is_up)) => Turn::TimeIsUp,
                    heard = following.next() => match heard {
                        Ok(event) => Turn::Next(following.take(event).await),
                        Err(outcome) => {
                            // Whatever became of the call, this was made.
                            following.flush().await;
                            Turn::Next(Next::Over(outcome))
                        }
                    },
                    () = sleep(HOLD_MAX), if held => Turn::Flush,
                }
            }
        };
        next = match turn {
            Turn::Next(next) => next,
            Turn::Flush => following.flush().await,
            Turn::Canceled => return following.cancel("its task was canceled here").await,
            Turn::TimeIsUp => {
                following.flush().await;
                return following.cancel("the time was up").await;
            }
        };
    }
}
