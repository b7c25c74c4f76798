//! How many connections there are, of whom, and which of them are let in.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use bobbinet_gateway::Full;
use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::HttpLimits;

/// The part of an IPv6 address that one subscriber is given as a whole.
const NETWORK: u128 = !((1 << 64) - 1);

/// Lets connections in as long as there is room.
#[derive(Debug)]
pub(super) struct Gate {
    permits: Arc<Semaphore>,
    shares: Arc<Shares>,
    proxies: Vec<IpNet>,
}

/// Leave for a connection to be open, of what the server has and of its address's share; given back when dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
    _share: Option<Share>,
}

#[derive(Debug)]
struct Shares {
    max: usize,
    open: Mutex<BTreeMap<IpAddr, usize>>,
}

#[derive(Debug)]
struct Share {
    shares: Arc<Shares>,
    of: IpAddr,
}

impl Gate {
    /// All connections from `proxies` may be there at once: each stands for many callers.
    pub(super) fn new(limits: &HttpLimits, proxies: &[IpNet]) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limits.connections_max.min(Semaphore::MAX_PERMITS))),
            shares: Arc::new(Shares { max: limits.connections_per_address_max, open: Mutex::default() }),
            proxies: proxies.to_vec(),
        }
    }

    /// A permit for a connection from this address.
    pub(super) fn enter(&self, peer: IpAddr) -> Result<ConnectionPermit, Full> {
        let peer = peer.to_canonical();
        let is_proxy = self.proxies.iter().any(|network| network.contains(&peer));
        let share = if is_proxy { None } else { Some(self.shares.take(subscriber(peer))?) };
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| Full::Node("connections_max"))?;
        Ok(ConnectionPermit { _permit: permit, _share: share })
    }
}

/// What counts as one address.
fn subscriber(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
    }
}

impl Shares {
    fn take(self: &Arc<Self>, of: IpAddr) -> Result<Share, Full> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&of).copied().unwrap_or_default();
        if count >= self.max {
            return Err(Full::Caller("connections_per_address_max"));
        }
        open.insert(of, count + 1);
        Ok(Share { shares: self.clone(), of })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut open = self.shares.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        let limits = HttpLimits { connections_max: 5, connections_per_address_max: 2, ..HttpLimits::default() };
        Gate::new(&limits, &["10.0.0.0/8".parse().unwrap()])
    }

    /// Which of the connections get in, one after the other.
    fn check(peers: &[&str], expected: &[Option<&str>]) {
        let gate = gate();
        let permits: Vec<_> = peers.iter().map(|peer| gate.enter(peer.parse().unwrap())).collect();
        let refused: Vec<Option<&str>> = permits
            .iter()
            .map(|permit| match permit {
                Ok(_) => None,
                Err(Full::Node(limit) | Full::Caller(limit)) => Some(*limit),
            })
            .collect();
        assert_eq!(refused, expected, "{peers:?}");
        drop(permits);
        assert_eq!(gate.permits.available_permits(), 5);
        assert!(gate.shares.open.lock().unwrap().is_empty(), "all is given back");
    }

    #[test]
    fn an_address_has_a_share_and_a_proxy_has_none() {
        let share = Some("connections_per_address_max");
        check(&["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"], &[None, None, share, None]);
        check(&["::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"], &[None, None, share]);
        check(&["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"], &[None, None, share, None]);
        check(&["10.0.0.1"; 6], &[None, None, None, None, None, Some("connections_max")]);
        check(&["::ffff:10.0.0.1"; 3], &[None, None, None]);
    }
}
