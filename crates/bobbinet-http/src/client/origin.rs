//! The place that requests and credentials go to: scheme, host and port (RFC 6454).

use std::fmt;

use reqwest::Url;

/// Where an agent is called, by the caller's own word, whatever its card says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(Url);

impl Origin {
    /// Reads `http://HOST:PORT` or `https://HOST`. A path has no place in it, and an address that only servers are bound to neither.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let example = || "write an origin, such as https://agents.example.com or http://127.0.0.1:7420".to_owned();
        let url = Url::parse(text.trim()).map_err(|_| example())?;
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        if !is_bare || !url.username().is_empty() || url.password().is_some() {
            return Err(example());
        }
        Self::of_url(&url).ok_or_else(example)
    }

    /// That of a URL, if it has one that can be called.
    pub(super) fn of_url(url: &Url) -> Option<Self> {
        let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
        is_web.then(|| Self(url.clone()))
    }

    /// What is at this path here.
    pub(super) fn of(&self, url: &Url) -> Url {
        let mut there = url.clone();
        // Each of them is that of a web URL, which fits any other.
        let _ = there.set_scheme(self.0.scheme());
        let _ = there.set_host(self.0.host_str());
        let _ = there.set_port(self.0.port());
        there
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.origin().ascii_serialization())
    }
}

/// That an agent is called elsewhere than its card says, since nobody can be called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detour {
    /// What the card says.
    pub card: String,
    /// Where it is called instead.
    pub there: String,
}

impl fmt::Display for Detour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { card, there } = self;
        write!(f, "the agent card says that its agent is at {card}, where nobody can call it; calling {there} instead")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_place_without_a_path() {
        let check = |text: &str, expected: Option<&str>| {
            let read = Origin::parse(text).ok().map(|origin| origin.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        check("https://agents.example.com", Some("https://agents.example.com"));
        check("http://127.0.0.1:7420/", Some("http://127.0.0.1:7420"));
        check("https://agents.example.com/files", None);
        check("https://me:secret@agents.example.com", None);
        check("agents.example.com", None);
        check("ftp://agents.example.com", None);
        check("file:///etc", None);
    }

    #[test]
    fn what_is_at_a_path_is_there_at_the_same_path() {
        let check = |origin: &str, url: &str, expected: &str| {
            let there = Origin::parse(origin).unwrap().of(&Url::parse(url).unwrap());
            assert_eq!(there.as_str(), expected);
        };
        check("https://a.example", "http://0.0.0.0:8000/rpc?x=1", "https://a.example/rpc?x=1");
        check("http://127.0.0.1:9", "https://[::]/", "http://127.0.0.1:9/");
    }
}
