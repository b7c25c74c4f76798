//! The addresses that a peer is called at, how busy each is, and which one is next.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bobbinet_http::Client;
use tokio::time::Instant;

use crate::{breaker::Breaker, config::PeerLimits, retry_budget::RetryBudget};

/// Where a peer is called. One that has a single address is called by its name, wherever that leads.
#[derive(Debug)]
pub(crate) struct Replicas(Mutex<State>);

#[derive(Debug)]
struct State {
    replicas: Vec<Replica>,
    next: usize,
    budget: RetryBudget,
}

#[derive(Debug)]
struct Replica {
    address: Option<IpAddr>,
    in_flight: usize,
    breaker: Breaker,
    /// What calls it, with the number of the card that it was made for.
    client: Option<(u64, Client)>,
}

impl Replica {
    fn new(address: Option<IpAddr>) -> Self {
        Self { address, in_flight: 0, breaker: Breaker::default(), client: None }
    }
}

/// A call on its way to a replica. Dropped without a word, it says nothing of it.
#[derive(Debug)]
pub(crate) struct Lease {
    replicas: Arc<Replicas>,
    pub(crate) address: Option<IpAddr>,
    is_told: bool,
}

impl Default for Replicas {
    fn default() -> Self {
        let state = State { replicas: vec![Replica::new(None)], next: 0, budget: RetryBudget::default() };
        Self(Mutex::new(state))
    }
}

impl Replicas {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the peer's name is resolved to now. What is known of those that stay, stays.
    pub(crate) fn set(&self, addresses: &[IpAddr]) {
        let wanted: Vec<Option<IpAddr>> = match addresses {
            [] | [_] => vec![None],
            several => several.iter().copied().map(Some).collect(),
        };
        let mut state = self.lock();
        state.replicas.retain(|replica| wanted.contains(&replica.address));
        for address in wanted {
            if !state.replicas.iter().any(|replica| replica.address == address) {
                state.replicas.push(Replica::new(address));
            }
        }
    }

    /// The next one to call, but for those that were tried already: of two in turn the one with less to do. `None` if all are left
    /// alone, or were tried.
    pub(crate) fn pick(self: &Arc<Self>, tried: &BTreeSet<Option<IpAddr>>) -> Option<Lease> {
        let now = Instant::now();
        let mut state = self.lock();
        let fit: Vec<usize> = (0..state.replicas.len())
            .filter(|&at| state.replicas[at].breaker.admits(now) && !tried.contains(&state.replicas[at].address))
            .collect();
        let turn = state.next;
        let first = *fit.get(turn % fit.len().max(1))?;
        let second = fit[(turn + 1) % fit.len()];
        let is_busier = state.replicas[first].in_flight > state.replicas[second].in_flight;
        state.next = turn.wrapping_add(1);
        let chosen = &mut state.replicas[if is_busier { second } else { first }];
        chosen.in_flight += 1;
        chosen.breaker.begin();
        Some(Lease { replicas: self.clone(), address: chosen.address, is_told: false })
    }

    /// The one that has a task: it is asked whatever its breaker says, as nobody else can answer. One that is gone is asked by the
    /// peer's name.
    pub(crate) fn at(self: &Arc<Self>, address: Option<IpAddr>) -> Lease {
        let mut state = self.lock();
        let known = state.replicas.iter_mut().find(|replica| replica.address == address);
        let address = known.map(|replica| {
            replica.in_flight += 1;
            replica.address
        });
        Lease { replicas: self.clone(), address: address.flatten(), is_told: false }
    }

    /// All there are.
    pub(crate) fn addresses(&self) -> Vec<Option<IpAddr>> {
        self.lock().replicas.iter().map(|replica| replica.address).collect()
    }

    /// Whether there is one that is not left alone.
    pub(crate) fn are_up(&self) -> bool {
        self.lock().replicas.iter().any(|replica| !replica.breaker.is_open())
    }

    /// A call is made for the first time.
    pub(crate) fn earn_retry(&self) {
        self.lock().budget.earn();
    }

