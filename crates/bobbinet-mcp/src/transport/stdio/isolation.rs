//! What a server must not see though it runs as the same user as we do: this node's keys, its store, what other agents keep, and the
//! private files that lie elsewhere.
//!
//! By a mount namespace, in which an empty folder covers each folder, and nothing at all each file; where the system permits none, by Landlock, which
//! can only grant and therefore leaves out what lies beside them in one of the server's own working folders. Both are for
//! good: a server can take neither back, nor can what it starts. Called by the shim, in the process that becomes the server.
//!
//! Not hidden: the network, and everything else that belongs to the same user.

use std::{
    collections::BTreeSet,
    env, fs, io,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

use caps::{CapSet, Capability};
use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    path_beneath_rules,
};
use nix::{
    fcntl::OFlag,
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::{getgid, getuid},
};

/// With what the system lets us hide it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IsolationMeans {
    Mounts,
    /// But for these files.
    Landlock(Vec<PathBuf>),
}

/// What is hidden.
#[derive(Clone, Debug)]
pub(crate) struct Hidden {
    pub(crate) folders: Vec<PathBuf>,
    /// Where their links lead to, and none of them in one of the folders.
    files: Vec<PathBuf>,
    /// A folder in one of them that is not.
    shown: Option<PathBuf>,
}

impl Hidden {
    /// These folders, and those of these files that are there.
    pub(crate) fn new(folders: Vec<PathBuf>, files: &[PathBuf]) -> Self {
        let files: BTreeSet<PathBuf> = files.iter().filter_map(|file| file.canonicalize().ok()).collect();
        let is_apart = |file: &PathBuf| file.is_file() && !folders.iter().any(|folder| file.starts_with(folder));
        let files = files.into_iter().filter(is_apart).collect();
        Self { folders, files, shown: None }
    }

    /// The same but for this folder.
    pub(crate) fn showing(self, shown: Option<PathBuf>) -> Self {
        Self { shown, ..self }
    }
}

/// The rights by which the superuser could undo it, or look past it. A server that is no superuser has none of them.
const TAKEN: [Capability; 13] = [
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_SYS_MODULE,
    Capability::CAP_SYS_RAWIO,
    Capability::CAP_SYS_BOOT,
    Capability::CAP_MKNOD,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_SYSLOG,
    // With it limits can be raised again.
    Capability::CAP_SYS_RESOURCE,
    Capability::CAP_MAC_ADMIN,
    Capability::CAP_MAC_OVERRIDE,
    Capability::CAP_BPF,
    Capability::CAP_PERFMON,
];

/// The first version of Landlock that does not forbid to move files between folders.
const LANDLOCK: ABI = ABI::V2;

/// Hides all this from this process and all that it starts, for good. The error says why neither way can be gone.
///
/// The process must have one thread only. `is_permitted` is whether another process could do it by mounts: half of it, as some
/// systems permit, would leave this one a stranger to its own files.
pub(crate) fn hide(
    hidden: &Hidden,
    is_permitted: impl FnOnce() -> Result<(), String>,
) -> Result<IsolationMeans, String> {
    let by_mounts = match is_permitted().and_then(|()| by_mounts(hidden)) {
        Ok(()) => return Ok(IsolationMeans::Mounts),
        Err(why) => why,
    };
    by_landlock(hidden, &working_folders()).map(IsolationMeans::Landlock).map_err(|why| format!("{by_mounts}; {why}"))
}

/// Where a server makes files and folders of its own.
fn working_folders() -> Vec<PathBuf> {
    let variables = ["HOME", "TMPDIR"].iter().filter_map(env::var_os).map(PathBuf::from);
    let folders = env::current_dir().into_iter().chain(variables).filter_map(|folder| folder.canonicalize().ok());
    // Nobody makes anything in the root folder itself, though containers start there.
    folders.filter(|folder| folder != Path::new("/")).collect()
}

