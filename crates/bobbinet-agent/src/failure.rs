//! Why a task was not done.

use bobbinet_core::{Fault, Outcome, Refused};
use bobbinet_engine::{EngineError, Unanswered};

/// Why a task was not done. Any error becomes one by `?`: its caller reads that the agent failed, the log has why.
#[derive(Debug)]
pub struct Failure(Kind);

#[derive(Debug)]
enum Kind {
    Failed(Fault),
    Rejected(Fault),
    Unknown(Fault),
    /// A question was not answered in time. It stays, and an answer begins the run anew.
    Unanswered,
}

impl Failure {
    /// It was not done, for this reason, which the caller reads.
    pub fn failed(why: impl Into<String>) -> Self {
        Self(Kind::Failed(Fault::new("failed", why)))
    }

    /// It is not for this agent to do: the task is rejected.
    pub fn rejected(why: impl Into<String>) -> Self {
        Self(Kind::Rejected(Fault::new("rejected", why)))
    }

    /// Nobody can know whether it was done. If it may run again it is tried again, a few times; else the caller is asked.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self(Kind::Unknown(Fault::new("unknown", why)))
    }

    /// With another word for programs than `failed`, `rejected` or `unknown`: it stands as `code` in the status message's data.
    #[must_use]
    pub fn with_code(mut self, code: &'static str) -> Self {
        match &mut self.0 {
            Kind::Failed(fault) | Kind::Rejected(fault) | Kind::Unknown(fault) => fault.code = code,
            Kind::Unanswered => {}
        }
        self
    }

    /// The run has no task any more: what it says is for its record at most.
    pub(crate) fn over() -> Self {
        Self::failed("the task was over before its run was").with_code("over")
    }

    pub(crate) fn into_outcome(self) -> Outcome {
        match self.0 {
            Kind::Failed(fault) => Outcome::Failed(fault),
            Kind::Rejected(fault) => Outcome::Rejected(fault),
            Kind::Unknown(fault) => Outcome::Unknown { fault, again: true },
            Kind::Unanswered => Outcome::Declined,
        }
    }

    /// What the engine said when the run wanted something kept.
    pub(crate) fn of_engine(error: EngineError) -> Self {
        match error {
            EngineError::Refused(refused @ Refused::Limit { .. }) => {
                Self::failed(format!("the task has grown to its limit: {refused}")).with_code("too-large")
            }
            EngineError::Refused(Refused::Ended | Refused::Fenced | Refused::Absent) | EngineError::Draining => {
                Self::over()
            }
            error @ (EngineError::Refused(_)
            | EngineError::NotFound
            | EngineError::ContextMismatch
            | EngineError::IdempotencyConflict
            | EngineError::Limit { .. }
            | EngineError::BadPageToken
            | EngineError::Unavailable(_)
            | EngineError::Corrupt(_)
            | EngineError::UnknownAgent
            | EngineError::Repeated(_)) => error.into(),
        }
    }

    pub(crate) fn of_unanswered(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Expired => Self(Kind::Unanswered),
            Unanswered::Over => Self::over(),
            Unanswered::NotAsked(error) => Self::of_engine(error),
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut why = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            why = format!("{why}: {error}");
            cause = error.source();
        }
        tracing::error!(error = why, "the agent failed");
        Self::failed("the agent failed inside").with_code("internal")
    }
}
