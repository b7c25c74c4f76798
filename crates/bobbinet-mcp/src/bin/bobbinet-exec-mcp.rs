//! The shim as a program of its own: for this crate's tests, and for whoever embeds the crate in another binary.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    bobbinet_mcp::exec_mcp(env::args_os().skip(1))
}
