//! What a command does with what its task came to: files into a folder, the end as an exit code.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bobbinet_core::{Artifact, Content, Part, State, text};
use bobbinet_wire::view::TaskView;

use super::{blob, resolve::Agent};
use crate::{
    cli::Ending,
    failure::{Code, Failure},
    output::Output,
    remark::{Remark, remark},
};

/// Bytes of a file's name: what file systems take, less a number.
const NAME_LENGTH_MAX: usize = 200;

/// How many files of one name are told apart by a number.
const SAME_NAME_MAX: u32 = 1_000;

/// With or without padding: agents differ.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Ending {
    /// Does with a task what was asked for, once it has been told.
    pub(super) async fn apply(&self, output: Output, task: &TaskView, own: Own<'_>) -> Result<(), Failure> {
        if let Some(folder) = &self.save {
            save(output, folder, &task.artifacts, own).await?;
        }
        let is_told_by_code = self.fail && task.status.state != State::Completed;
        if is_told_by_code {
            Err(Failure::told(Code::Task(task.status.state), "the task has not completed"))
        } else {
            Ok(())
        }
    }
}

/// The agent that has the task, and its URL: what it refers to there is fetched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own<'a> {
    pub(super) agent: &'a Agent,
    pub(super) url: &'a str,
}

/// Writes all that a task has made into the folder: files as they are, texts and data as files too.
pub(super) async fn download(
    output: Output,
    folder: &Path,
    task: &TaskView,
    only: Option<&str>,
    own: Own<'_>,
) -> Result<(), Failure> {
    let artifacts: Vec<&Artifact> =
        task.artifacts.iter().filter(|artifact| only.is_none_or(|id| artifact.id.as_str() == id)).collect();
    if let (Some(id), true) = (only, artifacts.is_empty()) {
        let ids: Vec<&str> = task.artifacts.iter().map(|artifact| artifact.id.as_str()).collect();
        let there =
            if ids.is_empty() { "it has made nothing".to_owned() } else { format!("there is {}", ids.join(", ")) };
        return Err(Failure::new(Code::Usage, format!("the task has no artifact {id:?}")).hint(there));
    }
    let mut files = Vec::new();
    for artifact in artifacts {
        for part in artifact.parts.iter().filter(|part| !is_preview(part)) {
            let (bytes, kind) = match &part.content {
                Content::Raw(base64) => {
                    let bytes = decode(base64.as_str());
                    (bytes.ok_or_else(|| Failure::new(Code::Internal, "a file of the task is no base64"))?, None)
                }
                Content::Text(text) => (text.as_bytes().to_vec(), Some("text/plain")),
                Content::Data(json) => {
                    let text = serde_json::to_string_pretty(&json.to_value()).unwrap_or_default();
                    (format!("{text}\n").into_bytes(), Some("application/json"))
                }
                Content::Url(url) if blob::is_of(own.url, url) => {
                    let name = name_of(part, Some(artifact.name.as_deref().unwrap_or(artifact.id.as_str())));
                    let (file, path) = create(folder, &name).map_err(|error| {
                        Failure::new(Code::Internal, format!("saving {name} in {}: {error}", folder.display()))
                            .hint("name another folder: --dir FOLDER")
                    })?;
                    let length = blob::fetch(output, own.agent, url, (file, &path)).await?;
                    files.push((artifact.id.as_str().to_owned(), path, usize::try_from(length).unwrap_or(usize::MAX)));
                    continue;
                }
                Content::Url(url) => {
                    remark(Remark::Note, format_args!("not fetched, as it is elsewhere: {url}"));
                    continue;
                }
            };
            let media_type = part.media_type.clone().or_else(|| kind.map(Into::into));
            let name = name_of(
                &Part { media_type, ..part.clone() },
                Some(artifact.name.as_deref().unwrap_or(artifact.id.as_str())),
            );
            let path = write(folder, &name, &bytes).map_err(|error| {
                Failure::new(Code::Internal, format!("saving {name} in {}: {error}", folder.display()))
                    .hint("name another folder: --dir FOLDER")
            })?;
            files.push((artifact.id.as_str().to_owned(), path, bytes.len()));
        }
    }
    if output.is_json() {
        let told: Vec<_> = files
            .iter()
            .map(|(artifact, path, bytes)| serde_json::json!({ "artifactId": artifact, "path": path, "bytes": bytes }))
            .collect();
        return output.json(&serde_json::json!({ "files": told }));
    }
    for (_, path, bytes) in &files {
        output.field("Saved", format_args!("{} ({bytes} bytes)", path.display()))?;
    }
    if files.is_empty() {
        remark(Remark::Note, "the task has made nothing to save");
    }
    Ok(())
}

/// Whether it only tells of what is fetched.
fn is_preview(part: &Part) -> bool {
    part.metadata.as_ref().is_some_and(|metadata| metadata.to_value()["role"] == "preview")
}

