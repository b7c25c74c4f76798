//! How a server is spoken to first, by what is known of it and what has failed.

use crate::config::ProtocolEra;

/// A server that ends over the handshake in the newest version so often in a row is greeted in the version that it hints at.
/// Once says nothing of versions: it may end of anything, and an older version has less to offer.
const NEWEST_ENDS_MAX: u32 = 2;

/// How a server is spoken to first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) era: ProtocolEra,
    /// The version to propose in a handshake, if not the newest.
    pub(crate) version: Option<&'static str>,
    /// Lives in a row that ended over a handshake in the newest version.
    pub(crate) ends: u32,
}

impl Opening {
    /// How a server is spoken to at first: as the operator says, else as an old one if it was one the last time, else it is asked.
    pub(crate) fn first(configured: ProtocolEra, known: Option<ProtocolEra>) -> Self {
        let era = match (configured, known) {
            (ProtocolEra::Auto, Some(ProtocolEra::Legacy)) => ProtocolEra::Legacy,
            // One of the new era is asked what it speaks all the same, and that costs nothing.
            (ProtocolEra::Auto, Some(ProtocolEra::Auto | ProtocolEra::Modern) | None) => ProtocolEra::Auto,
            (ProtocolEra::Modern | ProtocolEra::Legacy, _) => configured,
        };
        Self { era, version: None, ends: 0 }
    }

    /// How a server is spoken to after it did not get ready: one that was asked for its era is greeted as an old one, one that was
    /// greeted is asked. `hint` is the version to propose in a handshake, if the failure has told one.
    pub(crate) fn after(configured: ProtocolEra, tried: &Self, hint: Option<&'static str>) -> Self {
        let era = match (configured, tried.era) {
            (ProtocolEra::Auto, ProtocolEra::Auto) => ProtocolEra::Legacy,
            (ProtocolEra::Auto, ProtocolEra::Legacy | ProtocolEra::Modern) => ProtocolEra::Auto,
            (ProtocolEra::Modern | ProtocolEra::Legacy, _) => configured,
        };
        // What an old one hints at is for its next greeting, also if it is asked in between.
        let (version, ends) = match (tried.era, hint) {
            (ProtocolEra::Auto, _) => (tried.version, tried.ends),
            (ProtocolEra::Legacy | ProtocolEra::Modern, None) => (None, 0),
            (ProtocolEra::Legacy | ProtocolEra::Modern, Some(_)) if tried.ends + 1 < NEWEST_ENDS_MAX => {
                (None, tried.ends + 1)
            }
            (ProtocolEra::Legacy | ProtocolEra::Modern, Some(hint)) => (Some(hint), 0),
        };
        Self { era, version, ends }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_does_not_get_ready_is_spoken_to_in_the_other_way() {
        let opening = |era, version, ends| Opening { era, version, ends };
        let check = |configured, tried: Opening, hint, expected: Opening| {
            assert_eq!(Opening::after(configured, &tried, hint), expected, "{configured:?} {tried:?}");
        };
        let old = Some("2024-11-05");
        let [auto, legacy, modern] = [ProtocolEra::Auto, ProtocolEra::Legacy, ProtocolEra::Modern];
        check(auto, opening(auto, None, 0), old, opening(legacy, None, 0));
        // One end is no reason for an older version; a second one in a row is, whatever was asked in between.
        check(auto, opening(legacy, None, 0), old, opening(auto, None, 1));
        check(auto, opening(auto, None, 1), old, opening(legacy, None, 1));
        check(auto, opening(legacy, None, 1), old, opening(auto, old, 0));
        check(auto, opening(legacy, None, 1), None, opening(auto, None, 0));
        check(auto, opening(auto, old, 0), None, opening(legacy, old, 0));
        check(legacy, opening(legacy, None, 0), old, opening(legacy, None, 1));
        check(legacy, opening(legacy, None, 1), old, opening(legacy, old, 0));
        check(modern, opening(modern, None, 0), None, opening(modern, None, 0));
        assert_eq!(Opening::first(ProtocolEra::Auto, Some(ProtocolEra::Legacy)).era, ProtocolEra::Legacy);
        assert_eq!(Opening::first(ProtocolEra::Auto, Some(ProtocolEra::Modern)).era, ProtocolEra::Auto);
        assert_eq!(Opening::first(ProtocolEra::Modern, Some(ProtocolEra::Legacy)).era, ProtocolEra::Modern);
    }
}
