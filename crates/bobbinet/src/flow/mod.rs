//! `bobbinet flow …`: flows in the Open Workflow DSL, for the person who writes one.

mod check;
mod graph;
mod mesh;
mod run;
mod source;

pub(crate) use check::run as check;
pub(crate) use graph::run as graph;
pub(crate) use run::{prepare, run as run_once};
