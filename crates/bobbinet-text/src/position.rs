//! Where something stands in a text.

use serde::Serialize;

/// A place in a text, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// The line; 0 for the text as a whole.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// The place of this byte of the text.
    pub fn of_byte(text: &str, byte: usize) -> Self {
        let before = &text.get(..byte).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}