/// The same by mounts alone. A process that it fails in may be a stranger to its own files, and is good for nothing else.
pub(crate) fn by_mounts(hidden: &Hidden) -> Result<(), String> {
    let no =
        |what: &str, error: &dyn std::fmt::Display| format!("a mount namespace is not permitted ({what}: {error})");
    if unshare(CloneFlags::CLONE_NEWNS).is_err() {
        let (user, group) = (getuid(), getgid());
        let flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
        unshare(flags).map_err(|error| no("unshare", &error))?;
        // The same names inside as outside. Who gives up the right to change groups may say so himself.
        fs::write("/proc/self/setgroups", "deny").map_err(|error| no("setgroups", &error))?;
        fs::write("/proc/self/uid_map", format!("{user} {user} 1")).map_err(|error| no("uid_map", &error))?;
        fs::write("/proc/self/gid_map", format!("{group} {group} 1")).map_err(|error| no("gid_map", &error))?;
    }
    let nothing = None::<&str>;
    // What is mounted outside later still appears inside, and never the other way round.
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_SLAVE, nothing).map_err(|error| no("mount", &error))?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    for folder in &hidden.folders {
        let cover = match hidden.shown.as_ref().filter(|shown| shown.starts_with(folder)) {
            Some(shown) => cover_around(folder, shown, flags),
            None => {
                mount(Some("tmpfs"), folder, Some("tmpfs"), flags, Some("size=4k,mode=0000")).map_err(io::Error::from)
            }
        };
        cover.map_err(|error| no(&folder.display().to_string(), &error))?;
    }
    for file in &hidden.files {
        let cover = mount(Some("/dev/null"), file, nothing, MsFlags::MS_BIND, nothing);
        cover.map_err(|error| no(&file.display().to_string(), &error))?;
    }
    // A working folder that lies below a cover must be looked up again, or it would be a way around it.
    env::current_dir().and_then(env::set_current_dir).map_err(|error| no("the working folder", &error))?;
    give_up_rights().map_err(|error| no("capabilities", &error))
}

/// Covers all of a folder but this one in it.
fn cover_around(folder: &Path, shown: &Path, flags: MsFlags) -> io::Result<()> {
    let (nothing, path_only) = (None::<&str>, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW);
    let seen = fs::File::options().read(true).custom_flags(path_only.bits()).open(shown)?;
    // Passed through by all, and made by nobody once it is read-only.
    mount(Some("tmpfs"), folder, Some("tmpfs"), flags - MsFlags::MS_RDONLY, Some("size=64k,mode=0711"))?;
    fs::create_dir_all(shown)?;
    let source = format!("/proc/self/fd/{}", seen.as_raw_fd());
    mount(Some(source.as_str()), shown, nothing, MsFlags::MS_BIND | MsFlags::MS_REC, nothing)?;
    mount(nothing, folder, nothing, flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND, nothing)?;
    Ok(())
}

/// What is not in the bounding set is not given to anybody at `exec`, not to the superuser either.
fn give_up_rights() -> Result<(), caps::errors::CapsError> {
    for right in TAKEN {
        if caps::has_cap(None, CapSet::Bounding, right)? {
            caps::drop(None, CapSet::Bounding, right)?;
        }
    }
    caps::clear(None, CapSet::Ambient)?;
    caps::clear(None, CapSet::Inheritable)
}

/// Returns the files that lie below the server's own folders, and are therefore not hidden.
fn by_landlock(hidden: &Hidden, working: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let Hidden { folders, files, shown } = hidden;
    let shared = working.iter().find(|works| folders.iter().any(|folder| folder.starts_with(works)));
    if let Some(shared) = shared {
        return Err(format!("Landlock cannot hide what lies below the server's own folder {}", shared.display()));
    }
    let all = AccessFs::from_all(LANDLOCK);
    let is_shared = |file: &&PathBuf| working.iter().any(|works| file.starts_with(works));
    let (seen, files): (Vec<&PathBuf>, Vec<&PathBuf>) = files.iter().partition(is_shared);
    let all_hidden: Vec<PathBuf> = folders.iter().chain(files).cloned().collect();
    let (granted, above) =
        around(&all_hidden).map_err(|error| format!("the folders around cannot be read: {error}"))?;
    let enforced = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(all)
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rules(path_beneath_rules(granted.iter().chain(shown), all)))
        .and_then(|rules| rules.add_rules(path_beneath_rules(above, AccessFs::ReadDir)))
        .and_then(|rules| rules.restrict_self());
    match enforced {
        Ok(status) if status.ruleset != RulesetStatus::NotEnforced => Ok(seen.into_iter().cloned().collect()),
        Ok(_) => Err("Landlock is not there".to_owned()),
        Err(error) => Err(format!("Landlock is not there: {error}")),
    }
}

