//! Which version of A2A a request speaks: its header says so (specification section 3.6), and what it asks for.

use bobbinet_wire::{Error, ErrorKind, Version, v0_3, v1_0};
use http::{HeaderMap, Uri};

/// Where the version is said; also the name of a query parameter (specification section 3.6.1).
const VERSION: &str = "a2a-version";

/// What a request says of its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// Nothing.
    Nothing,
    /// One that is spoken here. A later 1.x is 1.0: what those add may be left out.
    Known(Version),
    /// Another.
    Unknown(&'a str),
}

/// What the request says. The patch number has no say.
pub(super) fn said<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Said<'a> {
    let header = headers.get(VERSION);
    if header.is_some_and(|value| value == v1_0::VERSION) {
        return Said::Known(Version::V1_0);
    }
    let header = header.map(|value| value.to_str().unwrap_or("unreadable"));
    let text = header.or_else(|| in_query(uri.query()?)).map(str::trim).unwrap_or_default();
    if text.is_empty() {
        return Said::Nothing;
    }
    let is_numeric = text.split('.').all(is_number);
    if is_numeric && text.split('.').next() == Some("1") {
        return Said::Known(Version::V1_0);
    }
    if is_numeric && v0_3::is_version(text) { Said::Known(Version::V0_3) } else { Said::Unknown(text) }
}

/// Whether a request that asks for something in the words of `spoken` may say so of its version. Nothing said means 0.3 (section 3.6.2),
/// unless `is_lenient`.
pub(super) fn check(said: Said<'_>, spoken: Version, is_lenient: bool) -> Result<(), Error> {
    let message = match said {
        Said::Known(version) if version == spoken => return Ok(()),
        Said::Nothing if spoken == Version::V0_3 || is_lenient => return Ok(()),
        Said::Nothing => {
            let name = spoken.name();
            format!(
                "The request does not say which version of A2A it speaks, which means 0.3, and asks in words of {name}"
            )
        }
        Said::Known(version) => {
            format!("The request says that it speaks A2A {}, and asks in words of {}", version.name(), spoken.name())
        }
        Said::Unknown(other) => {
            format!("A2A {other:?} is not spoken here; this agent speaks {} and {}", v1_0::VERSION, v0_3::VERSION)
        }
    };
    Err(Error::new(ErrorKind::VersionNotSupported).with_message(message))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn in_query(query: &str) -> Option<&str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case(VERSION))
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_speaks_what_it_says() {
        let check = |header: Option<&str>, query: &str, is_required: bool, in_1_0: bool, in_0_3: bool| {
            let mut request = http::Request::builder().uri(format!("/{query}"));
            if let Some(version) = header {
                request = request.header(VERSION, version);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let is_spoken = |version| check(said(&parts.headers, &parts.uri), version, !is_required).is_ok();
            let found = (is_spoken(Version::V1_0), is_spoken(Version::V0_3));
            assert_eq!(found, (in_1_0, in_0_3), "{header:?} {query:?} {is_required}");
        };
        for version in ["1.0", "1.1", "1", " 1.0.1 "] {
            check(Some(version), "", true, true, false);
        }
        check(None, "?A2A-Version=1.0", true, true, false);
        for version in ["0.3", "0.3.0"] {
            check(Some(version), "", false, false, true);
        }
        check(None, "?a2a-version=0.3", true, false, true);
        for version in ["2.0", "1.x", "10", "0.30", "0.2.5", "0.3.x", "99.0"] {
            check(Some(version), "", false, false, false);
        }
        for silent in [None, Some("")] {
            check(silent, "", true, false, true);
            check(silent, "", false, true, true);
        }
    }
}
