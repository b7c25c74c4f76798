//! Expressions: jq by jaq, bounded so that a hostile program cannot pass the bounds.
//!
//! Three things hold together, and each was tried alone first:
//! - *Every term counts.* jaq cannot be interrupted, but it gives away the parsed program, and `instrument` has each term that does
//!   something entered through a function of ours, which counts a step and looks how much stack is used. When there is no more, it
//!   *halts*, which no `try` catches, unlike an error. This bounds `def f: f; f`, `until(false; .)`, `repeat(.)`: loops that touch
//!   no value. Leaving out definitions would not, as anybody can write them again.
//! - *Values count.* `value` is a value type of ours that knows its size as a tree and its depth, and pays for what it copies, visits
//!   and compares. This bounds `[range(1e12)]`, `"x" * 1e12`, doubled texts, numbers of a million digits, and values that are
//!   small in memory but whose parts are shared exponentially often. It alone would not see a loop that touches no value.
//! - *A filter with a filter for an argument may not call itself* (`inspect`). Each such call wraps its argument once more without
//!   using stack, and freeing what is wrapped a million times overflows the stack when nobody counts any more. Other recursion is fine.
//!
//! The tests in `tests/hostile.rs` measure all of it.

mod arithmetic;
mod convert;
mod inspect;
mod instrument;
mod meter;
mod natives;
mod program;
mod value;

pub(crate) use meter::count as count_work;
pub use meter::{Bound, work_done};
pub use program::{CompileFault, EvaluateFault, Program, Variables};