/// Everything but these folders and files: all that lies beside them and beside the folders above them, which may be listed.
fn around(hidden: &[PathBuf]) -> std::io::Result<(Vec<PathBuf>, BTreeSet<PathBuf>)> {
    let above: BTreeSet<PathBuf> =
        hidden.iter().flat_map(|path| path.ancestors().skip(1)).map(Path::to_owned).collect();
    let mut granted = Vec::new();
    for folder in &above {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let is_hidden = hidden.contains(&path) || above.contains(&path);
            // A link is followed by what it leads to, which has a place of its own in all this.
            if !is_hidden && !path.is_symlink() {
                granted.push(path);
            }
        }
    }
    Ok((granted, above))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Landlock binds a thread, so a test can be bound by it; where the kernel has none there is nothing to see.
    #[test]
    fn landlock_hides_a_folder_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for name in ["data/keys", "data/own", "tls", "work"] {
            fs::create_dir_all(root.join(name)).unwrap();
            fs::write(root.join(name).join("file"), "words").unwrap();
        }
        fs::write(root.join("work/key"), "words").unwrap();
        let keys = root.join("data/keys");
        let inside = |keys: PathBuf, working: Vec<PathBuf>| {
            let root = root.clone();
            let bound = move || {
                // A file that is not there needs no hiding.
                let files = ["tls/file", "work/key", "gone"].map(|name| root.join(name));
                let seen = by_landlock(&Hidden::new(vec![keys], &files), &working)?;
                assert_eq!(seen, [root.join("work/key")]);
                let read = |name: &str| fs::read_to_string(root.join(name)).is_ok();
                let moved = fs::rename(root.join("work/file"), root.join("data/own/moved")).is_ok();
                Ok::<_, String>((
                    read("data/keys/file"),
                    fs::write(root.join("data/keys/new"), "").is_ok(),
                    read("tls/file"),
                    read("data/own/file"),
                    moved,
                ))
            };
            std::thread::spawn(bound).join().unwrap()
        };
        let below = inside(keys.clone(), vec![root.join("data")]);
        assert!(below.unwrap_err().contains("own folder"));
        match inside(keys, vec![root.join("work")]) {
            Ok(seen) => assert_eq!(seen, (false, false, false, true, true)),
            Err(why) => assert!(why.contains("not there"), "{why}"),
        }
    }

    #[test]
    fn landlock_shows_a_server_its_own_folder_among_hidden_ones() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for name in ["servers/own", "servers/other"] {
            fs::create_dir_all(root.join(name)).unwrap();
            fs::write(root.join(name).join("file"), "words").unwrap();
        }
        let bound = move || {
            let own = root.join("servers/own");
            let hidden = Hidden::new(vec![root.join("servers")], &[]).showing(Some(own.clone()));
            by_landlock(&hidden, std::slice::from_ref(&own))?;
            let read = |name: &str| fs::read_to_string(root.join(name)).is_ok();
            let is_made = fs::write(own.join("made"), "").is_ok();
            Ok::<_, String>((read("servers/own/file"), is_made, read("servers/other/file")))
        };
        match std::thread::spawn(bound).join().unwrap() {
            Ok(seen) => assert_eq!(seen, (true, true, false)),
            Err(why) => assert!(why.contains("not there"), "{why}"),
        }
    }
}
