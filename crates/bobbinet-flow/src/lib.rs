//! Flows.
pub mod expression;
pub mod limits;
mod nearest;
