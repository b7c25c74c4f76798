//! libFuzzer on the stable toolchain: the compiler's own coverage counters, and a driver of its own (`tests/fuzz`).

use std::{fs, process::Command};

use anyhow::{Context, Result, bail};

use crate::run::{own_cargo, root};

/// What makes the compiler count which code is run, as cargo-fuzz asks for it.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Bytes of one input.
const LENGTH_MAX: &str = "-max_len=4096";

/// Tries one target, or all of them, for so many seconds each. What brings it down is left in `target/fuzz`.
pub(crate) fn run(target: &str, seconds: &str) -> Result<()> {
    let root = root();
    let (fuzz, found) = (root.join("tests/fuzz"), root.join("target/fuzz"));
    let mut targets = Vec::new();
    for folder in fs::read_dir(fuzz.join("seeds")).context("reading the seeds")? {
        targets.extend(folder?.file_name().into_string());
    }
    targets.sort();
    if target != "all" {
        targets.retain(|known| known == target);
    }
    if targets.is_empty() {
        bail!("there is no target {target}");
    }
    let driver = found.join("driver");
    let mut build = own_cargo();
    // A target of its own is named, so that programs that run while building are built as ever.
    let host = host()?;
    build.args(["build", "--release", "--target", &host, "--target-dir"]).arg(&driver);
    build.arg("--manifest-path").arg(fuzz.join("driver/Cargo.toml")).env("RUSTFLAGS", FLAGS);
    if !build.status().context("running cargo")?.success() {
        bail!("the driver cannot be built");
    }
    for target in targets {
        let corpus = found.join("corpus").join(&target);
        fs::create_dir_all(&corpus).with_context(|| format!("making {}", corpus.display()))?;
        let mut tried = Command::new(driver.join(&host).join("release/bobbinet-fuzz-driver"));
        tried.arg(&corpus).arg(fuzz.join("seeds").join(&target)).args([
            LENGTH_MAX,
            "-timeout=10",
            "-print_final_stats=1",
        ]);
        tried.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}/{target}-", found.display()));
        if !tried.env("FUZZ_TARGET", &target).status().context("running the driver")?.success() {
            bail!("{target} was brought down: the input is in {}", found.display());
        }
    }
    Ok(())
}

/// What this machine is called by the compiler.
fn host() -> Result<String> {
    let told = Command::new("rustc").arg("-vV").output().context("asking rustc")?;
    let told = String::from_utf8(told.stdout).context("reading what rustc says")?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(host.to_owned())
}
