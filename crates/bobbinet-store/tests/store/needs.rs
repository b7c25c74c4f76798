//! What a test needs beside Rust, where that is not there.

use std::io::Write;

/// A test cannot be made here. With `CI=true` that fails it; else it is said where it is seen, since what a test that passes
/// prints is not: nobody is to believe that something was tested that was not.
pub(crate) fn missing(what: &str, why: &str) {
    let is_ci = std::env::var("CI").is_ok_and(|ci| ["true", "1"].contains(&ci.as_str()));
    assert!(!is_ci, "{what} was not tested: {why}");
    std::io::stderr().write_all(format!("\nNOT TESTED: {what}: {why}\n").as_bytes()).unwrap();
}

#[test]
fn what_cannot_be_tested_fails_where_all_is_to_be() {
    let run = |ci: Option<&str>| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "needs::child"]).env_remove("CI");
        if let Some(ci) = ci {
            command.env("CI", ci);
        }
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).contains("NOT TESTED: this"))
    };
    assert_eq!(run(None), (true, true), "it is said without --nocapture");
    assert_eq!(run(Some("false")), (true, true));
    assert_eq!(run(Some("true")), (false, false));
}

#[test]
#[ignore = "run by another test"]
fn child() {
    missing("this", "there is nothing to it");
}
