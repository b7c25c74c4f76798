//! Messages on the wire, of which none is decoded that would take much more memory than it has bytes: an empty part is two bytes there, and
//! over a hundred here.

use std::{marker::PhantomData, sync::Arc};

use bobbinet_wire::{Error, ErrorKind};
use bytes::Buf;
use prost::{Message, Name};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstEncoder;

use crate::status;

/// How many bytes of memory any message may take.
const MEMORY_MIN: usize = 32 << 20;

/// How many it may take for each of its own, beyond that.
const MEMORY_PER_BYTE: usize = 8;

/// A message of so few bytes cannot take more than any may.
const COUNTED_MIN: usize = 64 << 10;

/// What is nested deeper no reader of protobuf takes.
const DEPTH_MAX: usize = 100;

/// What a field may hold, beside the messages in it.
#[derive(Clone, Copy)]
enum Holds {
    /// One thing, which takes no room of its own.
    One,
    /// Many texts or JSON values.
    Values,
    /// Many messages of A2A.
    Messages,
    /// Many things by their names.
    Map,
}

struct Field {
    number: u64,
    holds: Holds,
    /// Where the message that it holds stands in the table, if it holds one.
    message: Option<usize>,
}

/// A message, and those of its fields that hold others, or many of anything.
struct Shape {
    name: &'static str,
    fields: &'static [Field],
}

include!(concat!(env!("OUT_DIR"), "/shapes.rs"));

/// Encodes as prost does, and decodes what is not too large in memory.
pub(crate) struct BoundedCodec<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for BoundedCodec<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E: Message + Send + 'static, D: Message + Name + Default + Send + 'static> Codec for BoundedCodec<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = ProstEncoder<E>;
    type Decoder = BoundedDecoder<D>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(PhantomData)
    }
}

pub(crate) struct BoundedDecoder<D>(PhantomData<D>);

impl<D: Message + Name + Default> Decoder for BoundedDecoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        let bytes = buf.copy_to_bytes(buf.remaining());
        if !fits::<D>(&bytes) {
            let mut status =
                status::of(&Error::new(ErrorKind::InvalidParams).with_message(TooManyElements.to_string()));
            // By that its reader knows that it is said here: of an answer, it is no refusal of whoever has sent it.
            status.set_source(Arc::new(TooManyElements));
            return Err(status);
        }
        D::decode(bytes).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

/// Why a message is not decoded.
#[derive(Debug, thiserror::Error)]
#[error("The message has too many elements in its lists for its size")]
struct TooManyElements;

fn fits<D: Name>(bytes: &[u8]) -> bool {
    if bytes.len() < COUNTED_MIN {
        return true;
    }
    let budget = MEMORY_MIN.saturating_add(bytes.len().saturating_mul(MEMORY_PER_BYTE));
    place(&D::full_name()).is_none_or(|shape| left(bytes, shape, 0, budget).is_some())
}

fn place(name: &str) -> Option<usize> {
    SHAPES.binary_search_by(|shape| shape.name.cmp(name)).ok()
}

/// What is left of so many bytes of memory once a message is decoded, or nothing if they are too few. What cannot be read takes nothing
/// more: there decoding ends too.
fn left(mut bytes: &[u8], shape: usize, depth: usize, mut budget: usize) -> Option<usize> {
    if depth > DEPTH_MAX {
        return Some(budget);
    }
    let mut has_map = false;
    while let Some((number, inner)) = next(&mut bytes) {
        let Some(field) = SHAPES[shape].fields.iter().find(|field| field.number == number) else { continue };
        let cost = match field.holds {
            Holds::One => 0,
            Holds::Values => 32,
            Holds::Messages => 256,
            Holds::Map if has_map => 64,
            // A map of one element has room for eleven.
            Holds::Map => 640,
        };
        has_map |= matches!(field.holds, Holds::Map);
        budget = budget.checked_sub(cost)?;
        if let Some(message) = field.message {
            budget = left(inner, message, depth + 1, budget)?;
        }
    }
    Some(budget)
}

