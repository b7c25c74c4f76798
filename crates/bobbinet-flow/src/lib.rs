//! Flows.
pub mod document;
pub mod expression;
pub mod finding;
pub mod limits;
mod nearest;
mod reader;
pub mod run;
pub mod template;
mod tree;
