//! Under which calls a server has died. A call that kills it again and again fails alone, and others go on.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use bobbinet_core::{Json, limits::ATTEMPTS_MAX};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// Calls that are remembered for this, the newest ones.
const REMEMBERED_MAX: usize = 256;

/// A call, as it can be recognised when it comes again: its tool and its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallFingerprint([u8; 32]);

impl CallFingerprint {
    pub(crate) fn of(tool: &str, arguments: &Json) -> Self {
        let mut hash = Sha256::new();
        hash.update(tool.as_bytes());
        hash.update([0]);
        hash.update(arguments.as_str().as_bytes());
        Self(hash.finalize().into())
    }
}

/// What is known against a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrashStanding {
    /// Nothing is held against it.
    Clear,
    /// The server has died under it, perhaps for another's doing: it runs alone.
    Suspect,
    /// The server has died under it alone, so often. It is not called before that much time has gone.
    Banned(u32, Duration),
}

/// The deaths of a server, each held against the call that was in flight. The time is an argument.
#[derive(Debug)]
pub(crate) struct CrashHistory {
    /// How long a death is held against a call.
    within: Duration,
    known: Mutex<BTreeMap<CallFingerprint, Crashes>>,
}

#[derive(Clone, Copy, Debug)]
struct Crashes {
    newest: Instant,
    /// Deaths under this call and no other.
    alone: u32,
}

impl CrashHistory {
    pub(crate) fn new(within: Duration) -> Self {
        Self { within, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<CallFingerprint, Crashes>> {
        self.known.lock().expect("nobody panics while looking through a few calls")
    }

    /// The server has died under these calls. Returns whether that was known of them before: such a death says nothing
    /// new of the server.
    pub(crate) fn died(&self, now: Instant, fingerprints: &[CallFingerprint]) -> bool {
        let mut known = self.known();
        known.retain(|_, it| now.duration_since(it.newest) < self.within);
        let is_known = matches!(fingerprints, [only] if known.contains_key(only));
        for fingerprint in fingerprints {
            let entry = known.entry(*fingerprint).or_insert(Crashes { newest: now, alone: 0 });
            entry.newest = now;
            entry.alone += u32::from(fingerprints.len() == 1);
        }
        while known.len() > REMEMBERED_MAX {
            let oldest = known.iter().min_by_key(|(_, it)| it.newest).map(|(fingerprint, _)| *fingerprint);
            oldest.map(|fingerprint| known.remove(&fingerprint));
        }
        is_known
    }

    /// The server has lived through this call.
    pub(crate) fn lived(&self, fingerprint: CallFingerprint) {
        self.known().remove(&fingerprint);
    }

    pub(crate) fn standing(&self, now: Instant, fingerprint: CallFingerprint) -> CrashStanding {
        let known = self.known();
        let Some(it) = known.get(&fingerprint) else { return CrashStanding::Clear };
        let rest = self.within.saturating_sub(now.duration_since(it.newest));
        match it.alone {
            _ if rest.is_zero() => CrashStanding::Clear,
            deaths @ ATTEMPTS_MAX.. => CrashStanding::Banned(deaths, rest),
            _ => CrashStanding::Suspect,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_kills_again_and_again_is_known_and_forgotten_after_a_while() {
        let history = CrashHistory::new(Duration::from_secs(60));
        let begin = Instant::now();
        let at = |second| begin + Duration::from_secs(second);
        let [poison, bystander] = ["p", "b"].map(|tool| CallFingerprint::of(tool, &Json::of(&1)));
        assert!(!history.died(at(0), &[poison, bystander]));
        assert_eq!(
            [poison, bystander].map(|fingerprint| history.standing(at(0), fingerprint)),
            [CrashStanding::Suspect; 2]
        );
        history.lived(bystander);
        assert_eq!(history.standing(at(1), bystander), CrashStanding::Clear);
        assert!([1, 2, 3].into_iter().all(|second| history.died(at(second), &[poison])), "nothing new");
        assert_eq!(history.standing(at(4), poison), CrashStanding::Banned(3, Duration::from_secs(59)));
        assert_ne!(poison, CallFingerprint::of("p", &Json::of(&2)));
        assert_eq!(history.standing(at(70), poison), CrashStanding::Clear);
        assert!(!history.died(at(70), &[poison]));
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let history = CrashHistory::new(Duration::from_secs(60));
        let fingerprints =
            (0..=REMEMBERED_MAX).map(|number| CallFingerprint::of("t", &Json::of(&number))).collect::<Vec<_>>();
        history.died(Instant::now(), &fingerprints);
        assert_eq!(history.known().len(), REMEMBERED_MAX);
    }
}
