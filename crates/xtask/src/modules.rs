//! Circles of modules: two that use each other, directly or around more of them, can only be read and changed together.
//!
//! A module and those within it are one: what uses something of `server::stream` uses `server`. So circles are looked for among the
//! modules of one parent. Tests within a module do not count. This reads files as tokens, with no compiler: of what a macro makes, or of
//! a name that comes by `*`, it knows nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, Result, bail};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::run::root;

/// Crates that still have circles: these are told, and are no fault. Nothing is ever added here.
const NOT_YET: [&str; 0] = [];

type Names = Vec<String>;

/// What one file says of others.
#[derive(Debug, Default)]
struct Module {
    /// What is imported, and by which name.
    imports: Vec<(Names, String)>,
    /// Names of more than one part, such as `keys::cell`.
    paths: Vec<Names>,
}

/// Modules by their names below the crate, the crate itself by none.
type Modules = BTreeMap<Names, Module>;

/// Which of a module's children uses which other one, with what shows it.
type Arrows = BTreeMap<String, BTreeMap<String, String>>;

/// Fails if a crate has a circle of modules and should have none.
pub(crate) fn check() -> Result<()> {
    let mut faults = 0;
    for (name, source) in crates()? {
        let mut modules = Modules::new();
        read(&source, Vec::new(), &mut modules)?;
        let circles = circles(&modules);
        let is_known = NOT_YET.contains(&name.as_str());
        for circle in &circles {
            eprintln!("   {}: a circle {circle}", if is_known { format!("{name}, as is known") } else { name.clone() });
        }
        if is_known && circles.is_empty() {
            bail!("{name} has no circle of modules any more: take it off the list in crates/xtask/src/modules.rs");
        }
        faults += if is_known { 0 } else { circles.len() };
    }
    if faults > 0 {
        bail!(
            "modules use each other in {faults} circles: move what both need to a file of its own, or to the one that uses it"
        );
    }
    Ok(())
}

/// All crates of the project, each with the folder of its source.
fn crates() -> Result<Vec<(String, std::path::PathBuf)>> {
    let mut found = Vec::new();
    for parent in ["crates", "examples", "tests"] {
        for entry in fs::read_dir(root().join(parent))? {
            let entry = entry?;
            let source = entry.path().join("src");
            if source.is_dir() {
                found.push((entry.file_name().to_string_lossy().into_owned(), source));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Reads the files of a folder, and of those below it.
fn read(folder: &Path, above: Names, modules: &mut Modules) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let within = || above.iter().cloned().chain([stem.clone()]).collect();
        if path.is_dir() {
            read(&path, within(), modules)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let is_folders_own = matches!(stem.as_str(), "mod" | "lib" | "main");
            let name = if is_folders_own { above.clone() } else { within() };
            let text = fs::read_to_string(&path)?;
            modules.insert(name, parse(&text).with_context(|| format!("reading {}", path.display()))?);
        }
    }
    Ok(())
}

fn parse(text: &str) -> Result<Module> {
    let mut module = Module::default();
    let tokens = text.parse::<TokenStream>().map_err(|error| anyhow::anyhow!("{error}"))?;
    module.scan(tokens);
    Ok(module)
}

impl Module {
    fn scan(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        let mut path = Names::new();
        let mut colons = 0;
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(ident) if ident == "use" => {
                    let tree = tokens.by_ref().take_while(|token| !is_punct(token, ';')).collect();
                    self.import(&[], tree);
                }
                TokenTree::Ident(ident) if colons == 2 => {
                    path.push(ident.to_string());
                    colons = 0;
                    continue;
                }
                TokenTree::Ident(ident) => {
                    self.name(std::mem::replace(&mut path, vec![ident.to_string()]));
                    colons = 0;
                    continue;
                }
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    let attribute = tokens.peek().map(ToString::to_string).unwrap_or_default();
                    if attribute.replace(' ', "").starts_with("[cfg(test") {
                        // What follows, up to its end, is a test's.
                        let is_end = |token: &TokenTree| is_punct(token, ';') || is_braces(token);
                        tokens.by_ref().take_while(|token| !is_end(token)).for_each(drop);
                    }
                }
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            self.name(std::mem::take(&mut path));
            colons = 0;
        }
        self.name(path);
    }

    fn name(&mut self, path: Names) {
        if path.len() > 1 {
            self.paths.push(path);
        }
    }

    /// Takes in a tree of imports below a path: `a::{b, c as d}`.
    fn import(&mut self, above: &[String], tree: TokenStream) {
        let mut path = above.to_vec();
        let mut alias = None;
        let mut tokens = tree.into_iter();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(ident) if ident == "as" => alias = tokens.next().map(|name| name.to_string()),
                TokenTree::Ident(ident) if ident == "self" && !path.is_empty() => {}
                TokenTree::Ident(ident) => path.push(ident.to_string()),
                TokenTree::Group(group) => {
                    let branches: Vec<TokenTree> = group.stream().into_iter().collect();
                    for branch in branches.split(|token| is_punct(token, ',')).filter(|branch| !branch.is_empty()) {
                        self.import(&path, branch.iter().cloned().collect());
                    }
                    return;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
        if let Some(last) = path.last() {
            let name = alias.unwrap_or_else(|| last.clone());
            self.imports.push((path, name));
        }
    }
}

fn is_punct(token: &TokenTree, what: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == what)
}

