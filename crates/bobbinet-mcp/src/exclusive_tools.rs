//! Who may call at the same time as whom, so that it is known whose a question is ([`attribution`]).
//!
//! Up to 2025-11-25 a question that comes over a pipe names no call. So it is known whose it is only if one call can have
//! asked it. Between the calls of one owner a mistake shows nobody what is not theirs. Across owners nothing is guessed:
//! a call that may ask is kept apart from everybody else's.
//!
//! [`profile`] is what is known of a call, [`queue`] decides, [`admission`] is where calls wait and run, [`attribution`] says
//! whose a question is.

mod admission;
mod attribution;
mod profile;
mod queue;

pub(crate) use self::{
    admission::{CallPermit, ExclusiveTools},
    attribution::OpenQuestion,
    profile::{CallOwner, CallProfile, ConcurrencyClass},
};
