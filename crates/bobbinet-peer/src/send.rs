//! One try to send a message to a replica of a peer, over one of the ways that its card names after another.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bobbinet_core::{
    Message, Outcome,
    operation::{Configuration, SendParams},
};
use bobbinet_engine::Run;
use bobbinet_http::{Client, ClientError, SendOptions, TaskStream, client::Way};
use bobbinet_wire::{
    ErrorKind, RemoteError,
    view::{Sent, StreamEvent},
};
use tokio::time::timeout;

use crate::{
    asked::Asked, card::Known, causes::in_full, checkpoint::Checkpoint, config::PeerConfig, message, peer::Peer, plan,
    replicas::Lease,
};

/// What a peer answers to a message: its first word, and what follows if it streams.
pub(crate) type Answered = (StreamEvent, Option<TaskStream>);

/// Which way a message goes under a key that tells a repeat: to a node the same under the same key is another message where it comes over
/// another binding, in another version or for another tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Any.
    Free,
    /// This one, that it went.
    To(Way),
    /// It may have gone, and nothing is kept of how: so it was the way that the card prefers.
    ToPreferred,
}

impl Bound {
    /// The ways that are left to it, the one to try first before the others; none, if the one that it went is not there any more.
    pub(crate) fn ways(&self, client: &Client) -> Vec<Way> {
        let mut ways = client.ways();
        match self {
            Self::Free => {
                let open = client.way();
                let first = ways.iter().position(|way| *way == open).unwrap_or_default();
                ways.rotate_left(first);
            }
            Self::To(bound_to) => ways.retain(|way| way == bound_to),
            Self::ToPreferred => ways.truncate(1),
        }
        ways
    }
}

/// Why a message was not taken.
pub(crate) enum NotTaken {
    /// It may not be passed on.
    Chain(Outcome),
    /// That it is sent could not be kept.
    NotKept(String),
    /// The way that it may have gone before is not on the peer's card any more.
    NoWay,
    /// What went wrong, and which way, where it matters.
    Error(ClientError, Option<Way>),
}

/// One try to send the message of a run, to one replica.
pub(crate) struct Try<'a> {
    pub(crate) peer: &'a Arc<Peer>,
    pub(crate) run: &'a Run,
    pub(crate) asked: Option<&'a Asked>,
    pub(crate) known: &'a Known,
    pub(crate) lease: &'a Lease,
    pub(crate) bound: &'a Bound,
    /// Whether the run has kept something.
    pub(crate) is_kept: bool,
    pub(crate) is_perhaps_taken: bool,
    pub(crate) is_out: &'a AtomicBool,
}

