//! Where a server runs that is given no folder: in one of its own, with all that its command names made absolute; or where its
//! configuration lies, if what it does goes by that folder.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Component, Path, PathBuf},
};

/// Where a server runs that is given no folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkFolder {
    /// In one of its own.
    Own(PlacedCommand),
    /// Where its configuration lies.
    OfConfiguration(GoesBy),
}

/// A command that means the same wherever it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedCommand {
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
}

/// What of a command goes by the folder that it runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GoesBy {
    /// A program that does what a project says: `uv run`, `npm start`.
    Project(String),
    /// A script in its arguments, which may name anything.
    Script(String),
    /// A Python module that lies there.
    Module(String),
    /// A package that is installed there.
    Package(String),
    /// A folder there, which its callers may name things in, as they are used to from where they are.
    Folder(String),
    /// A word that is the name of something there, and may mean something else.
    Word(String),
}

impl fmt::Display for GoesBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project(program) => write!(f, "{program} does what a project there says"),
            Self::Script(program) => write!(f, "a script that {program} is given may name what is there"),
            Self::Module(name) => write!(f, "the module {name} is there"),
            Self::Package(name) => write!(f, "the package {name} is installed there"),
            Self::Folder(word) => write!(f, "{word:?} is a folder there, and callers may name what is in it"),
            Self::Word(word) => write!(f, "{word:?} may mean what is there of that name"),
        }
    }
}

/// Programs that look for a project where they run, and do what it says.
const OF_PROJECTS: [&str; 30] = [
    "npm",
    "pnpm",
    "yarn",
    "bun",
    "deno",
    "uv",
    "poetry",
    "pipenv",
    "pdm",
    "hatch",
    "rye",
    "pixi",
    "cargo",
    "go",
    "make",
    "just",
    "task",
    "dotnet",
    "mvn",
    "gradle",
    "bundle",
    "rake",
    "mix",
    "composer",
    "mise",
    "direnv",
    "devbox",
    "nix",
    "nix-shell",
    "docker-compose",
];

/// Programs that fetch a package and run it, by how they begin.
const OF_PACKAGES: [&[&str]; 11] = [
    &["npx"],
    &["uvx"],
    &["bunx"],
    &["pnpx"],
    &["npm", "exec"],
    &["npm", "x"],
    &["pnpm", "dlx"],
    &["yarn", "dlx"],
    &["bun", "x"],
    &["uv", "tool", "run"],
    &["pipx", "run"],
];

/// Their options that have a value.
const VALUED: [&str; 8] = ["-p", "--package", "--from", "--with", "--python", "-c", "--call", "--registry"];

/// Options by which a program of projects is told where its project is.
const PROJECT_OPTIONS: [&str; 7] = ["--directory", "--project", "--prefix", "--cwd", "--dir", "--manifest-path", "-C"];

/// The options after which a language's program is given a script.
const SCRIPT_OPTIONS: [(&str, &[&str]); 6] = [
    ("node", &["-e", "--eval", "-p", "--print"]),
    ("perl", &["-e", "-E"]),
    ("ruby", &["-e"]),
    ("php", &["-r"]),
    ("lua", &["-e"]),
    ("Rscript", &["-e"]),
];

const SHELLS: [&str; 7] = ["sh", "bash", "dash", "zsh", "ksh", "fish", "ash"];

/// Variables that are lists of folders.
const LISTS: [&str; 4] = ["PATH", "PYTHONPATH", "NODE_PATH", "LD_LIBRARY_PATH"];

impl WorkFolder {
    /// For a command and its variables, of a configuration that lies `there`, which is absolute. Looks at what is there.
    pub fn of(command: &str, args: &[String], env: &BTreeMap<String, String>, there: &Path) -> Self {
        match placed(command, args, env, there) {
            Ok(placed) => Self::Own(placed),
            Err(goes_by) => Self::OfConfiguration(goes_by),
        }
    }
}

