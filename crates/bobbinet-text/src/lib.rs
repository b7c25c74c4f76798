//! What people write: YAML with the place of each value, the word that was meant, and what is in a text that nobody sees.
//!
//! Configuration and flows are both read through this, so that what is wrong with a file is said in the same way. It knows nothing of
//! what the files are for. Begin with [`yaml::parse`].

mod alike;
mod hidden;
mod nearest;
mod position;
pub mod yaml;

pub use alike::{Alike, alike, skeleton};
pub use hidden::{Hidden, hidden, hidden_in_document, revealed, visible};
pub use nearest::nearest;
pub use position::Position;
