//! What is known of a program before it runs: how deeply it is nested, which variables and functions it names, and whether it
//! recurs in the one way that counting its steps does not bound.

use std::collections::BTreeSet;

use jaq_core::{
    load::{
        lex::StrPart,
        parse::{BinaryOp, Def, Pattern, Term},
    },
    path::Part,
};

type Node<'s> = Term<&'s str>;

/// What a program names.
#[derive(Debug, Default)]
pub(super) struct Names<'s> {
    pub(super) variables: BTreeSet<&'s str>,
    pub(super) functions: BTreeSet<&'s str>,
}

/// What stands directly in a term.
fn children<'t, 's>(term: &'t Node<'s>) -> Vec<&'t Node<'s>> {
    match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Var(_) | Term::Break(_) | Term::Arr(None) => Vec::new(),
        Term::Str(_, parts) => parts
            .iter()
            .filter_map(|part| match part {
                StrPart::Term(term) => Some(term),
                StrPart::Str(_) | StrPart::Char(_) => None,
            })
            .collect(),
        Term::Arr(Some(term)) | Term::Neg(term) | Term::Label(_, term) => vec![term],
        Term::Obj(entries) => entries.iter().flat_map(|(key, value)| std::iter::once(key).chain(value)).collect(),
        Term::BinOp(left, op, right) => {
            let mut all = vec![&**left, &**right];
            if let BinaryOp::Pipe(Some(shape)) = op {
                keys(shape, &mut all);
            }
            all
        }
        Term::Fold(_, items, shape, arguments) => {
            let mut all = vec![&**items];
            keys(shape, &mut all);
            all.extend(arguments);
            all
        }
        Term::TryCatch(tried, caught) => std::iter::once(&**tried).chain(caught.as_deref()).collect(),
        Term::IfThenElse(cases, otherwise) => {
            cases.iter().flat_map(|(condition, then)| [condition, then]).chain(otherwise.as_deref()).collect()
        }
        Term::Def(defs, term) => defs.iter().map(|def| &def.body).chain([&**term]).collect(),
        Term::Call(_, arguments) => arguments.iter().collect(),
        Term::Path(term, path) => {
            let mut all = vec![&**term];
            for (part, _) in &path.0 {
                match part {
                    Part::Index(key) => all.push(key),
                    Part::Range(from, to) => all.extend(from.iter().chain(to)),
                }
            }
            all
        }
    }
}

fn keys<'t, 's>(shape: &'t Pattern<&'s str>, all: &mut Vec<&'t Node<'s>>) {
    match shape {
        Pattern::Var(_) => {}
        Pattern::Arr(items) => items.iter().for_each(|item| keys(item, all)),
        Pattern::Obj(entries) => {
            for (key, shape) in entries {
                all.push(key);
                keys(shape, all);
            }
        }
    }
}

/// How deeply its terms are nested.
pub(super) fn depth(term: &Node<'_>) -> usize {
    children(term).into_iter().map(depth).max().unwrap_or(0) + 1
}

/// Adds what it names.
pub(super) fn names<'s>(term: &Node<'s>, into: &mut Names<'s>) {
    match term {
        Term::Var(name) => {
            into.variables.insert(name);
        }
        Term::Call(name, _) => {
            into.functions.insert(name);
        }
        Term::Str(Some(format), _) => {
            into.functions.insert(format);
        }
        Term::Id
        | Term::Recurse
        | Term::Num(_)
        | Term::Str(..)
        | Term::Arr(_)
        | Term::Obj(_)
        | Term::Neg(_)
        | Term::BinOp(..)
        | Term::Label(..)
        | Term::Break(_)
        | Term::Fold(..)
        | Term::TryCatch(..)
        | Term::IfThenElse(..)
        | Term::Def(..)
        | Term::Path(..) => {}
    }
    children(term).into_iter().for_each(|child| names(child, into));
}

/// A call by which a function with a filter for an argument calls itself. Each such call wraps its argument once more, without
/// using any stack, and what is wrapped a million times can only be freed by as many calls within one another.
pub(super) fn wrapping_recursion<'s>(term: &Node<'s>) -> Option<&'s str> {
    recursion(term, |def| def.args.iter().any(|argument| !argument.starts_with('$')))
}

/// Whether some function calls itself.
pub(super) fn recurs(term: &Node<'_>) -> bool {
    recursion(term, |_| true).is_some()
}

fn recursion<'s>(term: &Node<'s>, counts: impl Fn(&Def<&'s str>) -> bool) -> Option<&'s str> {
    fn look<'s>(
        term: &Node<'s>,
        within: &mut Vec<(&'s str, usize)>,
        counts: &dyn Fn(&Def<&'s str>) -> bool,
    ) -> Option<&'s str> {
        if let Term::Call(name, arguments) = term
            && within.contains(&(name, arguments.len()))
        {
            return Some(name);
        }
        if let Term::Def(defs, term) = term {
            for def in defs {
                let is_meant = counts(def);
                if is_meant {
                    within.push((def.name, def.args.len()));
                }
                let found = look(&def.body, within, counts);
                if is_meant {
                    within.pop();
                }
                if found.is_some() {
                    return found;
                }
            }
            return look(term, within, counts);
        }
        children(term).into_iter().find_map(|child| look(child, within, counts))
    }
    look(term, &mut Vec::new(), &counts)
}

/// Those of the definitions that these functions need, in their order.
pub(super) fn needed<'s>(definitions: &[Def<&'s str>], names_: &BTreeSet<&str>) -> Vec<Def<&'s str>> {
    let mut wanted: BTreeSet<String> = names_.iter().map(|name| (*name).to_owned()).collect();
    // A definition knows only those before it, so one look from the end finds all.
    let mut kept: Vec<_> = definitions
        .iter()
        .rev()
        .filter(|def| {
            let is_wanted = wanted.contains(def.name);
            if is_wanted {
                let mut inner = Names::default();
                names(&def.body, &mut inner);
                wanted.extend(inner.functions.into_iter().map(str::to_owned));
            }
            is_wanted
        })
        .cloned()
        .collect();
    kept.reverse();
    kept
}