/// The next field's number, and what is in it if that has a length.
fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let key = varint(bytes)?;
    let length = match key & 7 {
        0 => varint(bytes).map(|_| 0)?,
        1 => return bytes.split_off(..8).map(|_| (key >> 3, &[][..])),
        2 => usize::try_from(varint(bytes)?).ok()?,
        5 => return bytes.split_off(..4).map(|_| (key >> 3, &[][..])),
        // The ends of a group: what is between them is skipped, and counts all the same.
        _ => 0,
    };
    Some((key >> 3, bytes.split_off(..length)?))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost_types::{ListValue, Struct, Value, value::Kind};

    use super::*;
    use crate::pb::{v0_3, v1_0};

    fn of_parts(parts: Vec<v1_0::Part>) -> Vec<u8> {
        let message = v1_0::Message { parts, ..v1_0::Message::default() };
        v1_0::SendMessageRequest { message: Some(message), ..v1_0::SendMessageRequest::default() }.encode_to_vec()
    }

    fn of_data(data: Kind) -> Vec<u8> {
        let content = v1_0::part::Content::Data(Value { kind: Some(data) });
        of_parts(vec![v1_0::Part { content: Some(content), ..v1_0::Part::default() }])
    }

    fn value(kind: Kind) -> Value {
        Value { kind: Some(kind) }
    }

    #[test]
    fn what_is_much_larger_in_memory_is_told_by_its_bytes() {
        let check = |what: &str, bytes: &[u8], expected: bool| {
            assert_eq!(fits::<v1_0::SendMessageRequest>(bytes), expected, "{what}, {} bytes", bytes.len());
        };
        check("empty parts", &of_parts(vec![v1_0::Part::default(); 2_000_000]), false);
        // The parts of a message that comes in pieces are those of one message.
        check("empty parts, in pieces", &of_parts(vec![v1_0::Part::default(); 500]).repeat(4_000), false);
        let empty = Value::default();
        check("null", &of_data(Kind::ListValue(ListValue { values: vec![empty.clone(); 2_100_000] })), false);
        let small = Struct { fields: [("a".to_owned(), empty)].into() };
        let small = vec![value(Kind::StructValue(small)); 300_000];
        check("small objects", &of_data(Kind::ListValue(ListValue { values: small })), false);

        let text = v1_0::part::Content::Text("\n\0".repeat(2 << 20));
        check("text", &of_parts(vec![v1_0::Part { content: Some(text), ..v1_0::Part::default() }]), true);
        let raw = v1_0::part::Content::Raw(of_parts(vec![v1_0::Part::default(); 2_000_000]).into());
        check("a file", &of_parts(vec![v1_0::Part { content: Some(raw), ..v1_0::Part::default() }]), true);
        let numbers = vec![value(Kind::NumberValue(0.5)); 380_000];
        check("numbers", &of_data(Kind::ListValue(ListValue { values: numbers })), true);
        let row =
            ["id", "name", "size"].map(|name| (name.to_owned(), value(Kind::StringValue("twelve chars".to_owned()))));
        let rows = vec![value(Kind::StructValue(Struct { fields: row.into() })); 40_000];
        check("rows", &of_data(Kind::ListValue(ListValue { values: rows })), true);
        check("nothing that can be read", &[0xff; 100_000], true);
    }

    #[test]
    fn every_message_is_known() {
        assert_eq!(place(&<() as Name>::full_name()).map(|at| SHAPES[at].name), Some("google.protobuf.Empty"));
        for name in [v1_0::ListTasksResponse::full_name(), v0_3::StreamResponse::full_name(), v0_3::Task::full_name()] {
            assert!(place(&name).is_some_and(|at| !SHAPES[at].fields.is_empty()), "{name}");
        }
        assert!(SHAPES.is_sorted_by_key(|shape| shape.name));
    }
}
