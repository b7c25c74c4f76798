//! Results on standard output: fields and blocks for people, documents for programs.
//!
//! Text is one `Label: value` to a line; what does not fit a line is a block: its label, its lines, an empty line (CLI
//! specification section 11.2). Neither form has a control sequence, terminal or not, so that a pipe sees what a person sees.

use std::{
    fmt::Display,
    io::{self, Write},
};

use bobbinet_core::text;
use serde::Serialize;

use crate::{
    failure::{Code, Failure},
    format::Format,
};

/// Where results go, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// How results are printed.
    pub(crate) format: Format,
    /// Whether to show all of it.
    pub(crate) is_verbose: bool,
}

/// Why nothing more can be printed: whoever read has gone, and that is their right.
type Printed = Result<(), Failure>;

impl Output {
    /// Whether programs read it.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// One line, and nothing in it that could end it early.
    pub(crate) fn line(self, line: impl Display) -> Printed {
        written(writeln!(io::stdout(), "{}", text::lines(&line.to_string())))
    }

    /// One field. Line breaks in the value would begin lines that are no fields, so they become spaces.
    pub(crate) fn field(self, label: &str, value: impl Display) -> Printed {
        self.line(format_args!("{label}: {}", text::line(&value.to_string())))
    }

    /// Lines that belong together.
    pub(crate) fn block(self, label: &str, content: &str) -> Printed {
        let content = text::lines(content);
        written(writeln!(io::stdout(), "{label}:\n{}\n", content.trim_end_matches('\n')))
    }

    /// A document for programs, on one line.
    pub(crate) fn json<T: Serialize + ?Sized>(self, document: &T) -> Printed {
        let document = serde_json::to_string(document).map_err(|error| Failure::of(Code::Internal, &error))?;
        self.raw(&document)
    }

    /// A document for programs that is one already: the same document, on one line.
    pub(crate) fn raw(self, document: &str) -> Printed {
        // A stream's documents are one to a line, and JSON has line breaks only between tokens.
        let document = text::json(document).replace(['\n', '\r'], "");
        written(writeln!(io::stdout(), "{document}"))
    }
}

fn written(result: io::Result<()>) -> Printed {
    match result {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(Failure::told(Code::Internal, "nobody reads standard output"))
        }
        Err(error) => Err(Failure::of(Code::Internal, &error)),
    }
}

/// Writes documents, each so that it is fit to be shown. Line by line: what follows the last line break waits for more.
#[derive(Debug)]
pub(crate) struct Documents<W: Write> {
    out: W,
    rest: Vec<u8>,
}

impl<W: Write> Documents<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, rest: Vec::new() }
    }
}

impl<W: Write> Write for Documents<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        if let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') {
            let lines: Vec<u8> = self.rest.drain(..=end).collect();
            self.out.write_all(text::json(&String::from_utf8_lossy(&lines)).as_bytes())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.rest);
        self.out.write_all(text::json(&String::from_utf8_lossy(&rest)).as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_fit_to_be_shown_wherever_they_are_cut() {
        let mut out = Vec::new();
        let mut documents = Documents::new(&mut out);
        for byte in "{\"a\":\"\u{9b}ü\"}\n[\"\u{202e}\"]".bytes() {
            documents.write_all(&[byte]).unwrap();
        }
        documents.flush().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "{\"a\":\"\\u009bü\"}\n[\"\\u202e\"]");
    }
}
