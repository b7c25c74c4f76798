//! Event streams, however their bytes arrive.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use bobbinet_outbound::sse::{SseError, SseEvent, SseParser};
use proptest::prelude::*;

fn all_at_once(stream: &[u8]) -> Vec<SseEvent> {
    SseParser::new().feed(stream).unwrap()
}

/// Compares events as `id/event/data`, with `-` for what is not there.
fn check(stream: &str, expected: &[&str]) {
    let show = |event: &SseEvent| {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        format!("{}/{}/{}", or_dash(&event.id), or_dash(&event.event), event.data)
    };
    let whole = all_at_once(stream.as_bytes());
    assert_eq!(whole.iter().map(show).collect::<Vec<_>>(), expected, "{stream:?}");
    let mut parser = SseParser::new();
    let drop_by_drop: Vec<_> = stream.bytes().flat_map(|byte| parser.feed(&[byte]).unwrap()).collect();
    assert_eq!(drop_by_drop, whole, "{stream:?}, byte by byte");
}

#[test]
fn events_are_put_together() {
    check("data: a\n\ndata:b\n\n", &["-/-/a", "-/-/b"]);
    check("data: a\r\n\r\ndata: b\r\rdata: c\n\n", &["-/-/a", "-/-/b", "-/-/c"]);
    check("data: {\"a\":\ndata: 1}\n\n", &["-/-/{\"a\":\n1}"]);
    check("id: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", &["7/-/a", "7/-/b", "-/-/c"]);
    check("event: resync\ndata: a\n\ndata: b\n\n", &["-/resync/a", "-/-/b"]);
    check(": ping\n\n:\n\ndata: a\n: in between\n\n", &["-/-/a"]);
    check("data\n\ndata:\ndata:\n\n", &["-/-/", "-/-/\n"]);
    check("data:  two spaces\n\n", &["-/-/ two spaces"]);
    check("\u{feff}data: a\n\n\u{feff}data: not this one\n\n", &["-/-/a"]);
    check("nonsense: x\ndatax: y\n\n", &[]);
    check("id: a\0b\ndata: a\n\n", &["-/-/a"]);
    check("data: never ended\n", &[]);
    check("event: without data\n\ndata: a\n\n", &["-/-/a"]);
    check("data: 🧣\n\n", &["-/-/🧣"]);
}

#[test]
fn the_stream_says_where_and_when_to_come_back() {
    let mut parser = SseParser::new();
    parser.feed(b"retry: 1500\nid: 9\n\nretry: soon\n\n").unwrap();
    assert_eq!(parser.retry(), Some(Duration::from_millis(1_500)));
    assert_eq!(parser.last_id(), Some("9"));
}

#[test]
fn an_event_has_a_bound() {
    let large = Err(SseError::Large { max: 10 });
    assert_eq!(SseParser::with_limit(10).feed(b"data: abcdefgh"), large);
    let mut parser = SseParser::with_limit(10);
    assert_eq!(parser.feed(b"data: a\ndata: b\ndata: c\n"), large);
    let mut parser = SseParser::with_limit(10);
    for _ in 0..100 {
        assert_eq!(parser.feed(b"data: a\n\n").unwrap().len(), 1, "the bound is each event's");
    }
}

proptest! {
    #[test]
    fn it_does_not_matter_where_the_chunks_end(
        lines in prop::collection::vec("(data|id|event|retry|x)?:? ?[a-z\u{e4}]{0,3}(\n|\r|\r\n|\n\n)", 0..30),
        cuts in prop::collection::vec(1..9_usize, 1..30),
    ) {
        let stream = lines.concat();
        let mut parser = SseParser::new();
        let mut events = Vec::new();
        let mut rest = stream.as_bytes();
        for cut in cuts.iter().cycle() {
            let (chunk, after) = rest.split_at((*cut).min(rest.len()));
            events.extend(parser.feed(chunk).unwrap());
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(events, all_at_once(stream.as_bytes()));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = SseParser::with_limit(64).feed(&bytes);
    }
}
