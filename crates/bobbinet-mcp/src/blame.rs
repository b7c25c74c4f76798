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
pub(crate) struct Deed([u8; 32]);

impl Deed {
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
pub(crate) enum Standing {
    /// Nothing.
    Good,
    /// The server has died under it, perhaps for another's doing: it runs alone.
    Suspect,
    /// The server has died under it alone, so often. It is not called before that much time has gone.
    Convicted(u32, Duration),
}

/// See the module. Time comes in.
#[derive(Debug)]
pub(crate) struct Blame {
    /// How long a death is held against a call.
    within: Duration,
    known: Mutex<BTreeMap<Deed, Known>>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    newest: Instant,
    /// Deaths under this call and no other.
    alone: u32,
}

impl Blame {
    pub(crate) fn new(within: Duration) -> Self {
        Self { within, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Deed, Known>> {
        self.known.lock().expect("nobody panics while looking through a few deeds")
    }

    /// The server has died under these calls. Returns whether that was known of them before: such a death says nothing
    /// new of the server.
    pub(crate) fn died(&self, now: Instant, deeds: &[Deed]) -> bool {
        let mut known = self.known();
        known.retain(|_, it| now.duration_since(it.newest) < self.within);
        let is_known = matches!(deeds, [only] if known.contains_key(only));
        for deed in deeds {
            let entry = known.entry(*deed).or_insert(Known { newest: now, alone: 0 });
            entry.newest = now;
            entry.alone += u32::from(deeds.len() == 1);
        }
        while known.len() > REMEMBERED_MAX {
            let oldest = known.iter().min_by_key(|(_, it)| it.newest).map(|(deed, _)| *deed);
            oldest.map(|deed| known.remove(&deed));
        }
        is_known
    }

    /// The server has lived through this call.
    pub(crate) fn lived(&self, deed: Deed) {
        self.known().remove(&deed);
    }

    pub(crate) fn standing(&self, now: Instant, deed: Deed) -> Standing {
        let known = self.known();
        let Some(it) = known.get(&deed) else { return Standing::Good };
        let rest = self.within.saturating_sub(now.duration_since(it.newest));
        match it.alone {
            _ if rest.is_zero() => Standing::Good,
            deaths @ ATTEMPTS_MAX.. => Standing::Convicted(deaths, rest),
            _ => Standing::Suspect,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_kills_again_and_again_is_known_and_forgotten_after_a_while() {
        let blame = Blame::new(Duration::from_secs(60));
        let begin = Instant::now();
        let at = |second| begin + Duration::from_secs(second);
        let [poison, bystander] = ["p", "b"].map(|tool| Deed::of(tool, &Json::of(&1)));
        assert!(!blame.died(at(0), &[poison, bystander]));
        assert_eq!([poison, bystander].map(|deed| blame.standing(at(0), deed)), [Standing::Suspect; 2]);
        blame.lived(bystander);
        assert_eq!(blame.standing(at(1), bystander), Standing::Good);
        assert!([1, 2, 3].into_iter().all(|second| blame.died(at(second), &[poison])), "nothing new");
        assert_eq!(blame.standing(at(4), poison), Standing::Convicted(3, Duration::from_secs(59)));
        assert_ne!(poison, Deed::of("p", &Json::of(&2)));
        assert_eq!(blame.standing(at(70), poison), Standing::Good);
        assert!(!blame.died(at(70), &[poison]));
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let blame = Blame::new(Duration::from_secs(60));
        let deeds = (0..=REMEMBERED_MAX).map(|number| Deed::of("t", &Json::of(&number))).collect::<Vec<_>>();
        blame.died(Instant::now(), &deeds);
        assert_eq!(blame.known().len(), REMEMBERED_MAX);
    }
}
