//! What was found, as tables for people.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    callers,
    fleet::Fleet,
    machine::Machine,
    measure::{MANY, Measure},
    sample::{Sample, Spread, megabytes},
    suite::{Findings, Settings},
    targets::Verdict,
    webhooks::Delivered,
};

/// All of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// As it was given on the command line.
    pub(crate) date: Option<String>,
    /// How long it was measured, without building and installing.
    pub(crate) took_seconds: f64,
    pub(crate) machine: Machine,
    pub(crate) settings: Settings,
    /// Names and titles, in the order of the columns.
    pub(crate) servers: Vec<(&'static str, String)>,
    pub(crate) findings: Findings,
    pub(crate) targets: Vec<Verdict>,
}

impl Report {
    /// The whole report in Markdown that also reads well as it stands.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        self.heading(&mut out);
        self.rounds(&mut out);
        self.latencies(&mut out);
        self.callers(&mut out);
        self.webhooks(&mut out);
        self.tool_calls(&mut out);
        self.doors(&mut out);
        self.lists(&mut out);
        self.starts_and_memory(&mut out);
        self.fleets(&mut out);
        self.verdicts(&mut out);
        out
    }

    fn heading(&self, out: &mut String) {
        let Machine { processor, cores, memory_gib, kernel, disk, load_before, versions } = &self.machine;
        let Settings { rounds, window_seconds, warm_up_seconds, .. } = self.settings;
        if let Some(date) = &self.date {
            let _ = writeln!(out, "Measured on {date}.");
        }
        let _ = writeln!(
            out,
            "{processor}, {cores} cores, {memory_gib:.0} GiB, Linux {kernel}, {disk}; load before: {load_before}."
        );
        let _ = writeln!(
            out,
            "{rounds} rounds of {window_seconds} s after {warm_up_seconds} s of warm-up; the server on one core, the load on the other."
        );
        let _ = writeln!(out, "All of it took {:.1} min.", self.took_seconds / 60.0);
        let _ = writeln!(out, "Medians of the rounds, with the least and the most in parentheses.\n");
        for (program, version) in versions.iter().filter(|(_, version)| !version.is_empty()) {
            let _ = writeln!(out, "- {program}: {version}");
        }
        for (name, title) in &self.servers {
            let _ = writeln!(out, "- **{name}**: {title}");
        }
    }

    fn rounds(&self, out: &mut String) {
        self.by_server(out, "Right answers a second (connections at a time)", |sample| Some(sample.per_second), 0);
        self.by_server(out, "Server processor time for each, µs", |sample| Some(sample.server_micros), 1);
        let first_event = |sample: &Sample| sample.first_event.map(|quantiles| quantiles.p50);
        self.by_server(out, "Time to the first event of a stream, p50, ms", first_event, 3);
        self.by_server(out, "Events to a stream", |sample| sample.events_per_stream, 2);
        self.by_server(out, "How busy the load generator was, of its core", |sample| Some(sample.load_share), 2);
    }

    fn latencies(&self, out: &mut String) {
        self.by_server(out, "Waiting time, p50, ms", |sample| sample.latency.map(|quantiles| quantiles.p50), 3);
        self.by_server(out, "Waiting time, p99, ms", |sample| sample.latency.map(|quantiles| quantiles.p99), 3);
    }

    fn by_server(&self, out: &mut String, title: &str, number: impl Fn(&Sample) -> Option<f64>, digits: usize) {
        let mut rows = vec![self.header()];
        for measure in Measure::all() {
            let cells: Vec<String> = self
                .servers
                .iter()
                .map(|(server, _)| {
                    let samples = self.findings.rounds.get(&(*server, measure)).into_iter().flatten();
                    cell(Spread::of(samples.filter_map(&number)), digits)
                })
                .collect();
            if cells.iter().any(|cell| cell != NOTHING) {
                rows.push([measure.to_string()].into_iter().chain(cells).collect());
            }
        }
        table(out, title, &rows);
    }

    fn header(&self) -> Vec<String> {
        [String::new()].into_iter().chain(self.servers.iter().map(|(name, _)| (*name).to_owned())).collect()
    }

    fn callers(&self, out: &mut String) {
        let mut rows = vec![words(["who calls", "server µs", "a second", "p50 ms", "p99 ms", "load"])];
        for (way, samples) in &self.findings.callers {
            let of = |number: &dyn Fn(&Sample) -> Option<f64>, digits| {
                cell(Spread::of(samples.iter().filter_map(number)), digits)
            };
            rows.push(vec![
                way.to_string(),
                of(&|sample| Some(sample.server_micros), 1),
                of(&|sample| Some(sample.per_second), 0),
                of(&|sample| sample.latency.map(|quantiles| quantiles.p50), 3),
                of(&|sample| sample.latency.map(|quantiles| quantiles.p99), 3),
                of(&|sample| Some(sample.load_share), 2),
            ]);
        }
        table(out, &format!("GetTask of bobbinet agent, {MANY} connections, by who calls"), &rows);
        if rows.len() > 1 {
            let differences = callers::differences(&self.findings.callers);
            let differences: Vec<String> = differences.iter().map(|(what, by)| format!("{what} {by:+.1}")).collect();
            let _ = writeln!(out, "\nProcessor time of the server beyond its like, µs: {}.", differences.join(", "));
        }
    }

    fn webhooks(&self, out: &mut String) {
        let header =
            ["", "deliveries a second", "to a task", "after its end, p50 ms", "p99 ms", "server µs a task", "load"];
        let mut rows = vec![words(header)];
        for (crowd, found) in &self.findings.webhooks {
            let of = |number: &dyn Fn(&Delivered) -> Option<f64>, digits| {
                cell(Spread::of(found.iter().filter_map(number)), digits)
            };
            rows.push(vec![
                crowd.to_string(),
                of(&|found| Some(found.deliveries_per_second), 0),
                of(&|found| Some(found.deliveries_per_task), 2),
                of(&|found| found.after_end.map(|quantiles| quantiles.p50), 1),
                of(&|found| found.after_end.map(|quantiles| quantiles.p99), 1),
                of(&|found| Some(found.server_micros_per_task), 0),
                of(&|found| Some(found.load_share), 2),
            ]);
        }
        table(out, "Webhooks of a wrapped tool call (the server's time includes its MCP server's)", &rows);
    }

    fn tool_calls(&self, out: &mut String) {
        let Findings { wrapped, wrapped_in_memory, in_process, direct, wrapped_commits, .. } = &self.findings;
        let mut rows = vec![words(["calls at a time", "", "a second", "p50 ms", "p99 ms", "server µs", "caller µs"])];
        let who = [
            ("direct rmcp", direct),
            ("the wrap in the caller's process, log in memory", in_process),
            ("through bobbinet over HTTP, data in memory", wrapped_in_memory),
            ("through bobbinet over HTTP", wrapped),
        ];
        for (who, samples) in who {
            for (calls, samples) in samples {
                let of = |number: &dyn Fn(&Sample) -> Option<f64>, digits| {
                    cell(Spread::of(samples.iter().filter_map(number)), digits)
                };
                rows.push(vec![
                    calls.to_string(),
                    who.to_owned(),
                    of(&|sample| Some(sample.per_second), 0),
                    of(&|sample| sample.latency.map(|quantiles| quantiles.p50), 3),
                    of(&|sample| sample.latency.map(|quantiles| quantiles.p99), 3),
                    of(&|sample| Some(sample.server_micros), 0),
                    of(&|sample| Some(sample.load_share * 1e6 / sample.per_second), 0),
                ]);
            }
        }
        table(out, "A tool call over stdio (bobbinet's time includes its MCP server's)", &rows);
        if let Some(commits) = wrapped_commits {
            let _ = writeln!(
                out,
                "\nCommits on its path: {} ({}–{} of {} tasks).",
                commits.usual, commits.least, commits.most, commits.tasks
            );
        }
        if let Some(commits) = &self.findings.writing_commits {
            let _ = writeln!(
                out,
                "Commits on the path of a call that may change something: {} ({}–{} of {} tasks).",
                commits.usual, commits.least, commits.most, commits.tasks
            );
        }
        if let Some(commits) = &self.findings.echo_commits {
            let _ = writeln!(
                out,
                "Commits on the path of an echo: {} ({}–{} of {} tasks).",
                commits.usual, commits.least, commits.most, commits.tasks
            );
        }
    }

    fn doors(&self, out: &mut String) {
        let mut rows = vec![words(["calls at a time", "", "a second", "p50 ms", "p99 ms", "server µs", "load"])];
        for ((door, calls), samples) in &self.findings.doors {
            let of = |number: &dyn Fn(&Sample) -> Option<f64>, digits| {
                cell(Spread::of(samples.iter().filter_map(number)), digits)
            };
            rows.push(vec![
                calls.to_string(),
                door.to_string(),
                of(&|sample| Some(sample.per_second), 0),
                of(&|sample| sample.latency.map(|quantiles| quantiles.p50), 3),
                of(&|sample| sample.latency.map(|quantiles| quantiles.p99), 3),
                of(&|sample| Some(sample.server_micros), 1),
                of(&|sample| Some(sample.load_share), 2),
            ]);
        }
        table(out, "A tool call over MCP 2026-07-28 (a node's time includes its MCP server's)", &rows);
    }

    fn fleets(&self, out: &mut String) {
        let fleets = &self.findings.fleets;
        let of = |number: &dyn Fn(&Fleet) -> f64, digits| cell(Spread::of(fleets.iter().map(number)), digits);
        if fleets.is_empty() {
            return;
        }
        let _ = writeln!(
            out,
            "\nA node with ten MCP servers: {} ms from its start to listening, {} ms until all are ready. For each idle one: {} MB of the node, \
             {} MB of what hides the node's files from it, {} MB of the server itself (PSS).",
            of(&|fleet| fleet.listening_millis, 1),
            of(&|fleet| fleet.ready_millis, 1),
            of(&|fleet| megabytes(fleet.node_bytes), 2),
            of(&|fleet| megabytes(fleet.shim_bytes), 2),
            of(&|fleet| megabytes(fleet.server_bytes), 2),
        );
    }

    fn lists(&self, out: &mut String) {
        let mut rows =
            vec![words(["", "tasks", "first page p50 ms", "p99", "a later page p50 ms", "p99", "resident MB"])];
        for (server, _) in &self.servers {
            for filled in self.findings.filled.get(server).into_iter().flatten() {
                let quantile = |sample: &Option<Sample>, p99: bool| {
                    let quantiles = sample.as_ref().and_then(|sample| sample.latency);
                    let number = quantiles.map(|quantiles| if p99 { quantiles.p99 } else { quantiles.p50 });
                    number.map_or_else(|| NOTHING.to_owned(), |number| format!("{number:.3}"))
                };
                rows.push(vec![
                    (*server).to_owned(),
                    grouped(filled.tasks as f64, 0),
                    quantile(&filled.first_page, false),
                    quantile(&filled.first_page, true),
                    quantile(&filled.later_page, false),
                    quantile(&filled.later_page, true),
                    format!("{:.1}", megabytes(filled.resident_bytes)),
                ]);
            }
        }
        table(out, "ListTasks, pages of 50, and memory by the number of finished tasks", &rows);
    }

    fn starts_and_memory(&self, out: &mut String) {
        let mut rows = vec![words(["", "start to ready, ms", "resident idle, MB"])];
        for (server, _) in &self.servers {
            let starts = self.findings.start_millis.get(server).into_iter().flatten().copied();
            let idle = self.findings.idle_bytes.get(server).into_iter().flatten().map(|bytes| megabytes(*bytes));
            rows.push(vec![(*server).to_owned(), cell(Spread::of(starts), 1), cell(Spread::of(idle), 1)]);
        }
        table(out, "Start and memory", &rows);
        if let Some(spread) = Spread::of(self.findings.start_again_millis.iter().copied()) {
            let _ = writeln!(
                out,
                "\nStart to ready of bobbinet in a folder that it has used before: {} ms.",
                cell(Some(spread), 1)
            );
        }
        if let Some(spread) = Spread::of(self.findings.start_filled_millis.iter().copied()) {
            let tasks = grouped(self.settings.tasks as f64, 0);
            let _ = writeln!(
                out,
                "\nStart to ready of bobbinet in a folder with {tasks} tasks: {} ms.",
                cell(Some(spread), 1)
            );
        }
        let Findings { wrapped_start_millis, wrapped_idle_bytes, wrapped_tree_bytes, .. } = &self.findings;
        if let Some(starts) = Spread::of(wrapped_start_millis.iter().copied()) {
            let megabytes = |bytes: &[u64]| cell(Spread::of(bytes.iter().map(|bytes| megabytes(*bytes))), 1);
            let (alone, with_server) = (megabytes(wrapped_idle_bytes), megabytes(wrapped_tree_bytes));
            let _ = writeln!(
                out,
                "\nStart to ready of `bobbinet agent` and the MCP server in it: {} ms.",
                cell(Some(starts), 1)
            );
            let _ = writeln!(out, "Resident, idle: {alone} MB; with the MCP server and its shim {with_server} MB.");
        }
        if let Some(spread) = Spread::of(self.findings.syncs.iter().map(|synced| synced.p50)) {
            let _ = writeln!(out, "One sync of the embedded engine, p50: {} ms.", cell(Some(spread), 3));
        }
    }

    fn verdicts(&self, out: &mut String) {
        let mut rows = vec![words(["target", "must be", "is", ""])];
        for Verdict { what, bound, is, met } in &self.targets {
            let mark = match met {
                Some(true) => "ok",
                Some(false) => "MISSED",
                None => "",
            };
            rows.push(vec![what.clone(), bound.clone(), is.clone(), mark.to_owned()]);
        }
        table(out, "Targets", &rows);
        for problem in &self.findings.problems {
            let _ = writeln!(out, "\n! {problem}");
        }
    }
}