/// Writes each file of the artifacts into the folder, under its name or a new one: nothing is overwritten. What has gone by reference is
/// a file too.
async fn save(output: Output, folder: &Path, artifacts: &[Artifact], own: Own<'_>) -> Result<(), Failure> {
    let mut is_any = false;
    let parts = artifacts.iter().flat_map(|artifact| artifact.parts.iter().map(move |part| (artifact, part)));
    for (artifact, part) in parts {
        let name = name_of(part, artifact.name.as_deref());
        let unsaved = |error| {
            Failure::new(Code::Internal, format!("saving {name} in {}: {error}", folder.display()))
                .hint("name another folder: --save FOLDER")
        };
        let (path, length) = match &part.content {
            Content::Raw(base64) => {
                let bytes = decode(base64.as_str())
                    .ok_or_else(|| Failure::new(Code::Internal, "a file is not what it should be: it is no base64"))?;
                (write(folder, &name, &bytes).map_err(unsaved)?, bytes.len() as u64)
            }
            Content::Url(url) if blob::is_of(own.url, url) => {
                let (file, path) = create(folder, &name).map_err(unsaved)?;
                let length = blob::fetch(output, own.agent, url, (file, &path)).await?;
                (path, length)
            }
            Content::Text(_) | Content::Data(_) | Content::Url(_) => continue,
        };
        is_any = true;
        let said = format!("{} ({length} bytes)", path.display());
        if output.is_json() {
            remark(Remark::Note, format_args!("saved {said}"));
        } else {
            output.field("Saved", said)?;
        }
    }
    if !is_any {
        remark(Remark::Note, "the task has made no files to save");
    }
    Ok(())
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let standard: String = text
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    LENIENT.decode(standard).ok()
}

/// Creates the file, never through a link and never in the place of another.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let (mut file, path) = create(folder, name)?;
    file.write_all(bytes).map(|()| path)
}

fn create(folder: &Path, name: &str) -> io::Result<(fs::File, PathBuf)> {
    fs::create_dir_all(folder)?;
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
        Some(_) | None => (name, String::new()),
    };
    for number in 1..=SAME_NAME_MAX {
        let path = folder.join(if number == 1 { name.to_owned() } else { format!("{stem}-{number}{extension}") });
        match fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "there are too many files of this name"))
}

/// The agent's name for a file, as far as it is one: no folder, nothing hidden, nothing that cannot be seen.
fn name_of(part: &Part, artifact: Option<&str>) -> String {
    let clean = |name: &str| {
        let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let shown = text::line(last).replace(text::UNSHOWN, "_");
        let mut name = shown.trim().trim_start_matches('.').to_owned();
        while name.len() > NAME_LENGTH_MAX {
            name.pop();
        }
        (!name.is_empty()).then_some(name)
    };
    if let Some(name) = part.filename.as_deref().and_then(clean) {
        return name;
    }
    let stem = artifact.and_then(clean).unwrap_or_else(|| "file".to_owned());
    match part.media_type.as_deref().and_then(extension) {
        Some(extension) if !stem.contains('.') => format!("{stem}.{extension}"),
        Some(_) | None => stem,
    }
}

/// What files of a type are called, for those that tools make.
fn extension(media_type: &str) -> Option<&'static str> {
    Some(match media_type.split(';').next().unwrap_or_default().trim() {
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "image/gif" => "gif",
        "image/webp" => "webp",
        "image/svg+xml" => "svg",
        "audio/wav" | "audio/x-wav" => "wav",
        "audio/mpeg" => "mp3",
        "application/pdf" => "pdf",
        "application/zip" => "zip",
        "application/gzip" => "gz",
        "application/json" => "json",
        "text/plain" => "txt",
        "text/csv" => "csv",
        "text/html" => "html",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(filename: Option<&str>, artifact: Option<&str>, media_type: &str, expected: &str) {
        let part = Part { filename: filename.map(Into::into), media_type: Some(media_type.into()), ..Part::text("x") };
        assert_eq!(name_of(&part, artifact), expected, "{filename:?}");
    }

    #[test]
    fn a_file_has_the_agents_name_as_far_as_that_is_one() {
        check(Some("logo.png"), None, "image/png", "logo.png");
        check(Some("../../etc/passwd"), None, "text/plain", "passwd");
        check(Some("C:\\temp\\a.txt"), None, "text/plain", "a.txt");
        check(Some(".bashrc"), None, "text/plain", "bashrc");
        check(Some("a\u{202e}gnp.exe\n"), None, "text/plain", "a_gnp.exe");
        check(Some(".."), Some("picture"), "image/png", "picture.png");
        check(None, None, "image/jpeg", "file.jpg");
        check(None, Some("result"), "x/y", "result");
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let write = |bytes: &[u8]| name(write(folder.path(), "a.txt", bytes).unwrap());
        assert_eq!([write(b"1"), write(b"2"), write(b"3")], ["a.txt", "a-2.txt", "a-3.txt"]);
        assert_eq!(fs::read(folder.path().join("a.txt")).unwrap(), b"1");
        std::os::unix::fs::symlink("/nowhere", folder.path().join("link")).unwrap();
        assert_eq!(name(super::write(folder.path(), "link", b"x").unwrap()), "link-2");
        assert_eq!(decode("aGk").unwrap(), b"hi");
        assert_eq!(decode("_-8=").unwrap(), [0xff, 0xef]);
    }
}
