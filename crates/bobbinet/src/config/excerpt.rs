//! The line that a finding is about, as it may be shown: its names and signs, and never a value. A value may be a token of a
//! variable or of a header, and a line alone does not tell: it may be the middle of a list, or the file may not be well-formed.

use bobbinet_text::Position;

/// What stands for a value.
const HIDDEN: char = '…';

/// Values that cannot be a secret.
const PLAIN: [&str; 3] = ["true", "false", "null"];

/// A line as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    pub(crate) line: String,
    /// The column of what is meant in it, from 1.
    pub(crate) column: usize,
}

impl Excerpt {
    /// The line of a text that this place is in.
    pub(crate) fn of(text: &str, position: Position) -> Option<Self> {
        let line = text.lines().nth(position.line.checked_sub(1)?)?;
        Some(Hiding::new(line.trim_end(), position.column).all())
    }
}

/// A line while its values are being hidden.
struct Hiding {
    rest: Vec<char>,
    at: usize,
    /// Where the mark is in the line, from 0.
    meant: usize,
    shown: String,
    column: usize,
    /// The sign before what is read next: a name follows none of `:` and `[`, nor another value.
    before: Option<char>,
    /// The brackets that are open on this line.
    open: Vec<char>,
}

impl Hiding {
    fn new(line: &str, column: usize) -> Self {
        let meant = column.saturating_sub(1);
        Self {
            rest: line.chars().collect(),
            at: 0,
            meant,
            shown: String::new(),
            column: 1,
            before: None,
            open: Vec::new(),
        }
    }

    fn all(mut self) -> Excerpt {
        while let Some(c) = self.peek(0) {
            match c {
                _ if c.is_whitespace() => self.show(1, None),
                '#' => self.comment("#"),
                '/' if matches!(self.peek(1), Some('/' | '*')) => self.comment("//"),
                '-' if self.before.is_none() && self.peek(1).is_none_or(char::is_whitespace) => self.show(1, Some('-')),
                '{' | '[' => {
                    self.open.push(c);
                    self.show(1, Some(c));
                }
                '}' | ']' => {
                    self.open.pop();
                    self.show(1, Some(c));
                }
                ',' | ':' => self.show(1, Some(c)),
                _ => self.word(),
            }
        }
        if self.meant >= self.at {
            self.column = self.shown.chars().count() + 1;
        }
        Excerpt { line: self.shown, column: self.column }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.rest.get(self.at + ahead).copied()
    }

    /// Shows so many characters as they are.
    fn show(&mut self, count: usize, sign: Option<char>) {
        let start = self.shown.chars().count();
        if (self.at..self.at + count).contains(&self.meant) {
            self.column = start + self.meant - self.at + 1;
        }
        self.shown.extend(&self.rest[self.at..self.at + count]);
        self.at += count;
        self.before = sign.or(self.before);
    }

    /// Passes over so many characters, and shows this in their place.
    fn hide(&mut self, count: usize, shown: &str) {
        if (self.at..self.at + count).contains(&self.meant) {
            self.column = self.shown.chars().count() + 1;
        }
        self.shown.push_str(shown);
        self.at += count;
        self.before = Some(HIDDEN);
    }

    fn comment(&mut self, sign: &str) {
        self.hide(self.rest.len() - self.at, &format!("{sign} {HIDDEN}"));
    }

    fn word(&mut self) {
        let (length, is_quoted) = match self.peek(0) {
            Some(quote @ ('"' | '\'')) => (self.quoted(quote), true),
            Some(_) | None => (self.bare(), false),
        };
        let text: String = self.rest[self.at..self.at + length].iter().collect();
        if self.is_name(length) {
            self.show(length, Some('n'));
        } else if is_quoted {
            self.hide(length, &format!("\"{HIDDEN}\""));
        } else if PLAIN.contains(&text.as_str()) {
            self.show(length, Some(HIDDEN));
        } else {
            self.hide(length, &HIDDEN.to_string());
        }
    }

    /// Whether what is read next is the name of something: a colon follows it, and it stands where names do.
    fn is_name(&self, length: usize) -> bool {
        let mut behind = self.rest[self.at + length..].iter().skip_while(|c| c.is_whitespace());
        let is_in_place = matches!(self.before, None | Some('{' | ',' | '-')) && self.open.last() != Some(&'[');
        is_in_place && behind.next() == Some(&':')
    }

    /// The length of a quoted text, or of all that is left, if it has no end.
    fn quoted(&self, quote: char) -> usize {
        let mut is_escaped = false;
        for (index, c) in self.rest[self.at..].iter().enumerate().skip(1) {
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' => is_escaped = true,
                c if *c == quote => return index + 1,
                _ => {}
            }
        }
        self.rest.len() - self.at
    }

    /// The length of a text without quotes: up to a sign that ends it, without the blanks before that.
    fn bare(&self) -> usize {
        let rest = &self.rest[self.at..];
        let ends = |index: usize| match rest[index] {
            ',' | '[' | ']' | '{' | '}' | '"' => true,
            ':' => rest.get(index + 1).is_none_or(|next| next.is_whitespace()),
            _ => false,
        };
        let length = (1..rest.len()).find(|index| ends(*index)).unwrap_or(rest.len());
        let blanks = rest[1..length].iter().rev().take_while(|c| c.is_whitespace()).count();
        length - blanks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `^` in the expected text stands before what is meant.
    fn check(line: &str, column: usize, expected: &str) {
        let excerpt = Excerpt::of(line, Position { line: 1, column }).unwrap();
        let mut shown: Vec<char> = excerpt.line.chars().collect();
        shown.insert(excerpt.column - 1, '^');
        assert_eq!(shown.into_iter().collect::<String>(), expected, "{line}");
    }

    #[test]
    fn names_are_shown_and_values_are_not() {
        check(
            r#"  "env": { "TOKEN": "sk-1", "N": 7, "B": true },"#,
            12,
            r#"  "env": { ^"TOKEN": "…", "N": …, "B": true },"#,
        );
        check(r#""headers": {"Authorization": "Bearer \"x\" y"}"#, 30, r#""headers": {"Authorization": ^"…"}"#);
        check(r#"  "--header", "Authorization: Bearer sk-1""#, 3, r#"  ^"…", "…""#);
        check("    TOKEN: sk-1 two # sk-2", 12, "    TOKEN: ^…");
        check("# TOKEN: sk-1", 1, "^# …");
        check(
            "    mcp: { command: [npx, -y, @scope/x], env: { T: sk-1 } }",
            31,
            "    mcp: { command: […, …, ^…], env: { T: … } }",
        );
        check("  - name: x", 5, "  - ^name: …");
        check("\tPASSWORD: 'a: b'", 2, "\t^PASSWORD: \"…\"");
        check("  url: https://me:pw@host/x", 3, "  ^url: …");
        check("a: 1", 9, "a: …^");
    }

    #[test]
    fn a_line_that_is_not_well_formed_hides_its_values_too() {
        check(r#"  "TOKEN": "sk-1"#, 12, r#"  "TOKEN": ^"…""#);
        check(r#"  "TOKEN": sk-1", "N": 1"#, 12, r#"  "TOKEN": ^…"…"…"…""#);
        check(r#"  "TOKEN": "sk-1": "x","#, 3, r#"  ^"TOKEN": "…": "…","#);
        check(r#"  "TOKEN" "sk-1": 1"#, 3, r#"  ^"…" "…": …"#);
        check(r#"  "env": { TOKEN: sk-1 } // sk-2"#, 3, r#"  ^"env": { TOKEN: … } // …"#);
        check("sk-1", 1, "^…");
    }
}
