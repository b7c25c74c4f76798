//! Where a page of a list ended, as an opaque text.
//!
//! A token is the place of the last entry in the order of the list, not a number of entries: what changes in between
//! moves to the front of the list or leaves it, and is neither given twice nor pushes anything over the edge of a page.
//! It names the filters that it was made for, so that it cannot be used with others.

use std::cmp::Reverse;

use bobbinet_core::Timestamp;
use sha2::{Digest, Sha256};

use crate::{Query, StoreError};

/// The place of a stream in a list: newest status first, then the stream that began last.
pub(crate) type ListPosition = (Reverse<Timestamp>, Reverse<u64>);

/// How much of the filters' hash is kept: enough that no two queries of one caller meet by accident.
const FILTERS_LENGTH: usize = 8;
const LENGTH: usize = FILTERS_LENGTH + 8 + 8;

/// A short hash of all that a query filters by.
pub(crate) type Filters = [u8; FILTERS_LENGTH];

/// The token of a page of a query that ended with the stream of this status and this first commit.
pub(crate) fn write(filters: Filters, status_at: Timestamp, born: u64) -> String {
    let mut token = Vec::with_capacity(LENGTH);
    token.extend(filters);
    token.extend(status_at.as_millis().to_be_bytes());
    token.extend(born.to_be_bytes());
    hex::encode(token)
}

/// The place after which the page that `query` asks for begins; `None` for the first page.
pub(crate) fn read(query: &Query) -> Result<Option<ListPosition>, StoreError> {
    let Some(token) = &query.page_token else { return Ok(None) };
    let mut bytes = [0; LENGTH];
    hex::decode_to_slice(token, &mut bytes).map_err(|_| StoreError::BadPageToken)?;
    let (made_for, place) = bytes.split_at(FILTERS_LENGTH);
    if made_for != filters(query) {
        return Err(StoreError::BadPageToken);
    }
    let number = |at: usize| u64::from_be_bytes(place[at..at + 8].try_into().expect("eight bytes"));
    Ok(Some((Reverse(Timestamp::from_millis(number(0))), Reverse(number(8)))))
}

/// What a query filters by. The size of the page is not part of it: it may change from page to page.
pub(crate) fn filters(query: &Query) -> Filters {
    let mut hash = Sha256::new();
    let mut text = |value: Option<&str>| match value {
        None => hash.update([0]),
        Some(value) => {
            hash.update([1]);
            hash.update((value.len() as u64).to_be_bytes());
            hash.update(value);
        }
    };
    let Query { tenant, owner, agent, context, state, status_since, page_size: _, page_token: _ } = query;
    text(Some(tenant));
    text(owner.as_deref());
    text(agent.as_deref());
    text(context.as_deref());
    hash.update(state.map_or([0, 0], |state| [1, state]));
    hash.update(status_since.map_or([0xff; 9], |since| {
        let mut bytes = [0; 9];
        bytes[1..].copy_from_slice(&since.as_millis().to_be_bytes());
        bytes
    }));
    hash.finalize()[..FILTERS_LENGTH].try_into().expect("a SHA-256 is longer")
}