fn placed(
    command: &str,
    args: &[String],
    env: &BTreeMap<String, String>,
    there: &Path,
) -> Result<PlacedCommand, GoesBy> {
    let wrapped = wrapped(command, args);
    let (program, after) = wrapped.map_or((command, args), |at| (args[at].as_str(), &args[at + 1..]));
    let program = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or(program);
    let untouched = match kept_words(program, after, there)? {
        Kept::Words(words) => words.into_iter().map(|at| at + args.len() - after.len()).collect::<Vec<_>>(),
        Kept::All => (0..args.len()).collect(),
    };
    let mut placed_args = Vec::new();
    for (at, word) in args.iter().enumerate() {
        let is_clear = word.starts_with("./") || word.starts_with("../");
        placed_args.push(match untouched.contains(&at) && !is_clear {
            true => word.clone(),
            false => placed_argument(word, there)?,
        });
    }
    let mut placed_env = BTreeMap::new();
    for (name, value) in env {
        let value = match LISTS.contains(&name.as_str()) {
            true => value.split(':').map(|part| absolute_part(part, there)).collect::<Vec<_>>().join(":"),
            false => placed_word(value, there)?,
        };
        placed_env.insert(name.clone(), value);
    }
    let command = if command.contains('/') { joined(there, command) } else { command.to_owned() };
    Ok(PlacedCommand { command, args: placed_args, env: placed_env })
}

/// Where among its arguments the program is that `env` starts.
fn wrapped(command: &str, args: &[String]) -> Option<usize> {
    if Path::new(command).file_name().is_none_or(|name| name != "env") {
        return None;
    }
    args.iter().position(|word| !word.starts_with('-') && !word.contains('='))
}

/// Words that mean the same everywhere.
enum Kept {
    Words(Vec<usize>),
    All,
}

fn kept_words(program: &str, args: &[String], there: &Path) -> Result<Kept, GoesBy> {
    let starts = |words: &[&str]| {
        words.first() == Some(&program)
            && args.iter().map(String::as_str).zip(&words[1..]).all(|(arg, &word)| arg == word)
            && args.len() >= words.len() - 1
    };
    if let Some(runner) = OF_PACKAGES.iter().find(|words| starts(words)) {
        return package_words(args, runner.len() - 1, there).map(Kept::Words);
    }
    if OF_PROJECTS.contains(&program) || (matches!(program, "docker" | "podman") && starts(&[program, "compose"])) {
        return match project_option(args) {
            // What else it says is relative to that.
            Some(folder) if folder.starts_with('/') => Ok(Kept::All),
            Some(_) | None => Err(GoesBy::Project(words_shown(program, args))),
        };
    }
    if SHELLS.contains(&program) && args.iter().any(|word| is_script_flag(word)) {
        return Err(GoesBy::Script(program.to_owned()));
    }
    if program.starts_with("python") || program.starts_with("pypy") {
        return python_words(program, args, there).map(Kept::Words);
    }
    let scripts = SCRIPT_OPTIONS.iter().find(|(name, _)| *name == program);
    let options = args.iter().take_while(|word| word.starts_with('-'));
    if scripts.is_some_and(|(_, flags)| options.into_iter().any(|word| flags.contains(&word.as_str()))) {
        return Err(GoesBy::Script(program.to_owned()));
    }
    Ok(Kept::Words(Vec::new()))
}

/// The program and what it is to do, without the rest.
fn words_shown(program: &str, args: &[String]) -> String {
    let verb = args.first().filter(|word| word.starts_with(|c: char| c.is_ascii_alphanumeric()));
    verb.map_or_else(|| program.to_owned(), |verb| format!("{program} {verb}"))
}

/// `-c` of a shell, by itself or with others: `-lc`.
fn is_script_flag(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-') && !word.starts_with("--") && word.ends_with('c')
}

fn project_option(args: &[String]) -> Option<&str> {
    args.iter().enumerate().find_map(|(at, word)| match word.split_once('=') {
        Some((name, value)) => PROJECT_OPTIONS.contains(&name).then_some(value),
        None => args.get(at + 1).filter(|_| PROJECT_OPTIONS.contains(&word.as_str())).map(String::as_str),
    })
}