const NOTHING: &str = "–";

fn cell(spread: Option<Spread>, digits: usize) -> String {
    let Some(spread) = spread else { return NOTHING.to_owned() };
    let number = |number| grouped(number, digits);
    match spread.samples {
        1 => number(spread.median),
        _ => format!("{} ({}–{})", number(spread.median), number(spread.min), number(spread.max)),
    }
}

/// A number with a comma between thousands.
fn grouped(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, part)| (whole, Some(part)));
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len() - index;
        if index > 0 && left % 3 == 0 && digit.is_ascii_digit() {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A Markdown table whose columns are lined up; nothing at all if there is nothing in it.
fn table(out: &mut String, title: &str, rows: &[Vec<String>]) {
    let [header, body @ ..] = rows else { return };
    if body.is_empty() {
        return;
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let dashes = widths.iter().map(|width| "-".repeat(*width)).collect();
    let _ = writeln!(out, "\n### {title}\n");
    for row in [header, &dashes].into_iter().chain(body) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} |"));
        let _ = writeln!(out, "|{}", cells.collect::<String>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let check = |number: f64, digits: usize, expected: &str| assert_eq!(grouped(number, digits), expected);
        check(7.0, 0, "7");
        check(999.4, 1, "999.4");
        check(1_000.0, 0, "1,000");
        check(1_234_567.0, 0, "1,234,567");
    }
}