fn is_braces(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

/// The module in which a path, as it stands in `from`, leads to something; `None` if it leads out of the crate.
fn target(modules: &Modules, from: &[String], path: &[String], depth: usize) -> Option<Names> {
    /// More imports of imports than any name goes through: names of a circle of them end here.
    const DEPTH_MAX: usize = 8;
    let imported = |module: &[String], name: &String| {
        let imports = modules.get(module)?.imports.iter();
        imports.filter(|(_, known)| known == name).map(|(path, _)| path.clone()).next()
    };
    let (mut module, mut rest) = match path.first()?.as_str() {
        "crate" => (Names::new(), &path[1..]),
        "self" => (from.to_vec(), &path[1..]),
        "super" => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            (from[..from.len().checked_sub(ups)?].to_vec(), &path[ups..])
        }
        _ => (from.to_vec(), path),
    };
    let is_relative = module == from && rest.len() == path.len();
    while let [first, others @ ..] = rest {
        let child: Names = module.iter().cloned().chain([first.clone()]).collect();
        if !modules.contains_key(&child) {
            break;
        }
        (module, rest) = (child, others);
    }
    let Some(first) = rest.first() else { return Some(module) };
    if depth < DEPTH_MAX
        && let Some(mut meant) = imported(&module, first)
        && meant != path
    {
        meant.extend_from_slice(&rest[1..]);
        return target(modules, &module, &meant, depth + 1);
    }
    // A name that nothing here explains is another crate's, or the language's.
    let is_unknown = is_relative && module == from;
    (!is_unknown).then_some(module)
}

/// The arrows between the children of each module.
fn arrows(modules: &Modules) -> BTreeMap<Names, Arrows> {
    let mut all: BTreeMap<Names, Arrows> = BTreeMap::new();
    for (name, module) in modules {
        for path in module.imports.iter().map(|(path, _)| path).chain(&module.paths) {
            let Some(target) = target(modules, name, path, 0) else { continue };
            let shared = name.iter().zip(&target).take_while(|(one, other)| one == other).count();
            if let (Some(from), Some(to)) = (name.get(shared), target.get(shared)) {
                let arrows = all.entry(name[..shared].to_vec()).or_default();
                arrows.entry(from.clone()).or_default().entry(to.clone()).or_insert_with(|| path.join("::"));
            }
        }
    }
    all
}

/// All circles, in words: who is in it, and each arrow with what shows it.
fn circles(modules: &Modules) -> Vec<String> {
    let mut found = Vec::new();
    for (parent, arrows) in arrows(modules) {
        let mut told: BTreeSet<&String> = BTreeSet::new();
        for name in arrows.keys() {
            let reached = reached(&arrows, name);
            if told.contains(name) || !reached.contains(name) {
                continue;
            }
            let circle: BTreeSet<&String> =
                reached.into_iter().filter(|other| self::reached(&arrows, other).contains(name)).collect();
            let names: Vec<&str> = circle.iter().map(|name| name.as_str()).collect();
            let parent = if parent.is_empty() { "the crate".to_owned() } else { parent.join("::") };
            let mut text = format!("in {parent} of {}", names.join(", "));
            for from in &circle {
                for (to, path) in arrows[*from].iter().filter(|(to, _)| circle.contains(to)) {
                    text.push_str(&format!("\n      {from} → {to}: {path}"));
                }
            }
            told.extend(circle);
            found.push(text);
        }
    }
    found
}

/// What can be reached by arrows, itself only around a circle.
fn reached<'a>(arrows: &'a Arrows, from: &str) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(name) = next.pop() {
        for to in arrows.get(name).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(to) {
                next.push(to);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crate of these files, each with its text, and the circles that are found in it.
    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let name = |file: &str| file.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let modules: Modules = files.iter().map(|(file, text)| (name(file), parse(text).unwrap())).collect();
        assert_eq!(circles(&modules), expected, "{files:?}");
    }

    #[test]
    fn modules_that_use_each_other_are_found() {
        let root = ("", "mod a; mod b; pub use b::B;");
        check(&[root, ("a", "use crate::B;"), ("b", "pub struct B;")], &[]);
        let circle = "in the crate of a, b\n      a → b: crate::B\n      b → a: super::a::f";
        check(&[root, ("a", "use crate::B; fn f() {}"), ("b", "fn b() { super::a::f() }")], &[circle]);
        let by_import = "in the crate of a, b\n      a → b: super::b\n      b → a: crate::a::{self as other}";
        let by_import = by_import.replace("::{self as other}", "");
        check(
            &[root, ("a", "use super::b; fn f() { b::g(); }"), ("b", "use crate::{a::{self as other}};")],
            &[&*by_import],
        );
    }

    #[test]
    fn longer_circles_are_found_and_those_of_folders() {
        let files = [("", "mod a; mod b; mod c;"), ("a", "use super::b::B;"), ("b", "use super::c::C;")];
        let c = ("c", "fn c() { matches!(x, crate::a::A::Some(_)) }");
        let circle = "in the crate of a, b, c\n      a → b: super::b::B\n      b → c: super::c::C\n      c → a: crate::a::A::Some";
        check(&[files[0], files[1], files[2], c], &[circle]);
        let folders = [("", "mod a; mod b;"), ("a", "mod x;"), ("a/x", "use crate::b::B;"), ("b", "mod y; mod z;")];
        let circle = "in the crate of a, b\n      a → b: crate::b::B\n      b → a: crate::a::A";
        check(&[folders[0], folders[1], folders[2], folders[3], ("b/y", "use crate::a::A;")], &[circle]);
    }

    #[test]
    fn parents_tests_words_and_other_crates_are_no_circle() {
        let root = ("", "mod a; mod b; use a::A;");
        check(&[root, ("a", "use super::b::B;"), ("b", "#[cfg(test)] mod tests { use crate::a::A; }")], &[]);
        check(&[root, ("a", "use super::b::B;"), ("b", "// crate::a::A\n const X: &str = \"crate::a::A\";")], &[]);
        check(&[root, ("a", "use super::b::B;"), ("b", "use std::a::A; fn f() { a::A::new(); }")], &[]);
    }
}
