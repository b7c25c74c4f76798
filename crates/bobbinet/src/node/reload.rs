//! What a node does with its configuration and its keys while it runs: who may call is read again when it changes, and a signing key goes
//! when the last token that it signed has ended.
//!
//! Callers are all that is read again: `principals`, `trust`, `api_keys` and `policy`. A file that cannot be used leaves them as they are.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, sync::Arc, time::Duration};

use bobbinet_auth::{
    ApiKeyHolders, ApiKeys, ApiKeysError, Issuer, KeyRing, LIFETIME_MAX, NamedPrincipal, Policy, Verifier,
};
use bobbinet_core::AgentName;
use bobbinet_engine::{Env, SystemEnv};
use bobbinet_gateway::Gateway;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use crate::{
    config::{self, CallersConfig, Finding, Reading, Strictness},
    principals::{self, KnownPrincipals},
};

/// How often the file is looked at. A change counts once it has stood still for as long: editors write in pieces.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is asked whether a key's last token has ended.
const DROP_INTERVAL_LOOKS: u32 = 60;

/// Where the callers of a node are configured, and what that looked like before it was read.
#[derive(Clone, Debug)]
pub(crate) struct CallersSource {
    place: Place,
    looked: Option<Look>,
}

#[derive(Clone, Debug)]
enum Place {
    /// In its configuration.
    Config(PathBuf, Strictness),
    /// In a file that says who may call this agent, and nothing else.
    Callers(PathBuf, AgentName),
    /// Nowhere that could change.
    Fixed,
}

/// Whom a node believes and what they may do, as it runs.
#[derive(Debug)]
pub(super) struct Reload {
    pub(super) source: CallersSource,
    /// What others know the node's tokens by.
    pub(super) issuer: Option<String>,
    pub(super) data: PathBuf,
    pub(super) keys: Arc<KeyRing>,
    pub(super) verifier: Verifier,
    pub(super) policy: Policy,
    pub(super) gateway: Arc<Gateway>,
    /// The longest that a token of the node's own may live.
    pub(super) longest_life: Duration,
}

/// By what a file is known to have changed.
type Look = (u64, u64, (i64, i64));

/// Whose tokens are taken: the node's own, under either of its names, and those of others; and which API keys.
pub(super) fn believed(
    issuer: Option<&str>,
    callers: &CallersConfig,
    keys: &Arc<KeyRing>,
    data: &std::path::Path,
) -> Result<(Vec<Issuer>, Option<ApiKeyHolders>), ApiKeysError> {
    let principals = &callers.principals;
    let known_as = issuer.map(|name| Issuer::node_as(name, keys.clone()));
    let own = [Issuer::node(keys.clone())].into_iter().chain(known_as);
    let own = own.map(|issuer| Issuer { principals: principals.clone(), ..issuer });
    let file = principals::api_keys_file(data, &callers.api_keys);
    let api_keys = file.map(|file| ApiKeys::open(&file)).transpose()?;
    let holders = api_keys.map(|keys| ApiKeyHolders { keys: Arc::new(keys), principals: principals.clone() });
    Ok((own.chain(callers.trust.iter().cloned()).collect(), holders))
}

/// The longest that a token of the node's own may live.
pub(super) fn longest_life(callers: &CallersConfig) -> Duration {
    let lives = callers.principals.values().filter_map(|NamedPrincipal { lifetime_max, .. }| *lifetime_max);
    lives.fold(LIFETIME_MAX, Duration::max)
}

impl CallersSource {
    /// A configuration that is about to be read.
    pub(crate) fn config(path: PathBuf, strictness: Strictness) -> Self {
        Self::at(Place::Config(path, strictness))
    }

    /// A file of this agent's callers that is about to be read.
    pub(crate) fn callers(path: PathBuf, agent: AgentName) -> Self {
        Self::at(Place::Callers(path, agent))
    }

    /// Callers that stay as they are.
    pub(crate) fn fixed() -> Self {
        Self::at(Place::Fixed)
    }

    fn at(place: Place) -> Self {
        let looked = place.look();
        Self { place, looked }
    }
}

impl Place {
    fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::Config(path, _) | Self::Callers(path, _) => Some(path),
            Self::Fixed => None,
        }
    }

    fn look(&self) -> Option<Look> {
        let metadata = fs::metadata(self.path()?).ok()?;
        Some((metadata.ino(), metadata.len(), (metadata.mtime(), metadata.mtime_nsec())))
    }

    fn read(&self) -> (CallersConfig, Vec<Finding>) {
        match self {
            Self::Config(path, strictness) => {
                let Reading { config, findings } = config::read(path, *strictness);
                (config.callers, findings)
            }
            Self::Callers(path, agent) => config::read_callers(path, agent),
            Self::Fixed => (CallersConfig::default(), Vec::new()),
        }
    }
}

