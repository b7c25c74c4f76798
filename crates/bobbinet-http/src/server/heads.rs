//! A connection's bytes as HTTP/1.1 frames them: where a request's head ends and the next one may begin.
//!
//! hyper takes a line of a head that ends in a lone LF, and of two rules for the length of a body it takes one in silence. A proxy
//! before us that takes the other is then told one request where we see two (RFC 9112 sections 2.2, 6.3 and 11.2). So the bytes
//! are looked at before hyper gets them, and what is ambiguous is made into something that is none: hyper answers it with 400.

use memchr::memchr_iter;

/// Bytes of a line that are kept when it comes in pieces: the longest name that is looked for, and a length.
const LINE_KEPT: usize = 64;

/// What no head may contain. In its place, a byte that was ambiguous is refused.
const REFUSED: u8 = 0;

/// Reads along with a connection.
#[derive(Debug)]
pub(super) struct Heads {
    state: FramingState,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// The last byte that came.
    last: u8,
    length: Option<u64>,
    is_encoded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FramingState {
    /// Between two requests.
    Between,
    /// In the midst of a head.
    Head,
    /// So many bytes of a body are to come.
    Body(u64),
    /// A body that tells its end in its own way.
    Chunked,
    /// Something was refused: what follows means nothing.
    Refused,
    /// Another protocol, which has frames of its own.
    Other,
}

impl Heads {
    /// For a connection that speaks HTTP/1.
    pub(super) fn new() -> Self {
        Self { state: FramingState::Between, line: Vec::new(), last: 0, length: None, is_encoded: false }
    }

    /// From here on it is not HTTP/1.
    pub(super) fn leave(&mut self) {
        self.state = FramingState::Other;
    }

    /// Whether the connection speaks something else than HTTP/1.
    pub(super) fn has_left(&self) -> bool {
        self.state == FramingState::Other
    }

    /// Whether the peer owes the rest of something that it has begun to send.
    pub(super) fn is_within(&self) -> bool {
        !matches!(self.state, FramingState::Between | FramingState::Other)
    }

    /// Whether the peer owes the rest of a body whose length it has said.
    pub(super) fn is_in_body(&self) -> bool {
        matches!(self.state, FramingState::Body(_))
    }

    /// Nothing is at work on the connection: what comes next is a head.
    pub(super) fn rest(&mut self) {
        if self.state == FramingState::Chunked {
            self.state = FramingState::Between;
        }
    }

    /// Looks at what has come, makes what is ambiguous unreadable, and says how many heads have ended in it.
    pub(super) fn pass(&mut self, bytes: &mut [u8]) -> usize {
        let mut heads = 0;
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                FramingState::Body(left) => {
                    let taken = left.min((bytes.len() - at) as u64);
                    at += taken as usize;
                    self.state = if taken == left { FramingState::Between } else { FramingState::Body(left - taken) };
                }
                FramingState::Chunked | FramingState::Refused | FramingState::Other => return heads,
                FramingState::Between | FramingState::Head => {
                    let begin = at;
                    let mut ends = memchr_iter(b'\n', &bytes[begin..]);
                    while matches!(self.state, FramingState::Between | FramingState::Head) {
                        let Some(length) = ends.next() else {
                            self.keep(&bytes[at..]);
                            return heads;
                        };
                        let end = begin + length;
                        heads += usize::from(self.end_line(&bytes[at..end]));
                        at = end + 1;
                    }
                    if self.state == FramingState::Refused {
                        bytes[at - 1] = REFUSED;
                        return heads;
                    }
                }
            }
        }
        heads
    }

    /// Takes a line up to its LF. Gives whether the head ends with it.
    fn end_line(&mut self, rest: &[u8]) -> bool {
        let is_ended_by_crlf = rest.last().copied().unwrap_or(self.last) == b'\r';
        if !is_ended_by_crlf {
            self.state = FramingState::Refused;
            return false;
        }
        let was_between = self.state == FramingState::Between;
        self.state = FramingState::Head;
        let is_empty = match self.line.is_empty() {
            true => {
                self.look_at(rest);
                rest.len() == 1
            }
            false => {
                self.keep(rest);
                let line = std::mem::take(&mut self.line);
                self.look_at(&line);
                line == b"\r"
            }
        };
        self.last = b'\n';
        if self.is_encoded && self.length.is_some() {
            self.state = FramingState::Refused;
            return false;
        }
        match is_empty {
            // An empty line before a request is passed over (RFC 9112 section 2.2).
            true if was_between => self.state = FramingState::Between,
            true => {
                let length = self.length.take().unwrap_or_default();
                self.state = match (std::mem::take(&mut self.is_encoded), length) {
                    (true, _) => FramingState::Chunked,
                    (false, 0) => FramingState::Between,
                    (false, length) => FramingState::Body(length),
                };
                return true;
            }
            false => {}
        }
        false
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            self.last = *last;
            let room = LINE_KEPT - self.line.len();
            self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    fn look_at(&mut self, line: &[u8]) {
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            return;
        }
        if value_of(line, b"transfer-encoding").is_some() {
            self.is_encoded = true;
        } else if let Some(value) = value_of(line, b"content-length") {
            // What is no number is refused by hyper; until then it is as if all that follows were the body. A line that was cut
            // tells no number either.
            let text = std::str::from_utf8(value).ok().filter(|_| line.len() < LINE_KEPT);
            let length = text.and_then(|text| text.trim().parse().ok());
            self.length = Some(length.unwrap_or(u64::MAX));
        }
    }
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    rest.strip_prefix(b":").filter(|_| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the pieces are that it comes in, so many heads are seen, and this is refused or not.
    fn check(text: &str, heads: usize, is_refused: bool) {
        for size in [1, 2, 7, 4096] {
            let mut reader = Heads::new();
            let mut bytes = text.as_bytes().to_vec();
            let seen: usize = bytes.chunks_mut(size).map(|piece| reader.pass(piece)).sum();
            assert_eq!((seen, bytes.contains(&REFUSED)), (heads, is_refused), "{text:?} by {size}");
        }
    }

    #[test]
    fn a_line_ends_in_crlf_and_a_body_has_one_length() {
        check("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1, false);
        check("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 1, false);
        check("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2, false);
        check("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\na\nb\nGET / HTTP/1.1\r\n\r\n", 2, false);
        check("POST / HTTP/1.1\r\ncontent-length:4 \r\n\r\na\nb\nGET / HTTP/1.1\n\r\n", 1, true);
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\n", 1, false);
        check("GET / HTTP/1.1\nHost: x\n\n", 0, true);
        check("GET / HTTP/1.1\r\nX: a\nY: b\r\n\r\n", 0, true);
        check("GET / HTTP/1.1\r\nHost: x\r\n\n", 0, true);
        check("\nGET / HTTP/1.1\r\n\r\n", 0, true);
        check("POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 0, true);
        check("POST / HTTP/1.1\r\nTRANSFER-ENCODING: chunked\r\nCONTENT-LENGTH: 4\r\n\r\n", 0, true);
        check("POST / HTTP/1.1\r\nContent-Lengthy: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 1, false);
    }

    #[test]
    fn an_end_of_a_body_that_only_it_tells_is_told_by_rest() {
        let mut reader = Heads::new();
        reader.pass(&mut b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec());
        assert!(reader.is_within());
        reader.rest();
        assert_eq!(reader.pass(&mut b"GET / HTTP/1.1\r\n\r\n".to_vec()), 1);
        assert!(!reader.is_within());
    }
}
