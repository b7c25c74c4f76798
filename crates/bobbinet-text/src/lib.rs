//! What people write: YAML with the place of each value, and the word that was meant.
//!
//! Configuration and flows are both read through this, so that what is wrong with a file is said in the same way. It knows nothing of
//! what the files are for. Begin with [`yaml::parse`].

mod nearest;
mod position;
pub mod yaml;

pub use nearest::nearest;
pub use position::Position;
