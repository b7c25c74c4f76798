//! What all runs of a flow share.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bobbinet_flow::{document::Definition, limits::Limits};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{FlowLimits, definition::DefinitionId, flow::Flow, mesh::Mesh};

/// Definitions of earlier runs that are kept ready.
const EARLIER_MAX: usize = 8;

/// What all runs of a flow share.
pub(crate) struct Shared {
    pub(crate) id: DefinitionId,
    pub(crate) text: Arc<str>,
    pub(crate) definition: Arc<Definition>,
    pub(crate) secrets: Arc<BTreeMap<String, Value>>,
    pub(crate) runtime: Arc<Value>,
    pub(crate) mesh: Arc<Mesh>,
    pub(crate) limits: FlowLimits,
    pub(crate) run_limits: Limits,
    /// Whether it came in a message.
    pub(crate) is_of_message: bool,
    /// That the definition is in the store.
    pub(crate) kept: OnceCell<()>,
    earlier: Mutex<BTreeMap<DefinitionId, Arc<Definition>>>,
}

impl Shared {
    pub(crate) fn new(
        flow: Flow,
        definition: Arc<Definition>,
        mesh: Arc<Mesh>,
        limits: FlowLimits,
        run_limits: Limits,
    ) -> Self {
        let runtime = json!({ "name": "bobbinet", "version": env!("CARGO_PKG_VERSION"), "metadata": {} });
        Self {
            id: DefinitionId::of(&flow.text),
            text: flow.text,
            definition,
            secrets: Arc::new(flow.secrets),
            runtime: Arc::new(runtime),
            mesh,
            limits,
            run_limits,
            is_of_message: false,
            kept: OnceCell::new(),
            earlier: Mutex::default(),
        }
    }

    /// The same of a flow that came in a message: its text stands there, and what it computes is done apart.
    pub(crate) fn of_a_message(self) -> Self {
        Self { kept: OnceCell::new_with(Some(())), is_of_message: true, ..self }
    }

    /// The definition of an earlier run, if it is ready.
    pub(crate) fn earlier(&self, id: DefinitionId) -> Option<Arc<Definition>> {
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    pub(crate) fn remember(&self, id: DefinitionId, definition: Arc<Definition>) {
        let mut earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        if earlier.len() >= EARLIER_MAX {
            earlier.pop_first();
        }
        earlier.insert(id, definition);
    }
}
