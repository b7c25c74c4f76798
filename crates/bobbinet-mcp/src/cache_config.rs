//! Which results are kept for later calls, by the operator's word.

use std::time::Duration;

/// Which results are kept for later calls, by the operator's word. What a server itself says of its resources counts beside it (`ttlMs` and
/// `cacheScope`, 2026-07-28).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// Whether what servers say of their resources counts.
    pub is_on: bool,
    /// The tools and prompts whose results are kept too. Only calls whose effect is read-only ever are.
    pub tools: CachedTools,
    /// For how long. Nothing is kept if it is zero, and equal calls that come at the same time are one all the same.
    pub ttl: Duration,
    /// Whether they are the same for all callers.
    pub is_public: bool,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { is_on: true, tools: CachedTools::None, ttl: Duration::ZERO, is_public: false }
    }
}

/// Of which tools results are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CachedTools {
    /// Of none.
    #[default]
    None,
    /// Of all whose effect is read-only.
    Reads,
    /// Of those among these whose effect is read-only.
    These(Vec<String>),
}
