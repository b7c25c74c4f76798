//! Tasks that the run of another task has begun.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Refused, Task};
use crate::{Limits, TaskId, Timestamp, limits::CHILD_NAME_LENGTH_MAX};

/// Whose child a task is, and what it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The task whose run began it.
    pub task: TaskId,
    /// By when it must have ended: no later than its parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// How many tasks may be begun beneath it, in all.
    pub budget: u32,
}

/// A task that a run has begun, or is about to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// What its parent calls it: the same name is the same child, however often the run begins anew.
    pub name: Arc<str>,
    /// Its id.
    pub task: TaskId,
    /// How much of its parent's budget it was given.
    pub budget: u32,
}

impl Task {
    /// By when it must have ended, if its parent must.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.parent.as_ref()?.deadline
    }

    /// The child of this name, begun or about to be.
    pub fn child(&self, name: &str) -> Option<&Child> {
        self.children.iter().find(|child| *child.name == *name)
    }

    /// How many tasks may still be begun beneath it, in all.
    pub fn budget_left(&self, limits: &Limits) -> u32 {
        let budget = self.parent.as_ref().map_or(limits.descendants_max, |parent| parent.budget);
        let taken = |left: u32, child: &Child| left.saturating_sub(child.budget.saturating_add(1));
        self.children.iter().fold(budget, taken)
    }

    /// One more child, with a part of what is left of the budget: as much as is asked for, or half.
    pub(super) fn new_child(
        &self,
        name: Arc<str>,
        task: TaskId,
        asked: Option<u32>,
        limits: &Limits,
    ) -> Result<Child, Refused> {
        if self.child(&name).is_some() {
            return Err(Refused::Present);
        }
        if name.len() > CHILD_NAME_LENGTH_MAX {
            return Err(Refused::Limit { what: "child_name_length_max", max: CHILD_NAME_LENGTH_MAX as u64 });
        }
        if self.children.len() >= limits.children_max {
            return Err(Refused::Limit { what: "children_max", max: limits.children_max as u64 });
        }
        let Some(left) = self.budget_left(limits).checked_sub(1) else {
            return Err(Refused::Limit { what: "descendants_max", max: u64::from(limits.descendants_max) });
        };
        Ok(Child { name, task, budget: asked.unwrap_or(left / 2).min(left) })
    }
}