impl Reload {
    /// Follows the file and the keys. Returns if the terminal that the node was started from is gone, which is its end.
    pub(super) async fn follow(mut self) {
        let CallersSource { place, looked } = self.source.clone();
        let mut hangups = Hangups::listen(&place);
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut read, mut seen) = (looked, looked);
        let mut looks: u32 = 0;
        loop {
            let is_told = tokio::select! {
                biased;
                is_over = hangups.next() => match is_over {
                    true => return,
                    false => true,
                },
                _ = ticks.tick() => false,
            };
            let now = place.look();
            // A file that is away for a moment is being replaced.
            let has_changed = now.is_some() && now == seen && now != read;
            seen = now;
            if is_told || has_changed {
                read = now;
                self.read(&place, is_told).await;
            }
            if !is_told {
                looks = looks.wrapping_add(1);
                self.drop_keys(looks).await;
            }
        }
    }

    async fn read(&mut self, place: &Place, is_told: bool) {
        let Some(path) = place.path().map(|path| path.display().to_string()) else { return };
        let place = place.clone();
        let Ok((callers, findings)) = spawn_blocking(move || place.read()).await else { return };
        let faults: Vec<String> = findings.iter().filter(|it| it.is_error()).map(ToString::to_string).collect();
        if !faults.is_empty() {
            let why = faults.join("\n");
            tracing::error!(path, why, "the configuration has faults: who may do what stays as it was");
            return;
        }
        let (issuers, holders) = match believed(self.issuer.as_deref(), &callers, &self.keys, &self.data) {
            Ok(believed) => believed,
            Err(error) => {
                tracing::error!(path, why = %error, "the API keys cannot be read: who may do what stays as it was");
                return;
            }
        };
        // Policy first: whoever is let in from now on is judged by it.
        self.policy.replace(callers.policy.as_ref().unwrap_or(&Policy::owner_only()));
        self.verifier.replace(issuers, holders);
        self.verifier.replace_certificates(callers.certified.clone());
        self.gateway.limit_callers(callers.limits.clone());
        self.longest_life = longest_life(&callers);
        if let Err(error) = KnownPrincipals::of(self.issuer.as_deref(), &callers).write(&self.data) {
            tracing::warn!(%error, "bobbinet token mint will not know the node's principals");
        }
        let (principals, trusted) = (callers.principals.len(), callers.trust.len());
        tracing::info!(path, is_told, principals, trusted, "who may do what was read again");
    }

    async fn drop_keys(&self, looks: u32) {
        if looks % DROP_INTERVAL_LOOKS != 1 {
            return;
        }
        let (keys, life) = (self.keys.clone(), self.longest_life);
        match spawn_blocking(move || keys.drop_retired(SystemEnv.now(), life)).await {
            Ok(Ok(dropped)) => {
                for key in dropped {
                    tracing::info!(kid = key.kid, "a signing key was dropped: its last token has ended");
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "old signing keys cannot be dropped"),
            Err(error) => tracing::warn!(%error, "old signing keys were not looked at"),
        }
    }
}

/// SIGHUP, which says two things: that the configuration has changed, and that the terminal is gone. The second is no end for a node that
/// was started so that it outlives the terminal, as `nohup` does it.
struct Hangups {
    signal: Option<Signal>,
    is_of_terminal: bool,
}

impl Hangups {
    fn listen(place: &Place) -> Self {
        // Asked before there is a handler, which says otherwise.
        let is_of_terminal = has_terminal() && !is_ignored(SignalKind::hangup());
        // Where nothing can be read again, it ends the process as it always did.
        let signal = place.path().and_then(|_| signal(SignalKind::hangup()).ok());
        Self { signal, is_of_terminal }
    }

    /// Whether the terminal is gone.
    async fn next(&mut self) -> bool {
        let heard = match &mut self.signal {
            Some(signal) => signal.recv().await,
            None => std::future::pending().await,
        };
        match heard {
            Some(()) => self.is_of_terminal && !has_terminal(),
            None => std::future::pending().await,
        }
    }
}

/// Whether this process was started with the signal ignored. A handler of its own ends that.
fn is_ignored(signal: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 << (signal.as_raw_value() - 1) != 0)
}

fn has_terminal() -> bool {
    fs::File::open("/dev/tty").is_ok()
}
