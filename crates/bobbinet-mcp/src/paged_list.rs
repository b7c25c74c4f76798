//! One list of a server, page by page, within bounds. One odd entry costs only itself: what was read is kept.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bobbinet_core::Json;

use crate::{
    config::McpLimits,
    json_object::JsonObject,
    mailbox::{ConnectionError, Reply, RpcError},
    session::Client,
};

/// JSON-RPC's code for a method that is not there.
const METHOD_NOT_FOUND: i64 = -32601;

/// One kind of what a server lists.
pub(crate) trait ListEntry: Sized {
    /// How it is asked for.
    const METHOD: &'static str;
    /// Under which name a page has them.
    const FIELD: &'static str;
    /// What one is called in a warning.
    const NOUN: &'static str;
    /// What one is told from others by.
    const KEY: &'static str = "name";

    /// Reads one as far as it can be read. `None` without its key; the names of fields that are not as they must be, and
    /// are passed over, go into `odd`.
    fn read(json: &Json, odd: &mut Vec<String>) -> Option<Self>;

    /// What it is told from others by.
    fn key(&self) -> &str;

    /// How many are taken.
    fn count_max(limits: &McpLimits) -> usize;
}

/// What came of reading a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PagedList<T> {
    pub(crate) entries: Vec<T>,
    /// What was left out, and why.
    pub(crate) notes: Vec<String>,
    /// The server failed over it: it may say more when it is asked again.
    pub(crate) is_cut_off: bool,
    /// For how long it is good, in milliseconds, if the server says so (2026-07-28): the shortest time of its pages.
    pub(crate) ttl_ms: Option<u64>,
}

impl<T> Default for PagedList<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), notes: Vec::new(), is_cut_off: false, ttl_ms: None }
    }
}

/// Whether the server has said that it has such a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declared {
    Yes,
    /// It is asked all the same, and whatever it answers but a list means that there is none.
    No,
}

/// Reads all pages, each of which may take `patience`. `Err`: the connection is over, or what was asked over it broke off.
pub(crate) async fn read<T: ListEntry>(
    client: &Arc<Client>,
    limits: &McpLimits,
    patience: Duration,
    declared: Declared,
) -> Result<PagedList<T>, ConnectionError> {
    let mut reading = ListReader::default();
    let mut cursor = None;
    for _ in 0..limits.list_pages_max {
        let params = match &cursor {
            Some(cursor) => [("cursor".to_owned(), Json::clone(cursor))].into_iter().collect::<JsonObject>().to_json(),
            None => JsonObject::default().to_json(),
        };
        let reply = tokio::time::timeout(patience, client.request(T::METHOD, params)).await;
        let fault = match reply {
            Err(_) => format!("it did not list its {}s within {patience:?}", T::NOUN),
            Ok(Reply::Error(RpcError { code: METHOD_NOT_FOUND, .. })) => return Ok(reading.done()),
            Ok(Reply::Error(error)) => {
                format!("it did not list its {}s: {} ({})", T::NOUN, error.message, error.code)
            }
            Ok(Reply::NotSent(broken) | Reply::Broken(broken)) => return Err(broken),
            Ok(Reply::Unreadable(why)) => why,
            Ok(Reply::Result(page)) => match reading.page(&page, limits) {
                Some(next) => {
                    cursor = Some(next);
                    continue;
                }
                None => return Ok(reading.done()),
            },
        };
        return Ok(match declared {
            Declared::Yes => reading.cut_off(fault),
            Declared::No => reading.done(),
        });
    }
    reading.notes.push(format!("its {} list has more than {} pages", T::NOUN, limits.list_pages_max));
    Ok(reading.done())
}

/// A list that is being read.
#[derive(Debug)]
struct ListReader<T> {
    entries: Vec<T>,
    keys: BTreeSet<String>,
    cursors: BTreeSet<String>,
    bytes: usize,
    nameless: usize,
    twice: usize,
    odd: Vec<String>,
    notes: Vec<String>,
    ttl_ms: Option<u64>,
}

