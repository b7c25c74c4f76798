//! A flow as it is configured: its text, and what is wrong with it.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_flow::finding::Finding;
use serde_json::Value;

/// A flow that is to be an agent.
#[derive(Clone, Debug)]
pub struct Flow {
    /// What its file is called, for people.
    pub file: String,
    /// The document.
    pub text: Arc<str>,
    /// The values of its secrets, by name.
    pub secrets: BTreeMap<String, Value>,
}

/// Why a document is no flow that can be run.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{} is no flow that can be run", .file)]
pub struct FlowFault {
    /// What its file is called.
    pub file: String,
    /// All that is wrong.
    pub findings: Vec<Finding>,
}