/// What names the package, and the options before it. A folder that is called like it is not meant.
fn package_words(args: &[String], from: usize, there: &Path) -> Result<Vec<usize>, GoesBy> {
    let mut kept: Vec<usize> = (0..from).collect();
    let mut is_value = false;
    for (at, word) in args.iter().enumerate().skip(from) {
        kept.push(at);
        if is_value {
            is_value = false;
        } else if word.starts_with('-') {
            is_value = VALUED.contains(&word.as_str());
            continue;
        } else {
            return installed(word, there).map_or(Ok(kept), |name| Err(GoesBy::Package(name)));
        }
        if let Some(name) = installed(word, there) {
            return Err(GoesBy::Package(name));
        }
    }
    Ok(kept)
}

/// The package's name, if it is installed there or in a folder above.
fn installed(package: &str, there: &Path) -> Option<String> {
    let version = package.char_indices().skip(1).find(|(_, c)| *c == '@').map_or(package.len(), |(at, _)| at);
    let name = &package[..version];
    let is_name = !name.is_empty() && !Path::new(name).components().any(|it| !matches!(it, Component::Normal(_)));
    let is_installed = |folder: &Path| folder.join("node_modules").join(name).is_dir();
    (is_name && there.ancestors().any(is_installed)).then(|| name.to_owned())
}

fn python_words(program: &str, args: &[String], there: &Path) -> Result<Vec<usize>, GoesBy> {
    for (at, word) in args.iter().enumerate() {
        match word.as_str() {
            "-c" => return Err(GoesBy::Script(program.to_owned())),
            "-m" => {
                let Some(module) = args.get(at + 1) else { return Ok(Vec::new()) };
                let first = module.split('.').next().unwrap_or_default();
                let is_there = there.join(first).is_dir() || there.join(format!("{first}.py")).is_file();
                return if is_there { Err(GoesBy::Module(first.to_owned())) } else { Ok(vec![at + 1]) };
            }
            word if word.ends_with(".py") || word.contains('/') => return Ok(Vec::new()),
            _ => {}
        }
    }
    Ok(Vec::new())
}

fn placed_argument(word: &str, there: &Path) -> Result<String, GoesBy> {
    match word.split_once('=').filter(|_| word.starts_with('-')) {
        Some((name, value)) => Ok(format!("{name}={}", placed_word(value, there)?)),
        None if word.starts_with('-') => Ok(word.to_owned()),
        None => placed_word(word, there),
    }
}

/// A word that surely names something there, made absolute.
fn placed_word(word: &str, there: &Path) -> Result<String, GoesBy> {
    if word.is_empty() || word.starts_with(['/', '~', '@']) || word.contains("://") || word.contains('\0') {
        return Ok(word.to_owned());
    }
    let path = there.join(word);
    let is_path = matches!(word, "." | "..") || word.starts_with("./") || word.starts_with("../");
    if !is_path && !path.exists() {
        return Ok(word.to_owned());
    }
    // By its name where it is not there yet: a server that makes it must not run somewhere else the next time.
    let is_file = Path::new(word).extension().is_some() && !path.is_dir();
    if is_file {
        return Ok(joined(there, word));
    }
    let is_folder = is_path || word.contains('/') || path.is_dir();
    Err(if is_folder { GoesBy::Folder(word.to_owned()) } else { GoesBy::Word(word.to_owned()) })
}

/// A part of a list of folders.
fn absolute_part(part: &str, there: &Path) -> String {
    if part.is_empty() || part.starts_with(['/', '~']) { part.to_owned() } else { joined(there, part) }
}

