//! What a line may be made of, and how long it could take at most: known before it is ever asked.
//!
//! The interpreter counts nothing, so its work is bounded from outside: by what a line may say, here, and by how much of a call it is
//! shown ([`super::FACTS_VALUES_MAX`], [`super::FACTS_BYTES_MAX`]). A line may go through a list, but nothing in it can make a value
//! that is larger than what it was shown: no `map`, and no `+` in a loop. So the steps of a line are a number, and one that could
//! take more than [`COST_MAX`] is refused when it is read.

use std::collections::BTreeSet;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, operators};

use super::facts::{FACTS_VALUES_MAX, Wanted};

/// Characters of a line.
pub const LINE_LENGTH_MAX: usize = 2_000;

/// Names, values and operations of a line.
pub const NODES_MAX: usize = 300;

/// How deep a line may be nested: its brackets, and its operations in one another.
pub const NESTING_MAX: u16 = 32;

/// Steps that a line may take, if all that it asks about is as large as it may be. A step is a tenth of a microsecond.
pub const COST_MAX: u64 = 400_000;

/// An operation that looks at a value as a whole: it is long or has many members, though all that a line is shown together has no more
/// than [`FACTS_VALUES_MAX`] of them.
const WHOLE: u64 = 64;

/// What a caller is asked for.
pub(super) const OF_CALLER: [&str; 6] = ["principal", "issuer", "tenant", "claims", "scopes", "chain"];

/// All that a line may ask for, for a hint.
pub(super) const VARIABLES: &str = "caller.principal, caller.issuer, caller.tenant, caller.claims, caller.scopes, caller.chain, agent, \
                                    skill, arguments and operation";

/// Names that a loop's variable may not take.
const ROOTS: [&str; 5] = ["caller", "agent", "skill", "arguments", "operation"];

/// What is found in a line.
#[derive(Debug)]
pub(super) struct Found {
    /// Steps that it may take.
    pub(super) cost: u64,
    /// The arguments that it asks about.
    pub(super) wanted: Wanted,
    /// Whether it asks about the call itself, by its skill or its arguments.
    pub(super) is_about_call: bool,
    /// Whether it tells operations apart.
    pub(super) is_about_operation: bool,
}

/// What is wrong with a line, and at which of its nodes.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) node: u64,
    pub(super) message: String,
    pub(super) hint: String,
}

/// Looks through a line.
pub(super) fn look(line: &IdedExpr) -> Result<Found, Wrong> {
    let found =
        Found { cost: 0, wanted: Wanted::Members(BTreeSet::new()), is_about_call: false, is_about_operation: false };
    let mut walk = Walk { bound: Vec::new(), loops: 0, nodes: 0, found };
    walk.found.cost = walk.cost(line)?;
    if walk.found.cost > COST_MAX {
        let hint = "let it go through one list, and through no list within a list of the arguments";
        return Err(wrong(
            line,
            format!("it could take too long: {} steps, and {COST_MAX} are allowed", walk.found.cost),
            hint,
        ));
    }
    Ok(walk.found)
}

fn wrong(at: &IdedExpr, message: impl Into<String>, hint: impl Into<String>) -> Wrong {
    Wrong { node: at.id, message: message.into(), hint: hint.into() }
}

struct Walk<'l> {
    /// The variables of the loops around.
    bound: Vec<&'l str>,
    loops: usize,
    nodes: usize,
    found: Found,
}

