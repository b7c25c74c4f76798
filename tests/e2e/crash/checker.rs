//! What must hold after any number of crashes: a pure function over what the clients, the subscribers and the tools
//! saw. It knows nothing of how the node works, and is itself tested with planted faults.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A tool of the ledger server, one of each effect class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tool {
    Look,
    Set,
    Put,
    Post,
}

impl Tool {
    pub(crate) const ALL: [Self; 4] = [Self::Look, Self::Set, Self::Put, Self::Post];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Set => "set",
            Self::Put => "put",
            Self::Post => "post",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }
}

/// A task that a client was told of: an acknowledgement.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) task: String,
    pub(crate) tool: Tool,
    /// The `id` argument: the client's own name for what is to be done once.
    pub(crate) work: String,
}

/// One execution of a tool, as the tool itself wrote it down.
#[derive(Clone, Debug)]
pub(crate) struct Execution {
    pub(crate) tool: Tool,
    pub(crate) work: String,
}

/// What one subscriber was told of one task, over all its connections: generation and state, in the order of arrival.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) task: String,
    pub(crate) events: Vec<(u64, Option<String>)>,
}

/// Everything that is known after the last start, when the node has had its thirty seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// State of each task, by id, as the node says now.
    pub(crate) tasks: BTreeMap<String, String>,
    pub(crate) executions: Vec<Execution>,
    pub(crate) heard: Vec<Heard>,
    pub(crate) kills: usize,
    pub(crate) max_concurrency: usize,
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    Lost { task: String },
    Unsettled { task: String, state: String },
    Failed { task: String, tool: Tool, state: String },
    NotExecuted { task: String, tool: Tool },
    ExecutedTwice { work: String, tool: Tool, times: usize },
    Gap { task: String, after: u64, then: u64 },
    Repeated { task: String, generation: u64 },
    Disagree { task: String, generation: u64 },
    TwoEnds { task: String },
    TooManyQuestions { questions: usize, bound: usize },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// All promises that were not kept, in some order.
pub(crate) fn check(history: &History) -> BTreeSet<Violation> {
    let mut found = BTreeSet::new();
    let mut executions: BTreeMap<(&str, Tool), usize> = BTreeMap::new();
    for execution in &history.executions {
        *executions.entry((&execution.work, execution.tool)).or_default() += 1;
    }
    for ((work, tool), times) in &executions {
        let may_repeat = matches!(tool, Tool::Look | Tool::Set);
        if *times > 1 && !may_repeat {
            found.insert(Violation::ExecutedTwice { work: (*work).to_owned(), tool: *tool, times: *times });
        }
    }
    let mut questions = 0;
    for acknowledged in &history.acknowledged {
        let Acknowledged { task, tool, work } = acknowledged;
        let Some(state) = history.tasks.get(task) else {
            found.insert(Violation::Lost { task: task.clone() });
            continue;
        };
        let times = executions.get(&(work.as_str(), *tool)).copied().unwrap_or(0);
        match state.as_str() {
            "TASK_STATE_COMPLETED" if times == 0 => {
                found.insert(Violation::NotExecuted { task: task.clone(), tool: *tool });
            }
            "TASK_STATE_COMPLETED" => {}
            "TASK_STATE_INPUT_REQUIRED" if *tool == Tool::Post => questions += 1,
            "TASK_STATE_SUBMITTED" | "TASK_STATE_WORKING" => {
                found.insert(Violation::Unsettled { task: task.clone(), state: state.clone() });
            }
            other => {
                found.insert(Violation::Failed { task: task.clone(), tool: *tool, state: other.to_owned() });
            }
        }
    }
    let bound = history.kills * history.max_concurrency;
    if questions > bound {
        found.insert(Violation::TooManyQuestions { questions, bound });
    }
    check_streams(&history.heard, &mut found);
    found
}

