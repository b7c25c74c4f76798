//! Which bytes of something a request wants (RFC 9110 section 14).

use http::{HeaderMap, header};

/// What a `Range` comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// All of it: nothing else was asked for that can be given in one answer.
    Whole,
    /// From the first byte to before the last one.
    Part(u64, u64),
    /// Nothing that there is.
    Unsatisfiable,
}

/// The part of `length` bytes that is wanted. Several at once, and what is no range of bytes, are as if nothing was said, which the
/// specification allows; so is a range of something that has changed since (`If-Range`).
pub(super) fn of(headers: &HeaderMap, length: u64, etag: &str) -> Range {
    let is_changed = headers.get(header::IF_RANGE).is_some_and(|known| known.as_bytes() != etag.as_bytes());
    let said = headers.get(header::RANGE).and_then(|value| value.to_str().ok()).filter(|_| !is_changed);
    let Some((unit, range)) = said.and_then(|said| said.split_once('=')) else { return Range::Whole };
    let Some((first, last)) = range.trim().split_once('-').filter(|_| unit.trim().eq_ignore_ascii_case("bytes")) else {
        return Range::Whole;
    };
    if [first, last].iter().any(|text| !text.bytes().all(|byte| byte.is_ascii_digit())) {
        return Range::Whole;
    }
    // A number that is too large is one all the same.
    let number = |text: &str| (!text.is_empty()).then(|| text.parse::<u64>().unwrap_or(u64::MAX));
    match (number(first), number(last)) {
        (None, None) => Range::Whole,
        (None, Some(count)) if count == 0 || length == 0 => Range::Unsatisfiable,
        (None, Some(count)) => Range::Part(length.saturating_sub(count), length),
        (Some(first), Some(last)) if last < first => Range::Whole,
        (Some(first), _) if first >= length => Range::Unsatisfiable,
        (Some(first), None) => Range::Part(first, length),
        (Some(first), Some(last)) => Range::Part(first, last.saturating_add(1).min(length)),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(range: &str, if_range: Option<&str>, expected: Range) {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_str(range).unwrap());
        if let Some(etag) = if_range {
            headers.insert(header::IF_RANGE, HeaderValue::from_str(etag).unwrap());
        }
        assert_eq!(of(&headers, 10, "\"a\""), expected, "{range}");
    }

    #[test]
    fn one_range_is_understood_and_anything_else_is_the_whole() {
        use Range::{Part, Unsatisfiable, Whole};
        check("bytes=0-0", None, Part(0, 1));
        check("bytes=2-5", None, Part(2, 6));
        check("Bytes=2-", None, Part(2, 10));
        check("bytes=-3", None, Part(7, 10));
        check("bytes=-30", None, Part(0, 10));
        check("bytes=9-99999999999999999999999", None, Part(9, 10));
        check("bytes=10-", None, Unsatisfiable);
        check("bytes=99999999999999999999999-", None, Unsatisfiable);
        check("bytes=-0", None, Unsatisfiable);
        for odd in ["bytes=5-2", "bytes=-", "bytes=0-1,3-4", "lines=0-1", "bytes", "bytes=+1-2", "bytes=a-b"] {
            check(odd, None, Whole);
        }
        check("bytes=2-5", Some("\"a\""), Part(2, 6));
        check("bytes=2-5", Some("\"b\""), Whole);
        assert_eq!(of(&HeaderMap::new(), 10, ""), Whole);
    }
}
