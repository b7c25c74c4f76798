//! Writing it down.

use std::fmt::Write as _;

use super::layout::{BACK, CIRCLE, Column, GAP, Goal, LINE, Lane, Part, Piece, inner};
use crate::{
    document::{Definition, Kind},
    labels,
};

/// Around the whole.
const MARGIN: i32 = 20;

/// Each colour for a light and for a dark ground. What a renderer does not know of this it leaves out, and paints for a light one.
const STYLE: &str = "\
.ground{fill:#ffffff}.frame{fill:#f6f8fa;stroke:#8c959f}.step{fill:#ffffff;stroke:#57606a}.call{stroke:#0969da}.event{stroke:#9a6700}\
.choice{stroke:#8250df}.fault{stroke:#cf222e}.inner{fill:none;stroke:#8c959f;stroke-dasharray:5 4}.maybe{stroke-dasharray:5 4}\
.name{fill:#1f2328;font-weight:600}.what{fill:#57606a}.word{fill:#57606a;font-size:11px;paint-order:stroke;stroke:#ffffff;stroke-width:3px}\
.line{fill:none;stroke:#57606a}.head{fill:#57606a}.dot{fill:#57606a;stroke:#57606a}.ring{fill:none;stroke:#57606a}\
@media(prefers-color-scheme:dark){\
.ground{fill:#0d1117}.frame{fill:#161b22;stroke:#6e7681}.step{fill:#0d1117;stroke:#8b949e}.call{stroke:#58a6ff}.event{stroke:#d29922}\
.choice{stroke:#bc8cff}.fault{stroke:#ff7b72}.inner{stroke:#6e7681}\
.name{fill:#e6edf3}.what,.word{fill:#9da7b1}.word{stroke:#0d1117}\
.line,.ring,.dot{stroke:#9da7b1}.head,.dot{fill:#9da7b1}}";

pub(super) fn paint(definition: &Definition, main: &Column) -> String {
    let (width, height) = (main.width + 2 * MARGIN, main.height + 2 * MARGIN);
    let mut painter = Painter { definition, text: String::new() };
    let title = escaped(definition.display_name());
    let _ = write!(
        painter.text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\">\
         <path class=\"head\" d=\"M0 0L8 4L0 8z\"/></marker></defs>\n\
         <rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    let (x, y) = (MARGIN, MARGIN);
    painter.circle("dot", x + main.axis, y + CIRCLE);
    painter.arrow(x + main.axis, y + 2 * CIRCLE, y + 2 * CIRCLE + GAP);
    painter.column(main, x, y);
    painter.text.push_str("</svg>\n");
    painter.text
}

struct Painter<'d> {
    definition: &'d Definition,
    text: String,
}

