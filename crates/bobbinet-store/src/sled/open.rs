//! Opens a store, or says why not.
//!
//! In this order: our own lock, whether there has been a store, what sled would drop, a half-written snapshot put right,
//! sled, whether it is our data and all of it, the index, leftovers of blobs, the threads. sled panics when it meets
//! damage, so all of it happens on a thread of its own.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, RwLock, atomic::AtomicBool},
    thread,
    time::{Duration, Instant},
};

use ::sled::Mode;
use bobbinet_core::StreamId;
use tokio::sync::mpsc;

use super::{
    Durability, OpenError, Shared, SledOptions, SledStore,
    blobs::Blobs,
    cache,
    codec::{self, Heads},
    committer::{Committer, QUEUE_MAX},
    fault::SledError,
    folder::{self, sync_folder},
    heal::{self, Lock},
    index::Index,
    key_counts::KeyCounts,
    keys,
    readers::Readers,
    scan,
    shared::free_space,
    stamp::Stamp,
    sweep::Sweep,
    watermark::{TornTail, Watermark},
    watermark_writer::WatermarkWriter,
};
use crate::wakes::Wakes;

/// How long sled's lock may outlive our own: its threads let go of the file a little after the store was closed.
const SLED_LOCK_WAIT: Duration = Duration::from_secs(5);

/// With less room than this sled cannot be opened: it writes a snapshot and clears a segment. In bytes.
const OPEN_SPACE_MIN: u64 = 2 << 20;

/// A store without its threads.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) shared: Shared,
    /// What the `MARK` file says.
    pub(super) watermark: Watermark,
    /// Steps of forgotten streams that are still there.
    pub(super) garbage: u64,
}

/// Opens a store and starts its threads.
pub(super) fn open(options: SledOptions) -> Result<SledStore, OpenError> {
    if options.durability == Durability::None {
        tracing::warn!("the store's durability is none: what it acknowledges does not survive");
    }
    let Recovered { shared, watermark, garbage } = recover(options)?;
    let shared = Arc::new(shared);
    let (operations, receiver) = mpsc::channel(QUEUE_MAX);
    let (stop, stopped) = std::sync::mpsc::channel();
    let writer = WatermarkWriter { shared: shared.clone(), watermark, committer: operations.downgrade() };
    let committer = Committer {
        shared: shared.clone(),
        operations: receiver,
        sweep: Sweep::new(garbage),
        oldest: keys::IDEMPOTENCY.to_vec(),
    };
    let committer = spawn("bobbinet-store", move || committer.run())?;
    let writer = spawn("bobbinet-store-mark", move || writer.run(&stopped))?;
    Ok(SledStore {
        shared,
        readers: Readers::default(),
        operations: Some(operations),
        committer: Some(committer),
        watermark_writer: Some((stop, writer)),
    })
}

/// Opens a store without its threads.
pub(super) fn recover(options: SledOptions) -> Result<Recovered, OpenError> {
    apart(move || recover_here(&options))
}

/// Does something in which sled may panic.
pub(super) fn apart<T: Send + 'static>(
    open: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    let recovering = spawn("bobbinet-store-open", open)?;
    recovering.join().unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(OpenError::Corrupt(format!("opening it ended in a panic: {}", text.unwrap_or("without a word"))))
    })
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<thread::JoinHandle<T>, OpenError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|source| OpenError::Io { doing: "starting a thread of the store", source })
}

