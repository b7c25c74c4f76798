//! What the audience is told: numbered steps in plain words with the time, or a line of JSON for each.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    time::{Duration, Instant},
};

use anstyle::{AnsiColor, Style};
use bobbinet_core::text;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::{
    failure::{Code, Failure, chain},
    format::Format,
};

/// How often the bar moves by itself.
const TICK: Duration = Duration::from_millis(100);

/// Tells what happens, and whether it is as it should be.
#[derive(Debug)]
pub(super) struct Teller {
    format: Format,
    begin: Instant,
    step: usize,
    checks: usize,
}

impl Teller {
    pub(super) fn new(format: Format) -> Self {
        Self { format, begin: Instant::now(), step: 0, checks: 0 }
    }

    /// The next step begins.
    pub(super) fn step(&mut self, title: &str) -> Result<(), Failure> {
        self.step += 1;
        let bold = Style::new().bold();
        let line = format!("\n{} {bold}{}. {title}{bold:#}", self.time(), self.step);
        self.tell(&line, json!({"event": "step", "text": title}))
    }

    /// Something that happened.
    pub(super) fn say(&self, text: &str) -> Result<(), Failure> {
        let text = text::lines(text);
        self.tell(
            &format!("{}    {}", self.time(), text.replace('\n', "\n           ")),
            json!({"event": "said", "text": text}),
        )
    }

    /// Something that must be so. If it is not, the demo has failed.
    pub(super) fn check(&mut self, claim: &str, holds: bool) -> Result<(), Failure> {
        let (color, mark) = if holds { (AnsiColor::Green, "✓") } else { (AnsiColor::Red, "✗") };
        let style = Style::new().fg_color(Some(color.into()));
        let line = format!("{}  {style}{mark}{style:#} {claim}", self.time());
        self.tell(&line, json!({"event": "check", "text": claim, "holds": holds}))?;
        self.checks += 1;
        if holds { Ok(()) } else { Err(broke(format!("step {}: it is not true that {claim}", self.step))) }
    }

    /// Lines as they are: a log, or something to copy.
    pub(super) fn show(&self, what: &str, lines: &str) -> Result<(), Failure> {
        let lines = text::lines(lines);
        let indented = lines.trim_end().replace('\n', "\n         ");
        self.tell(&format!("\n         {indented}"), json!({"event": "shown", "what": what, "text": lines}))
    }

    /// The end, with the folder if it was kept.
    pub(super) fn end(&self, folder: Option<&Path>) -> Result<(), Failure> {
        let seconds = self.begin.elapsed().as_secs_f64();
        let kept = folder.map(|folder| format!(" Its folder is {}", folder.display())).unwrap_or_default();
        let line = format!("\nDone in {seconds:.1} s: {} claims checked, nothing left running.{kept}", self.checks);
        self.tell(&line, json!({"event": "end", "checks": self.checks, "folder": folder}))
    }

    /// A bar on standard error for a thing in so many parts, if a person looks.
    pub(super) fn bar(&self, parts: u64) -> Bar {
        let is_seen = self.format == Format::Text && io::stderr().is_terminal();
        let bar = if is_seen { ProgressBar::new(parts) } else { ProgressBar::hidden() };
        if is_seen {
            let template = "           {bar:32.cyan} {msg}";
            bar.set_style(ProgressStyle::with_template(template).expect("a well-formed template"));
            bar.enable_steady_tick(TICK);
        }
        Bar(bar)
    }

    fn time(&self) -> String {
        let dim = Style::new().dimmed();
        format!("{dim}{:5.1} s{dim:#}", self.begin.elapsed().as_secs_f64())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the system's errors, of which one is none of ours")]
    fn tell(&self, line: &str, mut event: Value) -> Result<(), Failure> {
        let mut stdout = anstream::stdout().lock();
        let told = match self.format {
            Format::Text | Format::Table => writeln!(stdout, "{line}"),
            Format::Json => {
                event["step"] = json!(self.step);
                event["seconds"] = json!(self.begin.elapsed().as_secs_f64());
                writeln!(stdout, "{}", text::json(&event.to_string()))
            }
        };
        told.and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
            // A person who pipes this into `head` has seen enough; the demo need not go on for nobody.
            io::ErrorKind::BrokenPipe => Failure::told(Code::Internal, "nobody listens any more"),
            _ => broken("telling it")(error),
        })
    }
}

/// A bar that is gone when it is dropped.
#[derive(Debug)]
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn at(&self, part: u64, text: &str) {
        self.0.set_position(part);
        self.0.set_message(text::line(text).into_owned());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// The demo cannot go on.
pub(super) fn broke(why: impl Into<String>) -> Failure {
    Failure::new(Code::Internal, why)
}

/// The demo cannot go on because of an error.
pub(super) fn broken<E: std::error::Error>(what: &str) -> impl FnOnce(E) -> Failure {
    move |error| broke(format!("{what}: {}", chain(&error)))
}
