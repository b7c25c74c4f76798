//! Lines of a stream, none longer than a bound, none lost when a read is dropped.

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// A line buffer that has grown beyond this is given back, so that one large result does not stay in memory.
const BUFFER_KEPT: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    /// The line, without its end, when [`Lines::next`] says that there is one.
    pub(crate) line: Vec<u8>,
    pub(crate) max: usize,
    is_whole: bool,
    is_skipping: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// A line is in `line`.
    Line,
    /// A line was too long. It is skipped.
    Long,
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
            is_skipping: false,
        }
    }

    pub(crate) async fn next(&mut self) -> Read {
        if std::mem::take(&mut self.is_whole) {
            self.line.clear();
        }
        loop {
            let (taken, read) = match self.reader.fill_buf().await {
                Ok(bytes) if !bytes.is_empty() => {
                    let end = bytes.iter().position(|&byte| byte == b'\n');
                    let part = &bytes[..end.unwrap_or(bytes.len())];
                    let taken = end.map_or(bytes.len(), |end| end + 1);
                    let is_too_long = !self.is_skipping && self.line.len() + part.len() > self.max;
                    if is_too_long {
                        self.line = Vec::new();
                        self.is_skipping = end.is_none();
                        (taken, Some(Read::Long))
                    } else if self.is_skipping {
                        self.is_skipping = end.is_none();
                        (taken, None)
                    } else {
                        self.line.extend_from_slice(part);
                        (taken, end.map(|_| Read::Line))
                    }
                }
                // The end, or an error, which is one too. What came without a line's end may still be a message.
                Ok(_) | Err(_) if self.line.is_empty() => return Read::End,
                Ok(_) | Err(_) => (0, Some(Read::Line)),
            };
            self.reader.consume(taken);
            match read {
                Some(Read::Line) if self.line.is_empty() => {}
                Some(read) => {
                    self.is_whole = read == Read::Line;
                    return read;
                }
                None => {}
            }
        }
    }
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
                Read::Line => found.push(String::from_utf8(lines.line.clone()).unwrap()),
                Read::Long => found.push("LONG".to_owned()),
                Read::End => break,
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
        check(&[b"x".repeat(200_000), b"\nb\n".to_vec()].concat(), &["LONG", "b"]).await;
        check(&b"x".repeat(200_000), &["LONG"]).await;
    }
}