    /// Whether a call may be made again.
    pub(crate) fn spend_retry(&self) -> bool {
        self.lock().budget.spend()
    }

    /// The client of a replica for a card, if one was made.
    pub(crate) fn client(&self, address: Option<IpAddr>, card: u64) -> Option<Client> {
        let state = self.lock();
        let replica = state.replicas.iter().find(|replica| replica.address == address)?;
        replica.client.as_ref().filter(|(number, _)| *number == card).map(|(_, client)| client.clone())
    }

    /// Keeps a client.
    pub(crate) fn keep_client(&self, address: Option<IpAddr>, card: u64, client: &Client) {
        if let Some(replica) = self.lock().replicas.iter_mut().find(|replica| replica.address == address) {
            replica.client = Some((card, client.clone()));
        }
    }

    fn with(&self, address: Option<IpAddr>, change: impl FnOnce(&mut Replica)) {
        if let Some(replica) = self.lock().replicas.iter_mut().find(|replica| replica.address == address) {
            change(replica);
        }
    }
}

impl Lease {
    /// The replica has answered.
    pub(crate) fn succeeded(&mut self) {
        self.is_told = true;
        self.replicas.with(self.address, |replica| replica.breaker.succeeded());
    }

    /// It has not. Whether it is left alone from now on.
    pub(crate) fn failed(&mut self, limits: &PeerLimits) -> bool {
        self.is_told = true;
        let mut is_open = false;
        self.replicas.with(self.address, |replica| {
            is_open = replica.breaker.failed(Instant::now(), limits.failures_max, limits.rest);
        });
        is_open
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let is_told = self.is_told;
        self.replicas.with(self.address, |replica| {
            replica.in_flight = replica.in_flight.saturating_sub(1);
            if !is_told {
                replica.breaker.dropped();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(count: u8) -> (Arc<Replicas>, Vec<Option<IpAddr>>) {
        let addresses: Vec<IpAddr> = (1..=count).map(|n| IpAddr::from([10, 0, 0, n])).collect();
        let replicas = Arc::new(Replicas::default());
        replicas.set(&addresses);
        (replicas, addresses.into_iter().map(Some).collect())
    }

    #[test]
    fn replicas_take_turns() {
        let (replicas, addresses) = replicas(3);
        let mut counts = [0; 3];
        for _ in 0..300 {
            let lease = replicas.pick(&BTreeSet::new()).unwrap();
            counts[addresses.iter().position(|address| *address == lease.address).unwrap()] += 1;
        }
        assert_eq!(counts, [100, 100, 100]);
    }

    #[test]
    fn one_that_is_slow_gets_less() {
        let (replicas, addresses) = replicas(3);
        // Nothing that goes to the first one comes to its end.
        let mut stuck = Vec::new();
        for _ in 0..300 {
            let lease = replicas.pick(&BTreeSet::new()).unwrap();
            if lease.address == addresses[0] {
                stuck.push(lease);
            }
        }
        assert!(stuck.len() <= 2, "{}", stuck.len());
    }

    #[test]
    fn one_that_fails_is_left_out_and_one_that_was_tried_too() {
        let (replicas, addresses) = replicas(2);
        let limits = PeerLimits::default();
        for _ in 0..limits.failures_max {
            let mut lease = replicas.at(addresses[0]);
            lease.failed(&limits);
        }
        for _ in 0..10 {
            assert_eq!(replicas.pick(&BTreeSet::new()).unwrap().address, addresses[1]);
        }
        assert!(replicas.pick(&BTreeSet::from([addresses[1]])).is_none());
        assert!(replicas.are_up());
        // A task that it has is asked for all the same.
        assert_eq!(replicas.at(addresses[0]).address, addresses[0]);
        replicas.set(&[]);
        assert_eq!(replicas.addresses(), [None]);
        assert_eq!(replicas.at(addresses[0]).address, None, "gone: asked by its name");
    }
}
