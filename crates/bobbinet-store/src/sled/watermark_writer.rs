//! The thread that writes the watermark, and looks after the store's files beside the committer.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{Durability, Shared, committer::Operation, watermark::Watermark};

/// How often the `MARK` file is written, if the log has grown.
const MARK_INTERVAL: Duration = Duration::from_secs(1);

/// How often to look whether the store's files are still there.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// Writes the `MARK` file while the store is open, looks whether its files are still there, and reminds the committer of
/// the garbage.
///
/// It has a thread of its own, so that no commit waits for its two syncs.
#[derive(Debug)]
pub(super) struct WatermarkWriter {
    pub(super) shared: Arc<Shared>,
    /// What the file says.
    pub(super) watermark: Watermark,
    pub(super) committer: mpsc::WeakSender<Operation>,
}

impl WatermarkWriter {
    /// Works until `stop` is dropped, then writes the last one.
    pub(super) fn run(mut self, stop: &std::sync::mpsc::Receiver<()>) {
        let mut marked = Instant::now();
        loop {
            let is_over = stop.recv_timeout(WATCH_INTERVAL) != Err(std::sync::mpsc::RecvTimeoutError::Timeout);
            if self.shared.fault.get().is_none()
                && let Err(error) = self.shared.are_files_there()
            {
                self.shared.fail(&error);
            }
            if self.shared.fault.get().is_some_and(|_| !self.shared.is_ours()) {
                // What lies there now is another's, or nobody's, and is not to look like ours.
                return;
            }
            if is_over || marked.elapsed() >= MARK_INTERVAL {
                let late = marked.elapsed();
                marked = Instant::now();
                if let Err(error) = self.write() {
                    tracing::warn!(%error, ?late, "the MARK file could not be written");
                }
                if !is_over
                    && self.shared.has_garbage.load(Ordering::Relaxed)
                    && let Some(committer) = self.committer.upgrade()
                {
                    // A full queue has better things to do.
                    let _ = committer.try_send(Operation::Tick);
                }
            }
            if is_over {
                return;
            }
        }
    }

    /// Writes the watermark if the log has grown.
    fn write(&mut self) -> std::io::Result<()> {
        let (last, group) = {
            let index = self.shared.index();
            (index.last, index.group)
        };
        if last <= self.watermark.last && group <= self.watermark.group.max(self.watermark.opened) {
            return Ok(());
        }
        let watermark = Watermark { last, group, ..self.watermark.clone() };
        watermark.write(&self.shared.folder, self.shared.durability == Durability::Power)?;
        self.watermark = watermark;
        Ok(())
    }
}
