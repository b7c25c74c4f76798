//! What is checked on the bytes of a JSON text before anything reads it: whatever two readers could take for two things.
//!
//! A text that is checked by one reader and handed on to another (a policy, then a server) must mean the same to both. JSON leaves
//! open what a name means that an object has twice (RFC 8259 section 4), so such a text is refused, as I-JSON does (RFC 7493). One
//! pass, and work that grows with the text and no faster.

use std::borrow::Cow;

/// How deep a text may be nested: far more than any client needs, far less than any parser's stack.
pub const DEPTH_MAX: usize = 64;

/// How many names one object may have. A table of a hundred columns has a hundred; a dictionary of every English word fits.
pub const NAMES_MAX: usize = 1 << 18;

/// A number this short is within the range of a double, unless it has an exponent.
const PLAIN_NUMBER_LENGTH_MAX: usize = 300;

/// An object with no more names than this is looked through for each of them; one with more is sorted once, at its end.
const FEW_NAMES: usize = 16;

/// So much of a text is looked through byte by byte.
const SHORT: usize = 16;

/// How much of a name is shown that comes twice, in characters.
const NAME_SHOWN_MAX: usize = 64;

/// What no reader after us should have to meet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrictFault {
    /// More than [`DEPTH_MAX`] levels.
    #[error("it is nested deeper than {DEPTH_MAX} levels")]
    Deep,
    /// Half of a surrogate pair: no text can hold it, so it could be kept but never be read.
    #[error("a text in it has half of a surrogate pair")]
    Surrogate,
    /// A number that no double can hold.
    #[error("a number in it is out of range")]
    Number,
    /// An object has a name twice: readers differ in which of the two counts.
    #[error("an object in it has the name {0:?} twice")]
    Twice(String),
    /// An object of more than [`NAMES_MAX`] names.
    #[error("an object in it has more than {NAMES_MAX} names")]
    Names,
}

/// Finds what would be kept as JSON here and be read otherwise later, or not at all. Whether the text is JSON at all is the parser's
/// business.
pub fn check(text: &[u8]) -> Result<(), StrictFault> {
    let mut open = Open { levels: Vec::with_capacity(8), names: Vec::with_capacity(FEW_NAMES) };
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'{' => open.begin(true)?,
            b'[' => open.begin(false)?,
            b'}' | b']' => open.end()?,
            b',' => open.next(),
            b'"' => {
                rest = after_text(tail)?;
                if open.expects_name() {
                    // What is between the quotation marks; a text without an end is no name.
                    let length = (tail.len() - rest.len()).saturating_sub(1);
                    open.name(&tail[..length])?;
                }
            }
            b'-' | b'0'..=b'9' => rest = after_number(&text[text.len() - tail.len() - 1..])?,
            _ => {}
        }
    }
    Ok(())
}

/// The objects and arrays that are open at a place, and the names that the objects have so far.
struct Open<'a> {
    levels: Vec<Level>,
    names: Vec<Cow<'a, [u8]>>,
}

struct Level {
    /// Where its names begin; none of an array.
    begin: Option<usize>,
    expects_name: bool,
}

impl<'a> Open<'a> {
    fn begin(&mut self, is_object: bool) -> Result<(), StrictFault> {
        if self.levels.len() == DEPTH_MAX {
            return Err(StrictFault::Deep);
        }
        self.levels.push(Level { begin: is_object.then_some(self.names.len()), expects_name: is_object });
        Ok(())
    }

