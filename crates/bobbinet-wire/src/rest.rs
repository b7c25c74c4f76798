//! What the REST bindings of all versions have in common: a path in pieces, a query, and a body that is one JSON object.
//!
//! A request over REST is read into what the same request over JSON-RPC would say in `params`, so that each dialect has one reader.

use std::{borrow::Cow, collections::BTreeMap};

use bobbinet_core::{
    Json,
    json::strict::{self, StrictFault},
};

use crate::error::{Error, ErrorKind};

/// A method of HTTP that a route may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpMethod {
    /// `GET`, and `HEAD`.
    Get,
    /// `POST`.
    Post,
    /// `DELETE`.
    Delete,
}

/// Why a path leads to no operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteFault {
    /// There is nothing there.
    NotFound,
    /// There is something, by other methods: these, as the `Allow` header lists them.
    NotAllowed(&'static str),
}

/// What is asked by a method at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To take a message.
    Send,
    /// To take one, and tell all that follows.
    Stream,
    /// All tasks.
    List,
    /// One task.
    Get(String),
    /// To stop it.
    Cancel(String),
    /// To tell all that follows in it.
    Subscribe(String),
    /// To tell a webhook of it.
    CreatePush(String),
    /// All its webhooks.
    ListPush(String),
    /// One of them.
    GetPush(String, String),
    /// To remove one.
    DeletePush(String, String),
    /// The card for whoever asks.
    ExtendedCard,
}

