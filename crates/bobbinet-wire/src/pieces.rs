//! JSON that is written as far as somebody takes it: what is large in it is shared with all who hold it, and becomes bytes a piece at a
//! time. A slow reader of a large event holds a pointer to it, not a copy.

use std::{collections::VecDeque, sync::Arc};

use bobbinet_core::{Json, json::line};

use crate::write::{Sink, text};

/// A text of fewer bytes is copied: that costs less than to keep track of it.
pub const SHARED_MIN: usize = 2 << 10;

/// Bytes that are written, and those that are not yet.
#[derive(Debug, Default)]
pub struct Pieces {
    /// What goes out first.
    pieces: VecDeque<Piece>,
    /// What goes out last; new bytes are added here.
    tail: Vec<u8>,
}

#[derive(Debug)]
enum Piece {
    /// What was written at once, and how far it has been taken.
    Bytes(Vec<u8>, usize),
    /// The inside of a text, and how far it has been written.
    Text(Arc<str>, usize),
    /// A value, and how far it has been written.
    Raw(Json, usize),
}

impl Sink for Pieces {
    fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    fn shared_text(&mut self, value: &Arc<str>) {
        if value.len() < SHARED_MIN {
            return text(&mut self.tail, value);
        }
        self.tail.push(b'"');
        self.push(Piece::Text(value.clone(), 0));
        self.tail.push(b'"');
    }

    fn shared_raw(&mut self, json: &Json) {
        if json.as_str().len() < SHARED_MIN {
            return line::push(&mut self.tail, json.as_str());
        }
        self.push(Piece::Raw(json.clone(), 0));
    }
}

impl Pieces {
    fn push(&mut self, piece: Piece) {
        self.pieces.push_back(Piece::Bytes(std::mem::take(&mut self.tail), 0));
        self.pieces.push_back(piece);
    }

    /// Whether all has been taken.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.tail.is_empty()
    }

    /// Roughly the bytes that are left: escapes are not counted before they are written.
    pub fn len(&self) -> usize {
        let left = |piece: &Piece| match piece {
            Piece::Bytes(bytes, from) => bytes.len() - from,
            Piece::Text(text, from) => text.len() - from,
            Piece::Raw(json, from) => json.as_str().len() - from,
        };
        self.pieces.iter().map(left).sum::<usize>() + self.tail.len()
    }

    /// Whether something large is left, which is not to be written before it is asked for.
    pub fn is_shared(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// The next bytes: about `length` of them, or all there are. `None` if all have been taken.
    pub fn next(&mut self, length: usize) -> Option<Vec<u8>> {
        if self.pieces.is_empty() && self.tail.len() <= length {
            return (!self.tail.is_empty()).then(|| std::mem::take(&mut self.tail));
        }
        let mut out = Vec::new();
        while out.len() < length {
            let left = length - out.len();
            let is_done = match self.pieces.front_mut() {
                None if self.tail.len() <= left => {
                    out.append(&mut self.tail);
                    break;
                }
                None => {
                    self.pieces.push_back(Piece::Bytes(std::mem::take(&mut self.tail), 0));
                    false
                }
                Some(Piece::Bytes(bytes, from)) => {
                    let end = from.saturating_add(left).min(bytes.len());
                    out.extend_from_slice(&bytes[*from..end]);
                    *from = end;
                    end == bytes.len()
                }
                Some(Piece::Text(text, from)) => {
                    let piece = cut(text, *from, left);
                    inside(&mut out, piece);
                    *from += piece.len();
                    *from == text.len()
                }
                Some(Piece::Raw(json, from)) => {
                    let piece = cut(json.as_str(), *from, left);
                    line::push(&mut out, piece);
                    *from += piece.len();
                    *from == json.as_str().len()
                }
            };
            if is_done {
                self.pieces.pop_front();
            }
        }
        Some(out)
    }
}

/// About `length` bytes of a text, whole characters.
fn cut(text: &str, from: usize, length: usize) -> &str {
    &text[from..text.ceil_char_boundary(from.saturating_add(length).min(text.len()))]
}

/// Writes the inside of a text: its escapes go by the character, so any cut between two will do.
fn inside(out: &mut Vec<u8>, piece: &str) {
    let begin = out.len();
    text(out, piece);
    out.pop();
    out.remove(begin);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::object;

    fn write(out: &mut impl Sink, large: &Arc<str>, json: &Json) {
        object(out, |fields| {
            fields.text("a", "b");
            fields.field("text").shared_text(large);
            fields.field("small").shared_text(&Arc::from("x\u{2028}"));
            fields.field("data").shared_raw(json);
            fields.number("n", 1);
        });
    }

    #[test]
    fn pieces_are_together_what_is_written_at_once() {
        let large: Arc<str> = Arc::from("a\"\\\n\u{1}\u{85}\u{2028}\u{2029}ä€🧶".repeat(SHARED_MIN / 8));
        let json =
            Json::parse(&format!(" [\n{},\r\n\"{}\"]", Json::of(&*large).as_str(), "ä\u{2029}".repeat(SHARED_MIN)))
                .unwrap();
        let mut whole = Vec::new();
        write(&mut whole, &large, &json);
        for length in [1, 2, 7, 1_000, 1 << 20] {
            let mut pieces = Pieces::default();
            write(&mut pieces, &large, &json);
            assert!(pieces.is_shared() && pieces.len() > large.len() + json.as_str().len());
            let mut all = Vec::new();
            while let Some(piece) = pieces.next(length) {
                // One character may be written as six bytes, and what stands between two large ones is not cut.
                assert!(piece.len() <= 6 * (length + 4) + 100, "{} of {length}", piece.len());
                all.extend(piece);
            }
            assert!(pieces.is_empty());
            assert_eq!(all, whole, "pieces of {length}");
        }
    }

    #[test]
    fn what_was_written_at_once_is_taken_a_piece_at_a_time_too() {
        const LENGTH: usize = 64 << 10;
        let written: Vec<u8> = (0..=u8::MAX).cycle().take(10 * LENGTH + 1).collect();
        let large: Arc<str> = Arc::from("x".repeat(SHARED_MIN));
        for is_before_something_large in [false, true] {
            let mut pieces = Pieces::default();
            pieces.bytes().extend_from_slice(&written);
            let mut whole = written.clone();
            if is_before_something_large {
                pieces.shared_text(&large);
                whole.extend(format!("\"{large}\"").bytes());
            }
            let mut all = Vec::new();
            while let Some(piece) = pieces.next(LENGTH) {
                assert!((1..=LENGTH).contains(&piece.len()), "{}", piece.len());
                all.extend(piece);
                assert_eq!(pieces.len(), whole.len() - all.len());
            }
            assert!(pieces.is_empty());
            assert!(all == whole, "{is_before_something_large}");
        }
    }

    #[test]
    fn what_is_large_is_held_by_pointer() {
        let large: Arc<str> = Arc::from("x".repeat(1 << 20));
        let mut pieces = Pieces::default();
        write(&mut pieces, &large, &Json::of(&1));
        assert_eq!(Arc::strong_count(&large), 2);
        let mut taken = 0;
        while let Some(piece) = pieces.next(64 << 10) {
            assert!(piece.len() <= 2 * (64 << 10), "{}", piece.len());
            taken += piece.len();
        }
        assert!(taken > 1 << 20);
        assert_eq!(Arc::strong_count(&large), 1);
        let mut pieces = Pieces::default();
        pieces.shared_raw(&Json::of(&*large));
        assert!(pieces.is_shared(), "nor is a value copied");
    }
}
