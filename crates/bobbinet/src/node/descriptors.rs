//! Files that the process may have open, connections among them: as many as the system lets it, and how they are shared out.

use bobbinet_http::HttpLimits;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files that a node has open apart from its connections and its agents' servers: the store, its log, the runtime's own, values
/// that are being read. A node at rest has about thirty.
const OWN: u64 = 96;

/// Files for each agent's server: three pipes, and those of the one that takes over from it.
const EACH_AGENT: u64 = 8;

/// Connections that are always allowed: fewer are of no use to anybody.
const CONNECTIONS_MIN: usize = 8;

/// How many files the process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptors {
    /// How many the process may have open now.
    pub(super) max: u64,
    /// Before the process asked for more: what programs that it starts expect.
    pub(super) before: u64,
}

/// Takes all that the system allows. Many systems give 1,024 for the sake of programs that `select()`, which we do not.
pub(super) fn raise() -> Descriptors {
    let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((CAUTIOUS, CAUTIOUS));
    let max = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files stays as it is");
            before
        }
    };
    Descriptors { max, before }
}

/// What is assumed where the system does not say.
const CAUTIOUS: u64 = 1_024;

impl Descriptors {
    /// Bounds of connections for which there are descriptors, everything else that needs some provided for.
    pub(super) fn share(self, http: &HttpLimits, agents: usize) -> HttpLimits {
        let others = OWN + EACH_AGENT * agents as u64 + http.probe_connections_max as u64;
        let left = usize::try_from(self.max.saturating_sub(others)).unwrap_or(usize::MAX).max(CONNECTIONS_MIN);
        if left >= http.connections_max {
            return http.clone();
        }
        // An address's share stays the part that it was meant to be.
        let part = http.connections_per_address_max.saturating_mul(left) / http.connections_max;
        let share = part.max(CONNECTIONS_MIN).min(http.connections_per_address_max);
        tracing::warn!(
            files = self.max,
            connections_max = left,
            connections_per_address_max = share,
            "the system lets the node have few files open, so it takes fewer connections: raise the hard limit (ulimit -Hn)"
        );
        HttpLimits { connections_max: left, connections_per_address_max: share, ..http.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(max: u64, agents: usize, expected: (usize, usize)) {
        let limits = Descriptors { max, before: max }.share(&HttpLimits::default(), agents);
        assert_eq!((limits.connections_max, limits.connections_per_address_max), expected, "{max} for {agents}");
    }

    #[test]
    fn connections_are_as_many_as_there_are_descriptors_for() {
        check(1_048_576, 30, (4_096, 1_024));
        check(4_096 + 96 + 16 + 8, 1, (4_096, 1_024));
        check(4_096, 1, (3_976, 994));
        check(1_024, 4, (880, 220));
        check(256, 1, (136, 34));
        check(64, 1, (8, 8));
        check(0, 0, (8, 8));
    }
}
