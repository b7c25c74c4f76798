//! The whole way on the floors alone: start, load, report, stop. How fast they are is not looked at.

use std::process::Command;

use serde_json::Value;

#[test]
fn a_run_measures_without_a_wrong_answer_and_leaves_nothing_running() {
    let mut run = Command::new(env!("CARGO_BIN_EXE_bobbinet-bench"));
    run.args(["--only", "floor-memory,floor-sled", "--no-build", "--rounds", "1", "--starts", "1"]);
    let child = run.args(["--seconds", "0.2", "--warm-up", "0.1", "-o", "json"]).stdout(std::process::Stdio::piped());
    let child = child.spawn().unwrap();
    let folder = format!("bench-data/{}/", child.id());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["findings"]["problems"], serde_json::json!([]));
    assert!(report["took_seconds"].as_f64().unwrap() > 0.2);

    let rounds = report["findings"]["rounds"].as_object().unwrap();
    // Seven measures of the one, and five of the other, which has no tasks to get.
    assert_eq!(rounds.len(), 12);
    for (name, samples) in rounds {
        let sample = &samples[0];
        assert!(sample["per_second"].as_f64().unwrap() > 0.0, "{name}");
        let events = if name.contains("stream") { serde_json::json!(4.0) } else { Value::Null };
        assert_eq!(sample["events_per_stream"], events, "{name}");
    }

    let left = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&command).into_owned())
    });
    assert_eq!(left.filter(|command| command.contains(&folder)).collect::<Vec<_>>(), Vec::<String>::new());
}
