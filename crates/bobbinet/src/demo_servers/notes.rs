//! Notes on disk, one to a line. Adding one twice adds it twice, so a client must not repeat that in silence.

use std::{path::PathBuf, time::Duration};

use rmcp::{ServerHandler, handler::server::wrapper::Parameters, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{append, lines};

/// An MCP server whose tool adds a note to a file.
#[derive(Clone, Debug)]
pub(super) struct Notes {
    file: PathBuf,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewNote {
    /// The note, in one line.
    text: String,
    /// Milliseconds to linger after the note is on disk and before the answer: time to kill something.
    #[serde(default)]
    #[schemars(range(max = 60_000))]
    linger_ms: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// Its number in the list, from 1.
    number: usize,
}

impl Notes {
    /// Notes in this file, which need not exist.
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file }
    }

    fn all(&self) -> Result<Vec<String>, String> {
        lines(&self.file).map_err(|error| format!("the notes cannot be read: {error}"))
    }
}

#[tool_router]
impl Notes {
    #[tool(
        description = "Adds a note. It is on disk before the answer comes.",
        annotations(
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = false,
            open_world_hint = false
        )
    )]
    async fn add_note(&self, Parameters(note): Parameters<NewNote>) -> Result<String, String> {
        if note.text.contains('\n') {
            return Err("a note is one line".to_owned());
        }
        append(&self.file, &note.text).map_err(|error| format!("the note was not written: {error}"))?;
        tokio::time::sleep(Duration::from_millis(note.linger_ms.min(60_000))).await;
        Ok(format!("noted: {}", note.text))
    }

    #[tool(
        description = "Lists all notes with their numbers.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn list_notes(&self) -> Result<String, String> {
        let notes = self.all()?;
        let numbered = notes.iter().enumerate().map(|(index, note)| format!("{}. {note}", index + 1));
        Ok(numbered.collect::<Vec<_>>().join("\n"))
    }

    #[tool(description = "Reads one note.", annotations(read_only_hint = true, open_world_hint = false))]
    async fn read_note(&self, Parameters(which): Parameters<Which>) -> Result<String, String> {
        let note = which.number.checked_sub(1).and_then(|index| self.all().ok()?.into_iter().nth(index));
        note.ok_or_else(|| format!("there is no note {}", which.number))
    }
}

#[tool_handler(name = "notes", version = "1.0.0", instructions = "Keeps notes, one line each.")]
impl ServerHandler for Notes {}
