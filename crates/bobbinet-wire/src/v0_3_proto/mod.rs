//! A2A 0.3 over REST: ProtoJSON of the package `a2a.v1`, which is neither the JSON of 0.3's JSON-RPC nor that of 1.0. [`rest`] reads
//! requests, [`task`] writes what is answered; errors are those of [`v0_3::error`](crate::v0_3::error). [`client`] is the client's half.
//!
//! What it has no words for has the form that it has in 0.3's JSON-RPC: see there. A request that does not say `blocking` within a
//! configuration does not wait, as proto3 leaves out what is false; one without a configuration waits.

pub mod client;
mod names;
pub mod push;
mod read;
mod read_event;
pub mod rest;
pub mod task;
mod write;

use std::borrow::Cow;

use crate::{
    dialect::{Dialect, camel},
    faults,
};

/// The dialect of this module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct V0_3Proto;

/// A place in what is read in this dialect.
type At<'p> = faults::At<'p, V0_3Proto>;

impl Dialect for V0_3Proto {
    fn field_name(key: &str) -> Cow<'_, str> {
        match key {
            // What the proto file calls a field whose JSON name is another: in a request, in an answer or event, and in a status.
            "request" | "msg" | "update" => Cow::Borrowed("message"),
            key => camel(key),
        }
    }
}
