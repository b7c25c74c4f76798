//! The chart: rendered, refused and installed by Helm's own library, and what is installed run by the binary under test.

use std::process::Command;

use crate::node::{repository, tools};

#[test]
fn what_the_chart_installs_is_restricted_and_runs() {
    let library = tools().join("helm");
    assert!(library.join("helm_sdkpy").exists(), "{} is missing: cargo xtask tools", library.display());
    let said = Command::new(tools().join("python/bin/python"))
        .arg(repository("tests/python/chart.py"))
        .arg(repository("helm"))
        .arg(env!("CARGO_BIN_EXE_bobbinet"))
        .env("PYTHONPATH", library)
        .output()
        .unwrap();
    let (out, error) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{out}\n{error}");
    // Without the binary, or without Helm, there would be nothing to say this about.
    assert_eq!(out.trim(), "ok");
}