impl<'l> Walk<'l> {
    fn cost(&mut self, at: &'l IdedExpr) -> Result<u64, Wrong> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(wrong(at, format!("it has more than {NODES_MAX} parts"), "make two lines of it"));
        }
        match &at.expr {
            Expr::Literal(_) => Ok(1),
            Expr::Ident(name) => self.name(at, name),
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(name) if name == "caller" => self.of_caller(at, &select.field, select.test),
                Expr::Ident(name) if name == "arguments" => Ok(self.argument(&select.field)),
                Expr::Call(_)
                | Expr::Comprehension(_)
                | Expr::Ident(_)
                | Expr::List(_)
                | Expr::Literal(_)
                | Expr::Map(_)
                | Expr::Select(_)
                | Expr::Struct(_)
                | Expr::Unspecified => Ok(1 + self.cost(&select.operand)?),
            },
            Expr::Call(call) => self.call(at, call),
            Expr::List(list) => self.all(&list.elements),
            Expr::Map(map) => {
                let mut cost = 1;
                for entry in &map.entries {
                    match &entry.expr {
                        EntryExpr::MapEntry(entry) => cost += self.cost(&entry.key)? + self.cost(&entry.value)?,
                        EntryExpr::StructField(_) => return Err(unknown_type(at)),
                    }
                }
                Ok(cost)
            }
            Expr::Comprehension(comprehension) => self.comprehension(at, comprehension),
            Expr::Struct(_) => Err(unknown_type(at)),
            Expr::Unspecified => Err(wrong(at, "it says nothing", "write what must be true")),
        }
    }

    fn all(&mut self, parts: &'l [IdedExpr]) -> Result<u64, Wrong> {
        parts.iter().try_fold(1, |cost, part| Ok(cost + self.cost(part)?))
    }

    fn name(&mut self, at: &IdedExpr, name: &str) -> Result<u64, Wrong> {
        if self.bound.contains(&name) {
            return Ok(1);
        }
        match name {
            "agent" => {}
            "operation" => self.found.is_about_operation = true,
            "skill" => self.found.is_about_call = true,
            "arguments" => {
                self.found.is_about_call = true;
                self.found.wanted = Wanted::All;
            }
            "caller" => {
                let hint = format!("there is {}", OF_CALLER.map(|name| format!("caller.{name}")).join(", "));
                return Err(wrong(at, "a caller is asked for one thing", hint));
            }
            _ => return Err(wrong(at, format!("there is no {name:?}"), format!("there is {VARIABLES}"))),
        }
        Ok(1)
    }

    fn of_caller(&self, at: &IdedExpr, field: &str, is_test: bool) -> Result<u64, Wrong> {
        if !OF_CALLER.contains(&field) {
            let hint = format!(
                "there is {}; what a token says is in caller.claims",
                OF_CALLER.map(|name| format!("caller.{name}")).join(", ")
            );
            return Err(wrong(at, format!("there is no caller.{field}"), hint));
        }
        if is_test {
            let hint = format!("a text is empty where there is none: caller.{field} != ''");
            return Err(wrong(at, format!("caller.{field} is always there"), hint));
        }
        // Lists of it are made anew each time.
        Ok(if matches!(field, "scopes" | "chain") { WHOLE } else { 1 })
    }

    fn argument(&mut self, name: &str) -> u64 {
        self.found.is_about_call = true;
        self.found.wanted.also(&Wanted::Members(BTreeSet::from([name.to_owned()])));
        1
    }

    fn call(&mut self, at: &'l IdedExpr, call: &'l CallExpr) -> Result<u64, Wrong> {
        let name = call.func_name.as_str();
        let is_literal = call.args.iter().any(|arg| matches!(arg.expr, Expr::Literal(_)));
        let own = match name {
            operators::CONDITIONAL | operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT => 1,
            operators::NOT_STRICTLY_FALSE | operators::NEGATE => 1,
            operators::INDEX => return self.index(call),
            operators::EQUALS | operators::NOT_EQUALS if is_literal => 2,
            operators::EQUALS | operators::NOT_EQUALS | operators::IN => WHOLE,
            operators::GREATER | operators::GREATER_EQUALS | operators::LESS | operators::LESS_EQUALS => WHOLE,
            operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO => WHOLE,
            operators::ADD => {
                // A loop's own sum begins with a name that nobody can write.
                let is_the_loops =
                    matches!(call.args.first().map(|arg| &arg.expr), Some(Expr::Ident(name)) if name.starts_with('@'));
                if self.loops > 0 && !is_the_loops {
                    return Err(wrong(
                        at,
                        "a loop may not put values together with +",
                        "compare the parts each for itself",
                    ));
                }
                WHOLE
            }
            "startsWith" | "endsWith" => 4,
            "size" | "contains" | "int" | "uint" | "double" | "string" => WHOLE,
            _ => {
                let hint = "there is size, contains, startsWith, endsWith, int, uint, double, string, has, all, exists, exists_one and \
                            filter";
                return Err(wrong(at, format!("there is no {name}()"), hint));
            }
        };
        let target = call.target.as_deref().map_or(Ok(0), |target| self.cost(target))?;
        Ok(own + target + self.all(&call.args)?)
    }

    /// `arguments['a name']` is one of them; whatever else is between the brackets could be any.
    fn index(&mut self, call: &'l CallExpr) -> Result<u64, Wrong> {
        if let [of, index] = call.args.as_slice()
            && let (Expr::Ident(root), Expr::Literal(cel::common::ast::LiteralValue::String(name))) =
                (&of.expr, &index.expr)
            && root == "arguments"
        {
            return Ok(self.argument(name.inner()));
        }
        self.all(&call.args)
    }

    fn comprehension(&mut self, at: &'l IdedExpr, it: &'l ComprehensionExpr) -> Result<u64, Wrong> {
        let range = self.cost(&it.iter_range)?;
        let times = match &it.iter_range.expr {
            Expr::List(list) => list.elements.len(),
            Expr::Map(map) => map.entries.len(),
            Expr::Call(_)
            | Expr::Comprehension(_)
            | Expr::Ident(_)
            | Expr::Literal(_)
            | Expr::Select(_)
            | Expr::Struct(_)
            | Expr::Unspecified => FACTS_VALUES_MAX,
        };
        let names = [Some(it.iter_var.as_str()), it.iter_var2.as_deref()].into_iter().flatten();
        if let Some(name) = names.clone().find(|name| ROOTS.contains(name)) {
            return Err(wrong(at, format!("a loop's variable may not be called {name:?}"), "give it another name"));
        }
        if gathers_more_than_its_items(&it.loop_step, &it.iter_var) {
            return Err(wrong(at, "there is no map()", "use all, exists or filter, which make nothing new"));
        }
        let start = self.cost(&it.accu_init)?;
        let before = self.bound.len();
        self.bound.extend(names.chain([it.accu_var.as_str()]));
        self.loops += 1;
        let body = self.cost(&it.loop_cond)? + self.cost(&it.loop_step)?;
        self.loops -= 1;
        let result = self.cost(&it.result)?;
        self.bound.truncate(before);
        let times = u64::try_from(times).unwrap_or(u64::MAX);
        Ok(range.saturating_add(start + result).saturating_add(body.saturating_mul(times)))
    }
}

fn unknown_type(at: &IdedExpr) -> Wrong {
    wrong(at, "there are no types of one's own", format!("there is {VARIABLES}"))
}

/// Whether what a loop collects is anything but the items that it goes through, as `filter` collects them.
fn gathers_more_than_its_items(step: &IdedExpr, item: &str) -> bool {
    let Expr::Call(call) = &step.expr else { return false };
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::CONDITIONAL, [_, yes, no]) => {
            gathers_more_than_its_items(yes, item) || gathers_more_than_its_items(no, item)
        }
        (operators::ADD, [_, more]) => match &more.expr {
            Expr::List(list) => {
                !list.elements.iter().all(|element| matches!(&element.expr, Expr::Ident(name) if name == item))
            }
            Expr::Literal(_) => false,
            Expr::Call(_)
            | Expr::Comprehension(_)
            | Expr::Ident(_)
            | Expr::Map(_)
            | Expr::Select(_)
            | Expr::Struct(_)
            | Expr::Unspecified => true,
        },
        _ => false,
    }
}