impl<T> Default for ListReader<T> {
    fn default() -> Self {
        let (keys, cursors) = (BTreeSet::new(), BTreeSet::new());
        let (odd, notes) = (Vec::new(), Vec::new());
        Self { entries: Vec::new(), keys, cursors, bytes: 0, nameless: 0, twice: 0, odd, notes, ttl_ms: None }
    }
}

impl<T: ListEntry> ListReader<T> {
    /// Takes in a page. Returns where the next one is, if there is one that is to be read.
    fn page(&mut self, page: &Json, limits: &McpLimits) -> Option<Json> {
        self.bytes += page.as_str().len();
        if self.bytes > limits.list_bytes_max {
            self.notes.push(format!("its {} list is longer than {} bytes", T::NOUN, limits.list_bytes_max));
            return None;
        }
        let Some(fields) = JsonObject::read(page) else {
            self.notes.push(format!("its {} list is no object", T::NOUN));
            return None;
        };
        if let Some(ttl_ms) = fields.get("ttlMs").and_then(|ttl| ttl.read::<u64>().ok()) {
            self.ttl_ms = Some(self.ttl_ms.map_or(ttl_ms, |known| known.min(ttl_ms)));
        }
        let entries = fields.get(T::FIELD).filter(|entries| entries.as_str() != "null");
        match entries.map(Json::read::<Vec<Json>>) {
            Some(Ok(entries)) => {
                for entry in &entries {
                    if !self.entry(entry, limits) {
                        return None;
                    }
                }
            }
            Some(Err(_)) => self.notes.push(format!("its {}s are no list", T::NOUN)),
            None => {}
        }
        let is_cursor = |json: &&Json| match json.as_str().as_bytes() {
            [b'"', inner @ .., b'"'] => !inner.is_empty(),
            [first, ..] => first.is_ascii_digit() || *first == b'-',
            [] => false,
        };
        let next = fields.get("nextCursor").filter(is_cursor)?;
        if !self.cursors.insert(next.as_str().to_owned()) {
            self.notes.push(format!("its {} list leads back to the page {}", T::NOUN, shorten(next.as_str())));
            return None;
        }
        Some(next.clone())
    }

    /// Takes in an entry. `false` if there are too many.
    fn entry(&mut self, json: &Json, limits: &McpLimits) -> bool {
        let Some(entry) = T::read(json, &mut self.odd) else {
            self.nameless += 1;
            return true;
        };
        if self.keys.contains(entry.key()) {
            self.twice += 1;
            return true;
        }
        let max = T::count_max(limits);
        if self.entries.len() == max {
            self.notes.push(format!("it has more than {max} {}s", T::NOUN));
            return false;
        }
        self.keys.insert(entry.key().to_owned());
        self.entries.push(entry);
        true
    }

    fn done(mut self) -> PagedList<T> {
        if self.nameless > 0 {
            self.notes.push(format!("{} of its {}s have no {}", self.nameless, T::NOUN, T::KEY));
        }
        if self.twice > 0 {
            self.notes.push(format!("{} of its {}s have the {} of another", self.twice, T::NOUN, T::KEY));
        }
        if !self.odd.is_empty() {
            let first = self.odd.iter().take(ODD_NAMED_MAX).map(|name| shorten(name)).collect::<Vec<_>>().join(", ");
            let more = self.odd.len().saturating_sub(ODD_NAMED_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            self.notes.push(format!("not as they must be, and passed over: {first}{more}"));
        }
        PagedList { entries: self.entries, notes: self.notes, is_cut_off: false, ttl_ms: self.ttl_ms }
    }

    fn cut_off(mut self, why: String) -> PagedList<T> {
        self.notes.push(why);
        PagedList { is_cut_off: true, ..self.done() }
    }
}

/// Odd fields that are named in a warning.
const ODD_NAMED_MAX: usize = 3;

/// Characters of a server's own words in a warning.
const QUOTED_MAX: usize = 80;

fn shorten(text: &str) -> String {
    match text.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The fields of one entry: those that are as they must be are taken, the others are named and passed over.
#[derive(Debug)]
pub(crate) struct EntryFields<'a> {
    fields: JsonObject,
    key: String,
    odd: &'a mut Vec<String>,
}

impl<'a> EntryFields<'a> {
    /// The fields of an entry that has a text under this name. `None`: it has none.
    pub(crate) fn read(json: &Json, key: &str, odd: &'a mut Vec<String>) -> Option<Self> {
        let fields = JsonObject::read(json)?;
        let key = fields.text(key)?;
        Some(Self { fields, key, odd })
    }

