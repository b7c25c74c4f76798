//! Tasks that the run of another task has begun.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Refused, Task};
use crate::{
    Limits, TaskId, Timestamp,
    limits::{CHILD_BUDGET_SHARE, CHILD_NAME_LENGTH_MAX},
};

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

/// A task that a run begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewChild {
    /// What the run calls it.
    pub name: Arc<str>,
    /// The id that it is to have.
    pub task: TaskId,
    /// How much of its parent's budget it is given.
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
        self.children.iter().fold(budget, take)
    }

    /// The budget for one more child, if so much is left: as much as is asked for, or its share of what is left beside
    /// the child itself.
    /// `None` if there may be no more.
    pub fn child_budget(left: u32, asked: Option<u32>) -> Option<u32> {
        let left = left.checked_sub(1)?;
        Some(asked.unwrap_or(left / CHILD_BUDGET_SHARE).min(left))
    }

    /// One more child, beside those `begun` with it.
    pub(super) fn new_child(&self, new: NewChild, begun: &[Child], limits: &Limits) -> Result<Child, Refused> {
        let NewChild { name, task, budget } = new;
        if self.child(&name).is_some() || begun.iter().any(|child| child.name == name) {
            return Err(Refused::Present);
        }
        if name.len() > CHILD_NAME_LENGTH_MAX {
            return Err(Refused::Limit { what: "child_name_length_max", max: CHILD_NAME_LENGTH_MAX as u64 });
        }
        if self.children.len() + begun.len() >= limits.children_max {
            return Err(Refused::Limit { what: "children_max", max: limits.children_max as u64 });
        }
        let left = begun.iter().fold(self.budget_left(limits), take);
        if left <= budget {
            return Err(Refused::Limit { what: "descendants_max", max: u64::from(limits.descendants_max) });
        }
        Ok(Child { name, task, budget })
    }
}

/// What a child leaves of a budget.
fn take(left: u32, child: &Child) -> u32 {
    left.saturating_sub(child.budget.saturating_add(1))
}
