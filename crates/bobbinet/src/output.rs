//! Results on standard output: fields and blocks for people, documents for programs.
//!
//! Text is one `Label: value` to a line; what does not fit a line is a block: its label, its lines, an empty line (CLI
//! specification section 11.2). Neither form has a control sequence, terminal or not, so that a pipe sees what a person sees.

use std::{
    fmt::Display,
    io::{self, Write},
};

use serde::Serialize;

use crate::failure::{Code, Failure};

/// What results look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// `Label: value` lines
    #[default]
    Text,
    /// The protocol's own types as JSON
    Json,
}

/// Standard output.
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

    /// One line as it is.
    pub(crate) fn line(self, line: impl Display) -> Printed {
        written(writeln!(io::stdout(), "{line}"))
    }

    /// One field. Line breaks in the value would begin lines that are no fields, so they become spaces.
    pub(crate) fn field(self, label: &str, value: impl Display) -> Printed {
        self.line(format_args!("{label}: {}", printable(&value.to_string()).replace('\n', " ")))
    }

    /// Lines that belong together.
    pub(crate) fn block(self, label: &str, content: &str) -> Printed {
        let content = printable(content);
        written(writeln!(io::stdout(), "{label}:\n{}\n", content.trim_end_matches('\n')))
    }

    /// A document for programs, on one line.
    pub(crate) fn json<T: Serialize + ?Sized>(self, document: &T) -> Printed {
        let text = serde_json::to_string(document).map_err(|error| Failure::of(Code::Internal, &error))?;
        self.line(text)
    }

    /// A document for programs that is one already, unchanged.
    pub(crate) fn raw(self, document: &str) -> Printed {
        // A stream's documents are one to a line, and JSON has line breaks only between tokens.
        self.line(document.replace(['\n', '\r'], ""))
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

/// Another's words without control characters, so that an agent cannot write to the terminal what it likes.
pub(crate) fn printable(text: &str) -> String {
    let keep = |c: char| !c.is_control() || c == '\n' || c == '\t';
    text.chars().map(|c| if keep(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_cannot_control_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\tc\nd\u{9b}e"), "a\u{fffd}[31mb\tc\nd\u{fffd}e");
    }
}