    fn end(&mut self) -> Result<(), StrictFault> {
        let Some(Level { begin: Some(begin), .. }) = self.levels.pop() else { return Ok(()) };
        if self.names.len() - begin > FEW_NAMES {
            let names = &mut self.names[begin..];
            names.sort_unstable();
            if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(twice(&pair[0]));
            }
        }
        self.names.truncate(begin);
        Ok(())
    }

    fn next(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.expects_name = level.begin.is_some();
        }
    }

    fn expects_name(&self) -> bool {
        self.levels.last().is_some_and(|level| level.expects_name)
    }

    /// Takes a name, as it is written between its quotation marks.
    fn name(&mut self, written: &'a [u8]) -> Result<(), StrictFault> {
        let Some(Level { begin: Some(begin), expects_name }) = self.levels.last_mut() else { return Ok(()) };
        *expects_name = false;
        let name = match written.contains(&b'\\') {
            false => Cow::Borrowed(written),
            true => Cow::Owned(unescaped(written)),
        };
        let known = &self.names[*begin..];
        if known.len() < FEW_NAMES && known.contains(&name) {
            return Err(twice(&name));
        }
        if known.len() == NAMES_MAX {
            return Err(StrictFault::Names);
        }
        self.names.push(name);
        Ok(())
    }
}

fn twice(name: &[u8]) -> StrictFault {
    StrictFault::Twice(String::from_utf8_lossy(name).chars().take(NAME_SHOWN_MAX).collect())
}

/// The name that is meant; one that is no text as it is written, which the parser will say.
fn unescaped(written: &[u8]) -> Vec<u8> {
    let quoted = [b"\"", written, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).map_or_else(|_| written.to_vec(), String::into_bytes)
}

/// What comes after the text whose opening quote has been read.
fn after_text(mut rest: &[u8]) -> Result<&[u8], StrictFault> {
    while let Some(at) = next_mark(rest) {
        rest = match &rest[at..] {
            [b'"', tail @ ..] => return Ok(tail),
            [b'\\', b'u', tail @ ..] => after_unicode(tail)?,
            [_, _, tail @ ..] => tail,
            [] | [_] => return Ok(&[]),
        };
    }
    Ok(&[])
}

/// Where the next quotation mark or backslash is. Most texts are shorter than it takes to begin a search by vectors.
fn next_mark(text: &[u8]) -> Option<usize> {
    let (near, far) = text.split_at(text.len().min(SHORT));
    let mark = near.iter().position(|byte| matches!(byte, b'"' | b'\\'));
    mark.or_else(|| memchr::memchr2(b'"', b'\\', far).map(|at| near.len() + at))
}

/// What comes after an escape, or a pair of escapes, whose `\u` has been read.
fn after_unicode(rest: &[u8]) -> Result<&[u8], StrictFault> {
    match unit(rest) {
        Some((0xD800..=0xDBFF, tail)) => match tail {
            [b'\\', b'u', second @ ..] => match unit(second) {
                Some((0xDC00..=0xDFFF, tail)) => Ok(tail),
                Some(_) | None => Err(StrictFault::Surrogate),
            },
            _ => Err(StrictFault::Surrogate),
        },
        Some((0xDC00..=0xDFFF, _)) => Err(StrictFault::Surrogate),
        Some((_, tail)) => Ok(tail),
        None => Ok(rest),
    }
}

/// Four hexadecimal digits and what comes after them.
fn unit(rest: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, tail) = rest.split_first_chunk::<4>()?;
    let mut unit = 0;
    for digit in digits {
        let value = char::from(*digit).to_digit(16)?;
        unit = unit << 4 | u16::try_from(value).ok()?;
    }
    Some((unit, tail))
}

/// What comes after the number that begins here.
fn after_number(text: &[u8]) -> Result<&[u8], StrictFault> {
    let length = text.iter().position(|byte| !is_of_number(*byte)).unwrap_or(text.len());
    let (number, tail) = text.split_at(length);
    let may_be_large = number.len() > PLAIN_NUMBER_LENGTH_MAX || number.iter().any(|byte| matches!(byte, b'e' | b'E'));
    let value = may_be_large.then(|| std::str::from_utf8(number).ok()?.parse::<f64>().ok()).flatten();
    match value {
        Some(value) if value.is_infinite() => Err(StrictFault::Number),
        Some(_) | None => Ok(tail),
    }
}

fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str, expected: Result<(), StrictFault>) {
        let shown: String = text.chars().take(200).collect();
        assert_eq!(check(text.as_bytes()), expected, "{shown}");
    }

    #[test]
    fn depth_counts_outside_texts_only() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        check_text(&nested(DEPTH_MAX), Ok(()));
        check_text(&nested(DEPTH_MAX + 1), Err(StrictFault::Deep));
        check_text(&format!("[{},{}]", nested(40), nested(40)), Ok(()));
        check_text(&format!("\"{}\"", "[".repeat(1_000)), Ok(()));
        check_text(&format!(r#""\"{}""#, "{".repeat(1_000)), Ok(()));
        check_text(&format!(r#""\\"{}"#, "{".repeat(1_000)), Err(StrictFault::Deep));
        check_text(&"]".repeat(1_000), Ok(()));
    }

    #[test]
    fn half_a_surrogate_pair_is_found() {
        check_text(r#""\ud83e\udde3 \u00e4""#, Ok(()));
        check_text(r#""\ud83e""#, Err(StrictFault::Surrogate));
        check_text(r#""\ud83e\u0041""#, Err(StrictFault::Surrogate));
        check_text(r#""\uDDE3""#, Err(StrictFault::Surrogate));
        check_text(r#""\\ud83e""#, Ok(()));
        check_text(r#""\ud8"#, Ok(()));
        check_text(r#"{"\ud83e":1}"#, Err(StrictFault::Surrogate));
    }

    #[test]
    fn a_number_out_of_range_is_found() {
        check_text("[1e308,-1.5e-400,9007199254740993,0.1]", Ok(()));
        check_text("[1e309]", Err(StrictFault::Number));
        check_text("-1E999", Err(StrictFault::Number));
        check_text(&"9".repeat(400), Err(StrictFault::Number));
        check_text(&format!("0.{}", "9".repeat(400)), Ok(()));
        check_text(r#""1e999""#, Ok(()));
    }

    #[test]
    fn a_name_that_comes_twice_is_found_at_any_depth_and_in_any_spelling() {
        let twice = |name: &str| Err(StrictFault::Twice(name.to_owned()));
        check_text(r#"{"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}],"d":"a"}"#, Ok(()));
        check_text(r#"{"a":1,"a":1}"#, twice("a"));
        check_text(r#"{"a":1, "b":2 ,"\u0061":3}"#, twice("a"));
        check_text(r#"[{"x":[{"\"":1,"\u0022":2}]}]"#, twice("\""));
        check_text(r#"{"a":{"b":{}},"b":{"c":1,"c":2}}"#, twice("c"));
        check_text(r#"{"a":["a","a",{"a":"a"}],"b":"a,a"}"#, Ok(()));
        check_text(r#"{"":1,"":2}"#, twice(""));
        check_text(r#"{"a":1,"A":2,"ä":3,"a ":4}"#, Ok(()));
        // Whether these are JSON is not asked here.
        for text in [r#"{"a""a""a"}"#, r#"{"a":1}{"a":1}"#, r#"{"a":1,"a"#, ",,,", r#"}"a","a""#, "{\"\\", "\"", "{\""]
        {
            check_text(text, Ok(()));
        }
    }

    #[test]
    fn many_names_take_no_more_time_than_many_letters() {
        let object = |names: usize, more: &str| {
            let names: Vec<String> = (0..names).map(|at| format!("\"k{at}\":{at}")).collect();
            format!("{{{}{more}}}", names.join(","))
        };
        let began = std::time::Instant::now();
        check_text(&object(NAMES_MAX, ""), Ok(()));
        check_text(&object(NAMES_MAX - 1, ",\"k0\":1"), Err(StrictFault::Twice("k0".to_owned())));
        check_text(&object(NAMES_MAX + 1, ""), Err(StrictFault::Names));
        // A quarter of a second where tests are slow; each against each other would be an hour.
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }
}
