//! The bounds of what goes out, with their reasons. Each is met by a typed error, never by a hang.

use std::time::Duration;

/// How long a request may take, and how much may come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboundLimits {
    /// For a name to be resolved and a connection to be made.
    pub connect: Duration,
    /// From a request to the first byte of its answer.
    pub answer: Duration,
    /// Between two pieces of an answer.
    pub silence: Duration,
    /// From a request to the last byte of its answer, of one that is fetched whole.
    pub whole: Duration,
    /// Bytes of an answer that is fetched whole.
    pub bytes_max: usize,
    /// Connections to one host that are kept open while nobody uses them.
    pub idle_connections_max: usize,
}

impl Default for OutboundLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(30),
            silence: Duration::from_secs(60),
            whole: Duration::from_secs(60),
            bytes_max: 4 << 20,
            idle_connections_max: 32,
        }
    }
}

/// Redirects in a row that are followed, all within one origin: from a path without a slash to one with it, and so on.
pub(crate) const REDIRECTS_MAX: usize = 3;

/// Addresses of one name that are looked at. More are no replicas that anybody would run by hand, but a name that wants to be tried
/// for ever.
pub(crate) const ADDRESSES_MAX: usize = 64;

/// How long a connection that nobody uses is kept: shorter than servers and what stands before them close them.
pub(crate) const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(30);

/// How long a connection of HTTP/2 alone may be silent before it is asked whether the other side is there: servers of gRPC are known to
/// close the connections of those who ask more often than every five minutes.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(310);

/// How long the answer to that may take.
pub(crate) const PONG_MAX: Duration = Duration::from_secs(20);
