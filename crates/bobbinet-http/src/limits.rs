//! Every bound of the HTTP edge, with its name and its reason. Each is met by an answer or a closed connection, never by a hang.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The shortest time between two comments of a silent stream: more would be work for nothing.
const KEEP_ALIVE_MIN: Duration = Duration::from_millis(10);

/// The bounds that a node's operator may change. Times are in milliseconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpLimits {
    /// Bytes of a request's body; 413 beyond.
    pub body_max: usize,
    /// Bytes of a request's line and headers; 431 beyond.
    pub header_bytes_max: usize,
    /// Headers of a request; 431 beyond.
    pub headers_max: usize,
    /// Bytes of a request's path and query; 414 beyond.
    pub url_max: usize,
    /// For the two sides of a TLS connection to agree; it is closed beyond. It takes a place of `connections_max` meanwhile.
    pub handshake_ms: u64,
    /// From a request's first byte to the end of its headers; the connection is closed beyond.
    pub header_read_ms: u64,
    /// From the end of a request's headers to the end of its body; 408 beyond.
    pub body_read_ms: u64,
    /// How long a connection may do nothing between two requests; it is closed beyond.
    pub idle_ms: u64,
    /// How long a caller that has sent its last byte, and may be gone, is answered while there is nothing to write to it; the
    /// connection is cut beyond.
    pub half_close_ms: u64,
    /// How long what a refused sender goes on sending is read and thrown away, so that it gets to read why.
    pub linger_ms: u64,
    /// Connections open at a time, all addresses together. One beyond is told 503, or answered if it asks a probe's question.
    pub connections_max: usize,
    /// Connections of one address open at a time (an IPv6 network of 64 bits counts as one), but for the proxies that are
    /// named; 429 beyond.
    pub connections_per_address_max: usize,
    /// Connections beyond the others, for probes alone: one question each. When all are taken, the oldest makes room.
    pub probe_connections_max: usize,
    /// From the begin of such a connection to the end of its question; it is closed beyond.
    pub probe_read_ms: u64,
    /// Requests of one HTTP/2 connection at work at a time, streams included; further ones wait for their turn.
    pub requests_per_connection_max: u32,
    /// Bytes of bodies that an HTTP/2 connection, and each request of it, may have sent before anybody has read them.
    pub receive_window: usize,
    /// Bytes of tasks in one page of a list. The page ends before the task that would be more; a single task may be.
    pub page_bytes_max: usize,
    /// Bytes of large answers that are made, or not yet taken by their readers, all connections together; who finds no room waits a
    /// little, then 503.
    pub unsent_bytes_max: usize,
    /// Bytes of that for the answers of one caller, so that one who reads slowly leaves room for others; 429 beyond. A single answer
    /// may be larger, if the caller has no other.
    pub unsent_bytes_per_caller_max: usize,
    /// What a refused caller is told to wait.
    pub retry_after_ms: u64,
    /// How long a stream may be silent before a comment shows that it lives: to proxies, and to clients that wait for five seconds
    /// and no longer, as httpx does if it is told nothing else.
    pub keep_alive_ms: u64,
    /// How long a reader may take nothing while there is something for it; the connection is cut beyond. A stream resumes.
    pub send_stall_ms: u64,
    /// Bytes made ready for a connection that is not taking them; beyond, nothing is read from the log for it.
    pub send_buffer_max: usize,
    /// How long a stream lives before it is ended with a `retry:` hint, so that load can move.
    pub stream_life_ms: u64,
    /// What a client whose stream was ended by the server is told to wait before it resumes.
    pub stream_retry_ms: u64,
    /// How long a card may be taken from a cache.
    pub card_age_ms: u64,
    /// How long requests in flight may take once the server is told to stop. A wait that is not over then is answered with the
    /// task as it stands.
    pub drain_ms: u64,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_max: 4 << 20,
            header_bytes_max: 32 << 10,
            headers_max: 64,
            url_max: 4 << 10,
            handshake_ms: 10_000,
            header_read_ms: 10_000,
            body_read_ms: 30_000,
            idle_ms: 75_000,
            half_close_ms: 30_000,
            linger_ms: 2_000,
            connections_max: 4_096,
            connections_per_address_max: 1_024,
            probe_connections_max: 16,
            probe_read_ms: 1_000,
            requests_per_connection_max: 128,
            receive_window: 256 << 10,
            page_bytes_max: 4 << 20,
            unsent_bytes_max: 256 << 20,
            unsent_bytes_per_caller_max: 64 << 20,
            retry_after_ms: 1_000,
            keep_alive_ms: 3_000,
            send_stall_ms: 30_000,
            send_buffer_max: 256 << 10,
            stream_life_ms: 60 * 60 * 1_000,
            stream_retry_ms: 1_000,
            card_age_ms: 60_000,
            drain_ms: 20_000,
        }
    }
}

impl HttpLimits {
    /// Time to agree on TLS.
    pub fn handshake(&self) -> Duration {
        Duration::from_millis(self.handshake_ms)
    }

    /// Time to send a request's headers.
    pub fn header_read(&self) -> Duration {
        Duration::from_millis(self.header_read_ms)
    }

    /// Time to send a request's body.
    pub fn body_read(&self) -> Duration {
        Duration::from_millis(self.body_read_ms)
    }

    /// Time between two requests of a connection.
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms)
    }

    /// Time that a caller who has sent its last byte is answered while there is nothing to write.
    pub fn half_close(&self) -> Duration {
        Duration::from_millis(self.half_close_ms)
    }

    /// Time that a refused sender is read from.
    pub fn linger(&self) -> Duration {
        Duration::from_millis(self.linger_ms)
    }

    /// Time between two comments of a silent stream.
    pub fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive_ms).max(KEEP_ALIVE_MIN)
    }

    /// Time that a reader may take nothing.
    pub fn send_stall(&self) -> Duration {
        Duration::from_millis(self.send_stall_ms)
    }

    /// Time that a stream lives.
    pub fn stream_life(&self) -> Duration {
        Duration::from_millis(self.stream_life_ms)
    }

    /// Time that requests in flight have when the server stops.
    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }

    /// What `Retry-After` says: whole seconds, at least one.
    pub fn retry_after_secs(&self) -> u64 {
        self.retry_after_ms.div_ceil(1_000).max(1)
    }
}
