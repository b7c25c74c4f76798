//! Log lines as they reach standard error: one event is one line, and nothing in it controls a terminal.
//!
//! What a server or a caller says is in the fields of many events, at `debug` whole messages. This is the one place
//! that all of it passes.

use std::io::{self, Write};

use bobbinet_core::text;
use tracing_subscriber::fmt::MakeWriter;

/// What an event is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A line for people, without any control sequence.
    Plain,
    /// A line for people, with the colours that the formatter gives it. It escapes those in what it is given.
    Colored,
    /// A JSON document to each line, for programs.
    Json,
}

/// Standard error, for one event after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines(pub(super) Shape);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { shape: self.0, written: Vec::new() }
    }
}

/// One event, until it is whole: the formatter gives it in one piece today, which nobody promises.
#[derive(Debug)]
pub(super) struct Line {
    shape: Shape,
    written: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = fit(&String::from_utf8_lossy(&self.written), self.shape);
        // Whoever does not read the log any more does not stop the work.
        drop(io::stderr().lock().write_all(line.as_bytes()));
    }
}

/// An event's text, fit to be shown, with its line break.
fn fit(event: &str, shape: Shape) -> String {
    let event = event.trim_end_matches('\n');
    match shape {
        Shape::Json => format!("{}\n", text::json(event)),
        Shape::Plain => format!("{}\n", text::line(&event.replace('\n', "\\n"))),
        Shape::Colored => {
            let event = event.replace('\n', "\\n");
            let mut pieces = event.split('\u{1b}');
            let mut line = text::line(pieces.next().unwrap_or_default()).into_owned();
            for piece in pieces {
                let (color, rest) = piece.split_at(color_length(piece));
                line.push(if color.is_empty() { text::UNSHOWN } else { '\u{1b}' });
                line.push_str(color);
                line.push_str(&text::line(rest));
            }
            line.push('\n');
            line
        }
    }
}

/// Bytes of the colour that begins a text which stood behind an escape character: `[1;32m` (ECMA-48, SGR).
fn color_length(text: &str) -> usize {
    let is_parameter = |c: char| c.is_ascii_digit() || c == ';';
    let end = text.strip_prefix('[').map(|rest| 1 + rest.find(|c| !is_parameter(c)).unwrap_or(rest.len()));
    end.filter(|end| text[*end..].starts_with('m')).map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_that_controls_nothing() {
        let event = "INFO said=\u{202e}a\u{9b}2J\u{1b}[2J\nERROR forged \u{1b}]0;x\u{7}\n";
        assert_eq!(fit(event, Shape::Plain), "INFO said=�a�2J�[2J\\nERROR forged �]0;x�\n");
        let colored = format!("\u{1b}[2m12:00\u{1b}[0m {event}");
        let expected = "\u{1b}[2m12:00\u{1b}[0m INFO said=�a�2J�[2J\\nERROR forged �]0;x�\n";
        assert_eq!(fit(&colored, Shape::Colored), expected);
        assert_eq!(fit("{\"said\":\"\u{9b}\u{202e}\"}\n", Shape::Json), "{\"said\":\"\\u009b\\u202e\"}\n");
    }
}
