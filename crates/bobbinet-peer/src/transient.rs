//! Peers that nobody has configured: known by their URL, for as long as they are called.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bobbinet_outbound::Refused;
use reqwest::Url;
use tokio::time::{Instant, sleep};

use crate::{config::PeerConfig, peer::Peer};

/// Peers that are remembered: whoever calls more has their cards fetched anew.
const PEERS_MAX: usize = 64;

/// After so many pauses, each twice the last, they grow no more.
const PAUSES_MAX: u32 = 3;

/// What is remembered of the peers that are called, by their URLs and how they are shown who calls.
#[derive(Debug, Default)]
pub(crate) struct Transients(Mutex<BTreeMap<String, (Instant, Arc<Peer>)>>);

impl Transients {
    /// The peer of this key, or a new one.
    pub(crate) fn peer(&self, key: String, config: impl FnOnce() -> PeerConfig) -> Arc<Peer> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((used, peer)) = known.get_mut(&key) {
            *used = now;
            return peer.clone();
        }
        if known.len() >= PEERS_MAX {
            // Whoever calls it goes on with it.
            let oldest = known.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone());
            oldest.and_then(|key| known.remove(&key));
        }
        let peer = Arc::new(Peer::new(config()));
        known.insert(key, (now, peer.clone()));
        peer
    }
}

impl Peer {
    /// Gets its card, unless there is one that is fresh. One that is not there may be starting, and is waited for with patience.
    pub(crate) async fn get_ready(&self) -> Result<(), String> {
        let limits = &self.config.limits;
        let until = Instant::now() + limits.patience;
        let mut tries = 0;
        loop {
            if self.cards.current().is_some() && self.cards.due().is_some_and(|due| Instant::now() < due) {
                return Ok(());
            }
            self.check_address().await?;
            if self.resolve_due().is_none_or(|due| Instant::now() >= due) {
                self.resolve().await;
            }
            let Err(missed) = self.look_once().await else { return Ok(()) };
            if self.cards.current().is_some() {
                return Ok(());
            }
            if !missed.may_pass || Instant::now() >= until {
                return Err(missed.why);
            }
            sleep(limits.pause(tries.min(PAUSES_MAX))).await;
            tries += 1;
        }
    }

    /// Whether its name leads where nothing may be sent: that does not pass.
    async fn check_address(&self) -> Result<(), String> {
        let url = Url::parse(&self.config.url).map_err(|error| format!("{:?} is no URL: {error}", self.config.url))?;
        self.config.guard.http(&url).map_err(|refused| refused.to_string())?;
        let Err(error) = self.config.guard.addresses(&url).await else { return Ok(()) };
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
        while let Some(error) = cause {
            if let Some(refused) = error.downcast_ref::<Refused>() {
                return Err(refused.to_string());
            }
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bobbinet_core::AgentName;
    use bobbinet_engine::SystemEnv;
    use bobbinet_outbound::{Guard, OutboundLimits};

    use super::*;
    use crate::{PeerAuth, PeerLimits};

    #[test]
    fn so_many_are_remembered_and_the_one_that_was_not_called_for_longest_goes() {
        let transients = Transients::default();
        let config = || PeerConfig {
            name: AgentName::parse("call-a2a").unwrap(),
            url: "https://a.example".to_owned(),
            node: "node".to_owned(),
            auth: PeerAuth::None,
            fallback: None,
            effect: None,
            origin: None,
            card_keys: None,
            grpc: None,
            title: None,
            description: None,
            env: Arc::new(SystemEnv),
            guard: Guard::new([], OutboundLimits::default()).unwrap(),
            limits: PeerLimits::default(),
        };
        let first = transients.peer("0".to_owned(), config);
        let second = transients.peer("1".to_owned(), config);
        assert!(Arc::ptr_eq(&first, &transients.peer("0".to_owned(), config)));
        for n in 2..=PEERS_MAX {
            transients.peer(n.to_string(), config);
        }
        assert!(Arc::ptr_eq(&first, &transients.peer("0".to_owned(), config)), "used since");
        assert!(!Arc::ptr_eq(&second, &transients.peer("1".to_owned(), config)), "the oldest");
        assert_eq!(transients.0.lock().unwrap().len(), PEERS_MAX);
    }
}