impl Painter<'_> {
    fn column(&mut self, column: &Column, x: i32, y: i32) {
        let axis = x + column.axis;
        for row in &column.rows {
            self.piece(&row.piece, axis - row.piece.width / 2, y + row.y);
        }
        for down in &column.downs {
            let row = &column.rows[down.from];
            let from = y + row.y + row.piece.height;
            // The last one's arrow leads to the end, if that is drawn.
            let below = column.rows.get(down.from + 1).map(|row| row.y).or(column.end.map(|end| end - CIRCLE));
            let Some(below) = below else { continue };
            self.arrow(axis, from, y + below);
            self.words(&down.label, axis + 6, from + 18);
        }
        if let Some(end) = column.end {
            self.circle("ring", axis, y + end);
            self.dot(axis, y + end);
        }
        for lane in &column.lanes {
            self.lane(column, lane, x, y);
        }
    }

    fn lane(&mut self, column: &Column, lane: &Lane, x: i32, y: i32) {
        let right = |row: usize| x + column.axis + column.rows[row].piece.width / 2;
        let (from_x, from_y, lane_x) = (right(lane.from), y + lane.from_y, x + lane.x);
        let to_y = y + lane.to_y;
        let path = match lane.to {
            Goal::Row(to) => format!("M{from_x} {from_y}H{lane_x}V{to_y}H{}", right(to)),
            Goal::Exit => format!("M{from_x} {from_y}H{lane_x}V{to_y}H{}", x + column.axis + CIRCLE),
            Goal::End => format!("M{from_x} {from_y}H{lane_x}"),
        };
        let _ = writeln!(self.text, "<path class=\"line\" d=\"{path}\" marker-end=\"url(#head)\"/>");
        if lane.to == Goal::End {
            self.circle("ring", lane_x + CIRCLE, from_y);
            self.dot(lane_x + CIRCLE, from_y);
            self.words("end", lane_x + 2 * CIRCLE + 3, from_y + 4);
        }
        self.words(&lane.label, from_x + 6, from_y - 4);
    }

    fn piece(&mut self, piece: &Piece, x: i32, y: i32) {
        let task = self.definition.task(piece.id);
        let kind = match &task.kind {
            Kind::Call(_) => "step call",
            Kind::Set(_) => "step",
            Kind::Switch(_) => "step choice",
            Kind::Raise(_) => "step fault",
            Kind::Wait(_) | Kind::Emit(_) | Kind::Listen(_) => "step event",
            Kind::Do(_) | Kind::For(_) | Kind::Fork { .. } | Kind::Try { .. } => "frame",
        };
        let maybe = if task.condition.is_some() { " maybe" } else { "" };
        let (width, height) = (piece.width, piece.height);
        let round = if matches!(task.kind, Kind::Switch(_)) { 18 } else { 6 };
        let whole = escaped(&format!("{}: {}", task.pointer, labels::more(task)));
        let _ = writeln!(
            self.text,
            "<g><title>{whole}</title><rect class=\"{kind}{maybe}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{round}\"/>"
        );
        // What holds other steps has its name at the top left, like a tab; what does not is in the middle of its box.
        let is_frame = !piece.parts.is_empty();
        let count = i32::try_from(piece.lines.len()).unwrap_or(1);
        let top = if is_frame { y + 5 } else { y + (height - LINE * count) / 2 - 2 };
        let (text_x, anchor) = if is_frame { (x + 12, "start") } else { (x + width / 2, "middle") };
        let mut text_y = top;
        for (at, line) in piece.lines.iter().enumerate() {
            text_y += LINE;
            let class = if at == 0 { "name" } else { "what" };
            let line = escaped(line);
            let _ = writeln!(
                self.text,
                "<text class=\"{class}\" x=\"{text_x}\" y=\"{text_y}\" text-anchor=\"{anchor}\">{line}</text>"
            );
        }
        for part in &piece.parts {
            self.part(part, x + part.x, y + part.y);
        }
        self.text.push_str("</g>\n");
    }

    fn part(&mut self, part: &Part, x: i32, y: i32) {
        if let Some(title) = part.title {
            let (width, height) = (part.width, part.height);
            let _ = writeln!(
                self.text,
                "<rect class=\"inner\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>\
                 <text class=\"what\" x=\"{}\" y=\"{}\">{title}</text>",
                x + 10,
                y + LINE
            );
        }
        let (inner_x, inner_y) = inner(part);
        let (x, y) = (x + inner_x, y + inner_y);
        if let Some(first) = part.column.rows.first() {
            self.arrow(x + part.column.axis, y + 6, y + first.y);
        }
        self.column(&part.column, x, y);
        if part.is_loop {
            let (axis, left) = (x + part.column.axis, x - BACK + 8);
            let (top, bottom) = (y + 12, y + part.column.height);
            let path = format!("M{axis} {bottom}v8H{left}V{top}H{}", axis - 3);
            let _ = writeln!(self.text, "<path class=\"line maybe\" d=\"{path}\" marker-end=\"url(#head)\"/>");
        }
    }

    fn arrow(&mut self, x: i32, from: i32, to: i32) {
        let _ = writeln!(self.text, "<path class=\"line\" d=\"M{x} {from}V{to}\" marker-end=\"url(#head)\"/>");
    }

    fn circle(&mut self, class: &str, x: i32, y: i32) {
        let _ = writeln!(self.text, "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{}\"/>", CIRCLE - 1);
    }

    fn dot(&mut self, x: i32, y: i32) {
        let _ = writeln!(self.text, "<circle class=\"dot\" cx=\"{x}\" cy=\"{y}\" r=\"4\"/>");
    }

    fn words(&mut self, words: &str, x: i32, y: i32) {
        if !words.is_empty() {
            let _ = writeln!(self.text, "<text class=\"word\" x=\"{x}\" y=\"{y}\">{}</text>", escaped(words));
        }
    }
}

/// A text that XML takes as it is, and that cannot turn around what is beside it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
