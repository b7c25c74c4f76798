//! Work whose size a server or a caller chooses, away from the threads that serve everybody; and checks that may take long,
//! which nobody waits for without an end.

use std::{sync::Arc, time::Duration};

use bobbinet_core::Json;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use crate::schema::{Schema, Violation, Work};

/// How long a value's check is waited for. After that it counts as fitting, as one whose schema cannot be compiled does.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Checks of that kind at a time, in this process: one core at the most is theirs.
static PLACES: Semaphore = Semaphore::const_new(1);

/// Bytes of JSON that are read and written at once. More is some milliseconds of work.
const AT_ONCE_MAX: usize = 256 << 10;

/// Does work that grows with so many bytes, and no faster than they do.
pub(crate) async fn apart<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes <= AT_ONCE_MAX {
        return work();
    }
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(died) => match died.try_into_panic() {
            // As it would have at once.
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down, and this with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// What is wrong with a value, as far as that can be known in good time. Empty: nothing.
pub(crate) async fn check(schema: &Arc<Schema>, json: &Json) -> Vec<Violation> {
    if let Some(violations) = schema.check_light(json) {
        return violations;
    }
    let checked = match schema.work(json.as_str().len()) {
        Work::Light | Work::Heavy => timeout(WAIT_MAX, in_turn(schema.clone(), json.clone())).await.ok().flatten(),
        Work::TooMuch => None,
    };
    checked.unwrap_or_else(|| {
        tracing::debug!(
            bytes = json.as_str().len(),
            "a value was not checked against its schema: it would take too long"
        );
        Vec::new()
    })
}

async fn in_turn(schema: Arc<Schema>, json: Json) -> Option<Vec<Violation>> {
    let place = PLACES.acquire().await.ok()?;
    // The place is the thread's: whoever stops waiting does not make room for a second one.
    let work = spawn_blocking(move || {
        let violations = schema.check(&json.to_value());
        drop(place);
        violations
    });
    work.await.ok()
}

/// Runs what takes a moment if its work grows with its input, and hours if it grows faster.
#[cfg(test)]
pub(crate) fn in_good_time(work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        work();
        done.send(()).ok();
    });
    let waited = is_done.recv_timeout(Duration::from_secs(60));
    assert_ne!(waited, Err(std::sync::mpsc::RecvTimeoutError::Timeout), "the work grows faster than its input");
    thread.join().unwrap();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(value: &serde_json::Value) -> Arc<Schema> {
        Arc::new(Schema::new(Json::from(value), 256 << 10))
    }

    /// Patterns that take a backtracking engine minutes over a megabyte: the time is not looked at, but a test that hangs
    /// has failed.
    #[tokio::test]
    async fn no_pattern_of_a_server_costs_more_than_its_share() {
        let text = |length: usize| Json::of(&json!({ "t": "a".repeat(length) }));
        // The last one is left to an engine that goes back, and would for ever.
        let patterns =
            ["^(a+)+$", "(a|aa)+b", "^(?=(a+))(?:a|\\1)*b", "(.*)(.*)(.*)(.*)(.*)x", "^(?:a|aa|(?!x)aaa)+b$"];
        for pattern in patterns {
            let schema = schema(&json!({"properties": {"t": {"type": "string", "pattern": pattern}}}));
            assert_eq!(schema.unchecked, None, "{pattern}");
            for length in [10, 10_000, 1 << 20, 4 << 20] {
                let is_known = schema.work(length) == Work::Light;
                assert_eq!(schema.check_light(&text(length)).is_some(), is_known, "{pattern} {length}");
                check(&schema, &text(length)).await;
            }
        }
    }

    #[tokio::test]
    async fn what_is_heavy_is_checked_all_the_same() {
        let schema = schema(&json!({"properties": {"t": {"pattern": "^a+$"}, "n": {"type": "integer"}}}));
        let bad = Json::of(&json!({ "t": format!("{}b", "a".repeat(100_000)), "n": "x" }));
        assert_eq!(schema.check_light(&bad), None);
        let paths = check(&schema, &bad).await.into_iter().map(|it| it.path).collect::<Vec<_>>();
        assert_eq!(paths, ["/n", "/t"]);
        // And what would take too long is left to the server.
        let huge = Json::of(&json!({ "t": "b".repeat(2 << 20) }));
        assert_eq!((schema.work(huge.as_str().len()), check(&schema, &huge).await), (Work::TooMuch, Vec::new()));
        let small = Json::of(&json!({ "t": "b", "n": 1 }));
        assert_eq!(schema.check_light(&small).map(|it| it.len()), Some(1));
    }

    #[tokio::test]
    async fn what_is_much_work_leaves_the_thread_that_serves_everybody() {
        let here = std::thread::current().id();
        assert_eq!(apart(AT_ONCE_MAX, || std::thread::current().id()).await, here);
        assert_ne!(apart(AT_ONCE_MAX + 1, || std::thread::current().id()).await, here);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_check_without_an_end() {
        let schema = schema(&json!({"properties": {"t": {"pattern": "^a+$"}}}));
        let bad = Json::of(&json!({ "t": "b".repeat(100_000) }));
        let begun = tokio::time::Instant::now();
        // Another check takes its time.
        let place = PLACES.acquire().await.unwrap();
        assert_eq!(check(&schema, &bad).await, []);
        drop(place);
        assert_eq!(begun.elapsed(), WAIT_MAX);
    }
}
