//! What is tried with any bytes: each target reads them as something that comes from strangers. None may panic; and a target that can
//! tell says so if what is written again is read as something else, or if a stranger is believed.
//!
//! The seeds in `seeds/TARGET` are run as ordinary tests. `cargo xtask fuzz TARGET SECONDS` looks for more with libFuzzer, on the stable
//! toolchain; what it finds is written to `target/fuzz`, and belongs among the seeds once it is mended.

mod auth;
mod cards;
mod wire;

/// A target: its name, which is that of its folder of seeds, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 10] = [
    ("requests-1.0", wire::requests_1_0),
    ("requests-0.3", wire::requests_0_3),
    ("rest", wire::rest),
    ("replies", wire::replies),
    ("sse", wire::sse),
    ("cards", cards::cards),
    ("jcs", cards::jcs),
    ("tokens", auth::tokens),
    ("certificates", auth::certificates),
    ("policy", auth::policy),
];

/// The target of this name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