fn joined(there: &Path, word: &str) -> String {
    let parts: PathBuf = Path::new(word).components().filter(|part| !matches!(part, Component::CurDir)).collect();
    if parts.as_os_str().is_empty() {
        return there.display().to_string();
    }
    let end = if word.ends_with('/') { "/" } else { "" };
    format!("{}{end}", there.join(parts).display())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn check(words: &str, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().canonicalize().unwrap();
        for path in ["build", "notes", "mod", "a/node_modules/@acme/mcp", "server-memory"] {
            fs::create_dir_all(there.join(path)).unwrap();
        }
        for path in ["server.py", "build/index.js", "notes.db", "go"] {
            fs::write(there.join(path), "").unwrap();
        }
        let there = if words.starts_with("npx -y @acme") { there.join("a") } else { there };
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let (env, words): (Vec<String>, Vec<String>) =
            words.into_iter().partition(|word| word.contains('=') && !word.starts_with('-'));
        let env = env.iter().filter_map(|word| word.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned()));
        let seen = match WorkFolder::of(&words[0], &words[1..], &env.collect(), &there) {
            WorkFolder::Own(PlacedCommand { command, args, env }) => {
                let env = env.iter().map(|(name, value)| format!("{name}={value}"));
                env.chain([command]).chain(args).collect::<Vec<_>>().join(" ")
            }
            WorkFolder::OfConfiguration(goes_by) => format!("stays: {goes_by}"),
        };
        assert_eq!(seen.replace(&there.display().to_string(), "HERE"), expected);
    }

    #[test]
    fn what_a_command_names_is_made_absolute() {
        for (words, expected) in [
            ("node build/index.js", "node HERE/build/index.js"),
            ("python3 server.py --db ./new.db", "python3 HERE/server.py --db HERE/new.db"),
            (
                "./bin/it --at=../x.md --in=notes.db --flag=on",
                "HERE/bin/it --at=HERE/../x.md --in=HERE/notes.db --flag=on",
            ),
            ("DB=./x.db PATH=bin:/usr/bin MODE=test uvx it", "DB=HERE/x.db MODE=test PATH=HERE/bin:/usr/bin uvx it"),
            ("docker run -v /srv:/data img", "docker run -v /srv:/data img"),
            ("ls /srv ~/x http://a/b gone.db", "ls /srv ~/x http://a/b gone.db"),
            // A folder that is called like a package is not it.
            ("npx -y server-memory", "npx -y server-memory"),
            ("uvx --from server-memory run", "uvx --from server-memory run"),
            ("uv --directory /srv/it run server.py", "uv --directory /srv/it run server.py"),
            ("python3 -m elsewhere build/index.js", "python3 -m elsewhere HERE/build/index.js"),
            ("env node build/index.js", "env node HERE/build/index.js"),
        ] {
            check(words, expected);
        }
    }

    #[test]
    fn what_goes_by_its_folder_stays_there() {
        for (words, expected) in [
            ("uv run server.py", "uv run does what a project there says"),
            ("uv --directory sub run server.py", "uv does what a project there says"),
            ("npm start", "npm start does what a project there says"),
            ("docker compose run it", "docker compose does what a project there says"),
            ("env uv run it", "uv run does what a project there says"),
            ("bash -lc x", "a script that bash is given may name what is there"),
            ("node -e x", "a script that node is given may name what is there"),
            ("python3.12 -u -m mod.server", "the module mod is there"),
            ("npx -y @acme/mcp@1.2.3", "the package @acme/mcp is installed there"),
            ("npx -y @scope/server-filesystem .", "\".\" is a folder there, and callers may name what is in it"),
            ("npx -y ./server-memory", "\"./server-memory\" is a folder there, and callers may name what is in it"),
            ("docker run -v ./new:/data img", "\"./new:/data\" is a folder there, and callers may name what is in it"),
            ("tool notes", "\"notes\" is a folder there, and callers may name what is in it"),
            ("DIR=build tool", "\"build\" is a folder there, and callers may name what is in it"),
            ("tool --do=go", "\"go\" may mean what is there of that name"),
            ("MODE=go tool", "\"go\" may mean what is there of that name"),
        ] {
            check(words, &format!("stays: {expected}"));
        }
    }
}
