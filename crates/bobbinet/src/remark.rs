//! What is said to the person, on standard error, beside the results.

use std::{
    fmt::{self, Display},
    io::Write,
};

use anstyle::{AnsiColor, Style};
use bobbinet_core::text;

/// What a line on standard error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remark {
    /// Why it did not work.
    Error,
    /// What goes less well than it might.
    Warning,
    /// What is good to know.
    Note,
    /// What to do next.
    Hint,
}

impl Remark {
    fn label(self) -> &'static str {
        match self {
            Self::Error => "error:",
            Self::Warning => "warning:",
            Self::Note => "note:",
            Self::Hint => "hint:",
        }
    }
}

/// Says something to the person, on standard error: what is said is no result. Whoever's words are in it, it is fit to
/// be shown.
pub(crate) fn remark(what: Remark, text: impl Display) {
    let color = if what == Remark::Error { AnsiColor::Red } else { AnsiColor::Cyan };
    let style = Style::new().bold().fg_color(Some(color.into()));
    say(format_args!("{style}{}{style:#} ", what.label()), &text.to_string());
}

/// Says something without a label, below what was said before.
pub(crate) fn add(text: impl Display) {
    say(format_args!("  "), &text.to_string());
}

fn say(before: fmt::Arguments<'_>, text: &str) {
    // Whoever does not listen any more does not want to know.
    drop(writeln!(anstream::stderr().lock(), "{before}{}", text::lines(text)));
}
