//! Which events a step waits for, for whoever is to bring them.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::record::{Effect, Id};
use crate::document::{Filter, Kind, Match, Strategy, Task, Until};

/// What makes events known that this step waits for.
pub(super) fn listen_effect(listen: Id, task: &Task) -> Option<Effect> {
    let Kind::Listen(what) = &task.kind else { return None };
    let mut all = filters(&what.to);
    let is_everything = matches!(&what.to, Strategy::Any(filters, _) if filters.is_empty());
    if let Strategy::Any(_, Some(Until::Events(until))) = &what.to {
        all.extend(filters(until));
    }
    let known = |filter: &&Filter| -> BTreeMap<String, Json> {
        let fixed = filter.with.iter().filter_map(|(name, must)| match must {
            Match::Equal(value) => Some((name.clone(), value.clone())),
            Match::Pattern(..) | Match::Computed(_) => None,
        });
        fixed.collect()
    };
    let filters = if is_everything { Vec::new() } else { all.iter().map(known).collect() };
    Some(Effect::Listen { listen, pointer: task.pointer.clone(), filters })
}

pub(super) fn filters(strategy: &Strategy) -> Vec<&Filter> {
    match strategy {
        Strategy::All(filters) | Strategy::Any(filters, _) => filters.iter().collect(),
        Strategy::One(filter) => vec![filter],
    }
}
