//! Writing JSON straight into bytes: one pass, no trees, no copies.

use std::{io::Write as _, sync::Arc};

use bobbinet_core::{Json, json::line};

/// What JSON is written to.
pub trait Sink {
    /// Where the next bytes go.
    fn bytes(&mut self) -> &mut Vec<u8>;

    /// Writes a text that may be large, and that others hold too.
    fn shared_text(&mut self, value: &Arc<str>) {
        text(self.bytes(), value);
    }

    /// Writes a value that came as JSON, may be large, and that others hold too.
    fn shared_raw(&mut self, json: &Json) {
        raw(self.bytes(), json);
    }
}

/// All of it in one piece.
impl Sink for Vec<u8> {
    fn bytes(&mut self) -> &mut Vec<u8> {
        self
    }
}

/// The fields of one JSON object, in the order in which they are written.
#[derive(Debug)]
pub(crate) struct Object<'a, S = Vec<u8>> {
    out: &'a mut S,
    is_empty: bool,
}

/// Writes one object.
pub(crate) fn object<S: Sink, R>(out: &mut S, fields: impl FnOnce(&mut Object<'_, S>) -> R) -> R {
    out.bytes().push(b'{');
    let mut object = Object { out, is_empty: true };
    let result = fields(&mut object);
    object.out.bytes().push(b'}');
    result
}

/// Writes one array.
pub(crate) fn array<S: Sink, T>(out: &mut S, items: impl IntoIterator<Item = T>, mut item: impl FnMut(&mut S, T)) {
    out.bytes().push(b'[');
    let mut is_first = true;
    for value in items {
        if !is_first {
            out.bytes().push(b',');
        }
        is_first = false;
        item(out, value);
    }
    out.bytes().push(b']');
}

/// Writes one text, with quotes and escapes. Always on one line, so that an event stream can carry it.
pub(crate) fn text(out: &mut Vec<u8>, value: &str) {
    if line::is_plain(value) {
        out.reserve(value.len() + 2);
        out.push(b'"');
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
        return;
    }
    let begin = out.len();
    serde_json::to_writer(&mut *out, value).expect("a Vec takes all that is written to it");
    line::escape_from(out, begin);
}

/// Writes a value that came as JSON. Always on one line, too.
pub(crate) fn raw(out: &mut Vec<u8>, json: &Json) {
    line::push(out, json.as_str());
}

/// Writes a number.
pub(crate) fn number(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("a Vec takes all that is written to it");
}

impl<S: Sink> Object<'_, S> {
    #[inline]
    fn separate(&mut self) {
        if !self.is_empty {
            self.out.bytes().push(b',');
        }
        self.is_empty = false;
    }

    /// Begins a field of ours; its value is to be written next.
    #[inline]
    pub(crate) fn field(&mut self, name: &'static str) -> &mut S {
        self.separate();
        let out = self.out.bytes();
        out.reserve(name.len() + 3);
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        self.out
    }

    /// Begins a field whose name came from elsewhere.
    pub(crate) fn key(&mut self, name: &str) -> &mut S {
        self.separate();
        let out = self.out.bytes();
        text(out, name);
        out.push(b':');
        self.out
    }

    pub(crate) fn text(&mut self, name: &'static str, value: &str) {
        text(self.field(name).bytes(), value);
    }

    pub(crate) fn text_if_some(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    pub(crate) fn texts(&mut self, name: &'static str, values: impl IntoIterator<Item = impl AsRef<str>>) {
        array(self.field(name), values, |out, value| text(out.bytes(), value.as_ref()));
    }

    pub(crate) fn raw_if_some(&mut self, name: &'static str, json: Option<&Json>) {
        if let Some(json) = json {
            self.field(name).shared_raw(json);
        }
    }

    pub(crate) fn flag(&mut self, name: &'static str, value: bool) {
        self.field(name).bytes().extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// Writes a flag only where it says something: `false` is what its absence means.
    pub(crate) fn flag_if_set(&mut self, name: &'static str, value: bool) {
        if value {
            self.flag(name, true);
        }
    }

    pub(crate) fn number(&mut self, name: &'static str, value: impl std::fmt::Display) {
        number(self.field(name).bytes(), value);
    }

    pub(crate) fn list<T>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
        item: impl FnMut(&mut S, T),
    ) {
        array(self.field(name), items, item);
    }

    pub(crate) fn object<R>(&mut self, name: &'static str, fields: impl FnOnce(&mut Object<'_, S>) -> R) -> R {
        object(self.field(name), fields)
    }
}
