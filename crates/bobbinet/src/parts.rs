//! The parts of a message, in the order in which they were typed.

use std::{fs, io::Read, path::Path, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bobbinet_core::{Base64, Content, Json, Part};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, error::ErrorKind};

use crate::failure::{Code, Failure};

/// Bytes of a file that goes inline: what an agent of ours takes in one message, less a third for base64.
const FILE_LENGTH_MAX: u64 = 3 << 20;

/// What a part is made of, as it was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Text,
    File,
    Data,
    MediaType,
}

const KINDS: [(Kind, &str); 4] =
    [(Kind::Text, "text"), (Kind::File, "file"), (Kind::Data, "data"), (Kind::MediaType, "media-type")];

/// The parts that were typed, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts(Vec<(Kind, String)>);

impl Args for Parts {
    fn augment_args(command: Command) -> Command {
        let part = |name: &'static str, value: &'static str, help: &'static str| {
            Arg::new(name).long(name).value_name(value).action(ArgAction::Append).help(help)
        };
        command
            .arg(Arg::new("message").value_name("TEXT").num_args(0..).help("What to say; a JSON object goes as data"))
            .arg(part("text", "TEXT", "A part of text"))
            .arg(part("file", "PATH|URL", "A part that is a file, or refers to one"))
            .arg(
                part("data", "JSON|PATH|-", "A part of JSON: as typed, from a file, or from standard input")
                    .allow_hyphen_values(true),
            )
            .arg(part("media-type", "TYPE", "The media type of the part before it"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Parts {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found = Vec::new();
        for (kind, name) in KINDS {
            let indices = matches.indices_of(name).into_iter().flatten();
            let values = matches.get_many::<String>(name).into_iter().flatten();
            found.extend(indices.zip(values).map(|(index, value)| (index, kind, value.clone())));
        }
        let words: Vec<&str> =
            matches.get_many::<String>("message").into_iter().flatten().map(String::as_str).collect();
        if !words.is_empty() {
            let text = joined(&words);
            let kind = if is_object(&text) { Kind::Data } else { Kind::Text };
            let place = matches.indices_of("message").into_iter().flatten().next().unwrap_or_default();
            found.push((place, kind, text));
        }
        found.sort();
        let parts: Vec<(Kind, String)> = found.into_iter().map(|(_, kind, value)| (kind, value)).collect();
        let is_loose = |at: usize| at == 0 || parts[at - 1].0 == Kind::MediaType;
        if parts.iter().enumerate().any(|(at, (kind, _))| *kind == Kind::MediaType && is_loose(at)) {
            let message = "--media-type says what the part before it is, and there is none\n";
            return Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, message));
        }
        Ok(Self(parts))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Parts {
    /// The parts, with what they refer to read in.
    pub(crate) fn into_parts(self) -> Result<Vec<Part>, Failure> {
        let mut parts: Vec<Part> = Vec::new();
        for (kind, value) in self.0 {
            match kind {
                Kind::Text => parts.push(Part::text(value)),
                Kind::Data => parts.push(Part::data(data(&value)?)),
                Kind::File => parts.push(file(&value)?),
                Kind::MediaType => {
                    let part = parts.last_mut().expect("a media type follows a part, as was checked");
                    part.media_type = Some(Arc::from(value));
                }
            }
        }
        if parts.is_empty() {
            return Err(
                Failure::new(Code::Usage, "there is nothing to send").hint("bobbinet send 'what you want to say'")
            );
        }
        Ok(parts)
    }
}

/// The words as one text. A shell has taken away the quotation marks of `text="two words"`: where there are other words
/// beside it they are put back, so that the value stays one.
fn joined(words: &[&str]) -> String {
    let word = |word: &&str| match word.split_once('=') {
        Some((name, value)) if words.len() > 1 && is_name(name) && is_several(value) => {
            let value = value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n").replace('\t', r"\t");
            format!("{name}=\"{value}\"")
        }
        Some(_) | None => (*word).to_owned(),
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// Whether a value would be taken for more than one: it has spaces, and neither quotation marks around it nor is it JSON.
fn is_several(value: &str) -> bool {
    value.contains(char::is_whitespace) && !value.starts_with(['"', '\'', '[', '{'])
}

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && Json::parse(text).is_ok()
}

fn data(value: &str) -> Result<Json, Failure> {
    let usage = |message: String| Failure::new(Code::Usage, message);
    let text = match value.trim_start().chars().next() {
        Some('{' | '[' | '"') => value.to_owned(),
        Some(_) if value == "-" => {
            let mut text = String::new();
            let read = std::io::stdin().take(FILE_LENGTH_MAX).read_to_string(&mut text);
            read.map_err(|error| usage(format!("reading standard input: {error}")))?;
            text
        }
        Some(_) | None => String::from_utf8(read(value)?).map_err(|_| usage(format!("{value} is not text")))?,
    };
    Json::parse(text.trim()).map_err(|error| usage(format!("--data is not JSON: {error}")))
}

fn file(value: &str) -> Result<Part, Failure> {
    if value.starts_with("http://") || value.starts_with("https://") {
        return Ok(Part::new(Content::Url(Arc::from(value))));
    }
    let bytes = read(value)?;
    let name = Path::new(value).file_name().and_then(|name| name.to_str());
    let media_type = media_type(value, &bytes);
    Ok(Part {
        media_type: Some(Arc::from(media_type)),
        filename: name.map(Arc::from),
        ..Part::new(Content::Raw(Base64::from_checked(&STANDARD.encode(bytes))))
    })
}

fn read(path: &str) -> Result<Vec<u8>, Failure> {
    let fault = |error| Failure::new(Code::Usage, format!("reading {path}: {error}"));
    let length = fs::metadata(path).map_err(fault)?.len();
    if length > FILE_LENGTH_MAX {
        let message = format!("{path} has {length} bytes, and {FILE_LENGTH_MAX} go into a message");
        return Err(Failure::new(Code::Usage, message).hint("send it by URL: --file https://…"));
    }
    fs::read(path).map_err(fault)
}

/// A guess, for when nobody says better.
fn media_type(path: &str, bytes: &[u8]) -> &'static str {
    let extension = Path::new(path).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "json" => "application/json",
        "md" => "text/markdown",
        "html" | "htm" => "text/html",
        "csv" => "text/csv",
        "yaml" | "yml" => "application/yaml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "wav" => "audio/wav",
        "mp3" => "audio/mpeg",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        _ if std::str::from_utf8(bytes).is_ok() => "text/plain",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: &[&str], expected: &str) {
        let command = Parts::augment_args(Command::new("send"));
        let matches = command.try_get_matches_from(["send"].iter().chain(typed)).unwrap();
        let parts = Parts::from_arg_matches(&matches).unwrap().into_parts().unwrap();
        let describe = |part: &Part| {
            let media_type = part.media_type.as_deref().unwrap_or("-");
            match &part.content {
                Content::Text(text) => format!("text {text} {media_type}"),
                Content::Data(json) => format!("data {} {media_type}", json.as_str()),
                Content::Url(url) => format!("url {url} {media_type}"),
                Content::Raw(base64) => format!("raw {} {media_type}", base64.as_str()),
            }
        };
        assert_eq!(parts.iter().map(describe).collect::<Vec<_>>().join("; "), expected, "{typed:?}");
    }

    #[test]
    fn parts_keep_the_order_in_which_they_were_typed() {
        check(&["hello", "there"], "text hello there -");
        check(&["echo", "message=hello world", "n=1"], r#"text echo message="hello world" n=1 -"#);
        check(&["echo", r#"m=say "x" \ y"#, "a=[1, 2]"], r#"text echo m="say \"x\" \\ y" a=[1, 2] -"#);
        check(&["echo message=hello world"], "text echo message=hello world -");
        check(&["what is 1 + 1 = 2", "so"], "text what is 1 + 1 = 2 so -");
        check(&[r#"{"ok":true}"#], r#"data {"ok":true} application/json"#);
        check(
            &["--data", "[1]", "--text", "a", "--media-type", "text/x", "--text", "b"],
            "data [1] application/json; text a text/x; text b -",
        );
        check(&["--file", "https://e.example/a.bin", "--media-type", "a/b"], "url https://e.example/a.bin a/b");
    }

    #[test]
    fn a_media_type_needs_a_part_before_it() {
        let command = Parts::augment_args(Command::new("send"));
        let matches = command.try_get_matches_from(["send", "--media-type", "a/b", "--text", "a"]).unwrap();
        assert!(Parts::from_arg_matches(&matches).is_err());
    }
}
