//! How many bytes of answers wait for their readers: the node's bound and each caller's.

use std::{sync::Arc, time::Duration};

use bobbinet_core::Caller;
use bobbinet_gateway::{Full, Share, Shares};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::HttpLimits;

/// How long an answer waits for room among those that are not taken yet.
const ROOM_WAIT: Duration = Duration::from_secs(5);

/// The room that there is, counted in steps of a kibibyte.
#[derive(Debug)]
pub(super) struct Unsent {
    room: Arc<Semaphore>,
    max: usize,
    of: Arc<Shares>,
}

/// Room for bytes that wait for their reader: the node's and its caller's; given back when dropped.
#[derive(Debug)]
pub struct Room {
    _room: OwnedSemaphorePermit,
    _share: Share,
}

fn kibibytes(bytes: usize) -> usize {
    bytes.div_ceil(1 << 10)
}

impl Unsent {
    pub(super) fn new(limits: &HttpLimits) -> Self {
        let max = kibibytes(limits.unsent_bytes_max).max(1);
        let share = kibibytes(limits.unsent_bytes_per_caller_max).max(1);
        Self {
            room: Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))),
            max,
            of: Shares::new(share, "unsent_bytes_per_caller_max"),
        }
    }

    /// Room for so many bytes of an answer to this caller; all that a caller may have, for more than that. What waits counts for its
    /// caller already, so that nobody has more waiting than he may have unread.
    pub(super) async fn room(&self, caller: &Caller, bytes: usize) -> Result<Room, Full> {
        let count = kibibytes(bytes).min(self.max).min(self.of.max());
        let share = self.of.take(caller, count)?;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let room = timeout(ROOM_WAIT, self.room.clone().acquire_many_owned(count)).await;
        let room = room.ok().and_then(Result::ok).ok_or(Full::Node("unsent_bytes_max"))?;
        Ok(Room { _room: room, _share: share })
    }
}

#[cfg(test)]
mod tests {
    use bobbinet_core::{Principal, Tenant};
    use futures::FutureExt;

    use super::*;

    fn caller(name: &str) -> Caller {
        Caller {
            principal: Principal::parse(name).unwrap(),
            tenant: Tenant::parse("here").unwrap(),
            is_node_owner: false,
            scopes: Vec::new(),
            chain: Vec::new(),
            issuer: None,
            claims: None,
        }
    }

    #[tokio::test]
    async fn a_caller_who_reads_slowly_leaves_room_for_others() {
        let limits =
            HttpLimits { unsent_bytes_max: 3 << 20, unsent_bytes_per_caller_max: 1 << 20, ..HttpLimits::default() };
        let unsent = Unsent::new(&limits);
        let (one, two) = (caller("one"), caller("two"));
        let slow = unsent.room(&one, 700 << 10).await.unwrap();
        let refused = unsent.room(&one, 700 << 10).await.unwrap_err();
        assert_eq!(refused, Full::Caller("unsent_bytes_per_caller_max"));
        // What is larger than a share is all of it, and no more.
        let large = unsent.room(&two, 1 << 30).await.unwrap();
        let rest = unsent.room(&caller("three"), 1 << 20).await.unwrap();
        // The node is full before its fourth caller is, who waits, and leaves no trace.
        assert!(unsent.room(&caller("four"), 500 << 10).now_or_never().is_none());
        drop((slow, large, rest));
        assert_eq!(unsent.room.available_permits(), 3 << 10);
        assert!(unsent.of.is_untouched(), "all is given back");
    }
}