fn recover_here(options: &SledOptions) -> Result<Recovered, OpenError> {
    let folder = &options.path;
    let synced = options.durability == Durability::Power;
    let io = |doing| move |source| OpenError::Io { doing, source };
    folder::make(folder, synced).map_err(io("making the store's folder"))?;
    let lock = Lock::take(folder)?;
    let watermark = Watermark::read(folder)?;
    let log = folder.join("log");
    has_been_none(options, &log, watermark.as_ref())?;
    if free_space(folder).map_err(io("asking how much room the disk has"))? < OPEN_SPACE_MIN {
        return Err(OpenError::Full { folder: folder.clone() });
    }
    folder::make(&log, synced).map_err(io("making the store's folder"))?;
    heal::snapshots(&log).map_err(io("putting a half-written snapshot right"))?;
    let watermark = watermark.map(|watermark| look_before(options, &log, watermark)).transpose()?;
    let tree = open_sled(options, &log)?;
    // Only a file's owner may: a volume whose files are of another user id is served all the same.
    if let Err(error) = folder::close_files(&log) {
        tracing::warn!(folder = %log.display(), %error, "the store's files could not be closed to others");
    }
    let data = File::open(log.join("db")).map_err(io("opening the data file a second time"))?;
    let identity = identify(options, &tree, &data, watermark.as_ref())?;
    let refuse = &mut |fault| Err(OpenError::Corrupt(fault));
    let (mut index, garbage) = read_index(&tree, Some(&identity), refuse)?;
    if let Some(watermark) = &watermark {
        reaches(&index, watermark)?;
    }
    let mut watermark = watermark.unwrap_or_else(|| new_watermark(options, identity));
    if watermark.durability != Durability::Power && synced {
        // From now on the data is said to survive a power cut, and that is said of what was there before too.
        data.sync_all().map_err(io("syncing the store"))?;
    }
    (watermark.last, watermark.group, watermark.durability) = (index.last, index.group, options.durability);
    // What was torn has used numbers up; those of what comes now are higher, so that they are told apart for ever.
    index.group = watermark.tears.iter().map(|tear| tear.newest).fold(index.group.max(watermark.opened), u64::max);
    watermark.opened = index.group;
    let blobs = Blobs::open(folder.join("blobs"), synced).map_err(io("making the folder of blobs"))?;
    watermark.write(folder, synced).map_err(io("writing the MARK file"))?;
    witness(options).map_err(io("writing the file that says that there is a store"))?;
    let is_named = |sha256: &[u8; 32]| match tree.scan_prefix(keys::blob(sha256)).next() {
        None => false,
        // What cannot be read may be a name.
        Some(Ok(_) | Err(_)) => true,
    };
    blobs.sweep(is_named).map_err(io("removing leftovers of blobs"))?;
    let key_counts = KeyCounts::of(&tree, options.idempotency_keys_max).map_err(sled_error)?;
    let shared = Shared {
        key_counts: Mutex::new(key_counts),
        tree,
        data,
        identity,
        index: RwLock::new(index),
        wakes: Wakes::default(),
        blobs: Arc::new(blobs),
        durability: options.durability,
        free_space_min: options.free_space_min,
        folder: folder.clone(),
        has_garbage: AtomicBool::new(garbage > 0),
        fault: OnceLock::new(),
        _lock: lock,
    };
    Ok(Recovered { shared, watermark, garbage })
}

/// Where it is said that there has been a store.
pub(super) fn witness_path(options: &SledOptions) -> PathBuf {
    options.witness.clone().unwrap_or_else(|| options.path.join("WITNESS"))
}

/// Says that there has been a store. Only once there is a watermark: a process that ends before that has lost nothing, and the
/// next one begins anew.
fn witness(options: &SledOptions) -> io::Result<()> {
    let path = witness_path(options);
    if path.exists() {
        return Ok(());
    }
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    let text = format!(
        "There is a bobbinet store in {}. If that is gone, it is not begun anew unless this file is removed.\n",
        options.path.display()
    );
    file.write_all(text.as_bytes())?;
    if options.durability == Durability::Power {
        file.sync_all()?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if let Err(error) = sync_folder(parent) {
            tracing::warn!(folder = %parent.display(), %error, "the folder of the store's witness could not be synced");
        }
    }
    Ok(())
}

/// Refuses a folder that has lost its store: an empty one in its place would look healthy.
fn has_been_none(options: &SledOptions, log: &Path, watermark: Option<&Watermark>) -> Result<(), OpenError> {
    let has_data = log.join("db").exists();
    let corrupt = |text: String| Err(OpenError::Corrupt(text));
    match watermark {
        Some(_) if has_data => Ok(()),
        Some(_) => corrupt("its data file is gone".to_owned()),
        None => {
            let witness = witness_path(options);
            if witness.exists() {
                let gone = if has_data { "its MARK file is" } else { "its MARK file and its log are" };
                let text = "to begin an empty store in its place, remove";
                return corrupt(format!("{gone} gone; {text} {} as well", witness.display()));
            }
            let blobs = options.path.join("blobs");
            if !has_data && Blobs::has_any(&blobs) {
                let text = "there are large values of a store whose MARK file and log are gone";
                return corrupt(format!("{text}; to begin an empty one in its place, remove {}", blobs.display()));
            }
            Ok(())
        }
    }
}