impl Try<'_> {
    /// Goes one way after another until one is open. Which one it is, is kept before, where that is to be kept.
    pub(crate) async fn send(&self, checkpoint: &mut Checkpoint) -> Result<(Client, Answered), NotTaken> {
        let client = self.peer.client(self.known, self.lease.address).await;
        let client = client.map_err(|error| NotTaken::Error(error, None))?;
        if !self.known.honours_keys && !checkpoint.rests_on_key(self.run) {
            // Then the client knows by itself which way is open.
            self.keep(None, false, checkpoint).await?;
            let answered = self.send_over(&client, None).await?;
            return Ok((client, answered));
        }
        let preferred = client.ways().into_iter().next();
        let mut unsent = None;
        for way in self.bound.ways(&client) {
            self.keep(Some(&way), preferred.as_ref() == Some(&way), checkpoint).await?;
            match self.send_over(&client, Some(way)).await {
                Ok(answered) => return Ok((client, answered)),
                Err(NotTaken::Error(error, way)) if error.is_unsent() => {
                    self.is_out.store(self.is_perhaps_taken, Ordering::Relaxed);
                    // What is wrong with the way that comes first is what there is to mend.
                    unsent.get_or_insert((error, way));
                }
                Err(not_taken) => return Err(not_taken),
            }
        }
        Err(unsent.map_or(NotTaken::NoWay, |(error, way)| NotTaken::Error(error, way)))
    }

    /// Keeps what is to be kept before the message goes this way.
    async fn keep(&self, way: Option<&Way>, is_preferred: bool, checkpoint: &mut Checkpoint) -> Result<(), NotTaken> {
        if !self.must_be_kept(way, is_preferred, checkpoint) {
            return Ok(());
        }
        let kept = self.run.checkpoint(checkpoint.to_json()).await;
        kept.map_err(|error| NotTaken::NotKept(format!("that it is sent could not be kept: {}", in_full(&error))))
    }

    /// Whether something is to be kept before the message is sent. Where a repeat is dropped, that is which replica drops it, if there
    /// are several, and which way it has to come, if that is another than the card prefers, if it is a repeat already, or if something is
    /// kept anyway. Else nothing: a task without a checkpoint is not sent again by itself. But one that is kept already says that there is
    /// something to go on with, so that has to say that there is not.
    fn must_be_kept(&self, way: Option<&Way>, is_preferred: bool, checkpoint: &mut Checkpoint) -> bool {
        let run = self.run;
        let before = checkpoint.clone();
        checkpoint.is_keyed = self.known.honours_keys && !run.call().effect.may_run_again();
        if checkpoint.rests_on_key(run) {
            checkpoint.replica = self.lease.address;
            let is_anything = checkpoint.replica.is_some() || checkpoint.is_keyed || before.way.is_some();
            checkpoint.way = match self.bound {
                Bound::Free if is_preferred && !is_anything => None,
                Bound::Free | Bound::To(_) => way.cloned(),
                // Nobody knows that it is this one.
                Bound::ToPreferred => None,
            };
        } else if checkpoint.may_repeat(run) {
            checkpoint.replica = None;
        } else if self.is_kept {
            checkpoint.sent_at = Some(run.task().counted.len());
        }
        *checkpoint != before
    }

    async fn send_over(&self, client: &Client, way: Option<Way>) -> Result<Answered, NotTaken> {
        let Self { peer, run, asked, known, .. } = *self;
        let path_name = plan::path_name(&peer.config);
        let mut params = match asked {
            Some(asked) => asked.outgoing(run, &path_name, &peer.config.url),
            None => message::outgoing(run, &path_name, known.is_ours)
                .map(|message| SendParams { context: Some(message::context_for(run.task())), ..params(message) }),
        }
        .map_err(|fault| NotTaken::Chain(Outcome::Failed(plan::of_chain(&fault))))?;
        let streams = known.streams && asked.is_none_or(|asked| !asked.is_plain());
        let options = SendOptions {
            idempotency_key: Some(run.key()),
            is_patient: true,
            traceparent: run.task().trace.as_deref().map(str::to_owned),
            way,
        };
        self.is_out.store(true, Ordering::Relaxed);
        let sent = say(&peer.config, client, streams, params.clone(), &options).await;
        let sent = match sent {
            // Some take no context that they have not made.
            Err(ClientError::Rpc(remote)) if asked.is_none() && is_about_context(&remote) => {
                params.context = None;
                say(&peer.config, client, streams, params, &options).await
            }
            sent => sent,
        };
        sent.map_err(|error| NotTaken::Error(error, options.way))
    }
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
) -> Result<Answered, ClientError> {
    let params = SendParams { task: Some(task.to_owned()), ..params(message) };
    say(config, client, streams, params, options).await
}

async fn say(
    config: &PeerConfig,
    client: &Client,
    streams: bool,
    params: SendParams,
    options: &SendOptions,
) -> Result<Answered, ClientError> {
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
    let url = || options.way.as_ref().map_or_else(|| client.url(), Way::url).to_owned();
    let late = |_| ClientError::Timeout { url: url(), seconds: silence.as_secs_f64() };
    timeout(silence, said).await.map_err(late)?
}
