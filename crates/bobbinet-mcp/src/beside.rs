//! More processes of a server that is declared to keep no state: for calls that would have to wait for a question of
//! somebody else's call.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bobbinet_engine::watched;
use tokio_util::task::TaskTracker;

use crate::{
    agent::keep,
    config::{Launcher, McpConfig},
    lane::{Guest, Place},
    supervise::Shared,
    sweep,
};

/// Processes beside the first. Each takes some 50 to 130 MB.
const PROCESSES_MAX: usize = 3;

/// How often it is looked whether a process still has something to do; one that has nothing is ended.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(crate) struct Beside {
    config: McpConfig,
    launcher: Launcher,
    folder: PathBuf,
    tracker: TaskTracker,
    /// Whether what an earlier life has left running was ended, and nothing is being stopped.
    is_open: AtomicBool,
    list: Mutex<Vec<(usize, Arc<Shared>)>>,
}

impl Beside {
    /// Room for more processes, if the server is declared to keep no state. `folder` is the agent's own.
    pub(crate) fn start(
        config: &McpConfig,
        launcher: &Launcher,
        folder: &std::path::Path,
        tracker: &TaskTracker,
    ) -> Arc<Self> {
        let beside = Arc::new(Self {
            // Each of them is one, and starts no more.
            config: McpConfig { stateless: false, ..config.clone() },
            launcher: launcher.clone(),
            folder: folder.to_owned(),
            tracker: tracker.clone(),
            is_open: AtomicBool::new(false),
            list: Mutex::default(),
        });
        if config.stateless {
            tracker.spawn(watched("MCP server", beside.clone().open()));
        }
        beside
    }

    async fn open(self: Arc<Self>) {
        let folders = (0..PROCESSES_MAX).map(|number| self.folder_of(number)).collect::<Vec<_>>();
        let swept =
            tokio::task::spawn_blocking(move || folders.iter().map(|folder| sweep::sweep(folder)).sum::<usize>());
        if let Ok(1..) = swept.await {
            tracing::warn!(agent = self.config.name, "ended what an earlier life had left running beside the first");
        }
        self.is_open.store(true, Ordering::Relaxed);
    }

    fn folder_of(&self, number: usize) -> PathBuf {
        self.folder.join(format!("beside-{number}"))
    }

    fn list(&self) -> MutexGuard<'_, Vec<(usize, Arc<Shared>)>> {
        self.list.lock().expect("nobody panics while holding a few processes")
    }

    /// A process that takes the call now, if there may be one.
    pub(crate) fn enter(self: &Arc<Self>, guest: &Guest) -> Option<(Arc<Shared>, Place)> {
        if !self.is_open.load(Ordering::Relaxed) {
            return None;
        }
        let mut list = self.list();
        for (_, shared) in list.iter() {
            if let Ok(place) = shared.lane.try_enter(guest) {
                return Some((shared.clone(), place));
            }
        }
        let number = (0..PROCESSES_MAX).find(|number| list.iter().all(|(known, _)| known != number))?;
        let shared = Arc::new(Shared::new(self.config.clone(), self.launcher.clone(), self.folder_of(number)));
        let place = shared.lane.try_enter(guest).ok()?;
        tracing::info!(agent = self.config.name, number, "one more process, since a question is open");
        self.tracker.spawn(keep(shared.clone(), self.tracker.clone()));
        self.tracker.spawn(watched("MCP server", self.clone().look_after(number, shared.clone())));
        list.push((number, shared.clone()));
        Some((shared, place))
    }

    /// Ends a process that has nothing to do any more.
    async fn look_after(self: Arc<Self>, number: usize, shared: Arc<Shared>) {
        loop {
            tokio::select! {
                biased;
                () = shared.stopping() => return,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            let mut list = self.list();
            if shared.lane.is_empty() {
                list.retain(|(known, _)| *known != number);
                shared.stop();
                return;
            }
        }
    }

    /// Ends all of them. Whoever started this waits for the tracker.
    pub(crate) fn stop(&self) {
        self.is_open.store(false, Ordering::Relaxed);
        for (_, shared) in self.list().iter() {
            shared.stop();
        }
    }
}
