//! What is found wrong with a configuration: where, what, and what to do about it.

use std::{fmt, path::PathBuf};

use bobbinet_text::Position;
use serde::Serialize;

use super::excerpt::Excerpt;

/// A configuration file as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// As the user named it.
    pub(crate) name: String,
    /// All that stands in it.
    pub(crate) text: String,
    /// The folder that relative paths in it start from.
    pub(crate) folder: PathBuf,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// The configuration cannot be used.
    Error,
    /// Part of it cannot, and is left out.
    Warning,
    /// It can, and somebody should know something.
    Note,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    pub(crate) file: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) line: usize,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) column: usize,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// The line of the file that it is about, without its values.
    #[serde(skip)]
    pub(crate) excerpt: Option<Box<Excerpt>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Finding {
    /// A finding at a place of a file.
    pub(crate) fn at(severity: Severity, source: &Source, position: Position, message: impl Into<String>) -> Self {
        Self {
            severity,
            file: source.name.clone(),
            line: position.line,
            column: position.column,
            message: message.into(),
            hint: None,
            excerpt: Excerpt::of(&source.text, position).map(Box::new),
        }
    }

    /// One about a file as a whole, or about what was said on the command line.
    pub(crate) fn about(severity: Severity, file: &str, message: impl Into<String>) -> Self {
        let file = file.to_owned();
        Self { severity, file, line: 0, column: 0, message: message.into(), hint: None, excerpt: None }
    }

    /// With what to do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Whether the configuration cannot be used because of it.
    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Where, what, the line itself, and the hint.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message)?,
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.message)?,
        }
        let is_shown = match self.severity {
            Severity::Error | Severity::Warning => true,
            Severity::Note => false,
        };
        if let Some(excerpt) = self.excerpt.as_ref().filter(|_| is_shown) {
            let Excerpt { line: excerpt, column } = &**excerpt;
            let number = self.line.to_string();
            let before: String = excerpt.chars().take(column.saturating_sub(1)).collect();
            // A tab moves the mark as far as it moves the line above it.
            let indent: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            write!(f, "\n  {number} | {excerpt}\n  {} | {indent}^", " ".repeat(number.len()))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}
