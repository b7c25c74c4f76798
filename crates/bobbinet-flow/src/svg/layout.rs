//! Where everything is. Lengths are whole units, so that the picture is the same everywhere.

use std::collections::BTreeMap;

use crate::{
    document::{Definition, Kind, ListId, Task, TaskId, Then},
    labels,
};

/// Between two steps of a list.
pub(super) const GAP: i32 = 30;
/// The same where a word stands beside the arrow.
const GAP_WITH_LABEL: i32 = 44;
/// Between a frame and what is in it.
const PADDING: i32 = 16;
/// Between parts that stand side by side.
const ASIDE: i32 = 24;
/// What a loop's way back takes, on its left.
pub(super) const BACK: i32 = 22;
/// Between two lanes.
const LANE: i32 = 14;
/// Between two lines that begin or end at the same side of a box.
const PORT: i32 = 18;
/// A line of text.
pub(super) const LINE: i32 = 17;
const BOX_WIDTH_MIN: i32 = 120;
/// The circles at which a flow begins and ends.
pub(super) const CIRCLE: i32 = 9;
/// Characters of a line; the whole of it is shown to whoever points at it.
const LINE_MAX: usize = 44;
/// Characters of the word at a line.
const WORD_MAX: usize = 24;

/// A step, and what is in it.
pub(super) struct Piece {
    pub(super) id: TaskId,
    pub(super) lines: Vec<String>,
    pub(super) width: i32,
    pub(super) height: i32,
    /// What is in it, side by side.
    pub(super) parts: Vec<Part>,
}

/// A list of steps within a step.
pub(super) struct Part {
    /// What it is called, if it has a frame of its own.
    pub(super) title: Option<&'static str>,
    /// Whether it is gone through again and again.
    pub(super) is_loop: bool,
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) column: Column,
}

/// Steps below one another.
pub(super) struct Column {
    pub(super) rows: Vec<Row>,
    /// From one row to the next, with the words at it.
    pub(super) downs: Vec<Down>,
    pub(super) lanes: Vec<Lane>,
    /// Where the arrows run.
    pub(super) axis: i32,
    /// Where it ends: the middle of its circle, if it has one.
    pub(super) end: Option<i32>,
    pub(super) width: i32,
    pub(super) height: i32,
}

pub(super) struct Row {
    pub(super) y: i32,
    pub(super) piece: Piece,
}

/// An arrow from a row to the one below it, or to the end.
pub(super) struct Down {
    pub(super) from: usize,
    pub(super) label: String,
}

/// A line that leaves a row on its right.
pub(super) struct Lane {
    pub(super) from: usize,
    pub(super) to: Goal,
    pub(super) label: String,
    pub(super) x: i32,
    /// Where it begins and ends, from the column's top.
    pub(super) from_y: i32,
    pub(super) to_y: i32,
}

/// Where a line leads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// To a row of the same list.
    Row(usize),
    /// To the end of the list.
    Exit,
    /// To the end of the run, from within a step: it ends in a circle of its own.
    End,
}

/// The whole flow.
pub(super) fn layout(definition: &Definition) -> Column {
    column(definition, definition.main, true)
}

/// The place that a text takes, roughly: nobody here knows the font.
fn width_of(text: &str) -> i32 {
    let units = text.chars().map(|c| if c < '\u{2e80}' { 15 } else { 28 }).sum::<i32>();
    units / 2
}

fn shortened(text: &str, max: usize) -> String {
    // Places, not characters: what is twice as wide counts twice.
    let mut room = max;
    for (at, c) in text.char_indices() {
        let wide = if c < '\u{2e80}' { 1 } else { 2 };
        if room < wide {
            return format!("{}…", &text[..at]);
        }
        room -= wide;
    }
    text.to_owned()
}

fn column(definition: &Definition, list: ListId, is_main: bool) -> Column {
    let tasks = definition.list(list);
    let place: BTreeMap<TaskId, usize> = tasks.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let (downs, mut lanes) = lines(definition, tasks, &place, is_main);
    let mut ports = vec![0_i32; tasks.len()];
    for lane in &lanes {
        ports[lane.from] += 1;
        if let Goal::Row(to) = lane.to {
            ports[to] += 1;
        }
    }
    let pieces: Vec<Piece> = tasks.iter().zip(&ports).map(|(id, ports)| piece(definition, *id, *ports)).collect();
    let axis = pieces.iter().map(|piece| piece.width / 2).max().unwrap_or(0);
    let mut y = if is_main { 2 * CIRCLE + GAP } else { GAP };
    let mut rows = Vec::new();
    for (at, piece) in pieces.into_iter().enumerate() {
        let height = piece.height;
        rows.push(Row { y, piece });
        let has_label = downs.iter().any(|down| down.from == at && !down.label.is_empty());
        y += height + if has_label { GAP_WITH_LABEL } else { GAP };
    }
    let has_end = is_main || lanes.iter().any(|lane| lane.to == Goal::Exit);
    let end = has_end.then_some(y + CIRCLE);
    let height = if has_end { y + 2 * CIRCLE } else { y - GAP };
    let boxes = rows.iter().map(|row| axis + row.piece.width / 2).max().unwrap_or(0);
    place_lanes(&mut lanes, &rows, axis, boxes, end.unwrap_or(height));
    let far = lanes.iter().map(|lane| lane.x + if lane.to == Goal::End { 40 } else { 4 }).max().unwrap_or(0);
    // Words at the arrows hang to the right of them.
    let words = downs.iter().map(|down| axis + 8 + width_of(&down.label)).max().unwrap_or(0);
    let width = boxes.max(far).max(words);
    Column { rows, downs, lanes, axis, end, width, height }
}

