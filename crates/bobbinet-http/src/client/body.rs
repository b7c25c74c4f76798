//! What came in place of the JSON that was expected, in words for people. None of the body itself is in them.

/// What a body is, if it is no JSON object.
pub(super) fn fault(body: &[u8], media_type: &str) -> Option<String> {
    let text = without_mark(body).trim_ascii_start();
    let is_page = media_type == "text/html" || media_type == "application/xhtml+xml" || is_html(text);
    if text.is_empty() {
        return Some("an empty body".to_owned());
    }
    match serde_json::from_slice::<serde_json::Value>(without_mark(body)) {
        Ok(serde_json::Value::Object(_)) => None,
        Ok(_) => Some("JSON that is no object".to_owned()),
        Err(_) if is_page => Some("a web page (HTML)".to_owned()),
        Err(_) if text.starts_with(b"<") => Some("XML".to_owned()),
        Err(error) if error.is_eof() => Some(format!("JSON that breaks off ({error})")),
        Err(error) => Some(format!("a text that is not JSON ({error})")),
    }
}

/// A body without the byte order mark that some editors put before it.
pub(super) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)
}

fn is_html(text: &[u8]) -> bool {
    let start = text[..text.len().min(HTML_START.len())].to_ascii_lowercase();
    start == HTML_START.as_bytes() || start.starts_with(b"<html")
}

const HTML_START: &str = "<!doctype html";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, media_type: &str, expected: Option<&str>) {
        let found = fault(body.as_bytes(), media_type);
        let is_expected = found.as_deref().zip(expected).is_some_and(|(found, expected)| found.starts_with(expected));
        assert!(is_expected || found.is_none() && expected.is_none(), "{body}: {found:?}");
    }

    #[test]
    fn what_is_no_json_is_called_by_its_name() {
        check("{}", "application/json", None);
        check("\u{feff} {}", "application/json", None);
        check("{}", "text/html", None);
        check("<!DOCTYPE html><title>Sign in</title>", "", Some("a web page (HTML)"));
        check("\n<HTML lang=en>", "", Some("a web page (HTML)"));
        check("Sign in", "text/html", Some("a web page (HTML)"));
        check("<?xml version='1.0'?><Error/>", "application/xml", Some("XML"));
        check(" ", "application/json", Some("an empty body"));
        check("[]", "application/json", Some("JSON that is no object"));
        check("{\"a\":", "application/json", Some("JSON that breaks off"));
        check("secret", "text/plain", Some("a text that is not JSON (expected value at line 1"));
    }
}