/// Reads the log before sled does. Gives the watermark with what is known now: sled erases what it would show.
fn look_before(options: &SledOptions, log: &Path, mut watermark: Watermark) -> Result<Watermark, OpenError> {
    let io = |doing| move |source| OpenError::Io { doing, source };
    let found = scan::scan(log, &watermark.identity, watermark.opened).map_err(io("reading the log"))?;
    if !found.is_torn() {
        return Ok(watermark);
    }
    let (whole, newest, dropped) = (found.whole, found.newest, found.dropped);
    let is_synced = options.durability == Durability::Power;
    let was_synced = watermark.durability == Durability::Power;
    if was_synced && found.is_damage() {
        return Err(OpenError::Corrupt(format!(
            "{dropped} bytes of its log cannot be read after group {whole}, and there are later ones up to group {newest}, \
             which were begun only when those were safe on the disk"
        )));
    }
    if whole < watermark.group {
        let text = format!("cannot be read after group {whole}, but had been written to group {}", watermark.group);
        return Err(OpenError::Corrupt(format!("{dropped} bytes of its log {text}")));
    }
    // Where several groups may be torn, as without a sync of each, sled does what it can.
    let behind =
        if found.is_damage() { Some(Vec::new()) } else { scan::behind(log, &found).map_err(io("reading the log"))? };
    let Some(behind) = behind else {
        return Err(OpenError::Corrupt(format!(
            "{dropped} bytes of its log cannot be read after group {whole}, and sled would not end there"
        )));
    };
    // The group before the newest was safe before that was begun, if there was one since the opening: numbers up to `opened`
    // are the watermark's own, and one of them may have been burnt by an earlier tear.
    if was_synced && newest > watermark.opened + 1 {
        watermark.group = watermark.group.max(newest - 1);
    }
    tracing::warn!(
        bytes = dropped,
        after = whole,
        newest,
        "the end of the store's log cannot be read and is dropped: what was being written when the process or the power \
         failed, or a fault of the disk in the last that was"
    );
    watermark.note(TornTail { after: whole, newest, bytes: dropped });
    // Before it is erased: whoever opens the store next would not know.
    watermark.write(&options.path, is_synced).map_err(io("writing the MARK file"))?;
    scan::erase(log, &behind).map_err(io("cutting the log where it was torn"))?;
    Ok(watermark)
}

/// Whether all is there that was once said to be.
fn reaches(index: &Index, watermark: &Watermark) -> Result<(), OpenError> {
    let Index { last, group, .. } = index;
    if *last < watermark.last {
        return Err(OpenError::Corrupt(format!(
            "its log ends at step {last}, but had come to step {}",
            watermark.last
        )));
    }
    if *group < watermark.group {
        return Err(OpenError::Corrupt(format!(
            "its log ends at group {group}, but had come to group {}",
            watermark.group
        )));
    }
    Ok(())
}

fn new_watermark(options: &SledOptions, identity: [u8; 16]) -> Watermark {
    Watermark { identity, last: 0, group: 0, opened: 0, durability: options.durability, tears: Vec::new() }
}

pub(super) fn open_sled(options: &SledOptions, log: &Path) -> Result<::sled::Db, OpenError> {
    let config = ::sled::Config::new()
        .path(log)
        .cache_capacity(options.cache_bytes)
        // The committer flushes what it writes. A thread of sled's own would sync an idle node's disk again and again;
        // garbage is also collected by whoever writes.
        .flush_every_ms(None)
        .mode(Mode::HighThroughput);
    let begun = Instant::now();
    loop {
        let error = match config.open() {
            Ok(tree) => return Ok(tree),
            Err(error) => error,
        };
        let ::sled::Error::Io(source) = error else {
            return Err(OpenError::Corrupt(SledError::from(error).to_string()));
        };
        // sled gives its lock's error this form.
        let is_locked = source.kind() == io::ErrorKind::Other && source.to_string().contains("acquire lock");
        if !is_locked {
            return Err(from_io(options, source));
        }
        if begun.elapsed() > SLED_LOCK_WAIT {
            return Err(OpenError::InUse { folder: options.path.clone() });
        }
        // We hold the folder's lock, so this is the rest of a store that has just been closed.
        thread::sleep(Duration::from_millis(5));
    }
}

fn from_io(options: &SledOptions, source: io::Error) -> OpenError {
    let kind = source.kind();
    let damage = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidInput];
    if kind == io::ErrorKind::StorageFull {
        OpenError::Full { folder: options.path.clone() }
    } else if damage.contains(&kind) {
        OpenError::Corrupt(format!("sled says: {source}"))
    } else {
        OpenError::Io { doing: "opening sled", source }
    }
}

