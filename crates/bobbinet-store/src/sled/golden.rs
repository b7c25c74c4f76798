//! What every kind of value, and the files beside the tree, look like on the disk. A change here is a change of the format:
//! it needs a new number and a way to read what the old one wrote.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write;

use bobbinet_core::{StreamId, Timestamp};
use bytes::Bytes;

use super::{
    Durability, chunks,
    codec::{
        self, BlobName, Body, BodyLocation, CellName, Change, FORMAT, Head, Heads, HeadsWriter, Remembered,
        StoredRecord, Value,
    },
    keys,
    stamp::Stamp,
    watermark::{TornTail, Watermark},
};
use crate::{Key, Summary, Version};

const IDENTITY: [u8; 16] = *b"0123456789abcdef";

fn stream() -> StreamId {
    StreamId::from_bytes(b"t1")
}

fn summary() -> Summary {
    Summary {
        tenant: "acme".into(),
        owner: "ann".into(),
        agent: "echo".into(),
        context: "c1".into(),
        state: 3,
        status_at: Timestamp::from_millis(1_795_258_800_123),
        due: Some(Timestamp::from_millis(1_795_258_900_000)),
    }
}

fn blob() -> BlobName {
    BlobName { sha256: [0xab; 32], length: 70_000 }
}

fn grown() -> Head {
    Head {
        stream: stream(),
        born: 5,
        version: 3,
        trimmed: 1,
        summary: Some(summary().into()),
        cells: true,
        blobs: true,
        change: Change::Grown { count: 2, place: BodyLocation { chunk: 5, at: 1 } },
    }
}

fn trimmed() -> Head {
    Head { summary: None, cells: false, blobs: false, change: Change::Trimmed, ..grown() }
}

fn body() -> Body {
    Body {
        stream: stream(),
        born: 5,
        first: 2,
        records: vec![
            StoredRecord { format: 1, value: Value::Inline(Bytes::from_static(b"{\"at\":1}")) },
            StoredRecord { format: 2, value: Value::Blob(blob()) },
        ],
        cells: vec![CellName { key: Key("k".into()), there: true }, CellName { key: Key("".into()), there: false }],
    }
}

fn heads() -> Heads {
    Heads { stamp: Stamp::end(&IDENTITY, 7), span: 4, entries: vec![Some(grown()), None, Some(trimmed())] }
}

fn remembered() -> Remembered {
    Remembered { stream: stream(), body_hash: [7; 32], expires: Timestamp::from_millis(99) }
}

fn watermark() -> Watermark {
    Watermark {
        identity: IDENTITY,
        last: 42,
        group: 17,
        opened: 16,
        durability: Durability::Power,
        tears: vec![TornTail { after: 7, newest: 8, bytes: 900 }],
    }
}

/// Each kind of key with its value, as it is written.
fn written() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let cell = keys::cell_at(&stream(), &Key(vec![b'k', 0].into()), Version(3));
    let mut chunk = Vec::new();
    chunks::append(&mut chunk, &body().write());
    chunks::append(&mut chunk, &[]);
    let mut writer = HeadsWriter::new();
    writer.push(&grown().write());
    let inline = Value::Inline(Bytes::from_static(b"v"));
    vec![
        ("the store", keys::FORMAT.to_vec(), codec::write_identity(FORMAT, &IDENTITY)),
        ("a group without heads", keys::GROUP.to_vec(), codec::write_group(Stamp::end(&IDENTITY, 9), 42)),
        ("heads", keys::heads(5), heads().write()),
        ("heads of a group that goes on", keys::heads(9), writer.finish(Stamp::new(&IDENTITY, 8))),
        ("bodies", keys::bodies(5), chunk),
        ("a part of bodies", keys::part(&keys::bodies(5), 1), b"part".to_vec()),
        ("a forgotten stream", keys::forgotten(&stream()), codec::write_number(42)),
        ("a cell", cell.clone(), codec::write_cell(&cell, Some(&inline))),
        ("a cell that is a blob", cell.clone(), codec::write_cell(&cell, Some(&Value::Blob(blob())))),
        ("a cell that is gone", cell.clone(), codec::write_cell(&cell, None)),
        ("a mark of a reader", keys::mark(&stream(), "web"), codec::write_number(3)),
        ("an idempotency key", keys::idempotency("acme/ann", "key"), codec::write_remembered(&remembered())),
        ("a name of a blob", keys::blob_reference(&blob().sha256, &stream(), Version(2)), Vec::new()),
    ]
}

/// As `xxd -p` writes them, thirty-two bytes to a line.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        text.push_str("\n   ");
        for (at, byte) in line.iter().enumerate() {
            write!(text, "{}{byte:02x}", if at % 4 == 0 { " " } else { "" }).unwrap();
        }
    }
    text
}

#[test]
fn what_is_on_the_disk_is_what_it_was() {
    let mut text = format!("format {FORMAT}\n");
    for (what, key, value) in written() {
        writeln!(text, "{what}\n  key{}\n  value{}", hex(&key), hex(&value)).unwrap();
    }
    writeln!(text, "MARK\n  {}", watermark().text().trim_end()).unwrap();
    expect_test::expect_file!["golden.txt"].assert_eq(&text);
}

/// What the golden file has is read back, so that nobody makes it say what nothing reads.
#[test]
fn what_is_on_the_disk_is_read() {
    let golden = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sled/golden.txt")).unwrap();
    let value = |what: &str| -> Vec<u8> {
        let begin = golden.find(&format!("\n{what}\n")).unwrap();
        let value = &golden[begin..][golden[begin..].find("\n  value").unwrap() + 8..];
        let digits: Vec<char> = value
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with("    "))
            .flat_map(str::chars)
            .filter(|c| *c != ' ')
            .collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
    };
    let cell = keys::cell_at(&stream(), &Key(vec![b'k', 0].into()), Version(3));
    assert_eq!(codec::read_identity(&value("the store")), Ok((FORMAT, IDENTITY)));
    assert_eq!(codec::read_group(&value("a group without heads")), Ok((Stamp::end(&IDENTITY, 9), 42)));
    assert_eq!(Heads::read(&value("heads")), Ok(heads()));
    let one = Heads { stamp: Stamp::new(&IDENTITY, 8), span: 1, entries: vec![Some(grown())] };
    assert_eq!(Heads::read(&value("heads of a group that goes on")), Ok(one));
    let chunk = value("bodies");
    let bodies: Vec<_> = chunks::bodies(&chunk).collect();
    assert_eq!(Body::read(&Bytes::copy_from_slice(bodies[0].unwrap())), Ok(body()));
    assert_eq!(bodies[1..], [Some(&[][..])]);
    assert_eq!(codec::read_number(&value("a forgotten stream")), Ok(42));
    assert_eq!(codec::read_cell(&cell, &value("a cell")), Ok(Some(Value::Inline(Bytes::from_static(b"v")))));
    assert_eq!(codec::read_cell(&cell, &value("a cell that is a blob")), Ok(Some(Value::Blob(blob()))));
    assert_eq!(codec::read_cell(&cell, &value("a cell that is gone")), Ok(None));
    assert_eq!(codec::read_remembered(&value("an idempotency key")), Ok(remembered()));
}
