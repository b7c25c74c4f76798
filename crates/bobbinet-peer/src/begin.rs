//! Sending the message of a call, until a peer has taken it or it is known that none does.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bobbinet_core::{
    Effect, Message, Outcome,
    operation::{Configuration, SendParams},
};
use bobbinet_engine::Run;
use bobbinet_http::{Client, ClientError, SendOptions, TaskStream};
use bobbinet_wire::{
    ErrorKind, RemoteError,
    view::{Sent, StreamEvent},
};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use crate::{
    asked::Asked,
    card::Known,
    causes::in_full,
    checkpoint::Checkpoint,
    config::PeerConfig,
    fault::{self, Failure, kind_of},
    message,
    peer::Peer,
    plan,
    replicas::Lease,
};

/// After so many pauses, each twice the last, they grow no more while a peer is waited for that may be starting again.
const PATIENT_PAUSES: u32 = 3;

/// What came of sending.
pub(crate) enum Begun {
    /// A peer has taken it.
    Taken(Box<Taken>),
    /// Nothing was sent, to anybody: what is to be said of it.
    NotSent(Outcome),
    /// It is over.
    Over(Outcome),
}

/// A message that was taken.
pub(crate) struct Taken {
    pub(crate) client: Client,
    pub(crate) lease: Lease,
    pub(crate) first: StreamEvent,
    /// What follows, if the peer streams.
    pub(crate) stream: Option<TaskStream>,
}

/// Whether an earlier run may have sent the message.
pub(crate) fn is_perhaps_sent(run: &Run, checkpoint: &Checkpoint) -> bool {
    checkpoint.replica.is_some() || (run.attempt() > 1 && checkpoint.may_repeat(run))
}

/// Sends the message of a run. What may have been taken is sent again only to the replica that may have taken it, under the same key,
/// and only if the call may be repeated. Safe to drop while `is_out` is not set: then nothing was sent.
pub(crate) async fn begin(
    peer: &Arc<Peer>,
    run: &Run,
    asked: Option<&Asked>,
    checkpoint: &mut Checkpoint,
    is_out: &AtomicBool,
) -> Begun {
    let config = &peer.config;
    let limits = &config.limits;
    peer.replicas.earn_retry();
    let mut is_perhaps_taken = is_perhaps_sent(run, checkpoint);
    // An earlier run may have sent it there; what does no harm twice may go anywhere.
    let mut bound_to: Option<Option<IpAddr>> = checkpoint.replica.filter(|_| checkpoint.rests_on_key(run)).map(Some);
    if is_perhaps_taken && bound_to.is_none() && checkpoint.rests_on_key(run) {
        peer.resolve().await;
        // What goes to a peer of a single address is not kept with it.
        if peer.replicas.addresses() != [None] {
            let why = "it may have been sent by the peer's name, which leads to several replicas by now";
            return Begun::Over(fault::unknown(config, why, true));
        }
    }
    let mut is_kept = run.checkpointed().is_some();
    let mut tried = BTreeSet::new();
    // Whoever has somebody to stand in need not wait for one who is being started again.
    let patience = if config.fallback.is_some() { Duration::ZERO } else { limits.patience };
    let until = Instant::now() + patience;
    let (mut tries, mut late_tries, mut has_forgotten) = (0, 0, false);
    loop {
        let Some(known) = peer.cards.current() else {
            // It may be starting again, and this node has only begun to look for it.
            if Instant::now() < until {
                wait(run, checkpoint, &mut is_kept, is_perhaps_taken, limits.pause(tries.min(PATIENT_PAUSES))).await;
                tries = tries.saturating_add(1);
                continue;
            }
            let why = peer.cards.failed().unwrap_or_else(|| "its card has not been seen yet".to_owned());
            return not_sent(config, is_perhaps_taken, &why);
        };
        if is_perhaps_taken && !is_key_honoured(run, &known, checkpoint, config) {
            let why = "it may have been sent before, and the peer's card no longer says that repeats are dropped";
            return Begun::Over(fault::unknown(config, why, false));
        }
        let Some(mut lease) = next(peer, bound_to, &mut tried) else {
            if Instant::now() < until {
                wait(run, checkpoint, &mut is_kept, is_perhaps_taken, limits.pause(tries.min(PATIENT_PAUSES))).await;
                peer.resolve().await;
                continue;
            }
            let why = match bound_to {
                Some(_) => "the replica that it may have been sent to is gone",
                None => "it does not answer, and is left alone for a while",
            };
            return not_sent(config, is_perhaps_taken, why);
        };
        if must_be_kept(run, &known, &lease, checkpoint, is_kept)
            && let Err(error) = run.checkpoint(checkpoint.to_json()).await
        {
            let why = format!("that it is sent could not be kept: {}", in_full(&error));
            return not_sent(config, is_perhaps_taken, &why);
        }
        let sent = send(peer, run, asked, &known, &lease, (is_perhaps_taken, is_out)).await;
        let error = match sent {
            Ok((client, first, stream)) => {
                lease.succeeded();
                return Begun::Taken(Box::new(Taken { client, lease, first, stream }));
            }
            Err(NotTaken::Chain(outcome)) => return Begun::NotSent(outcome),
            Err(NotTaken::Error(error)) => error,
        };
        let kind = kind_of(&error);
        debug!(peer = %config.name, tries, ?kind, error = &error as &dyn std::error::Error, "not taken");
        let is_again = match kind {
            Failure::Unsent if matches!(error, ClientError::Credentials { .. }) => {
                warn!(peer = %config.name, error = &error as &dyn std::error::Error, "no credentials for the peer");
                true
            }
            Failure::Unsent => {
                lease.failed(limits);
                tried.insert(lease.address);
                // Who is gone may be at another address.
                peer.resolve().await;
                true
            }
            Failure::Busy => {
                lease.succeeded();
                tried.insert(lease.address);
                true
            }
            Failure::Unauthorized => {
                lease.succeeded();
                !std::mem::replace(&mut has_forgotten, true) && config.auth.forget()
            }
            Failure::Refused => {
                lease.succeeded();
                false
            }
            Failure::Unknown => {
                lease.failed(limits);
                is_perhaps_taken = true;
                match checkpoint.rests_on_key(run) {
                    true => bound_to = Some(lease.address),
                    false => drop(tried.insert(lease.address)),
                }
                checkpoint.may_repeat(run)
            }
        };
        let is_patient = match kind {
            Failure::Unsent | Failure::Busy => Instant::now() < until,
            // What may be sent again may be sent again for as long: the other side drops the repeat.
            Failure::Unknown => is_again && Instant::now() < until,
            Failure::Unauthorized | Failure::Refused => false,
        };
        // Whoever says that it is busy is asked again no more often than the budget has it, however patient we are.
        let may_retry = match kind {
            Failure::Busy if is_patient => peer.replicas.spend_retry(),
            Failure::Unsent | Failure::Unknown if is_patient => true,
            Failure::Unsent | Failure::Busy | Failure::Unknown | Failure::Unauthorized | Failure::Refused => {
                late_tries += 1;
                late_tries <= limits.retries_max && peer.replicas.spend_retry()
            }
        };
        if !is_again || !may_retry {
            return match (kind, is_perhaps_taken) {
                (Failure::Unsent | Failure::Busy | Failure::Unauthorized, true) => {
                    Begun::Over(fault::unknown(config, &fault::told(&error), true))
                }
                // Only the agent's own word says that an earlier try came to nothing: a proxy's does not.
                (Failure::Refused, true) if !matches!(error, ClientError::Rpc(_)) => {
                    Begun::Over(fault::unknown(config, &fault::told(&error), true))
                }
                (Failure::Unsent, false) => Begun::NotSent(fault::not_taken(config, &error)),
                (Failure::Busy | Failure::Unauthorized, false) | (Failure::Refused | Failure::Unknown, _) => {
                    Begun::Over(fault::not_taken(config, &error))
                }
            };
        }
        drop(lease);
        is_out.store(is_perhaps_taken, Ordering::Relaxed);
        let pause = limits.pause(if is_patient { tries.min(PATIENT_PAUSES) } else { tries });
        wait(run, checkpoint, &mut is_kept, is_perhaps_taken, pause).await;
        tries = tries.saturating_add(1);
    }
}