/// What leads where: to the step below by an arrow, anywhere else by a lane.
fn lines(
    definition: &Definition,
    tasks: &[TaskId],
    place: &BTreeMap<TaskId, usize>,
    is_main: bool,
) -> (Vec<Down>, Vec<Lane>) {
    let (mut downs, mut lanes) = (Vec::new(), Vec::new());
    for (from, id) in tasks.iter().enumerate() {
        let task = definition.task(*id);
        let is_last = from + 1 == tasks.len();
        let mut below: Option<Vec<&str>> = None;
        for (then, label) in ways(task) {
            let goal = match then {
                Then::Continue => None,
                Then::Exit if is_last => None,
                Then::End if is_last && is_main => None,
                Then::End if is_main => Some(Goal::Exit),
                Then::Exit => Some(Goal::Exit),
                Then::End => Some(Goal::End),
                Then::Go { to, .. } => to.and_then(|to| place.get(&to)).map(|to| Goal::Row(*to)),
            };
            match goal {
                Some(Goal::Row(to)) if to == from + 1 => below.get_or_insert_default().push(label),
                Some(to) => {
                    let label = shortened(label, WORD_MAX);
                    lanes.push(Lane { from, to, label, x: 0, from_y: 0, to_y: 0 });
                }
                None => below.get_or_insert_default().push(label),
            }
        }
        if let Some(labels) = below {
            let labels: Vec<&str> = labels.into_iter().filter(|label| !label.is_empty()).collect();
            downs.push(Down { from, label: shortened(&labels.join(", "), 2 * WORD_MAX) });
        }
    }
    (downs, lanes)
}

/// Each way on from a step, with the word at it.
fn ways(task: &Task) -> Vec<(&Then, &str)> {
    let mut ways = match &task.kind {
        Kind::Switch(cases) => {
            let mut ways: Vec<(&Then, &str)> = cases.iter().map(|case| (&case.then, case.name.as_str())).collect();
            if !cases.iter().any(|case| case.when.is_none()) {
                ways.push((&task.then, "else"));
            }
            ways
        }
        Kind::Raise(_) => Vec::new(),
        Kind::Try { catch, .. } => {
            let caught = catch.then.as_ref().filter(|then| **then != task.then);
            let mut ways = vec![(&task.then, "")];
            ways.extend(caught.map(|then| (then, "caught")));
            ways
        }
        Kind::Do(_)
        | Kind::Set(_)
        | Kind::For(_)
        | Kind::Fork { .. }
        | Kind::Wait(_)
        | Kind::Emit(_)
        | Kind::Listen(_)
        | Kind::Call(_) => vec![(&task.then, "")],
    };
    // One that is skipped goes on to the next, whatever its then says.
    if task.condition.is_some() && !ways.iter().any(|(then, _)| **then == Then::Continue) {
        ways.push((&Then::Continue, "skipped"));
    }
    ways
}

