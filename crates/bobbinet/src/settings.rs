//! Settings of the command line that come from `.env` files: a file's value counts where neither a flag nor a variable
//! of the environment says anything (CLI specification section 8.3).

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, ArgMatches, parser::ValueSource};
use serde::Serialize;

use crate::{
    config::env_file,
    failure::Failure,
    output::Output,
    remark::{Remark, remark},
};

/// What a variable's name begins with to be a setting of the command line.
const PREFIX: &str = "A2ACLI_";

/// The size of a settings file beyond which it is none.
const FILE_LENGTH_MAX: u64 = 64 << 10;

/// How far up from the working directory a `.env` is looked for.
const PARENTS_MAX: usize = 64;

/// Settings by the names of their variables.
pub(crate) type Settings = BTreeMap<String, Setting>;

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    value: String,
    file: PathBuf,
}

/// What was typed, and what the files say beside it: for those who ask where a value comes from.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) typed: ArgMatches,
    pub(crate) files: Settings,
}

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
            Some(Setting { value, .. }) => arg.default_value(value),
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
    let settings = variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX));
    Ok(settings.map(|(name, value)| (name, Setting { value, file: path.to_owned() })).collect())
}

/// One setting as it counts now.
#[derive(Debug, Serialize)]
struct Effective {
    /// The variable that sets it.
    name: String,
    flag: Option<String>,
    value: Option<String>,
    /// `flag`, `environment`, `file` or `default`.
    source: &'static str,
    /// The file that sets it, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
}

/// `bobbinet config show`: each setting, its value, and where that comes from.
pub(crate) fn show(output: Output, command: &clap::Command, sources: &Sources) -> Result<(), Failure> {
    let mut args = BTreeMap::new();
    collect(command, &mut args);
    let settings: Vec<Effective> = args.values().map(|arg| effective(arg, sources)).collect();
    if output.is_json() {
        output.json(&serde_json::json!({ "settings": settings }))?;
    } else {
        for Effective { name, value, source, path, .. } in &settings {
            let value = value.as_deref().unwrap_or("not set");
            match path {
                Some(path) => output.field(name, format_args!("{value} ({source} {})", path.display()))?,
                None => output.field(name, format_args!("{value} ({source})"))?,
            }
        }
    }
    for (name, Setting { file, .. }) in sources.files.iter().filter(|(name, _)| !args.contains_key(*name)) {
        remark(Remark::Warning, format_args!("{}: there is no setting {name}", file.display()));
    }
    Ok(())
}

/// The arguments that can be set by a variable, by its name. Several commands have the same one.
fn collect<'a>(command: &'a clap::Command, args: &mut BTreeMap<String, &'a Arg>) {
    for arg in command.get_arguments() {
        let Some(name) = arg.get_env().and_then(|name| name.to_str()) else { continue };
        let known = args.entry(name.to_owned()).or_insert(arg);
        if known.get_default_values().is_empty() {
            *known = arg;
        }
    }
    command.get_subcommands().for_each(|subcommand| collect(subcommand, args));
}

fn effective(arg: &Arg, sources: &Sources) -> Effective {
    let name = arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let typed = typed(&sources.typed, arg);
    let (value, source, path) = match (typed, std::env::var(&name), sources.files.get(&name)) {
        (Some(value), _, _) => (Some(value), "flag", None),
        (None, Ok(value), _) => (Some(value), "environment", None),
        (None, Err(_), Some(Setting { value, file })) => (Some(value.clone()), "file", Some(file.clone())),
        (None, Err(_), None) => {
            let default = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>();
            let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
            let value = (!default.is_empty()).then(|| default.join(" "));
            (value.or_else(|| is_switch.then(|| "false".to_owned())), "default", None)
        }
    };
    let value = value.map(|value| shown(&name, value));
    Effective { flag: arg.get_long().map(|long| format!("--{long}")), name, value, source, path }
}

/// What was typed for an argument, if it was. Those of every command are known to the command that was meant.
fn typed(matches: &ArgMatches, arg: &Arg) -> Option<String> {
    let mut matches = matches;
    while let Some((_, inner)) = matches.subcommand() {
        matches = inner;
    }
    let id = arg.get_id().as_str();
    let is_known = matches.try_contains_id(id).is_ok();
    if !is_known || matches.value_source(id) != Some(ValueSource::CommandLine) {
        return None;
    }
    let words = matches.get_raw(id).into_iter().flatten().map(|word| word.to_string_lossy().into_owned());
    Some(words.collect::<Vec<_>>().join(" "))
}

/// A value for eyes: credentials are none's business.
fn shown(name: &str, value: String) -> String {
    match name {
        "A2ACLI_BEARER" | "A2ACLI_API_KEY" | "A2ACLI_SVC_PARAM" => "…".to_owned(),
        _ => value,
    }
}
