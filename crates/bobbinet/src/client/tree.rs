//! Tasks and what their runs have begun, as a tree: `bobbinet task show` and `bobbinet task list --tree`.

use std::collections::BTreeSet;

use serde_json::Value;

/// A tree's lines, columns in one another's place: what the parent calls it, the agent and its skill, the state, how long, the id.
pub(super) fn lines(tasks: &[Value]) -> Vec<String> {
    let mut rows = Vec::new();
    for (place, task) in tasks.iter().enumerate() {
        add(&mut rows, task, "", Stem::of(place, tasks.len()));
    }
    aligned(&rows)
}

/// The same, of tasks that nothing in the tree has begun.
pub(super) fn lines_of_roots(tasks: &[Value]) -> Vec<String> {
    let mut rows = Vec::new();
    tasks.iter().for_each(|task| add(&mut rows, task, "", Stem::None));
    aligned(&rows)
}

/// The ids of all tasks beneath these.
pub(super) fn beneath(tasks: &[Value]) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut next: Vec<&Value> = tasks.iter().flat_map(children).collect();
    while let Some(task) = next.pop() {
        ids.extend(task["id"].as_str().map(str::to_owned));
        next.extend(children(task));
    }
    ids
}

fn children(task: &Value) -> impl Iterator<Item = &Value> {
    task["children"].as_array().into_iter().flatten()
}

/// What stands before a task's name.
#[derive(Clone, Copy, Debug)]
enum Stem {
    None,
    Middle,
    Last,
}

impl Stem {
    fn of(place: usize, count: usize) -> Self {
        if place + 1 == count { Self::Last } else { Self::Middle }
    }

    fn own(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Middle => "├─ ",
            Self::Last => "└─ ",
        }
    }

    fn beneath(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Middle => "│  ",
            Self::Last => "   ",
        }
    }
}

const COLUMNS: usize = 5;

type Row = [String; COLUMNS];

fn add(rows: &mut Vec<Row>, task: &Value, before: &str, stem: Stem) {
    let word = |name: &str| task[name].as_str().map(str::to_owned);
    let agent = word("agent").unwrap_or_else(|| "-".to_owned());
    let called = word("skill").map_or_else(|| agent.clone(), |skill| format!("{agent}.{skill}"));
    let name = word("name").unwrap_or_else(|| agent.clone());
    rows.push([
        format!("{before}{}{name}", stem.own()),
        called,
        word("state").unwrap_or_else(|| "not there".to_owned()),
        task["millis"].as_u64().map(time).unwrap_or_default(),
        word("id").unwrap_or_default(),
    ]);
    let before = format!("{before}{}", stem.beneath());
    let left_out = task["childrenLeftOut"].as_u64().filter(|count| *count > 0);
    let count = children(task).count() + usize::from(left_out.is_some());
    for (place, child) in children(task).enumerate() {
        add(rows, child, &before, Stem::of(place, count));
    }
    if let Some(left_out) = left_out {
        let text = format!("{before}{}and {left_out} more", Stem::Last.own());
        rows.push([text, String::new(), String::new(), String::new(), String::new()]);
    }
}

fn time(millis: u64) -> String {
    let (seconds, rest) = (millis / 1_000, millis % 1_000);
    match seconds {
        0..60 => format!("{seconds}.{:02} s", rest / 10),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
    }
}

fn aligned(rows: &[Row]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let line = |row: &Row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tree_is_drawn_with_its_columns_below_one_another() {
        let leaf = |name: &str, id: &str| {
            json!({ "name": name, "id": id, "agent": "files", "skill": "read", "state": "completed", "millis": 1_234,
                    "children": [], "childrenLeftOut": 0 })
        };
        let inner = json!({ "name": "2 inner", "id": "b", "agent": "inner", "skill": null, "state": "working",
            "millis": 61_000, "children": [leaf("1 one", "c")], "childrenLeftOut": 7 });
        let lost = json!({ "name": "3 lost", "id": "d", "state": null, "children": [], "childrenLeftOut": 0 });
        let expected = [
            "├─ 1 read         files.read  completed  1.23 s      a",
            "├─ 2 inner        inner       working    1 min 01 s  b",
            "│  ├─ 1 one       files.read  completed  1.23 s      c",
            "│  └─ and 7 more",
            "└─ 3 lost         -           not there              d",
        ];
        let tasks = [leaf("1 read", "a"), inner, lost];
        assert_eq!(lines(&tasks), expected);
        assert_eq!(beneath(&tasks), BTreeSet::from(["c".to_owned()]));
        let root = json!({ "id": "r", "agent": "top", "state": "completed", "millis": 3_660_000,
            "children": [leaf("1 x", "y")], "childrenLeftOut": 0 });
        assert_eq!(
            lines_of_roots(&[root]),
            ["top     top         completed  1 h 01 min  r", "└─ 1 x  files.read  completed  1.23 s      y",]
        );
    }
}