fn check_streams(heard: &[Heard], found: &mut BTreeSet<Violation>) {
    let mut told: BTreeMap<(&str, u64), &Option<String>> = BTreeMap::new();
    for Heard { task, events } in heard {
        let mut last = 0;
        let mut ends = 0;
        for (generation, state) in events {
            if *generation <= last {
                found.insert(Violation::Repeated { task: task.clone(), generation: *generation });
            } else if *generation != last + 1 {
                found.insert(Violation::Gap { task: task.clone(), after: last, then: *generation });
            }
            last = last.max(*generation);
            let is_end = state.as_deref().is_some_and(|state| {
                ["TASK_STATE_COMPLETED", "TASK_STATE_FAILED", "TASK_STATE_CANCELED", "TASK_STATE_REJECTED"]
                    .contains(&state)
            });
            ends += usize::from(is_end);
            if *told.entry((task, *generation)).or_insert(state) != state {
                found.insert(Violation::Disagree { task: task.clone(), generation: *generation });
            }
        }
        if ends > 1 {
            found.insert(Violation::TwoEnds { task: task.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> History {
        let acknowledged =
            |task: &str, tool, work: &str| Acknowledged { task: task.to_owned(), tool, work: work.to_owned() };
        let executed = |tool, work: &str| Execution { tool, work: work.to_owned() };
        let state = |state: &str| Some(format!("TASK_STATE_{state}"));
        let stream = vec![(1, state("SUBMITTED")), (2, state("WORKING")), (3, None), (4, state("COMPLETED"))];
        let tasks = [
            ("t1", "COMPLETED"),
            ("t2", "COMPLETED"),
            ("t3", "COMPLETED"),
            ("t4", "COMPLETED"),
            ("t5", "INPUT_REQUIRED"),
        ];
        History {
            acknowledged: vec![
                acknowledged("t1", Tool::Look, "a"),
                acknowledged("t2", Tool::Set, "b"),
                acknowledged("t3", Tool::Put, "c"),
                acknowledged("t4", Tool::Post, "d"),
                acknowledged("t5", Tool::Post, "e"),
            ],
            tasks: tasks.iter().map(|(id, state)| ((*id).to_owned(), format!("TASK_STATE_{state}"))).collect(),
            executions: vec![
                executed(Tool::Look, "a"),
                executed(Tool::Look, "a"),
                executed(Tool::Set, "b"),
                executed(Tool::Put, "c"),
                executed(Tool::Post, "d"),
            ],
            heard: vec![
                Heard { task: "t1".to_owned(), events: stream.clone() },
                Heard { task: "t1".to_owned(), events: stream },
            ],
            kills: 1,
            max_concurrency: 1,
        }
    }

    fn violations(plant: impl FnOnce(&mut History)) -> Vec<String> {
        let mut history = sound();
        plant(&mut history);
        check(&history).iter().map(|violation| format!("{violation:?}").split(' ').next().unwrap().to_owned()).collect()
    }

    fn set(history: &mut History, task: &str, state: &str) {
        history.tasks.insert(task.to_owned(), format!("TASK_STATE_{state}"));
    }

    #[test]
    fn a_sound_history_passes_and_each_planted_fault_is_named() {
        assert_eq!(violations(|_| {}), Vec::<String>::new());
        assert_eq!(violations(|h| drop(h.tasks.remove("t2"))), ["Lost"]);
        assert_eq!(violations(|h| set(h, "t2", "WORKING")), ["Unsettled"]);
        assert_eq!(violations(|h| set(h, "t3", "SUBMITTED")), ["Unsettled"]);
        assert_eq!(violations(|h| set(h, "t1", "FAILED")), ["Failed"]);
        assert_eq!(violations(|h| set(h, "t3", "INPUT_REQUIRED")), ["Failed"]);
        assert_eq!(violations(|h| drop(h.executions.remove(2))), ["NotExecuted"]);
        assert_eq!(violations(|h| drop(h.executions.pop())), ["NotExecuted"]);
        assert_eq!(violations(|h| h.executions.push(h.executions[3].clone())), ["ExecutedTwice"]);
        assert_eq!(violations(|h| h.executions.push(h.executions[4].clone())), ["ExecutedTwice"]);
        assert_eq!(violations(|h| drop(h.heard[0].events.remove(1))), ["Gap"]);
        assert_eq!(violations(|h| drop(h.heard[0].events.remove(0))), ["Gap"]);
        assert_eq!(
            violations(|h| h.heard[0].events.insert(1, (1, Some("TASK_STATE_SUBMITTED".to_owned())))),
            ["Repeated"]
        );
        assert_eq!(violations(|h| h.heard[0].events.swap(1, 2)), ["Gap", "Repeated"]);
        assert_eq!(violations(|h| h.heard[1].events[1].1 = None), ["Disagree"]);
        assert_eq!(violations(|h| h.heard[0].events.push((5, Some("TASK_STATE_FAILED".to_owned())))), ["TwoEnds"]);
        assert_eq!(violations(|h| h.kills = 0), ["TooManyQuestions"]);
    }
}
