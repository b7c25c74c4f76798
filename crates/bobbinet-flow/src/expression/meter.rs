//! What an evaluation may still use. It stands beside the thread and not in the values, since the interpreter makes values in
//! places that know nothing but the value's type.

use std::{cell::Cell, fmt};

use crate::limits::Limits;

/// Which bound an evaluation has run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// It worked for too long.
    Work,
    /// It made a value of too many bytes.
    Bytes,
    /// It made a value that is nested too deeply.
    Depth,
    /// It called itself too deeply.
    Stack,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Work => "it works for too long",
            Self::Bytes => "it makes a value that is too large",
            Self::Depth => "it makes a value that is nested too deeply",
            Self::Stack => "it calls itself too deeply",
        })
    }
}

#[derive(Clone, Copy)]
struct Left {
    work: u64,
    value_bytes: usize,
    value_depth: usize,
    stack: usize,
    base: usize,
    reached: Option<Bound>,
}

const NOTHING: Left = Left {
    work: u64::MAX,
    value_bytes: usize::MAX,
    value_depth: usize::MAX,
    stack: usize::MAX,
    base: 0,
    reached: None,
};

thread_local! {
    /// The work of all evaluations since somebody asked.
    static DONE: Cell<u64> = const { Cell::new(0) };
    static LEFT: Cell<Left> = const { Cell::new(NOTHING) };
    /// Parts of values that were made of JSON, or JSON of them.
    static CONVERTED: Cell<u64> = const { Cell::new(0) };
}

/// Parts of values that cost a unit of work to convert: each is made, and was copied before.
const CONVERTED_OF_A_UNIT: u64 = 4;

/// Notes that a part of a value was converted. Whoever only names a large value in each of many steps pays for it too, though not from
/// what the one evaluation may use: it cannot help how large its input is.
pub(super) fn converted() {
    CONVERTED.set(CONVERTED.get() + 1);
}

/// Runs this with so much to use, and says which bound was reached. Evaluations do not stand in one another.
pub(super) fn metered<T>(limits: &Limits, run: impl FnOnce() -> T) -> (T, Option<Bound>, u64) {
    let here = 0_u8;
    CONVERTED.set(0);
    LEFT.set(Left {
        work: limits.expression_work,
        value_bytes: limits.value_bytes,
        value_depth: limits.value_depth,
        stack: limits.expression_stack,
        base: std::ptr::addr_of!(here) as usize,
        reached: None,
    });
    let result = run();
    let Left { reached, work, .. } = LEFT.get();
    LEFT.set(NOTHING);
    (result, reached, limits.expression_work - work + CONVERTED.replace(0) / CONVERTED_OF_A_UNIT)
}

/// Adds to the work of this thread.
pub(crate) fn count(work: u64) {
    DONE.set(DONE.get().saturating_add(work));
}

/// The units of work of all evaluations on this thread since this was last asked.
pub fn work_done() -> u64 {
    DONE.replace(0)
}

/// Takes so much of the work that is left; false if there was not enough.
pub(super) fn spend(work: u64) -> bool {
    let mut left = LEFT.get();
    let is_enough = left.work >= work;
    left.work = left.work.saturating_sub(work);
    if !is_enough {
        left.reached = left.reached.or(Some(Bound::Work));
    }
    LEFT.set(left);
    left.reached.is_none()
}

/// The same for bytes that are copied.
pub(super) fn spend_bytes(bytes: usize) -> bool {
    spend(1 + bytes as u64 / 64)
}

/// Whether a value of this size may be made.
pub(super) fn may_hold(bytes: usize, depth: usize) -> bool {
    let left = LEFT.get();
    if bytes > left.value_bytes {
        reach(Bound::Bytes);
    } else if depth > left.value_depth {
        reach(Bound::Depth);
    }
    LEFT.get().reached.is_none()
}

/// Whether the stack that this call stands on may still grow.
pub(super) fn may_nest() -> bool {
    let here = 0_u8;
    let left = LEFT.get();
    if left.base.abs_diff(std::ptr::addr_of!(here) as usize) > left.stack {
        reach(Bound::Stack);
    }
    LEFT.get().reached.is_none()
}

/// Ends the evaluation.
pub(super) fn reach(bound: Bound) {
    let left = LEFT.get();
    LEFT.set(Left { reached: left.reached.or(Some(bound)), ..left });
}
