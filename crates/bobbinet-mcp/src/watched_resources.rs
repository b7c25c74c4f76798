//! The resources of one session that somebody follows: each is subscribed to once, however many follow it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::Notify;

/// Resources that are followed at a time in one session.
const WATCHED_MAX: usize = 256;

/// Who follows what, and what has changed.
#[derive(Debug, Default)]
pub(crate) struct WatchedResources {
    state: Mutex<BTreeMap<String, Watched>>,
    /// Whether there is something to follow that was not followed before, or the other way round.
    changed: Notify,
}

/// A resource that somebody follows.
#[derive(Debug, Default)]
struct Watched {
    followers: usize,
    /// How often it has changed, or may have.
    updates: u64,
    bell: Arc<Notify>,
}

impl WatchedResources {
    fn state(&self) -> MutexGuard<'_, BTreeMap<String, Watched>> {
        self.state.lock().expect("nobody panics while counting who follows what")
    }

    /// Follows a resource for as long as this is kept. `None`: too many are followed.
    pub(crate) fn watch(self: &Arc<Self>, uri: &str) -> Option<Watch> {
        let mut state = self.state();
        if state.len() >= WATCHED_MAX && !state.contains_key(uri) {
            return None;
        }
        let watched = state.entry(uri.to_owned()).or_default();
        watched.followers += 1;
        let (seen, bell) = (watched.updates, watched.bell.clone());
        let is_new = watched.followers == 1;
        drop(state);
        if is_new {
            self.changed.notify_one();
        }
        Some(Watch { resources: self.clone(), uri: uri.to_owned(), seen, bell })
    }

    /// What is followed.
    pub(crate) fn uris(&self) -> BTreeSet<String> {
        self.state().keys().cloned().collect()
    }

    /// Returns when that has changed. Many times are one time.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A resource has changed, or may have.
    pub(crate) fn updated(&self, uri: &str) {
        if let Some(watched) = self.state().get_mut(uri) {
            watched.updates += 1;
            watched.bell.notify_waiters();
        }
    }
}

/// Somebody follows a resource. Dropped, he does not any more.
#[derive(Debug)]
pub(crate) struct Watch {
    resources: Arc<WatchedResources>,
    uri: String,
    seen: u64,
    bell: Arc<Notify>,
}

impl Watch {
    /// Returns when the resource has changed since this returned last. Many times are one time.
    pub(crate) async fn updated(&mut self) {
        loop {
            let rung = self.bell.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            let updates = self.resources.state().get(&self.uri).map_or(self.seen, |watched| watched.updates);
            if updates != self.seen {
                self.seen = updates;
                return;
            }
            rung.await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.resources.state();
        let Some(watched) = state.get_mut(&self.uri) else { return };
        watched.followers -= 1;
        if watched.followers == 0 {
            state.remove(&self.uri);
            drop(state);
            self.resources.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_follows_hears_of_it_and_nobody_else() {
        let resources = Arc::new(WatchedResources::default());
        let hears = async |watch: &mut Watch| timeout(Duration::from_secs(1), watch.updated()).await.is_ok();
        let [mut ann, mut eve] = [(); 2].map(|()| resources.watch("a").unwrap());
        let mut bob = resources.watch("b").unwrap();
        resources.updated("a");
        resources.updated("a");
        assert!(hears(&mut ann).await && hears(&mut eve).await && !hears(&mut bob).await);
        assert!(!hears(&mut ann).await, "two changes that nobody has looked at yet are one");
        drop(ann);
        assert_eq!(resources.uris().len(), 2, "somebody else follows it still");
        drop(eve);
        assert_eq!(resources.uris().into_iter().collect::<Vec<_>>(), ["b"]);
        assert!(
            (0..WATCHED_MAX - 1)
                .map(|number| resources.watch(&format!("{number}")))
                .collect::<Vec<_>>()
                .iter()
                .all(Option::is_some)
        );
    }
}
