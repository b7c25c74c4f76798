//! Whose something is that is not everybody's: a session, or what was read.

use bobbinet_core::Task;
use sha2::{Digest, Sha256};

use crate::sharing::SessionScope;

/// Whose it is, as a hash: of the tenant and the owner always, so that no two of them ever share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScopeId([u8; 32]);

impl ScopeId {
    /// The scope that the calls of this task are made in. `None`: that of all.
    pub(crate) fn of(scope: SessionScope, task: &Task) -> Option<Self> {
        let last = match scope {
            SessionScope::Shared => return None,
            SessionScope::PerCaller => String::new(),
            SessionScope::PerContext => task.context.to_string(),
            SessionScope::PerTask => task.id.to_string(),
        };
        let mut hash = Sha256::new();
        for part in [task.tenant.as_str(), task.owner.as_str(), last.as_str()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Some(Self(hash.finalize().into()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
