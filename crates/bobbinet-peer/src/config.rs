//! What an operator says of a peer, and every bound of calling one, with its reason.

use std::{fmt, sync::Arc, time::Duration};

use bobbinet_core::{AgentName, Effect};
use bobbinet_engine::Env;
use bobbinet_http::client::{CardKeys, CarryGrpc, Origin};
use bobbinet_outbound::Guard;

use crate::credentials::PeerAuth;

/// A peer.
#[derive(Clone)]
pub struct PeerConfig {
    /// What it is called here.
    pub name: AgentName,
    /// Its URL, or its card's.
    pub url: String,
    /// What this node is called in the paths of calls.
    pub node: String,
    /// How this node shows it who calls.
    pub auth: PeerAuth,
    /// The agent of this node that does the work while the peer cannot be reached and nothing was sent.
    pub fallback: Option<AgentName>,
    /// What calling it twice means, by the operator's word, if its card does not say that it drops repeats.
    pub effect: Option<Effect>,
    /// Where it is called, if not at the origin that its card is at.
    pub origin: Option<Origin>,
    /// The keys of which one must have signed its card, if they are known.
    pub card_keys: Option<CardKeys>,
    /// What carries calls over gRPC; without it, it is called over HTTP alone.
    pub grpc: Option<CarryGrpc>,
    /// Its name for people, instead of its card's.
    pub title: Option<String>,
    /// What it is for, instead of its card's words.
    pub description: Option<String>,
    /// The clock.
    pub env: Arc<dyn Env>,
    /// What its requests go through.
    pub guard: Guard,
    /// Its bounds.
    pub limits: PeerLimits,
}

/// The bounds of calling a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerLimits {
    /// Calls at a time.
    pub calls_max: usize,
    /// How long a call goes on without a word of the peer that can be read: then nobody knows what became of it. A task that the
    /// peer says is at work may take as long as tasks may.
    pub silence_max: Duration,
    /// For the answer to a request that does not wait for a task.
    pub answer: Duration,
    /// How long a peer that is not there is waited for before a call fails: it may be starting again. Not if another stands in.
    pub patience: Duration,
    /// How often what was sent in vain is sent again, once the patience is over.
    pub retries_max: u32,
    /// The first pause before that, doubled with each.
    pub pause_min: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// How often a task is looked at that its agent does not stream.
    pub poll: Duration,
    /// Failures in a row after which a replica is left alone.
    pub failures_max: u32,
    /// For how long.
    pub rest: Duration,
    /// How long a card is fresh if its answer does not say.
    pub card_age: Duration,
    /// How long a card that is no longer fresh serves while the peer does not answer, if it does not say.
    pub card_stale_max: Duration,
    /// How often the addresses of its name are looked up.
    pub resolve_every: Duration,
    /// How long a message waits for a card that was never seen.
    pub start_max: Duration,
}

impl Default for PeerLimits {
    fn default() -> Self {
        Self {
            calls_max: 64,
            silence_max: Duration::from_secs(5 * 60),
            answer: Duration::from_secs(30),
            patience: Duration::from_secs(30),
            retries_max: 3,
            pause_min: Duration::from_millis(200),
            pause_max: Duration::from_secs(10),
            poll: Duration::from_secs(2),
            failures_max: 5,
            rest: Duration::from_secs(10),
            card_age: Duration::from_secs(60),
            card_stale_max: Duration::from_secs(24 * 60 * 60),
            resolve_every: Duration::from_secs(10),
            start_max: Duration::from_secs(60),
        }
    }
}

impl PeerLimits {
    /// How long to wait before the next try after so many in vain. Chance keeps many callers apart.
    pub(crate) fn pause(&self, tries: u32) -> Duration {
        let longest = self.pause_min.saturating_mul(2_u32.saturating_pow(tries.min(16))).min(self.pause_max);
        longest.mul_f64(fastrand::f64().midpoint(1.0))
    }
}

/// Without what may be a secret.
impl fmt::Debug for PeerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerConfig").field("name", &self.name).field("url", &self.url).finish_non_exhaustive()
    }
}