    /// What the entry is told from others by.
    pub(crate) fn key(&self) -> String {
        self.key.clone()
    }

    /// A field that is a text.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.take(name, |json| json.read().ok())
    }

    /// A field that is a list.
    pub(crate) fn list(&mut self, name: &str) -> Option<Vec<Json>> {
        self.take(name, |json| json.read().ok())
    }

    /// A field that is yes or no.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        self.take(name, |json| json.read().ok())
    }

    fn take<T>(&mut self, name: &str, read: impl Fn(&Json) -> Option<T>) -> Option<T> {
        let value = self.fields.get(name).filter(|value| value.as_str() != "null")?;
        let read = read(value);
        if read.is_none() {
            self.odd.push(format!("{name} of {}", self.key));
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{listing::RawTool, resources::RawResource};

    fn check_list<T: ListEntry>(pages: &[&str], names: &str, notes: &str) {
        let mut reading = ListReader::<T>::default();
        let mut pages = pages.iter();
        for page in pages.by_ref() {
            if reading.page(&Json::parse(page).unwrap(), &McpLimits::default()).is_none() {
                break;
            }
        }
        assert_eq!(pages.len(), 0, "all pages were asked for");
        let list = reading.done();
        let found = list.entries.iter().map(T::key).collect::<Vec<_>>().join(" ");
        assert_eq!((found.as_str(), list.notes.join("; ").as_str()), (names, notes));
    }

    fn check(pages: &[&str], names: &str, notes: &str) {
        check_list::<RawTool>(pages, names, notes);
    }

    #[test]
    fn one_odd_entry_costs_only_itself() {
        check(&[r#"{"tools":null}"#], "", "");
        check(&["{}"], "", "");
        check(&["null"], "", "its tool list is no object");
        check(&[r#"{"tools":{"a":1}}"#], "", "its tools are no list");
        check(
            &[r#"{"tools":[7,{"name":"a"},null,{"name":7},{"name":"b"},{"name":"a"}]}"#],
            "a b",
            "3 of its tools have no name; 1 of its tools have the name of another",
        );
        check(
            &[
                r#"{"tools":[{"name":"a","title":7,"inputSchema":[],"annotations":{"readOnlyHint":"yes","title":"A"}},{"name":"b"}]}"#,
            ],
            "a b",
            "not as they must be, and passed over: title of a, inputSchema of a, readOnlyHint of a",
        );
        check(&[r#"{"tools":[{"name":"a","title":null,"annotations":null,"outputSchema":null}]}"#], "a", "");
        check_list::<RawResource>(
            &[r#"{"resources":[{"uri":"u:a","name":7},{"name":"nowhere"},{"uri":"u:a"}]}"#],
            "u:a",
            "1 of its resources have no URI; 1 of its resources have the URI of another; \
             not as they must be, and passed over: name of u:a",
        );
    }

    #[test]
    fn a_cursor_is_followed_unless_it_leads_back() {
        check(
            &[r#"{"tools":[{"name":"a"}],"nextCursor":2}"#, r#"{"tools":[{"name":"b"}],"nextCursor":""}"#],
            "a b",
            "",
        );
        check(
            &[r#"{"tools":[{"name":"a"}],"nextCursor":"x"}"#, r#"{"tools":[{"name":"a"}],"nextCursor":"x"}"#],
            "a",
            "its tool list leads back to the page \"x\"; 1 of its tools have the name of another",
        );
        for end in ["null", "false", "{}", "[]"] {
            check(&[&format!(r#"{{"tools":[{{"name":"a"}}],"nextCursor":{end}}}"#)], "a", "");
        }
    }
}