/// Whether a repeat is dropped, if it may be made only because it is.
fn is_key_honoured(run: &Run, known: &Known, checkpoint: &Checkpoint, config: &PeerConfig) -> bool {
    let is_by_word = config.effect == Some(Effect::Keyed);
    known.honours_keys || is_by_word || !checkpoint.rests_on_key(run)
}

/// Waits before another try. While nothing was sent a node that stops does not wait too, and the next process begins anew: of a call
/// that may be made only once it would not know that, so it is kept, also in place of a try that is known by now to have sent nothing.
async fn wait(run: &Run, checkpoint: &mut Checkpoint, is_kept: &mut bool, is_perhaps_taken: bool, pause: Duration) {
    if is_perhaps_taken {
        return sleep(pause).await;
    }
    let is_once = !checkpoint.may_repeat(run);
    let taken_back = checkpoint.sent_at.take_if(|_| is_once);
    if is_once && (!*is_kept || taken_back.is_some()) {
        match run.checkpoint(checkpoint.to_json()).await {
            Ok(()) => *is_kept = true,
            // It may be kept all the same. What is about to be sent is kept again before it is, whatever is kept now.
            Err(error) => debug!(error = &error as &dyn std::error::Error, "it is not kept that nothing was sent"),
        }
    }
    let _elsewhere = run.works_elsewhere();
    sleep(pause).await;
}

/// Whether something is to be kept before the message is sent. Where a repeat is dropped, that is which replica drops it, if there are
/// several. Else nothing: a task without a checkpoint is not sent again by itself. But one that is kept already says that there
/// is something to go on with, so that has to say that there is not.
fn must_be_kept(run: &Run, known: &Known, lease: &Lease, checkpoint: &mut Checkpoint, is_kept: bool) -> bool {
    let before = checkpoint.clone();
    checkpoint.is_keyed = known.honours_keys && !run.call().effect.may_run_again();
    if checkpoint.rests_on_key(run) {
        checkpoint.replica = lease.address;
    } else if checkpoint.may_repeat(run) {
        checkpoint.replica = None;
    } else if is_kept {
        checkpoint.sent_at = Some(run.task().counted.len());
    }
    *checkpoint != before
}

