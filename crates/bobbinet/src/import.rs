//! `bobbinet import`: the MCP servers that another program on this machine knows, as a `bobbinet.yaml`.

mod hosts;

use std::{
    env, fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use self::hosts::{HOSTS, Host};
use crate::{
    cli,
    config::{self, Import, Strictness},
    failure::{Code, Failure},
    node::tell_finding,
    output::Output,
    remark::{Remark, remark},
};

/// What prints the file in place of writing it.
const STANDARD_OUTPUT: &str = "-";

pub(crate) fn run(output: Output, command: cli::Import) -> Result<(), Failure> {
    let cli::Import { from, to, force } = command;
    let here = env::current_dir().map_err(|error| Failure::of(Code::Internal, &error))?;
    let Some(from) = from else { return show(output, &here) };
    let files = match Host::named(&from) {
        Some(host) => {
            let files: Vec<PathBuf> = host.files(&here).into_iter().filter(|file| file.is_file()).collect();
            if files.is_empty() {
                let looked: Vec<String> = host.files(&here).iter().map(|file| file.display().to_string()).collect();
                let failure = Failure::new(Code::Usage, format!("{from} has no file with servers here"));
                return Err(failure.hint(format!("there would be {}; name another file", looked.join(", "))));
            }
            files
        }
        None => {
            let file = PathBuf::from(&from);
            if !file.is_file() {
                let names: Vec<&str> = HOSTS.iter().map(|host| host.name).collect();
                let failure = Failure::new(Code::Usage, format!("there is no file {from}"));
                return Err(failure.hint(format!("name one, or a program: {}", names.join(", "))));
            }
            vec![file]
        }
    };
    let import = read(&files, &here)?;
    import.findings.iter().for_each(tell_finding);
    if import.agents.is_empty() {
        return Err(Failure::new(Code::Config, format!("there is no server in {}", files[0].display())));
    }
    let text = import.to_yaml(&files);
    if to.as_os_str() == STANDARD_OUTPUT {
        for line in text.lines() {
            output.line(line)?;
        }
        for (label, text) in to_know(&import) {
            remark(Remark::Note, format_args!("{}: {text}", label.to_lowercase()));
        }
        return Ok(());
    }
    write(&to, &text, force)?;
    report(output, &import, &to)
}

fn read(files: &[PathBuf], here: &Path) -> Result<Import, Failure> {
    let mut import = Import::default();
    for file in files {
        import.add(file, here).map_err(|finding| {
            tell_finding(&finding);
            Failure::told(Code::Config, format!("{} cannot be read", file.display()))
        })?;
    }
    Ok(import)
}

/// Which programs have servers here.
fn show(output: Output, here: &Path) -> Result<(), Failure> {
    let mut found = Vec::new();
    for host in HOSTS {
        for file in host.files(here).into_iter().filter(|file| file.is_file()) {
            let mut import = Import::default();
            let servers = import.add(&file, here).is_ok().then_some(import.agents.len());
            found.push((host.name, file, servers));
        }
    }
    if output.is_json() {
        let document = |(name, file, servers): &(&str, PathBuf, Option<usize>)| serde_json::json!({ "program": name, "file": file, "servers": servers });
        return output.json(&found.iter().map(document).collect::<Vec<_>>());
    }
    if found.is_empty() {
        let failure = Failure::new(Code::Usage, "no program that is known here has a file with servers");
        return Err(failure.hint("name a file: bobbinet import FILE"));
    }
    for (name, file, servers) in &found {
        let servers = match servers {
            Some(1) => "1 server".to_owned(),
            Some(count) => format!("{count} servers"),
            None => "cannot be read".to_owned(),
        };
        output.field(name, format!("{servers} in {}", file.display()))?;
    }
    output.line(format!("Take them over with: bobbinet import {}", found[0].0))?;
    Ok(())
}

/// A file with values that may be secrets is its user's alone.
fn write(to: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let mut options = fs::OpenOptions::new();
    options.write(true).mode(0o600);
    match force {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    let written = options.open(to).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            let failure = Failure::new(Code::Usage, format!("{} is there already", to.display()));
            return failure.hint("say --force to write over it, or --to FILE");
        }
        Failure::new(Code::Usage, format!("writing {}: {error}", to.display()))
    })
}

fn report(output: Output, import: &Import, to: &Path) -> Result<(), Failure> {
    let reading = config::read(to, Strictness::Lenient);
    reading.findings.iter().for_each(tell_finding);
    let names: Vec<&str> = import.agents.keys().map(|name| name.as_str()).collect();
    if output.is_json() {
        let document = serde_json::json!({
            "file": to, "agents": names, "variables": import.inputs, "literals": import.literals, "findings": reading.findings,
        });
        return output.json(&document);
    }
    output.field("Written", format!("{}, with {}", to.display(), names.join(", ")))?;
    for (label, text) in to_know(import) {
        output.field(label, text)?;
    }
    output.field("Start", format!("bobbinet up {}", to.display()))?;
    Ok(())
}

/// What somebody has to know of the secrets in it, and of what it needs.
fn to_know(import: &Import) -> Vec<(&'static str, String)> {
    let literals = (!import.literals.is_empty()).then(|| {
        let literals = import.literals.join(", ");
        let text = "keep it readable by you alone; better say ${NAME}, and set NAME before the start";
        ("Values in it", format!("{literals} ({text})"))
    });
    let inputs = import.inputs.iter().map(|name| ("Set first", format!("export {name}=…")));
    literals.into_iter().chain(inputs).collect()
}
