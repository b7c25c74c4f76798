//! `a2a.v1`, straight from and to the core's types: `read`, `write` and `push` for a server, `request` and `view` for a client.
//!
//! What it has no words for: the tasks that a message refers to, and the media type of what is no file, are left out; data that is no
//! object becomes one, as in 0.3's JSON.

pub mod card;
pub mod push;
pub mod read;
pub mod request;
pub mod view;
pub mod write;

mod name;

use crate::pb::v0_3 as pb;

/// Stands in the metadata of a data part whose data is the `value` in it, as 0.3 has objects alone.
const IS_VALUE: &str = "data_part_compat";

/// What that data is called.
const VALUE: &str = "value";
