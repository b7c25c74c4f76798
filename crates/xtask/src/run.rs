//! Running other programs, and saying so.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail};

/// The project's root folder.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("this crate stands two folders below the root").to_owned()
}

/// Does one step of a chore and says how long it took.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("── {name}");
    let begin = Instant::now();
    let result = work().with_context(|| format!("step `{name}`"))?;
    eprintln!("── {name}: {:.0} s", begin.elapsed().as_secs_f64());
    Ok(result)
}

/// The cargo that runs this program.
pub(crate) fn own_cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs cargo in the project's root.
pub(crate) fn cargo(arguments: &[&str], environment: &[(String, String)]) -> Result<()> {
    let mut command = own_cargo();
    command.args(arguments).current_dir(root()).envs(environment.iter().map(|(name, value)| (name, value)));
    run(&mut command)
}

/// Runs a program to its end; it must end well.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("could not start {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{:?} ended with {status}", command.get_program());
    }
    Ok(())
}
