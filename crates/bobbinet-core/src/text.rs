//! Another's words, made fit to be shown.
//!
//! A terminal obeys some characters in place of showing them (C0 and C1 controls), and a person is deceived by others:
//! those that change the order of what is read (Unicode's bidirectional controls), that take no room, or that begin a
//! line nobody asked for. Whatever is not written by us passes one of these functions before a person sees it: what an
//! agent, a server or a caller says, and what stands in a file.

use std::borrow::Cow;

/// What stands in the place of a character that is not shown.
pub const UNSHOWN: char = char::REPLACEMENT_CHARACTER;

/// The text as one line: line breaks and tabs are spaces, and whatever is unfit to be shown is [`UNSHOWN`].
pub fn line(text: &str) -> Cow<'_, str> {
    if is_plain(text) && !text.contains(['\n', '\t']) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len());
    show(text, &mut line, |c| match c {
        '\n' | '\t' => ' ',
        other => other,
    });
    Cow::Owned(line)
}

/// The text with its line breaks and tabs; whatever else is unfit to be shown is [`UNSHOWN`].
pub fn lines(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut lines = String::with_capacity(text.len());
    show(text, &mut lines, |c| c);
    Cow::Owned(lines)
}

/// A JSON document with whatever is unfit to be shown written as `\uXXXX`: another spelling of the same document. Line
/// breaks between its tokens stay.
pub fn json(document: &str) -> Cow<'_, str> {
    if is_plain(document) {
        return Cow::Borrowed(document);
    }
    let mut fit = String::with_capacity(document.len());
    for c in document.chars() {
        // Outside of its texts a document has no such character, so each stands where an escape may stand.
        if c == '\r' || !is_unfit(c) && !is_selector(c) {
            fit.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                fit.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    Cow::Owned(fit)
}

/// Whether there is nothing to replace, as is so with nearly every text: no character of a rarer kind at all.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'\n' | b'\t' | b' '..=b'~'))
        || !text.chars().any(|c| is_unfit(c) || is_selector(c))
}

fn show(text: &str, out: &mut String, each: impl Fn(char) -> char) {
    let mut characters = text.chars().peekable();
    // What the last character was: only after one that is seen may another say how it looks.
    let mut is_after_symbol = false;
    while let Some(c) = characters.next() {
        let is_line_end = c == '\r' && characters.peek() == Some(&'\n');
        if is_line_end {
            continue;
        }
        let is_shown = if is_selector(c) { is_after_symbol } else { !is_unfit(c) };
        out.push(if is_shown { each(c) } else { UNSHOWN });
        is_after_symbol = is_shown && !c.is_ascii() && !is_selector(c);
    }
}

/// Says whether the symbol before it is a picture or a letter, as in `⚠️`: one alone hides nothing, and a row of them
/// may hide a text.
fn is_selector(c: char) -> bool {
    matches!(c, '\u{fe0e}' | '\u{fe0f}')
}

/// Controls, and what Unicode has as `Default_Ignorable_Code_Point` (UAX #44): what is there and is not seen. Beside
/// those the separators of lines and paragraphs, interlinear annotation, and noncharacters.
fn is_unfit(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        ' '..='~' => false,
        c if c.is_control() => true,
        // Soft hyphen, grapheme joiner, Arabic letter mark, Hangul fillers, Khmer vowels that are not seen.
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' => true,
        // Mongolian selectors.
        '\u{180b}'..='\u{180f}' => true,
        // Zero width, directional marks, separators, embeddings and overrides, word joiner, isolates, shaping controls.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{3164}' | '\u{fe00}'..='\u{fe0d}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' => true,
        // Shorthand and musical controls; tags and further selectors.
        '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' => true,
        '\u{fdd0}'..='\u{fdef}' => true,
        other => u32::from(other) & 0xfffe == 0xfffe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, as_lines: &str, as_line: &str) {
        assert_eq!((&*lines(text), &*line(text)), (as_lines, as_line), "{text:?}");
    }

    #[test]
    fn nothing_of_another_controls_a_terminal_or_hides() {
        check("a\u{1b}[31mb\tc\nd\u{9b}e\u{7f}", "a�[31mb\tc\nd�e�", "a�[31mb c d�e�");
        check("a\r\nb\rc\n", "a\nb�c\n", "a b�c ");
        check("\u{202e}gnp.exe\u{2066}\u{200f}", "�gnp.exe��", "�gnp.exe��");
        check("a\u{200b}b\u{2060}c\u{feff}d\u{ad}e", "a�b�c�d�e", "a�b�c�d�e");
        check("a\u{2028}b\u{2029}c\u{85}d\0", "a�b�c�d�", "a�b�c�d�");
        check("a\u{e0041}\u{e0042}\u{fe01}\u{e0100}", "a����", "a����");
        check("\u{ffff}\u{1fffe}\u{fdd0}\u{fff9}", "����", "����");
    }

    #[test]
    fn what_people_write_stays() {
        for text in ["plain: 'words' {1}~", "Größe, naïve, 日本語, עברית, العربية", "⚠️ done ✔︎ 🦀", "e\u{301}"]
        {
            check(text, text, text);
            assert!(matches!(lines(text), Cow::Borrowed(_)) || text.contains('\u{fe0f}'), "{text}");
        }
        // One that says how a symbol looks stays; a row of them, or one after a letter, is a hidden text.
        check("⚠\u{fe0f}\u{fe0f}a\u{fe0f}", "⚠\u{fe0f}�a�", "⚠\u{fe0f}�a�");
    }

    #[test]
    fn a_document_stays_the_same_document() {
        let document = "{\"a\u{9b}\u{7f}\": \"\u{202e}\u{e0041}\u{1b7f}x\",\r\n \"b\":[1]}";
        let fit = json(document);
        assert_eq!(fit, "{\"a\\u009b\\u007f\": \"\\u202e\\udb40\\udc41\u{1b7f}x\",\r\n \"b\":[1]}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&fit), read(document));
        assert!(matches!(json("{\"ü\": \"\\u001b\"}"), Cow::Borrowed(_)));
    }

    #[test]
    fn every_control_and_mark_of_direction_is_unfit() {
        let directions = ['\u{61c}', '\u{200e}', '\u{200f}'].into_iter().chain('\u{202a}'..='\u{202e}');
        let controls = ('\0'..='\u{1f}').chain('\u{7f}'..='\u{9f}').filter(|c| !matches!(c, '\n' | '\t'));
        for c in directions.chain('\u{2066}'..='\u{2069}').chain(controls) {
            let shown = line(&format!("a{c}b")).into_owned();
            assert_eq!(shown, "a�b", "{c:?}");
        }
    }
}
