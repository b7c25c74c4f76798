//! Reading what a stream tells and what a message came to.

use serde::de::Deserializer;

use super::version::{At, V1_0};
use crate::{
    from_proto::{Field, FromProto},
    read_event,
    view::{Sent, StreamEvent},
};

impl<'de> FromProto<'de, V1_0> for StreamEvent {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        read_event::named(from, at)
    }
}

impl<'de> FromProto<'de, V1_0> for Sent {
    fn read<D: Deserializer<'de>>(from: D, at: &At<'_>) -> Result<Field<Self>, D::Error> {
        Ok(read_event::sent(StreamEvent::read(from, at)?, at, "must have one of task and message"))
    }
}
