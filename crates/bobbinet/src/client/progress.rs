//! A line on the terminal that says what a task is doing, while one waits for it.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use bobbinet_core::text;
use bobbinet_wire::view::StreamEvent;
use indicatif::{ProgressBar, ProgressStyle};

use super::render;
use crate::output::Output;

/// How often the line moves.
const TICK: Duration = Duration::from_millis(120);

/// The line; nothing where nobody looks.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A line, if standard error is a terminal and a person reads the result.
    pub(crate) fn new(output: Output) -> Self {
        let is_seen = std::io::stderr().is_terminal() && !output.is_json();
        let bar = if is_seen { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if is_seen {
            bar.set_style(ProgressStyle::with_template("{spinner} {msg} {elapsed}").expect("a well-formed template"));
            bar.enable_steady_tick(TICK);
        }
        Self(bar)
    }

    /// Says what is waited for.
    pub(crate) fn wait(&self, what: &str) {
        self.0.set_message(text::line(what).into_owned());
    }

    /// Tells what has become of a flow's steps, a line for each, above this one.
    pub(crate) fn steps(&self, event: &StreamEvent) {
        let StreamEvent::StatusUpdate(update) = event else { return };
        let is_of_steps = update.metadata.as_ref().is_some_and(|metadata| metadata.to_value().get("steps").is_some());
        if !is_of_steps {
            return;
        }
        let said = update.status.message.as_ref().map(bobbinet_core::Message::text).unwrap_or_default();
        for line in said.lines() {
            let line = format!("  {}", text::line(line));
            if self.0.is_hidden() {
                // Whoever does not read any more does not want to know.
                writeln!(anstream::stderr(), "{line}").ok();
            } else {
                self.0.println(line);
            }
        }
    }

    /// Says what has happened.
    pub(crate) fn say(&self, event: &StreamEvent) {
        let said = match event {
            StreamEvent::Task(task) => format!("{} {}", task.id, task.status.state.as_str()),
            StreamEvent::StatusUpdate(update) => {
                let said = update.status.message.as_ref().map(bobbinet_core::Message::text).unwrap_or_default();
                let progress = update.metadata.as_ref().and_then(render::progress).unwrap_or_default();
                let said = said.lines().next().unwrap_or_default();
                format!("{} {} {progress} {said}", update.task_id, update.status.state.as_str())
            }
            StreamEvent::ArtifactUpdate(_) | StreamEvent::Message(_) => return,
        };
        self.0.set_message(text::line(&said).into_owned());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