/// The replica to send to next. When all were tried, they are tried again.
fn next(peer: &Peer, bound_to: Option<Option<IpAddr>>, tried: &mut BTreeSet<Option<IpAddr>>) -> Option<Lease> {
    if let Some(address) = bound_to {
        return peer.replicas.addresses().contains(&address).then(|| peer.replicas.at(address));
    }
    peer.replicas.pick(tried).or_else(|| {
        tried.clear();
        peer.replicas.pick(tried)
    })
}

fn not_sent(config: &PeerConfig, is_perhaps_taken: bool, why: &str) -> Begun {
    if is_perhaps_taken {
        return Begun::Over(fault::unknown(config, why, true));
    }
    let text = format!("nothing was sent: {why}. See whether it runs: bobbinet peers test {}", config.name);
    Begun::NotSent(Outcome::Failed(fault::of_peer(config, "peer-unreachable", &text)))
}

/// Why a message was not taken.
enum NotTaken {
    /// It may not be passed on.
    Chain(Outcome),
    Error(ClientError),
}

async fn send(
    peer: &Peer,
    run: &Run,
    asked: Option<&Asked>,
    known: &Known,
    lease: &Lease,
    (is_repeat, is_out): (bool, &AtomicBool),
) -> Result<(Client, StreamEvent, Option<TaskStream>), NotTaken> {
    let path_name = plan::path_name(&peer.config);
    let mut params = match asked {
        Some(asked) => asked.outgoing(run, &path_name, &peer.config.url),
        None => message::outgoing(run, &path_name, known.is_ours)
            .map(|message| SendParams { context: Some(message::context_for(run.task())), ..params(message) }),
    }
    .map_err(|fault| NotTaken::Chain(Outcome::Failed(plan::of_chain(&fault))))?;
    let streams = known.streams && asked.is_none_or(|asked| !asked.is_plain());
    let client = peer.client(known, lease.address).await.map_err(NotTaken::Error)?;
    let options = SendOptions {
        idempotency_key: Some(run.key()),
        is_patient: true,
        traceparent: run.task().trace.as_deref().map(str::to_owned),
        is_repeat,
    };
    is_out.store(true, Ordering::Relaxed);
    let sent = say(&peer.config, &client, streams, params.clone(), &options).await;
    let sent = match sent {
        // Some take no context that they have not made.
        Err(ClientError::Rpc(remote)) if asked.is_none() && is_about_context(&remote) => {
            params.context = None;
            say(&peer.config, &client, streams, params, &options).await
        }
        sent => sent,
    };
    let (first, stream) = sent.map_err(NotTaken::Error)?;
    Ok((client, first, stream))
}

/// Whether an agent refuses a message for its context, before it does anything about it. Any other error may well have the word in it:
/// Go's of a time that is up, after the work was begun.
fn is_about_context(remote: &RemoteError) -> bool {
    let is_refused =
        matches!(remote.kind, Some(ErrorKind::InvalidParams | ErrorKind::InvalidRequest | ErrorKind::TaskNotFound));
    is_refused && remote.message.to_ascii_lowercase().contains("context")
}

fn params(message: Message) -> SendParams {
    let configuration = Configuration::default();
    SendParams { message, context: None, task: None, configuration, metadata: None, tenant: None }
}

/// Sends a message of a task that is there already, and gives what comes of it.
pub(crate) async fn answer(
    config: &PeerConfig,
    client: &Client,
    streams: bool,
    (task, message): (&str, Message),
    options: &SendOptions,
) -> Result<(StreamEvent, Option<TaskStream>), ClientError> {
    let params = SendParams { task: Some(task.to_owned()), ..params(message) };
    say(config, client, streams, params, options).await
}

async fn say(
    config: &PeerConfig,
    client: &Client,
    streams: bool,
    params: SendParams,
    options: &SendOptions,
) -> Result<(StreamEvent, Option<TaskStream>), ClientError> {
    let silence = config.limits.silence_max;
    let said = async {
        if streams {
            let mut stream = client.send_streaming(params, options).await?;
            let first = stream.next().await?;
            let nothing = || ClientError::Protocol("its stream ended before its first event".to_owned());
            return Ok((first.ok_or_else(nothing)?.value, Some(stream)));
        }
        let configuration = Configuration { return_immediately: true, ..params.configuration };
        let sent = client.send(SendParams { configuration, ..params }, options).await?;
        let event = match sent.value {
            Sent::Task(task) => StreamEvent::Task(task),
            Sent::Message(message) => StreamEvent::Message(message),
        };
        Ok((event, None))
    };
    let late = |_| ClientError::Timeout { url: client.url().to_owned(), seconds: silence.as_secs_f64() };
    timeout(silence, said).await.map_err(late)?
}
