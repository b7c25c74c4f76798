//! What is wrong with a definition, where, and what to do about it.

use bobbinet_text::Position;
use std::fmt;

use serde::Serialize;

/// Whether a definition can be used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but somebody should look.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it must be mended.
    pub severity: Severity,
    /// The file, as it was named to us.
    pub file: String,
    /// Where in it.
    #[serde(flatten)]
    pub at: Position,
    /// The same place as a JSON Pointer into the definition: `/do/0/fetch/call`.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line itself.
    pub excerpt: Option<String>,
}

impl Finding {
    /// Whether the definition cannot be used because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Where, what, the line itself, and the hint.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.at;
        match line {
            0 => write!(f, "{}: {}", self.file, self.message)?,
            _ => write!(f, "{}:{line}:{column}: {}", self.file, self.message)?,
        }
        if !self.pointer.is_empty() {
            write!(f, " ({})", self.pointer)?;
        }
        if let Some(excerpt) = &self.excerpt {
            let number = line.to_string();
            let before = excerpt.chars().take(column.saturating_sub(1));
            // A tab moves the mark as far as it moves the line above it.
            let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            write!(f, "\n  {number} | {excerpt}\n  {} | {indent}^", " ".repeat(number.len()))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}
