//! Limiting what a process may take of the machine, for itself and all that it starts. Called by the shim, in the process that becomes the
//! server; on from there a server can lower its limits and never raise them, unless it is the superuser's.

use std::ffi::OsString;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::launcher;
use crate::process_limits::{CORE, FILE_SIZE, MEMORY, OPEN_FILES, PROCESSES};

/// The argument before each limit, as `name=max`.
pub(crate) const LIMIT: &str = "--limit";

/// Sets the limits that the arguments name. One that the system refuses stays as it is: a server without it is no worse than any program.
pub(crate) fn limit(prefix: &[OsString]) {
    limit_open_files(prefix);
    for (flag, said) in prefix.iter().zip(prefix.iter().skip(1)) {
        let said = said.to_str().filter(|_| flag == LIMIT).and_then(|said| said.split_once('='));
        let Some((resource, max)) = said.and_then(|(name, max)| Some((resource(name)?, max.parse::<u64>().ok()?)))
        else {
            continue;
        };
        if let Ok((_, hard)) = getrlimit(resource) {
            let max = max.min(hard);
            let _ = setrlimit(resource, max, max);
        }
    }
}

fn resource(name: &str) -> Option<Resource> {
    match name {
        OPEN_FILES => Some(Resource::RLIMIT_NOFILE),
        PROCESSES => Some(Resource::RLIMIT_NPROC),
        MEMORY => Some(Resource::RLIMIT_DATA),
        FILE_SIZE => Some(Resource::RLIMIT_FSIZE),
        CORE => Some(Resource::RLIMIT_CORE),
        _ => None,
    }
}

/// Gives the server the limit of open files that it would have without us. One that is not told, or refused, stays as it is.
fn limit_open_files(prefix: &[OsString]) {
    let said = prefix.iter().skip_while(|arg| *arg != launcher::OPEN_FILES).nth(1);
    let max = said.and_then(|text| text.to_str()?.parse::<u64>().ok());
    let hard = getrlimit(Resource::RLIMIT_NOFILE).map(|(_, hard)| hard);
    if let (Some(max), Ok(hard)) = (max, hard) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(max), hard);
    }
}
