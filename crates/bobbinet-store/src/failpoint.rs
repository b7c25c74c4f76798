//! Named points at which a process can be told to die, so that tests can pull the plug exactly there.
//!
//! Inert unless `BOBBINET_CRASH_AT=name` or `BOBBINET_CRASH_AT=name:nth` was set when the process started: then the process
//! kills itself with SIGKILL when it comes to that point for the nth time. Compiled into every build, so that what is
//! tested and what is measured is what is shipped; it costs one relaxed load.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// All points there are, in the order in which a task comes to them.
pub const POINTS: [&str; 12] = [
    "intent-before",
    "commit-before",
    "commit-applied",
    "sync-before",
    "sync-after",
    "publish-before",
    "publish-after",
    "intent-after",
    "call-before",
    "call-after",
    "outcome-before",
    "outcome-after",
];

/// Points on the way of a blob, which a task comes to only when what it made is large.
pub const BLOB_POINTS: [&str; 3] = ["blob-before", "blob-placed", "blob-held"];

struct Plug {
    point: String,
    left: AtomicU64,
}

static PLUG: OnceLock<Option<Plug>> = OnceLock::new();

/// Comes to a point; does not return if it is the one to die at.
pub fn point(name: &str) {
    if let Some(plug) = PLUG.get_or_init(read_environment) {
        plug.reach(name);
    }
}

fn read_environment() -> Option<Plug> {
    let text = std::env::var("BOBBINET_CRASH_AT").ok()?;
    let (point, nth) = text.split_once(':').unwrap_or((&text, "1"));
    let left = AtomicU64::new(nth.parse().unwrap_or(1));
    Some(Plug { point: point.to_owned(), left })
}

impl Plug {
    fn reach(&self, name: &str) {
        if name != self.point || self.left.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        // SIGKILL and not `abort`: no handler, no unwinding, no buffer is written out.
        let killed = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        assert!(killed.is_ok(), "a process may kill itself");
        loop {
            std::thread::park();
        }
    }
}
