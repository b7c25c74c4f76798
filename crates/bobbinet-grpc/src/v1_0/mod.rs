//! `lf.a2a.v1`, straight from and to the core's types: `read`, `write` and `push` for a server, `request` and `view` for a client.

pub mod card;
pub mod push;
pub mod read;
pub mod request;
pub mod view;
pub mod write;

use crate::pb::v1_0 as pb;
