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
    pub excerpt: Option<Excerpt>,
}

/// A line of a definition, or what of a long one is around the place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Excerpt {
    /// What stands there.
    pub text: String,
    /// The column of the place in it, from 1.
    #[serde(skip)]
    pub column: usize,
}

/// Errors that are told of one definition, and so many warnings. Whoever mends them looks again.
pub(crate) const FINDINGS_MAX: usize = 100;

/// Characters of a message, a pointer or a hint: each may quote the definition, which may come from anybody.
const WORDS_MAX: usize = 600;

/// Characters of a line that are shown.
const EXCERPT_MAX: usize = 160;

/// What was found so far, no more than is told.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) all: Vec<Finding>,
    errors: usize,
    warnings: usize,
}

impl Findings {
    /// Whether another one of these would not be told.
    pub(crate) fn are_enough(&self, severity: Severity) -> bool {
        FINDINGS_MAX
            <= match severity {
                Severity::Error => self.errors,
                Severity::Warning => self.warnings,
            }
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        if self.are_enough(finding.severity) {
            return;
        }
        match finding.severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        self.all.push(finding);
    }

    /// All of it, in the order of the text.
    pub(crate) fn sorted(mut self) -> Vec<Finding> {
        self.all.sort_by_key(|finding| finding.at);
        self.all
    }
}

impl Excerpt {
    /// The line of a text at a place.
    fn of(text: &str, at: Position) -> Option<Self> {
        let line = at.line.checked_sub(1).and_then(|line| text.lines().nth(line))?.trim_end();
        // Behind the end of the line at the most.
        let place = at.column.saturating_sub(1);
        let before = if line.len() > EXCERPT_MAX { place.saturating_sub(EXCERPT_MAX / 2) } else { 0 };
        let mut rest = line.chars().skip(before);
        let shown: String = rest.by_ref().take(EXCERPT_MAX).collect();
        let (start, end) = (if before > 0 { "…" } else { "" }, if rest.next().is_some() { "…" } else { "" });
        let column = place - before + 1 + start.chars().count();
        Some(Self { text: format!("{start}{shown}{end}"), column })
    }
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl Finding {
    /// One at a place of a text.
    pub(crate) fn new(
        severity: Severity,
        (file, text): (&str, &str),
        at: Position,
        pointer: &str,
        message: String,
        hint: Option<String>,
    ) -> Self {
        Self {
            severity,
            file: file.to_owned(),
            at,
            pointer: shortened(pointer.to_owned()),
            message: shortened(message),
            hint: hint.map(shortened),
            excerpt: Excerpt::of(text, at),
        }
    }

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
        if let Some(Excerpt { text: excerpt, column }) = &self.excerpt {
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
