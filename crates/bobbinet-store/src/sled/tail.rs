//! Which streams grew, read from the heads in their order.

use super::{
    Shared, codec, keys,
    read_error::{ReadError, guarded},
};
use crate::{Cursor, Scope, StoreError, Tail, TailEntry};

/// The most steps of others that one call of `tail` passes over.
const TAIL_SCAN_MAX: u64 = 4_096;

pub(super) fn tail(shared: &Shared, scope: &Scope, after: Cursor, limit: usize) -> Result<Tail, StoreError> {
    let mut tail = Tail { entries: Vec::new(), next: after };
    let last = shared.index().last;
    if after.0 >= last || limit == 0 {
        return Ok(tail);
    }
    let wanted = after.0 + 1;
    let scan = || -> Result<(), ReadError> {
        let begins = keys::heads(0)..=keys::heads(wanted);
        let Some(first) = shared.tree.range(begins).next_back().transpose()? else {
            return Err(ReadError::Missing("a chunk of heads"));
        };
        let later = shared.tree.range(keys::heads(wanted + 1)..=keys::heads(last));
        for pair in std::iter::once(Ok(first)).chain(later) {
            let (key, chunk) = pair?;
            let heads = codec::Heads::read(&chunk)?;
            let number = keys::number(&key).ok_or(ReadError::Missing("a chunk of heads"))?;
            let index = shared.index();
            for (number, head) in (number..).zip(&heads.entries).skip_while(|(number, _)| *number < wanted) {
                if tail.entries.len() == limit || number > last || number - after.0 > TAIL_SCAN_MAX {
                    return Ok(());
                }
                tail.next = Cursor(number);
                let Some(head) = head.as_ref().filter(|head| matches!(head.change, codec::Change::Grown { .. })) else {
                    continue;
                };
                let known = index.get(&head.stream).filter(|entry| entry.born == head.born);
                if known.is_some_and(|entry| index.covers(entry, scope.tenant.as_deref(), scope.context.as_deref())) {
                    let entry = TailEntry { stream: head.stream.clone(), version: codec::version(head.version) };
                    tail.entries.push(entry);
                }
            }
            // What was swept away behind the chunk is passed over as well.
            tail.next = Cursor(last.min(number + heads.span - 1).max(tail.next.0));
        }
        Ok(())
    };
    guarded(scan)?.map_err(ReadError::into_store)?;
    Ok(tail)
}
