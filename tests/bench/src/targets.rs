//! What Bobbinet must reach, and whether it does. Ratios of medians of one run; a missed one is reported, never hidden.

use bobbinet_store::SledOptions;
use serde::Serialize;

use crate::{
    measure::Measure,
    sample::{Sample, Spread, megabytes},
    suite::{Filled, Findings},
};

/// How much dearer a list may be among a hundred times the tasks and still count as flat: noise, not growth.
const FLAT_MAX: f64 = 1.5;

/// One target.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) what: String,
    pub(crate) bound: String,
    pub(crate) is: String,
    /// `None`: it was not measured, or is only reported.
    pub(crate) met: Option<bool>,
}

impl Verdict {
    fn at_least(what: &str, bound: f64, is: Option<f64>) -> Self {
        Self::new(what, format!("≥ {bound} ×"), is.map(|is| format!("{is:.2} ×")), is.map(|is| is >= bound))
    }

    fn at_most(what: &str, bound: f64, unit: &str, is: Option<f64>) -> Self {
        let number = |number: f64| format!("{} {unit}", (number * 1000.0).round() / 1000.0);
        Self::new(what, format!("≤ {}", number(bound)), is.map(number), is.map(|is| is <= bound))
    }

    fn reported(what: &str, skill_request: &str, is: Option<String>) -> Self {
        Self::new(what, skill_request.to_owned(), is, None)
    }

    fn new(what: &str, bound: String, is: Option<String>, met: Option<bool>) -> Self {
        Self { what: what.to_owned(), bound, is: is.unwrap_or_else(|| "not measured".to_owned()), met }
    }
}

/// All targets, in the order of the issue that set them.
pub(crate) fn judge(findings: &Findings) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    throughput(findings, &mut verdicts);
    lists(findings, &mut verdicts);
    tool_calls(findings, &mut verdicts);
    starts_and_memory(findings, &mut verdicts);
    verdicts
}

fn throughput(findings: &Findings, verdicts: &mut Vec<Verdict>) {
    let rate = |server, measure| median(findings, server, measure, |sample| Some(sample.per_second));
    let ratio = |measure, other| Some(rate("echo", measure)? / rate(other, measure)?);
    let (send, get, stream) = (Measure::Send(64), Measure::Get(64), Measure::Stream(16));
    verdicts.push(Verdict::at_least("SendMessage at 64, to the bare handler on sled", 0.65, ratio(send, "floor-sled")));
    verdicts.push(Verdict::at_least("SendMessage at 64, to the Rust SDK in memory", 1.2, ratio(send, "rust")));
    verdicts.push(Verdict::at_least("SendMessage at 64, to the Python SDK in memory", 5.0, ratio(send, "python")));
    verdicts.push(Verdict::at_least("SendMessage at 64, to the Node SDK in memory", 5.0, ratio(send, "node")));
    let p50 = median(findings, "echo", Measure::Send(1), |sample| sample.latency.map(|quantiles| quantiles.p50));
    let sync = Spread::of(findings.syncs.iter().map(|synced| synced.p50)).map(|spread| spread.median);
    if let (Some(sync), Some(commits)) = (sync, findings.echo_commits) {
        let bound = commits.usual as f64 * sync + 0.25;
        let what = format!("SendMessage at 1, p50: {} commits × a sync of {sync:.3} ms + 0.25 ms", commits.usual);
        verdicts.push(Verdict::at_most(&what, bound, "ms", p50));
    }
    verdicts.push(Verdict::at_least("GetTask at 64, to the Rust SDK", 0.9, ratio(get, "rust")));
    verdicts.push(Verdict::at_least("streams at 16, durable, to the Rust SDK in memory", 0.5, ratio(stream, "rust")));
}

fn lists(findings: &Findings, verdicts: &mut Vec<Verdict>) {
    let Some([fewest, .., most]) = findings.filled.get("echo").map(Vec::as_slice) else { return };
    let p50 = |sample: Option<&Sample>| Some(sample?.latency?.p50);
    let first = |filled: &Filled| p50(filled.first_page.as_ref());
    let later = |filled: &Filled| p50(filled.later_page.as_ref());
    let found = [("the first page", first(fewest), first(most)), ("a later page", later(fewest), later(most))];
    for (which, few, many) in found {
        let what = format!("ListTasks, {which} of 50 among {}, p50", most.tasks);
        verdicts.push(Verdict::at_most(&what, 0.5, "ms", many));
        let growth = few.zip(many).map(|(few, many)| many / few);
        let what = format!("ListTasks, {which}: among {} to among {}", most.tasks, fewest.tasks);
        verdicts.push(Verdict::at_most(&what, FLAT_MAX, "×", growth));
    }
}

