//! What is checked on the bytes of a JSON text before anything parses it.

use crate::envelope::JSON_DEPTH_MAX;

/// A number this short is within the range of a double, unless it has an exponent.
const PLAIN_NUMBER_LENGTH_MAX: usize = 300;

/// What no parser after us should have to meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScanFault {
    /// More than [`JSON_DEPTH_MAX`] levels.
    #[error("it is nested deeper than {JSON_DEPTH_MAX} levels")]
    Deep,
    /// Half of a surrogate pair: no text can hold it, so it could be kept but never be read.
    #[error("a text in it has half of a surrogate pair")]
    Surrogate,
    /// A number that no double can hold.
    #[error("a number in it is out of range")]
    Number,
}

/// Finds what would be kept as raw JSON here and fail to be read later. Whether the text is JSON at all is the parser's business.
pub(crate) fn check(text: &[u8]) -> Result<(), ScanFault> {
    let mut depth = 0_usize;
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Err(ScanFault::Deep);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => rest = after_text(tail)?,
            b'-' | b'0'..=b'9' => rest = after_number(byte_before(text, tail))?,
            _ => {}
        }
    }
    Ok(())
}

/// The rest from one byte earlier on.
fn byte_before<'a>(text: &'a [u8], tail: &[u8]) -> &'a [u8] {
    &text[text.len() - tail.len() - 1..]
}

/// What comes after the text whose opening quote has been read.
fn after_text(mut rest: &[u8]) -> Result<&[u8], ScanFault> {
    loop {
        match rest {
            [] => return Ok(rest),
            [b'"', tail @ ..] => return Ok(tail),
            [b'\\', b'u', tail @ ..] => rest = after_unicode(tail)?,
            [b'\\', _, tail @ ..] | [_, tail @ ..] => rest = tail,
        }
    }
}

/// What comes after an escape, or a pair of escapes, whose `\u` has been read.
fn after_unicode(rest: &[u8]) -> Result<&[u8], ScanFault> {
    match unit(rest) {
        Some((0xD800..=0xDBFF, tail)) => match tail {
            [b'\\', b'u', second @ ..] => match unit(second) {
                Some((0xDC00..=0xDFFF, tail)) => Ok(tail),
                Some(_) | None => Err(ScanFault::Surrogate),
            },
            _ => Err(ScanFault::Surrogate),
        },
        Some((0xDC00..=0xDFFF, _)) => Err(ScanFault::Surrogate),
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
fn after_number(text: &[u8]) -> Result<&[u8], ScanFault> {
    let length = text.iter().position(|byte| !is_of_number(*byte)).unwrap_or(text.len());
    let (number, tail) = text.split_at(length);
    let may_be_large = number.len() > PLAIN_NUMBER_LENGTH_MAX || number.iter().any(|byte| matches!(byte, b'e' | b'E'));
    let value = may_be_large.then(|| std::str::from_utf8(number).ok()?.parse::<f64>().ok()).flatten();
    match value {
        Some(value) if value.is_infinite() => Err(ScanFault::Number),
        Some(_) | None => Ok(tail),
    }
}

fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str, expected: Result<(), ScanFault>) {
        assert_eq!(check(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn depth_counts_outside_texts_only() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        check_text(&nested(JSON_DEPTH_MAX), Ok(()));
        check_text(&nested(JSON_DEPTH_MAX + 1), Err(ScanFault::Deep));
        check_text(&format!("[{},{}]", nested(40), nested(40)), Ok(()));
        check_text(&format!("\"{}\"", "[".repeat(1_000)), Ok(()));
        check_text(&format!(r#""\"{}""#, "{".repeat(1_000)), Ok(()));
        check_text(&format!(r#""\\"{}"#, "{".repeat(1_000)), Err(ScanFault::Deep));
        check_text(&"]".repeat(1_000), Ok(()));
    }

    #[test]
    fn half_a_surrogate_pair_is_found() {
        check_text(r#""\ud83e\udde3 \u00e4""#, Ok(()));
        check_text(r#""\ud83e""#, Err(ScanFault::Surrogate));
        check_text(r#""\ud83e\u0041""#, Err(ScanFault::Surrogate));
        check_text(r#""\uDDE3""#, Err(ScanFault::Surrogate));
        check_text(r#""\\ud83e""#, Ok(()));
        check_text(r#""\ud8"#, Ok(()));
    }

    #[test]
    fn a_number_out_of_range_is_found() {
        check_text("[1e308,-1.5e-400,9007199254740993,0.1]", Ok(()));
        check_text("[1e309]", Err(ScanFault::Number));
        check_text("-1E999", Err(ScanFault::Number));
        check_text(&"9".repeat(400), Err(ScanFault::Number));
        check_text(&format!("0.{}", "9".repeat(400)), Ok(()));
        check_text(r#""1e999""#, Ok(()));
    }
}
