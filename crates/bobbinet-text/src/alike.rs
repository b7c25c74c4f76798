//! Names that people and models take for one another: `read_file`, `read-file`, `Read_File`, `read_fi1e`, `reаd_file` with a Cyrillic letter, and
//! those that are one letter apart.

/// In what two names are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alike {
    /// They look the same: letters of other alphabets, digits like letters, another case, another sign between the words.
    Look,
    /// One letter is missing, another, or has changed its place.
    OneLetter,
}

/// A shorter name is one letter from too many others.
const COMPARED_MIN: usize = 6;

/// Nobody takes in more of a name.
const COMPARED_MAX: usize = 64;

/// In what two different names are alike, if they are. Names that differ in a number are meant to.
pub fn alike(one: &str, other: &str) -> Option<Alike> {
    if one == other {
        return None;
    }
    let (one, other) = (skeleton(one), skeleton(other));
    if one == other {
        return Some(Alike::Look);
    }
    let (one, other) = (one.chars().collect::<Vec<_>>(), other.chars().collect::<Vec<_>>());
    let lengths = [one.len(), other.len()];
    let is_compared = lengths.iter().all(|length| (COMPARED_MIN..=COMPARED_MAX).contains(length));
    (is_compared && is_one_letter(&one, &other)).then_some(Alike::OneLetter)
}

/// What is left of a name when all that looks the same is one. Names with the same look the same.
pub fn skeleton(name: &str) -> String {
    let mut left = String::with_capacity(name.len());
    for c in name.chars().flat_map(char::to_lowercase) {
        match plain(c) {
            Some('\0') => {}
            Some(c) => left.push(c),
            None => left.push(c),
        }
    }
    left.replace("rn", "m").replace("vv", "w")
}

/// The letter that another looks like; nothing for what only parts words.
fn plain(c: char) -> Option<char> {
    Some(match c {
        '-'
        | '_'
        | '.'
        | ' '
        | '/'
        | ':'
        | '\u{200b}'..='\u{200f}'
        | '\u{2010}'..='\u{2015}'
        | '\u{2212}'
        | '\u{ad}' => '\0',
        '0' | 'о' | 'ο' | 'օ' => 'o',
        '1' | 'l' | '|' | 'і' | 'ι' | 'ı' | 'ɩ' | 'ӏ' | 'ⅰ' => 'i',
        'а' | 'α' | 'ɑ' => 'a',
        'е' | 'ҽ' => 'e',
        'с' | 'ϲ' => 'c',
        'р' | 'ρ' => 'p',
        'х' | 'χ' => 'x',
        'у' | 'γ' | 'ү' => 'y',
        'ѕ' => 's',
        'ј' => 'j',
        'һ' => 'h',
        'ԁ' => 'd',
        'ԛ' => 'q',
        'ԝ' => 'w',
        'ν' | 'ѵ' => 'v',
        'κ' | 'к' => 'k',
        'м' => 'm',
        'т' | 'τ' => 't',
        'ո' => 'n',
        'ս' | 'υ' => 'u',
        'ɡ' => 'g',
        'ɪ' => 'i',
        '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}' => {
            char::from_u32(u32::from(c) - 0xfee0).map_or(c, |c| c.to_ascii_lowercase())
        }
        _ => return None,
    })
}

/// Whether one change of one letter makes one of the other: one more, one less, another, or two that have changed places. Digits are no
/// letters: `page1` and `page2` are told apart by everybody.
fn is_one_letter(one: &[char], other: &[char]) -> bool {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let same_before = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    let (short, long) = (&short[same_before..], &long[same_before..]);
    match (long.len() - short.len(), short, long) {
        (1, _, [extra, rest @ ..]) => !extra.is_numeric() && short == rest,
        (0, [a, b, short @ ..], [c, d, long @ ..]) if (a, b) == (d, c) => short == long,
        (0, [a, short @ ..], [b, long @ ..]) => !a.is_numeric() && !b.is_numeric() && short == long,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_the_same_or_almost_are_alike() {
        for (one, other, expected) in [
            ("read_file", "read_file", None),
            ("read_file", "read-file", Some(Alike::Look)),
            ("read_file", "ReadFile", Some(Alike::Look)),
            ("read_file", "read_fi1e", Some(Alike::Look)),
            ("read_file", "re\u{430}d_file", Some(Alike::Look)),
            ("read_file", "read_file\u{200b}", Some(Alike::Look)),
            ("search", "ѕеаrсһ", Some(Alike::Look)),
            ("modern", "modem", Some(Alike::Look)),
            ("get", "ｇｅｔ", Some(Alike::Look)),
            ("read_file", "raed_file", Some(Alike::OneLetter)),
            ("read_file", "read_files", Some(Alike::OneLetter)),
            ("read_file", "reed_file", Some(Alike::OneLetter)),
            ("memory", "memorry", Some(Alike::OneLetter)),
            ("get", "set", None),
            ("list", "lists", None),
            ("read_file", "write_file", None),
            ("page_query_2", "page_query_3", None),
            ("step_run", "step_run2", None),
            ("", "", None),
            ("create_entities", "create_relations", None),
        ] {
            assert_eq!(alike(one, other), expected, "{one} {other}");
            assert_eq!(alike(other, one), expected, "{other} {one}");
        }
    }
}
