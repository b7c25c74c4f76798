//! Lines of a stream, none longer than a bound, none lost when a read is dropped. Of a longer one it is found out whose
//! reply it was.

use rmcp::model::RequestId;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use crate::salvage::Scan;

/// A line buffer that has grown beyond this is given back, so that one large result does not stay in memory.
const BUFFER_KEPT: usize = 1 << 20;

/// Cuts lines out of what a reader brings.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    /// The line, without its end, when [`Lines::next`] says that there is one.
    pub(crate) line: Vec<u8>,
    pub(crate) max: usize,
    is_whole: bool,
    /// What is known of the line that is being skipped because it is too long.
    skipped: Option<Skipped>,
}

#[derive(Debug)]
struct Skipped {
    scan: Scan,
    /// Bytes since something was last said of it.
    bytes: usize,
    /// Whether it was told whose it was.
    is_told: bool,
    /// Whether it was told that there is such a line.
    is_known: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LineRead {
    /// A line is in `line`.
    Line,
    /// A line is too long, and skipped. It was the reply to these requests, as far as can be seen.
    Long(Vec<RequestId>),
    /// Of the same line, as much again has come as a line may have.
    Longer,
    /// There is no more.
    End,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R, max: usize) -> Self {
        Self {
            reader: BufReader::with_capacity(64 << 10, reader),
            line: Vec::new(),
            max,
            is_whole: false,
            skipped: None,
        }
    }

    pub(crate) async fn next(&mut self) -> LineRead {
        if std::mem::take(&mut self.is_whole) {
            self.line.clear();
        }
        loop {
            let (taken, read) = match self.reader.fill_buf().await {
                Ok(bytes) if !bytes.is_empty() => {
                    let end = bytes.iter().position(|&byte| byte == b'\n');
                    let part = &bytes[..end.unwrap_or(bytes.len())];
                    let taken = end.map_or(bytes.len(), |end| end + 1);
                    let is_too_long = self.skipped.is_none() && self.line.len() + part.len() > self.max;
                    if is_too_long {
                        let mut scan = Scan::default();
                        scan.read(&std::mem::take(&mut self.line));
                        self.skipped = Some(Skipped { scan, bytes: 0, is_told: false, is_known: false });
                    }
                    let read = if self.skipped.is_some() {
                        skip(&mut self.skipped, part, end.is_some(), self.max)
                    } else {
                        self.line.extend_from_slice(part);
                        end.map(|_| LineRead::Line)
                    };
                    (taken, read)
                }
                // The end, or an error, which is one too. What came without a line's end may still be a message.
                Ok(_) | Err(_) => match self.skipped.is_some() {
                    true => (0, skip(&mut self.skipped, &[], true, self.max)),
                    false if self.line.is_empty() => return LineRead::End,
                    false => (0, Some(LineRead::Line)),
                },
            };
            self.reader.consume(taken);
            match read {
                Some(LineRead::Line) if self.line.is_empty() => {}
                Some(read) => {
                    self.is_whole = read == LineRead::Line;
                    return read;
                }
                None => {}
            }
        }
    }
}

/// Passes over a piece of a line that is too long. Returns what is to be said of it now.
fn skip(skipped: &mut Option<Skipped>, part: &[u8], is_end: bool, max: usize) -> Option<LineRead> {
    let known = skipped.as_mut()?;
    known.bytes += part.len();
    if !known.is_told {
        known.scan.read(part);
        if let Some(id) = known.scan.certain() {
            known.is_told = true;
            if is_end {
                *skipped = None;
            }
            return Some(LineRead::Long(vec![id]));
        }
    }
    if is_end {
        let known = skipped.take().filter(|known| !known.is_told)?;
        let ids = known.scan.finish();
        let is_news = !known.is_known || !ids.is_empty();
        return is_news.then_some(LineRead::Long(ids));
    }
    let is_in_vain = known.scan.is_in_vain() && !known.is_known;
    if known.bytes <= max && !is_in_vain {
        return None;
    }
    known.bytes = 0;
    let is_known = std::mem::replace(&mut known.is_known, true) || known.is_told;
    Some(if is_known { LineRead::Longer } else { LineRead::Long(Vec::new()) })
}

impl<R> Lines<R> {
    /// Takes back the line that was lent out, to be used again.
    pub(crate) fn give_back(&mut self, line: Vec<u8>) {
        if line.capacity() <= BUFFER_KEPT {
            self.line = line;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(input: &[u8], expected: &[&str]) {
        let mut lines = Lines::new(input, 8);
        let mut found = Vec::new();
        loop {
            match lines.next().await {
                LineRead::Line => found.push(String::from_utf8(lines.line.clone()).unwrap()),
                LineRead::Long(ids) => {
                    found.push(format!("LONG{}", ids.iter().map(|id| format!(" {id}")).collect::<String>()))
                }
                LineRead::Longer => found.push("LONGER".to_owned()),
                LineRead::End => break,
            }
        }
        assert_eq!(found, expected, "{}", input.escape_ascii());
    }

    #[tokio::test]
    async fn lines_are_cut_out_and_long_ones_dropped() {
        check(b"", &[]).await;
        check(b"a\nb\n", &["a", "b"]).await;
        check(b"\n\na\n\n", &["a"]).await;
        check(b"a\nlast", &["a", "last"]).await;
        check(b"12345678\n", &["12345678"]).await;
        check(b"123456789\nb\n", &["LONG", "b"]).await;
        // A buffer at a time, and said again for each.
        check(&[b"x".repeat(150_000), b"\nb\n".to_vec()].concat(), &["LONG", "LONGER", "b"]).await;
        check(&b"x".repeat(60_000), &["LONG"]).await;
    }

    #[tokio::test]
    async fn of_a_long_line_it_is_known_whose_reply_it_was() {
        check(br#"{"jsonrpc":"2.0","id":5,"result":{"text":"long"}}"#, &["LONG 5"]).await;
        check(b"{\"result\":{\"text\":\"long\"},\"jsonrpc\":\"2.0\",\"id\":5}\nb\n", &["LONG 5", "b"]).await;
        check(b"{\"id\":5,\"method\":\"elicitation/create\"}\nb\n", &["LONG", "b"]).await;
        let long = [br#"{"id":5,"result":""#.as_slice(), &b"x".repeat(200_000), b"\"}\nb\n"].concat();
        let mut lines = Lines::new(long.as_slice(), 8);
        assert_eq!(lines.next().await, LineRead::Long(vec![RequestId::Number(5)]), "at once");
    }
}