/// Gives each lane its place: the shortest are the nearest, and no two that meet share one.
fn place_lanes(lanes: &mut [Lane], rows: &[Row], axis: i32, boxes: i32, end: i32) {
    let mut used = vec![0_i32; rows.len()];
    let mut counts = vec![0_i32; rows.len()];
    for lane in lanes.iter() {
        counts[lane.from] += 1;
        if let Goal::Row(to) = lane.to {
            counts[to] += 1;
        }
    }
    let mut port = |row: usize| {
        used[row] += 1;
        rows[row].y + rows[row].piece.height * used[row] / (counts[row] + 1)
    };
    // What comes in is above what goes out.
    for lane in lanes.iter_mut() {
        lane.to_y = match lane.to {
            Goal::Row(to) => port(to),
            Goal::Exit => end,
            Goal::End => 0,
        };
    }
    for lane in lanes.iter_mut() {
        lane.from_y = port(lane.from);
        if lane.to == Goal::End {
            lane.to_y = lane.from_y;
        }
    }
    let first = lanes.iter().map(|lane| axis + rows[lane.from].piece.width / 2 + width_of(&lane.label) + 20).max();
    let first = first.unwrap_or(0).max(boxes + 20);
    let mut order: Vec<usize> = (0..lanes.len()).collect();
    order.sort_by_key(|at| ((lanes[*at].to_y - lanes[*at].from_y).abs(), *at));
    // The spans that each place is taken for.
    let mut places: Vec<Vec<(i32, i32)>> = Vec::new();
    for at in order {
        let span = (lanes[at].from_y.min(lanes[at].to_y), lanes[at].from_y.max(lanes[at].to_y));
        let is_free = |taken: &Vec<(i32, i32)>| taken.iter().all(|(from, to)| span.1 < *from || *to < span.0);
        let place = places.iter().position(is_free).unwrap_or(places.len());
        if place == places.len() {
            places.push(Vec::new());
        }
        places[place].push(span);
        lanes[at].x = first + LANE * i32::try_from(place).unwrap_or(i32::MAX / LANE / 2);
    }
}

fn piece(definition: &Definition, id: TaskId, ports: i32) -> Piece {
    let task = definition.task(id);
    let mut lines = vec![task.name.clone(), labels::more(task)];
    lines.extend(task.condition.as_ref().map(|condition| format!("if {}", condition.text().trim())));
    let lines: Vec<String> = lines.iter().map(|line| shortened(line, LINE_MAX)).collect();
    let text = lines.iter().map(|line| width_of(line)).max().unwrap_or(0);
    let head = LINE * i32::try_from(lines.len()).unwrap_or(1) + 14;
    let mut width = BOX_WIDTH_MIN.max(text + 2 * PADDING);
    let mut height = head.max(PORT * (ports + 1));
    let mut parts = parts(definition, task);
    let inner = parts.iter().map(|part| part.width).sum::<i32>()
        + ASIDE * i32::try_from(parts.len().saturating_sub(1)).unwrap_or(0);
    if !parts.is_empty() {
        width = width.max(inner + 2 * PADDING);
        let tallest = parts.iter().map(|part| part.height).max().unwrap_or(0);
        height = height.max(head + tallest + PADDING);
        let mut x = (width - inner) / 2;
        for part in &mut parts {
            part.x = x;
            part.y = head;
            x += part.width + ASIDE;
        }
    }
    // An even width has its middle on the axis.
    Piece { id, lines, width: width + width % 2, height, parts }
}

fn parts(definition: &Definition, task: &Task) -> Vec<Part> {
    match &task.kind {
        Kind::Do(list) => vec![part(definition, *list, None, false)],
        Kind::For(looped) => vec![part(definition, looped.body, None, true)],
        Kind::Fork { branches, .. } => {
            let branch = |id: &TaskId| {
                let piece = piece(definition, *id, 0);
                let (axis, width, height) = (piece.width / 2, piece.width, piece.height + GAP);
                let rows = vec![Row { y: GAP, piece }];
                let column = Column { rows, downs: Vec::new(), lanes: Vec::new(), axis, end: None, width, height };
                Part { title: None, is_loop: false, x: 0, y: 0, width, height, column }
            };
            definition.list(*branches).iter().map(branch).collect()
        }
        Kind::Try { body, catch } => {
            let caught = catch.body.map(|list| part(definition, list, Some("catch"), false));
            std::iter::once(part(definition, *body, None, false)).chain(caught).collect()
        }
        Kind::Listen(listen) => {
            let body = listen.each.as_ref().and_then(|each| each.body);
            body.map(|list| part(definition, list, Some("for each event"), true)).into_iter().collect()
        }
        Kind::Set(_) | Kind::Switch(_) | Kind::Raise(_) | Kind::Wait(_) | Kind::Emit(_) | Kind::Call(_) => Vec::new(),
    }
}

fn part(definition: &Definition, list: ListId, title: Option<&'static str>, is_loop: bool) -> Part {
    let column = column(definition, list, false);
    let (mut width, mut height) = (column.width, column.height);
    if is_loop {
        width += BACK;
        height += PADDING;
    }
    if let Some(title) = title {
        width = width.max(width_of(title)) + 2 * PADDING;
        height += LINE + PADDING;
    }
    Part { title, is_loop, x: 0, y: 0, width, height, column }
}

/// Where a part's column begins within it.
pub(super) fn inner(part: &Part) -> (i32, i32) {
    let back = if part.is_loop { BACK } else { 0 };
    match part.title {
        Some(_) => ((part.width - part.column.width - back) / 2 + back, LINE),
        None => (back, 0),
    }
}
