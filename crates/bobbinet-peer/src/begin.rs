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

use bobbinet_core::{Effect, Outcome};
use bobbinet_engine::Run;
use bobbinet_http::{Client, ClientError, TaskStream};
use bobbinet_wire::{ErrorKind, view::StreamEvent};
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::{
    asked::Asked,
    card::Known,
    checkpoint::Checkpoint,
    config::PeerConfig,
    fault::{self, Failure, kind_of},
    peer::Peer,
    replicas::Lease,
    send::{Bound, NotTaken, Try},
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

/// Sends the message of a run. What may have been taken is sent again only to the replica that may have taken it, the same way, under the
/// same key, and only if the call may be repeated. Safe to drop while `is_out` is not set: then nothing was sent.
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
    let mut bound_to_way = match &checkpoint.way {
        Some(way) => Bound::To(way.clone()),
        None if is_perhaps_taken && checkpoint.rests_on_key(run) => Bound::ToPreferred,
        None => Bound::Free,
    };
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
        let (known, bound) = (&known, &bound_to_way);
        let this = Try { peer, run, asked, known, lease: &lease, bound, is_kept, is_perhaps_taken, is_out };
        let (error, way) = match this.send(checkpoint).await {
            Ok((client, (first, stream))) => {
                lease.succeeded();
                return Begun::Taken(Box::new(Taken { client, lease, first, stream }));
            }
            Err(NotTaken::Chain(outcome)) => return Begun::NotSent(outcome),
            Err(NotTaken::NotKept(why)) => return not_sent(config, is_perhaps_taken, &why),
            Err(NotTaken::NoWay) => {
                let why = "what it was sent over is not on the peer's card any more";
                return Begun::Over(fault::unknown(config, why, true));
            }
            Err(NotTaken::Error(error, way)) => (error, way),
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
                bound_to_way = match (bound_to_way, way) {
                    (Bound::Free, Some(way)) => Bound::To(way),
                    (bound @ (Bound::Free | Bound::To(_) | Bound::ToPreferred), _) => bound,
                };
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
                (Failure::Refused, true) if is_of_another_request(&error, &bound_to_way) => {
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

/// Whether an agent may refuse a repeat since there was another request under its key: so it says nothing of that one. Over gRPC and over
/// HTTP itself that is told as what is wrong with parameters is, which closes the outcome of what surely comes as it came before.
fn is_of_another_request(error: &ClientError, bound: &Bound) -> bool {
    let ClientError::Rpc(remote) = error else { return false };
    match bound {
        Bound::Free => false,
        Bound::To(_) => remote.kind == Some(ErrorKind::InvalidRequest),
        Bound::ToPreferred => matches!(remote.kind, Some(ErrorKind::InvalidRequest | ErrorKind::InvalidParams)),
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
