//! Opens a store, or says why not.
//!
//! In this order: our own lock, a half-written snapshot put right, sled, whether it is our data and all of it, the index,
//! leftovers of blobs, the threads. sled panics when it meets damage, so all of it happens on a thread of its own.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::Path,
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
    committer::{Committer, Marker, QUEUE_MAX},
    heal::{self, Lock},
    index::Index,
    key_counts::KeyCounts,
    keys,
    mark_file::{Mark, sync_folder},
    shared::free_space,
    sweep::Sweep,
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
    pub(super) identity: [u8; 16],
    /// Steps of forgotten streams that are still there.
    pub(super) garbage: u64,
}

/// Opens a store and starts its threads.
pub(super) fn open(options: SledOptions) -> Result<SledStore, OpenError> {
    if options.durability == Durability::None {
        tracing::warn!("the store's durability is none: what it acknowledges does not survive");
    }
    let folder = options.path.clone();
    let Recovered { shared, identity, garbage } = recover(options)?;
    let shared = Arc::new(shared);
    let (operations, receiver) = mpsc::channel(QUEUE_MAX);
    let (stop, stopped) = std::sync::mpsc::channel();
    let marker = Marker { shared: shared.clone(), folder, identity, committer: operations.downgrade() };
    let committer = Committer {
        shared: shared.clone(),
        operations: receiver,
        sweep: Sweep::new(garbage),
        oldest: keys::IDEMPOTENCY.to_vec(),
    };
    let committer = spawn("bobbinet-store", move || committer.run())?;
    let marker = spawn("bobbinet-store-mark", move || marker.run(&stopped))?;
    Ok(SledStore { shared, operations: Some(operations), committer: Some(committer), marker: Some((stop, marker)) })
}

/// Opens a store without its threads.
pub(super) fn recover(options: SledOptions) -> Result<Recovered, OpenError> {
    let recovering = spawn("bobbinet-store-open", move || recover_here(&options))?;
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
    let io = |doing| move |source| OpenError::Io { doing, source };
    fs::create_dir_all(folder).map_err(io("making the store's folder"))?;
    let lock = Lock::take(folder)?;
    let mark = Mark::read(folder)?;
    let log = folder.join("log");
    if mark.is_some() && !log.join("db").exists() {
        return Err(OpenError::Corrupt("its data file is gone".to_owned()));
    }
    if free_space(folder).map_err(io("asking how much room the disk has"))? < OPEN_SPACE_MIN {
        return Err(OpenError::Full { folder: folder.clone() });
    }
    fs::create_dir_all(&log).map_err(io("making the store's folder"))?;
    heal::snapshots(&log).map_err(io("putting a half-written snapshot right"))?;
    let tree = open_sled(options, &log)?;
    let data = File::open(log.join("db")).map_err(io("opening the data file a second time"))?;
    let identity = identify(options, &tree, &data, mark.as_ref())?;
    let (index, garbage) = read_index(&tree)?;
    if let Some(mark) = mark
        && index.last < mark.last
    {
        let Index { last, .. } = index;
        return Err(OpenError::Corrupt(format!("its log ends at step {last}, but had come to step {}", mark.last)));
    }
    let blobs = Blobs::open(folder.join("blobs"), options.durability == Durability::Power)
        .map_err(io("making the folder of blobs"))?;
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
    Ok(Recovered { shared, identity, garbage })
}

fn open_sled(options: &SledOptions, log: &Path) -> Result<::sled::Db, OpenError> {
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
            return Err(OpenError::Corrupt(format!("sled says: {error}")));
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
fn identify(options: &SledOptions, tree: &::sled::Db, data: &File, mark: Option<&Mark>) -> Result<[u8; 16], OpenError> {
    let corrupt = |text: &str| Err(OpenError::Corrupt(text.to_owned()));
    let begin = |identity: [u8; 16], last: u64| {
        let synced = options.durability == Durability::Power;
        Mark { identity, last }
            .write(&options.path, synced)
            .map_err(|source| OpenError::Io { doing: "writing the MARK file", source })
    };
    let known = tree.get(keys::FORMAT).map_err(sled_error)?;
    match (known, mark) {
        (None, Some(_)) => corrupt("its data file is empty"),
        (None, None) if tree.iter().next().is_some() => corrupt("its data file has lost its beginning"),
        (None, None) => {
            let identity = random().map_err(|source| OpenError::Io { doing: "making an identity", source })?;
            tree.insert(keys::FORMAT, codec::write_identity(codec::FORMAT, &identity)).map_err(sled_error)?;
            tree.flush().map_err(sled_error)?;
            let sync = || {
                data.sync_all()?;
                sync_folder(&options.path.join("log"))?;
                sync_folder(&options.path)
            };
            sync().map_err(|source| OpenError::Io { doing: "syncing a new store", source })?;
            begin(identity, 0)?;
            Ok(identity)
        }
        (Some(known), mark) => {
            let damaged = |error: codec::Damaged| OpenError::Corrupt(error.to_string());
            let (format, identity) = codec::read_identity(&known).map_err(damaged)?;
            if format > codec::FORMAT {
                return Err(OpenError::NewerFormat { found: format, known: codec::FORMAT });
            }
            match mark {
                Some(mark) if mark.identity != identity => corrupt("its MARK file is that of another store"),
                Some(_) => Ok(identity),
                // The process ended between the first key and the first mark.
                None if tree.scan_prefix(keys::HEADS).next().is_none() => begin(identity, 0).map(|()| identity),
                None => corrupt("its MARK file is gone"),
            }
        }
    }
}

fn sled_error(error: ::sled::Error) -> OpenError {
    if let ::sled::Error::Io(source) = error {
        return OpenError::Io { doing: "reading the store's beginning", source };
    }
    OpenError::Corrupt(format!("sled says: {error}"))
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reads all heads in order: each chunk says where the next one begins, so that none is missing unnoticed.
fn read_index(tree: &::sled::Db) -> Result<(Index, u64), OpenError> {
    let damaged = |error: codec::Damaged| OpenError::Corrupt(error.to_string());
    let mut forgotten: BTreeMap<StreamId, u64> = BTreeMap::new();
    for pair in tree.scan_prefix(keys::FORGOTTEN) {
        let (key, number) = pair.map_err(sled_error)?;
        let stream = StreamId::from_bytes(&key[keys::FORGOTTEN.len()..]);
        forgotten.insert(stream, codec::read_number(&number).map_err(damaged)?);
    }
    let mut index = Index::default();
    let mut garbage = forgotten.len() as u64;
    let mut next = 1;
    for pair in tree.scan_prefix(keys::HEADS) {
        let (key, chunk) = pair.map_err(sled_error)?;
        let number = keys::number(&key).unwrap_or_default();
        if number != next {
            return Err(OpenError::Corrupt(format!("steps {next} and later are missing from its log")));
        }
        let heads = Heads::read(&chunk).map_err(damaged)?;
        cache::settle(tree, &key);
        if heads.span < heads.entries.len() as u64 || heads.span == 0 {
            return Err(OpenError::Corrupt("a chunk of heads is not what was written".to_owned()));
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
    Ok((index, garbage))
}
