//! Rewriting a program so that it counts its steps. jaq interprets terms and cannot be interrupted; but it gives its terms away
//! before it compiles them, so each one that does something is entered through [`TICK`]. The program's meaning does not change:
//! the identity before a term leaves tail calls, paths and updates what they are.

use jaq_core::{
    load::{
        lex::StrPart,
        parse::{BinaryOp, Def, Pattern, Term},
    },
    path::{Part, Path},
};

use super::natives::{SEARCH, TICK};

type Node<'s> = Term<&'s str>;

/// The program with its steps counted.
pub(super) fn counted(term: Node<'_>) -> Node<'_> {
    match term {
        Term::Id | Term::Num(_) | Term::Var(_) | Term::Break(_) => term,
        // A fixed text costs nothing that the value itself does not pay for.
        Term::Str(None, ref parts) if parts.iter().all(|part| !matches!(part, StrPart::Term(_))) => term,
        other @ (Term::Recurse
        | Term::Str(..)
        | Term::Arr(_)
        | Term::Obj(_)
        | Term::Neg(_)
        | Term::BinOp(..)
        | Term::Label(..)
        | Term::Fold(..)
        | Term::TryCatch(..)
        | Term::IfThenElse(..)
        | Term::Def(..)
        | Term::Call(..)
        | Term::Path(..)) => ticked(inner(other)),
    }
}

/// A definition likewise.
pub(super) fn counted_def(def: Def<&str>) -> Def<&str> {
    Def { name: def.name, args: def.args, body: ticked(counted(def.body)) }
}

fn ticked(term: Node<'_>) -> Node<'_> {
    piped(Term::Call(TICK, Vec::new()), term)
}

fn piped<'s>(first: Node<'s>, then: Node<'s>) -> Node<'s> {
    Term::BinOp(Box::new(first), BinaryOp::Pipe(None), Box::new(then))
}

fn inner(term: Node<'_>) -> Node<'_> {
    match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Var(_) | Term::Break(_) => term,
        Term::Str(format, parts) => Term::Str(format, parts.into_iter().map(part).collect()),
        Term::Arr(items) => Term::Arr(items.map(|items| Box::new(counted(*items)))),
        Term::Obj(entries) => {
            Term::Obj(entries.into_iter().map(|(key, value)| (entry_key(key), value.map(counted))).collect())
        }
        Term::Neg(term) => Term::Neg(Box::new(counted(*term))),
        Term::BinOp(left, op, right) => {
            let op = match op {
                BinaryOp::Pipe(Some(shape)) => BinaryOp::Pipe(Some(pattern(shape))),
                BinaryOp::Pipe(None)
                | BinaryOp::Comma
                | BinaryOp::Alt
                | BinaryOp::Or
                | BinaryOp::And
                | BinaryOp::Math(_)
                | BinaryOp::Cmp(_)
                | BinaryOp::Assign
                | BinaryOp::Update
                | BinaryOp::UpdateMath(_)
                | BinaryOp::UpdateAlt => op,
            };
            // What an update does to each place counts even if it does nothing.
            let right = match op {
                BinaryOp::Update => Box::new(ticked(counted(*right))),
                BinaryOp::Pipe(_)
                | BinaryOp::Comma
                | BinaryOp::Alt
                | BinaryOp::Or
                | BinaryOp::And
                | BinaryOp::Math(_)
                | BinaryOp::Cmp(_)
                | BinaryOp::Assign
                | BinaryOp::UpdateMath(_)
                | BinaryOp::UpdateAlt => Box::new(counted(*right)),
            };
            Term::BinOp(Box::new(counted(*left)), op, right)
        }
        Term::Label(name, term) => Term::Label(name, Box::new(counted(*term))),
        Term::Fold(kind, items, shape, arguments) => Term::Fold(
            kind,
            Box::new(counted(*items)),
            pattern(shape),
            arguments.into_iter().map(|argument| ticked(counted(argument))).collect(),
        ),
        Term::TryCatch(tried, caught) => {
            Term::TryCatch(Box::new(counted(*tried)), caught.map(|caught| Box::new(counted(*caught))))
        }
        Term::IfThenElse(cases, otherwise) => Term::IfThenElse(
            cases.into_iter().map(|(condition, then)| (counted(condition), counted(then))).collect(),
            otherwise.map(|term| Box::new(counted(*term))),
        ),
        Term::Def(defs, term) => Term::Def(defs.into_iter().map(counted_def).collect(), Box::new(counted(*term))),
        Term::Call(name @ ("matches" | "split_matches" | "split_"), arguments) if arguments.len() == 2 => {
            let arguments: Vec<_> = arguments.into_iter().map(counted).collect();
            piped(Term::Call(SEARCH, vec![arguments[0].clone()]), Term::Call(name, arguments))
        }
        Term::Call(name, arguments) => Term::Call(name, arguments.into_iter().map(counted).collect()),
        Term::Path(term, path) => {
            let parts = path.0.into_iter().map(|(part, optional)| {
                let part = match part {
                    Part::Index(key) => Part::Index(counted(key)),
                    Part::Range(from, to) => Part::Range(from.map(counted), to.map(counted)),
                };
                (part, optional)
            });
            let parts = parts.collect();
            Term::Path(Box::new(counted(*term)), Path(parts))
        }
    }
}

fn part<'s>(part: StrPart<&'s str, Node<'s>>) -> StrPart<&'s str, Node<'s>> {
    match part {
        StrPart::Term(term) => StrPart::Term(counted(term)),
        StrPart::Str(_) | StrPart::Char(_) => part,
    }
}

/// `{$x}` and `{a}` mean something by their shape, so a key that is only named stays as it is.
fn entry_key(key: Node<'_>) -> Node<'_> {
    match key {
        other @ (Term::Var(_) | Term::Num(_)) => other,
        Term::Str(format, parts) => Term::Str(format, parts.into_iter().map(part).collect()),
        other @ (Term::Id
        | Term::Recurse
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
        | Term::Call(..)
        | Term::Path(..)) => counted(other),
    }
}

fn pattern(shape: Pattern<&str>) -> Pattern<&str> {
    match shape {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(items) => Pattern::Arr(items.into_iter().map(pattern).collect()),
        Pattern::Obj(entries) => {
            Pattern::Obj(entries.into_iter().map(|(key, shape)| (entry_key(key), pattern(shape))).collect())
        }
    }
}
