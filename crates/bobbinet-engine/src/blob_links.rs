//! URLs of blobs in a log that was written while the node was at another address: they are read as they are now.

use std::borrow::Cow;

use memchr::memmem;

use crate::blobs::TaskBlobs;

/// What stands before the hash in the URL of a task's blob.
const MARK: &str = "/blobs/";

/// How such URLs begin.
const SCHEMES: [&str; 2] = ["http://", "https://"];

/// What ends a URL in JSON and in words.
const ENDS: [char; 8] = ['"', '\\', ' ', '<', '>', '(', '\n', '\t'];

/// The digits of a hash.
const HASH_LENGTH: usize = 64;

/// How far before its mark a URL is looked for.
const URL_LENGTH_MAX: usize = 1_024;

/// A record with each URL of a blob that is held here as it is now. Nearly always there is none, and the text is as it was.
pub(crate) fn at_present<'a>(blobs: &TaskBlobs, text: &'a str) -> Cow<'a, str> {
    let (mut present, mut copied) = (String::new(), 0);
    for mark in memmem::find_iter(text.as_bytes(), MARK) {
        let end = mark + MARK.len() + HASH_LENGTH;
        let Some(url) = text.get(copied..end).and_then(|before| url_at_the_end(before, end - mark)) else { continue };
        if let Some(moved) = blobs.moved(url) {
            present.push_str(&text[copied..end - url.len()]);
            present.push_str(&moved);
            copied = end;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    present.push_str(&text[copied..]);
    Cow::Owned(present)
}

/// The URL that a text ends with, which has at least so many bytes.
fn url_at_the_end(text: &str, bytes_min: usize) -> Option<&str> {
    let from = text.ceil_char_boundary(text.len().saturating_sub(URL_LENGTH_MAX));
    let window = &text[from..];
    let begin = SCHEMES.iter().filter_map(|scheme| window.rfind(scheme)).max()?;
    let url = &window[begin..];
    (url.len() > bytes_min && !url.contains(ENDS)).then_some(url)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bobbinet_core::{AgentName, TaskId, Timestamp};
    use bobbinet_store::blobs::{BlobHash, BlobLabel, BlobLimits, BlobOwner, Blobs};
    use bytes::Bytes;

    use super::*;
    use crate::blobs::{BlobPlace, BlobUrls};

    /// The node is at `http://now/` now, whatever it was at.
    #[derive(Debug)]
    struct Moved;

    impl BlobUrls for Moved {
        fn url(&self, _: &AgentName, _: &BlobPlace) -> String {
            String::new()
        }

        fn place(&self, url: &str) -> Option<BlobPlace> {
            let (task, hash) = url.split_once("/tasks/")?.1.split_once(MARK)?;
            Some(BlobPlace::Task(TaskId::parse(task)?, BlobHash::parse(hash)?))
        }

        fn is_here(&self, url: &str) -> bool {
            url.starts_with("http://now/")
        }

        fn moved(&self, url: &str) -> Option<String> {
            Some(format!("http://now{}", &url[url.find("/tasks/")?..]))
        }
    }

    #[tokio::test]
    async fn urls_of_blobs_that_are_held_are_as_they_are_now_and_nothing_else_is_touched() {
        let task = TaskId::parse("01939f3c-7d2e-7000-8000-000000000001").unwrap();
        let blobs = Blobs::in_memory(BlobLimits::default());
        let owner = BlobOwner { tenant: "t".into(), owner: "o".into() };
        let made = Timestamp::from_millis(0);
        let label = BlobLabel { owner, media_type: None, filename: None, made, expires: None, is_quarantined: false };
        let held = blobs.keep(&task.stream(), label, Bytes::from_static(b"x")).await.unwrap().hash;
        let blobs = TaskBlobs::new(blobs, Arc::new(Moved));
        let path = format!("/tasks/{task}/blobs/{held}");
        let check = |text: &str, expected: &str| {
            let (text, expected) = (text.replace("PATH", &path), expected.replace("PATH", &path));
            let read = at_present(&blobs, &text);
            assert_eq!(read, expected);
            assert_eq!(matches!(read, Cow::Borrowed(_)), text == expected, "{text}");
        };
        check(r#"{"url":"http://old:1/mesh/a\u0020PATH"}"#, r#"{"url":"http://old:1/mesh/a\u0020PATH"}"#);
        check(r#"{"url":"http://old:1/meshPATH","n":1}"#, r#"{"url":"http://nowPATH","n":1}"#);
        check("12 bytes at https://oldPATH, or http://old:2PATH.", "12 bytes at http://nowPATH, or http://nowPATH.");
        check("it is at http://nowPATH already", "it is at http://nowPATH already");
        for other in [
            "PATH".to_owned(),
            "http://x yPATH".to_owned(),
            format!("http://old/tasks/{task}/blobs/{}", "0".repeat(64)),
            format!("http://old/tasks/01939f3c-7d2e-7000-8000-000000000002/blobs/{held}"),
            format!("http://old/tasks/{task}/blobs/{}", &held.to_string()[1..]),
            format!("http://old/tasks/{task}/blobs/\u{e4}{}", &held.to_string()[1..]),
            "/blobs/".repeat(1_000),
            "/blobs/".to_owned(),
            String::new(),
        ] {
            check(&other, &other);
        }
    }
}
