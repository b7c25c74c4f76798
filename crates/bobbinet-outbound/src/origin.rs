//! The place that a request goes to: scheme, host and port (RFC 6454).

use std::{fmt, net::IpAddr};

use reqwest::Url;

use crate::Refused;

/// A scheme, a host and a port, as URL parsing writes them: hosts in lower case, numbers as addresses, without a last dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// That of a URL that may be called.
    ///
    /// # Errors
    /// If it is neither http nor https, has no host, or has credentials in it: those would stand in logs.
    pub fn of(url: &Url) -> Result<Self, Refused> {
        let bad = |why| Refused::Url { url: without_secrets(url), why };
        let scheme = match url.scheme() {
            scheme @ ("http" | "https") => scheme.to_owned(),
            _ => return Err(bad("it is neither http nor https")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it has a name or a password in it"));
        }
        // One dot at the end of a name says that it is whole, and changes nothing of where it leads.
        let host = url.host_str().map(|host| host.strip_suffix('.').unwrap_or(host)).unwrap_or_default();
        if host.is_empty() || host.ends_with('.') {
            return Err(bad("it names no host"));
        }
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or_else(|| bad("it names no port"))?;
        Ok(Self { scheme, host: host.to_owned(), port })
    }

    /// The address that stands in place of a name, if one does.
    pub fn literal(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// The host, as it stands in a URL.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is this machine, by its address or by a name that never is another's (RFC 6761).
    pub fn is_loopback(&self) -> bool {
        is_local_name(&self.host) || self.literal().is_some_and(|ip| ip.to_canonical().is_loopback())
    }

    /// The same place; all names of this machine are one host.
    pub fn is_same_place(&self, other: &Self) -> bool {
        let is_same_host = self.host == other.host || (self.is_loopback() && other.is_loopback());
        self.scheme == other.scheme && self.port == other.port && is_same_host
    }
}

/// Names that are resolved to this machine without asking anybody.
pub(crate) fn is_local_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let is_below = |domain: &str| host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    is_below("localhost") || is_below("localdomain") || matches!(host.as_str(), "ip6-localhost" | "ip6-loopback")
}

fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    // A URL that can have neither has none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port } = self;
        match (scheme.as_str(), port) {
            ("http", 80) | ("https", 443) => write!(f, "{scheme}://{host}"),
            _ => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}
