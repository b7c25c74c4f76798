//! Files of variables: one `NAME=value` to a line, as `.env` files and `envFile` of an `mcp.json` have them.

/// A line that sets no variable, though it should.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EnvFileFault {
    /// The number of the line, from 1.
    pub(crate) line: usize,
    /// What is wrong with it.
    pub(crate) message: String,
}

/// The variables in the order of the file. Empty lines, comments and a leading `export` are passed over; a value may
/// stand in quotes, and in double quotes `\n`, `\"` and `\\` mean what they do elsewhere.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>, EnvFileFault> {
    let mut variables = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line_number = index + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fault = |message: &str| EnvFileFault { line: line_number, message: message.to_owned() };
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or_else(|| fault("a line is NAME=value"))?;
        let name = name.trim();
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return Err(fault("a name has letters, digits and _"));
        }
        let value = unquoted(value.trim()).ok_or_else(|| fault("a quote is not closed"))?;
        variables.push((name.to_owned(), value));
    }
    Ok(variables)
}

fn unquoted(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        return rest.strip_suffix('\'').map(str::to_owned);
    }
    let Some(rest) = value.strip_prefix('"') else {
        // What follows ` #` outside of quotes is a comment.
        return Some(value.split(" #").next().unwrap_or(value).trim_end().to_owned());
    };
    let mut text = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return chars.as_str().trim_start().chars().next().is_none_or(|c| c == '#').then_some(text),
            '\\' => match chars.next()? {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                c @ ('"' | '\\' | '$') => text.push(c),
                c => text.extend(['\\', c]),
            },
            c => text.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&[(&str, &str)], usize>) {
        let found = parse(text);
        match expected {
            Ok(expected) => {
                let found = found.expect("the file is well-formed");
                let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                assert_eq!(found, expected, "{text}");
            }
            Err(line) => assert_eq!(found.map_err(|fault| fault.line), Err(line), "{text}"),
        }
    }

    #[test]
    fn variables_are_read_as_shells_read_them() {
        check("A=1\n\n# comment\nexport B = two words # why\n", Ok(&[("A", "1"), ("B", "two words")]));
        check("A='x # y'\nB=\"l1\\nl2 \\\" \\q\" # c\n", Ok(&[("A", "x # y"), ("B", "l1\nl2 \" \\q")]));
        check("URL=http://h/#frag\nE=\n", Ok(&[("URL", "http://h/#frag"), ("E", "")]));
        check("A=1\nB\n", Err(2));
        check("a b=1\n", Err(1));
        check("A=\"open\n", Err(1));
    }
}