/// What is at a path.
enum Place<'a> {
    Send,
    Stream,
    Tasks,
    Task(&'a str),
    Cancel(&'a str),
    Subscribe(&'a str),
    PushConfigs(&'a str),
    PushConfig(&'a str, &'a str),
    ExtendedCard,
}

/// The segments of a path, decoded, without empty ones: a slash at the end or twice in a row changes nothing. `None` if it cannot be
/// decoded.
pub fn segments(path: &str) -> Option<Vec<String>> {
    path.split('/').filter(|segment| !segment.is_empty()).map(|segment| decoded(segment, false)).collect()
}

/// What is asked by this method at these segments below an agent's URL, where the dialect calls the extended card so.
pub(crate) fn asked(method: HttpMethod, segments: &[String], card: &str) -> Result<Asked, RouteFault> {
    use HttpMethod::{Delete, Get, Post};
    Ok(match (place(segments, card).ok_or(RouteFault::NotFound)?, method) {
        (Place::Send, Post) => Asked::Send,
        (Place::Stream, Post) => Asked::Stream,
        (Place::Tasks, Get) => Asked::List,
        (Place::Task(id), Get) => Asked::Get(id.to_owned()),
        (Place::Cancel(id), Post) => Asked::Cancel(id.to_owned()),
        // The specifications' texts say POST, their proto files GET.
        (Place::Subscribe(id), Get | Post) => Asked::Subscribe(id.to_owned()),
        (Place::PushConfigs(task), Post) => Asked::CreatePush(task.to_owned()),
        (Place::PushConfigs(task), Get) => Asked::ListPush(task.to_owned()),
        (Place::PushConfig(task, id), Get) => Asked::GetPush(task.to_owned(), id.to_owned()),
        (Place::PushConfig(task, id), Delete) => Asked::DeletePush(task.to_owned(), id.to_owned()),
        (Place::ExtendedCard, Get) => Asked::ExtendedCard,
        (Place::Send | Place::Stream | Place::Cancel(_), Get | Delete) => return Err(RouteFault::NotAllowed("POST")),
        (Place::Tasks | Place::Task(_) | Place::ExtendedCard, Post | Delete) => {
            return Err(RouteFault::NotAllowed("GET, HEAD"));
        }
        (Place::Subscribe(_) | Place::PushConfigs(_), Delete) => return Err(RouteFault::NotAllowed("GET, HEAD, POST")),
        (Place::PushConfig(..), Post) => return Err(RouteFault::NotAllowed("GET, HEAD, DELETE")),
    })
}

fn place<'a>(segments: &'a [String], card: &str) -> Option<Place<'a>> {
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    Some(match *words.as_slice() {
        ["message:send"] => Place::Send,
        ["message:stream"] => Place::Stream,
        ["tasks"] => Place::Tasks,
        // Some clients write the verb as a segment of its own.
        ["tasks", id, "cancel"] => Place::Cancel(id),
        ["tasks", id, "subscribe"] => Place::Subscribe(id),
        ["tasks", id] => match id.rsplit_once(':') {
            Some((id, "cancel")) => Place::Cancel(id),
            Some((id, "subscribe")) => Place::Subscribe(id),
            Some(_) | None => Place::Task(id),
        },
        ["tasks", id, "pushNotificationConfigs"] => Place::PushConfigs(id),
        ["tasks", id, "pushNotificationConfigs", config] => Place::PushConfig(id, config),
        [word] if word == card => Place::ExtendedCard,
        _ => return None,
    })
}

/// A text of a URL without its escapes; `+` is a blank in a query.
fn decoded(text: &str, is_query: bool) -> Option<String> {
    if !text.contains(['%', '+']) {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            b'+' if is_query => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

/// The parameters of a query by their names in camelCase, as JSON that a reader of `params` takes: as texts, which it also takes for
/// numbers, true and false. What is empty says nothing; the same name twice is refused, as readers differ in which one counts.
pub(crate) fn query(query: Option<&str>, fields: &mut BTreeMap<String, Json>) -> Result<(), Error> {
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (decoded(name, true), decoded(value, true)) else {
            return Err(Error::new(ErrorKind::InvalidRequest)
                .with_message("The query of the URL cannot be decoded")
                .with_hint("Escape it as URLs are (RFC 3986)."));
        };
        if value.is_empty() {
            continue;
        }
        let name = crate::dialect::camel(&name).into_owned();
        if fields.contains_key(&name) {
            return Err(Error::invalid_field(name, "is given twice"));
        }
        fields.insert(name, Json::of(value.as_str()));
    }
    Ok(())
}

/// The text of a body that must be one JSON object, which any two readers take for the same.
pub(crate) fn object_text(body: &[u8]) -> Result<&str, Error> {
    let malformed = |why: String| Error::new(ErrorKind::Parse).with_message(format!("Invalid JSON payload: {why}"));
    let text = std::str::from_utf8(body).map_err(|_| malformed("it is not UTF-8".to_owned()))?;
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| malformed(error.to_string()))?;
    match strict::check(body) {
        Ok(()) => {}
        Err(fault @ (StrictFault::Twice(_) | StrictFault::Names)) => {
            return Err(Error::new(ErrorKind::InvalidRequest)
                .with_message(format!("The request cannot be read: {fault}"))
                .with_hint("Give each object every name once."));
        }
        Err(fault @ (StrictFault::Deep | StrictFault::Surrogate | StrictFault::Number)) => {
            return Err(malformed(fault.to_string()));
        }
    }
    if text.trim_ascii_start().starts_with('{') { Ok(text) } else { Err(Error::invalid_field("", "must be an object")) }
}

/// The fields of a body that may also be empty, by their names in camelCase.
pub(crate) fn fields(body: &[u8]) -> Result<BTreeMap<String, Json>, Error> {
    if body.trim_ascii().is_empty() {
        return Ok(BTreeMap::new());
    }
    let text = object_text(body)?;
    let fields = serde_json::from_str(text)
        .map_err(|error| Error::new(ErrorKind::Parse).with_message(format!("Invalid JSON payload: {error}")))?;
    camel(fields)
}

/// The same fields by their names in camelCase: what the path names is to take the place of what the body says, however that is written.
pub(crate) fn camel(fields: BTreeMap<String, Json>) -> Result<BTreeMap<String, Json>, Error> {
    let mut named = BTreeMap::new();
    for (name, value) in fields {
        let name = crate::dialect::camel(&name).into_owned();
        if named.contains_key(&name) {
            return Err(Error::invalid_field(name, "is given twice"));
        }
        named.insert(name, value);
    }
    Ok(named)
}

/// Parameters put together from the path, the query and the body.
pub(crate) fn params<'a>(fields: &BTreeMap<String, Json>) -> Cow<'a, str> {
    Cow::Owned(Json::of(fields).as_str().to_owned())
}
