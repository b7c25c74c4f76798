//! Peers: what a node makes of what is said of them, and `bobbinet peers`.

mod build;
mod command;
mod found;
mod kept;

pub(crate) use build::{Maker, guard};
pub(crate) use command::{kept, maker, run};
pub(crate) use found::{at_nodes, find};
pub(crate) use kept::{Kept, PEERS_FOLDER};
