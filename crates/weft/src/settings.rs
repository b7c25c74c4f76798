//! Settings of the command line that come from `.env` files: a file's value counts where neither a flag nor a variable
//! of the environment says anything (CLI specification section 8.3).

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::config::env_file;

/// What a variable's name begins with to be a setting of the command line.
const PREFIX: &str = "A2ACLI_";

/// The size of a settings file beyond which it is none.
const FILE_LENGTH_MAX: u64 = 64 << 10;

/// How far up from the working directory a `.env` is looked for.
const PARENTS_MAX: usize = 64;

/// Settings by the names of their variables.
pub(crate) type Settings = BTreeMap<String, String>;

/// What the files say: the user's own, overlaid by the nearest `.env`, or by the file that `--config` names in its place.
pub(crate) fn from_files(explicit: Option<&Path>) -> Result<Settings, String> {
    let mut settings = Settings::new();
    if let Some(home) = std::env::home_dir() {
        settings.extend(read_if_there(&home.join(".config/a2a-cli/.env")));
    }
    match explicit {
        Some(path) => settings.extend(read(path)?),
        None => {
            let nearest = std::env::current_dir().ok().and_then(|folder| nearest_file(&folder));
            settings.extend(nearest.map(|path| read_if_there(&path)).unwrap_or_default());
        }
    }
    Ok(settings)
}

/// The command with the files' settings as the defaults of its arguments.
pub(crate) fn apply(command: clap::Command, settings: &Settings) -> clap::Command {
    let command = command.mut_args(|arg| {
        let setting = arg.get_env().and_then(|name| settings.get(name.to_str()?)).cloned();
        match setting {
            Some(value) => arg.default_value(value),
            None => arg,
        }
    });
    command.mut_subcommands(|subcommand| apply(subcommand, settings))
}

fn nearest_file(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().take(PARENTS_MAX).map(|folder| folder.join(".env")).find(|path| path.is_file())
}

/// A `.env` that nobody named is somebody else's as often as not: what cannot be read there is passed over.
fn read_if_there(path: &Path) -> Settings {
    read(path).unwrap_or_default()
}

fn read(path: &Path) -> Result<Settings, String> {
    let length = fs::metadata(path).map_err(|error| format!("reading {}: {error}", path.display()))?.len();
    if length > FILE_LENGTH_MAX {
        return Err(format!("{} is larger than {FILE_LENGTH_MAX} bytes", path.display()));
    }
    let text = fs::read_to_string(path).map_err(|error| format!("reading {}: {error}", path.display()))?;
    let variables =
        env_file::parse(&text).map_err(|fault| format!("{}:{}: {}", path.display(), fault.line, fault.message))?;
    Ok(variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect())
}
