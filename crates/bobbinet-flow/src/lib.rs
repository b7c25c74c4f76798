//! Flows.
pub mod check;
pub mod document;
pub mod expression;
pub mod finding;
pub mod graph;
pub mod limits;
mod nearest;
mod reader;
pub mod run;
pub mod template;
mod tree;
