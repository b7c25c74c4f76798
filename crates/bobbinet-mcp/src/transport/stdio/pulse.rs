//! Whether a server that has not answered yet is at work: what it writes, the processor time it uses, the processes it
//! starts. A first start through `npx` or `uvx` fetches packages for minutes, and says nothing meanwhile.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::Instant,
};

use super::procfs;

/// How often a server's processes are looked at while it starts.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Clock ticks of processor time from one look to the next that are a sign of life: 4 % of one processor, where a tick is
/// 10 ms. What only waits for its input uses less, its timers included.
const TICKS_MIN: u64 = 2;

/// The signs of life of a server that is starting. Shared by those who read from the server and the one who waits for it.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// Reads that brought something.
    reads: AtomicU64,
    last_sign: Mutex<Instant>,
    begun: Instant,
}

/// What a look at a server's processes shows.
#[derive(Debug, Default, PartialEq, Eq)]
struct ProcessSample {
    reads: u64,
    ticks: u64,
    pids: Vec<i32>,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { reads: AtomicU64::new(0), last_sign: Mutex::new(now), begun: now }
    }

    /// The server has written something.
    pub(crate) fn beat(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    fn last_sign(&self) -> MutexGuard<'_, Instant> {
        self.last_sign.lock().expect("nobody panics while holding a point in time")
    }

    /// Returns when there was no sign of life for `rest`, but at the latest `limit` after the start.
    pub(crate) async fn at_rest(&self, rest: Duration, limit: Duration) {
        loop {
            let until = (*self.last_sign() + rest).min(self.begun + limit);
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// Looks after the tree of the process `of`, and returns when it has shown no sign of life for `patience`, or has
    /// been starting for `limit`, with the words for it.
    pub(crate) async fn given_up(&self, of: i32, patience: Duration, limit: Duration) -> String {
        let mut before = ProcessSample::default();
        loop {
            let silent_for = self.last_sign().elapsed();
            if silent_for >= patience {
                return format!("it showed no sign of life for {patience:?}");
            }
            if self.begun.elapsed() >= limit {
                return format!("it was not ready within {limit:?}");
            }
            let left = (patience - silent_for).min(limit - self.begun.elapsed());
            tokio::time::sleep(LOOK_INTERVAL.min(left)).await;
            let look = self.look(of).await;
            if look.shows_life_since(&before) {
                *self.last_sign() = Instant::now();
            }
            before = look;
        }
    }

    async fn look(&self, of: i32) -> ProcessSample {
        let reads = self.reads.load(Ordering::Relaxed);
        let seen = tokio::task::spawn_blocking(move || {
            let all = procfs::all();
            let pids = procfs::descendants(of, &all);
            let ticks = all.iter().filter(|process| pids.contains(&process.pid)).map(|process| process.ticks).sum();
            (ticks, pids)
        });
        let (ticks, mut pids) = seen.await.unwrap_or_default();
        pids.sort_unstable();
        ProcessSample { reads, ticks, pids }
    }
}

impl ProcessSample {
    fn shows_life_since(&self, before: &Self) -> bool {
        self.reads != before.reads || self.pids != before.pids || self.ticks >= before.ticks + TICKS_MIN
    }
}

/// A pipe from the server that counts as life what comes through it.
#[derive(Debug)]
pub(crate) struct PulseReader<R> {
    reader: R,
    pulse: Arc<Pulse>,
}

impl<R> PulseReader<R> {
    pub(crate) fn new(reader: R, pulse: Arc<Pulse>) -> Self {
        Self { reader, pulse }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for PulseReader<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.reader).poll_read(cx, buffer));
        self.pulse.beat();
        Poll::Ready(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn life_is_what_is_written_used_or_started() {
        let idle = ProcessSample { reads: 3, ticks: 100, pids: vec![7] };
        let check = |reads, ticks, pids: &[i32], expected| {
            let look = ProcessSample { reads, ticks, pids: pids.to_vec() };
            assert_eq!(look.shows_life_since(&idle), expected, "{look:?}");
        };
        check(3, 100, &[7], false);
        check(3, 101, &[7], false);
        check(4, 100, &[7], true);
        check(3, 102, &[7], true);
        check(3, 100, &[7, 8], true);
        check(3, 0, &[], true);
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_writing_is_waited_for_up_to_the_limit() {
        let pulse = Arc::new(Pulse::new());
        let writes = async {
            loop {
                tokio::time::sleep(Duration::from_millis(900)).await;
                pulse.beat();
            }
        };
        let (patience, limit) = (Duration::from_secs(2), Duration::from_secs(30));
        // There is no such process: what is written is all that there is.
        let given_up = pulse.given_up(-1, patience, limit);
        let why = tokio::select! {
            biased;
            why = given_up => why,
            () = writes => String::new(),
        };
        assert_eq!((why.as_str(), pulse.begun.elapsed()), ("it was not ready within 30s", limit));

        let silent = Pulse::new();
        let why = silent.given_up(-1, patience, limit).await;
        assert_eq!((why.as_str(), silent.begun.elapsed()), ("it showed no sign of life for 2s", patience));
    }
}