fn tool_calls(findings: &Findings, verdicts: &mut Vec<Verdict>) {
    let commits = findings.wrapped_commits.map(|commits| commits.usual as f64);
    verdicts.push(Verdict::at_most(
        "a wrapped tool call that only reads: commits on its path",
        1.0,
        "commits",
        commits,
    ));
    let commits = findings.writing_commits.map(|commits| commits.usual as f64);
    verdicts.push(Verdict::at_most("one that may change something: commits on its path", 2.0, "commits", commits));
    let p50 = |samples: Option<&Vec<Sample>>| {
        let of_each = samples.into_iter().flatten().filter_map(|sample| Some(sample.latency?.p50));
        Spread::of(of_each).map(|spread| spread.median)
    };
    let direct = p50(findings.direct.get(&1));
    let beyond = |samples: Option<&Vec<Sample>>| p50(samples).zip(direct).map(|(wrapped, direct)| wrapped - direct);
    let in_process = beyond(findings.in_process.get(&1));
    verdicts.push(Verdict::at_most("what the wrap costs a tool call, log in memory, p50", 0.150, "ms", in_process));
    for (samples, what) in [
        (&findings.wrapped_in_memory, "a wrapped tool call over HTTP beyond a direct one, data in memory, p50"),
        (&findings.wrapped, "the same, data on the disk"),
    ] {
        let difference = beyond(samples.get(&1)).map(|difference| format!("{difference:.3} ms"));
        verdicts.push(Verdict::reported(what, "reported", difference));
    }
}

fn starts_and_memory(findings: &Findings, verdicts: &mut Vec<Verdict>) {
    let starts = findings.start_millis.get("echo").into_iter().flatten().copied();
    let idle = findings.idle_bytes.get("echo").into_iter().flatten().map(|bytes| megabytes(*bytes));
    let full = findings.filled.get("echo").and_then(|filled| filled.last());
    let median_of = |spread: Option<Spread>| spread.map(|spread| spread.median);
    verdicts.push(Verdict::at_most("start to ready", 50.0, "ms", median_of(Spread::of(starts))));
    // What the store's own cache may hold is allowed beside the targets.
    let cache = megabytes(SledOptions::new("").cache_bytes);
    let what = format!("resident memory, idle: 15 MB + the cache's {cache:.1}");
    verdicts.push(Verdict::at_most(&what, 15.0 + cache, "MB", median_of(Spread::of(idle))));
    let tasks = full.map_or_else(|| "all".to_owned(), |filled| filled.tasks.to_string());
    let what = format!("resident memory with {tasks} finished tasks: 40 MB + the cache's {cache:.1}");
    verdicts.push(Verdict::at_most(&what, 40.0 + cache, "MB", full.map(|filled| megabytes(filled.resident_bytes))));
}

fn median(
    findings: &Findings,
    server: &'static str,
    measure: Measure,
    number: impl Fn(&Sample) -> Option<f64>,
) -> Option<f64> {
    let samples = findings.rounds.get(&(server, measure))?;
    Spread::of(samples.iter().filter_map(number)).map(|spread| spread.median)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(per_second: f64) -> Sample {
        Sample {
            per_second,
            latency: None,
            first_event: None,
            events_per_stream: None,
            server_micros: 1.0,
            load_share: 0.5,
            errors: 0,
            first_error: None,
        }
    }

    #[test]
    fn a_ratio_is_one_of_medians_and_what_was_not_measured_is_said_to_be() {
        let mut findings = Findings::default();
        let mut add = |server, rates: [f64; 3]| {
            findings.rounds.insert((server, Measure::Send(64)), rates.map(sample).to_vec());
        };
        add("echo", [7.0, 1.0, 9.0]);
        add("floor-sled", [10.0, 2.0, 30.0]);
        add("node", [1.0, 2.0, 3.0]);
        let verdicts = judge(&findings);
        let check = |what: &str, is: &str, met: Option<bool>| {
            let verdict = verdicts.iter().find(|verdict| verdict.what.contains(what)).unwrap();
            assert_eq!((verdict.is.as_str(), verdict.met), (is, met), "{what}");
        };
        check("bare handler", "0.70 ×", Some(true));
        check("Node", "3.50 ×", Some(false));
        check("Python", "not measured", None);
    }
}