/// Whose data this is. An empty folder becomes a store; a folder that lost its data does not.
fn identify(
    options: &SledOptions,
    tree: &::sled::Db,
    data: &File,
    watermark: Option<&Watermark>,
) -> Result<[u8; 16], OpenError> {
    let corrupt = |text: &str| Err(OpenError::Corrupt(text.to_owned()));
    let known = tree.get(keys::FORMAT).map_err(sled_error)?;
    match (known, watermark) {
        (None, Some(_)) => corrupt("its data file is empty"),
        (None, None) if tree.iter().next().is_some() => corrupt("its data file has lost its beginning"),
        (None, None) => {
            let identity = random().map_err(|source| OpenError::Io { doing: "making an identity", source })?;
            tree.insert(keys::FORMAT, codec::write_identity(codec::FORMAT, &identity)).map_err(sled_error)?;
            tree.flush().map_err(sled_error)?;
            let sync = || {
                if options.durability != Durability::Power {
                    return Ok(());
                }
                data.sync_all()?;
                sync_folder(&options.path.join("log"))?;
                sync_folder(&options.path)
            };
            sync().map_err(|source| OpenError::Io { doing: "syncing a new store", source })?;
            Ok(identity)
        }
        (Some(known), watermark) => {
            let damaged = |error: codec::Damaged| OpenError::Corrupt(error.to_string());
            let (format, identity) = codec::read_identity(&known).map_err(damaged)?;
            if format > codec::FORMAT {
                return Err(OpenError::NewerFormat { found: format, known: codec::FORMAT });
            }
            if format < codec::FORMAT {
                return Err(OpenError::OlderFormat { found: format });
            }
            match watermark {
                Some(watermark) if watermark.identity != identity => corrupt("its MARK file is that of another store"),
                Some(_) => Ok(identity),
                // The process ended between the first key and the first watermark.
                None if tree.scan_prefix(keys::HEADS).next().is_none() => Ok(identity),
                None => corrupt("its MARK file is gone"),
            }
        }
    }
}

fn sled_error(error: ::sled::Error) -> OpenError {
    if let ::sled::Error::Io(source) = error {
        return OpenError::Io { doing: "reading the store's beginning", source };
    }
    OpenError::Corrupt(SledError::from(error).to_string())
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reads all heads in order: each chunk says where the next one begins, so that none is missing unnoticed. What is wrong is
/// said to `fault`, which ends it or has it go on with what can be read.
pub(super) fn read_index(
    tree: &::sled::Db,
    identity: Option<&[u8; 16]>,
    fault: &mut dyn FnMut(String) -> Result<(), OpenError>,
) -> Result<(Index, u64), OpenError> {
    let mut forgotten: BTreeMap<StreamId, u64> = BTreeMap::new();
    for pair in tree.scan_prefix(keys::FORGOTTEN) {
        let (key, number) = pair.map_err(sled_error)?;
        let stream = StreamId::from_bytes(&key[keys::FORGOTTEN.len()..]);
        match codec::read_number(&number) {
            Ok(number) => drop(forgotten.insert(stream, number)),
            Err(error) => fault(error.to_string())?,
        }
    }
    let mut index = Index::default();
    let mut last_without = 0;
    if let Some(group) = tree.get(keys::GROUP).map_err(sled_error)? {
        match codec::read_group(&group) {
            Ok((stamp, last)) => (index.group, last_without) = (stamp.group(), last),
            Err(error) => fault(error.to_string())?,
        }
    }
    let mut garbage = forgotten.len() as u64;
    let mut next = 1;
    for pair in tree.scan_prefix(keys::HEADS) {
        let (key, chunk) = pair.map_err(sled_error)?;
        let number = keys::number(&key).unwrap_or_default();
        if number != next {
            fault(format!("steps {next} and later are missing from its log"))?;
        }
        let heads = match Heads::read(&chunk) {
            Ok(heads) => heads,
            Err(error) => {
                fault(error.to_string())?;
                continue;
            }
        };
        cache::settle(tree, &key);
        if identity.is_some_and(|identity| Stamp::read(identity, heads.stamp.as_bytes()).is_none()) {
            fault("a chunk of heads is that of another store".to_owned())?;
        }
        index.group = index.group.max(heads.stamp.group());
        if heads.span < heads.entries.len() as u64 || heads.span == 0 {
            fault("a chunk of heads is not what was written".to_owned())?;
        }
        for (number, head) in (number..).zip(heads.entries) {
            let Some(head) = head else { continue };
            if forgotten.get(&head.stream).is_some_and(|last| number <= *last) {
                garbage += 1;
            } else {
                index.apply_unsorted(&head);
            }
        }
        next = number + heads.span;
    }
    index.sort();
    index.last = next - 1;
    if index.last < last_without {
        fault(format!("its log ends at step {}, but had come to step {last_without}", index.last))?;
    }
    Ok((index, garbage))
}
