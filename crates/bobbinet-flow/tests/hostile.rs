//! Programs that mean harm are stopped in time, and those that mean none are not.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use bobbinet_flow::{
    expression::{EvaluateFault, Program, Variables},
    limits::Limits,
};
use serde_json::{Value, json};

struct Nothing;

impl Variables for Nothing {
    fn get(&self, _: &str) -> Option<Arc<Value>> {
        None
    }
}

fn evaluate(program: &str, input: &Value) -> Result<Value, String> {
    evaluate_within(program, input, &Limits::default())
}

fn evaluate_within(program: &str, input: &Value, limits: &Limits) -> Result<Value, String> {
    let program =
        Program::compile(program, &BTreeSet::new(), limits).map_err(|fault| format!("compile: {}", fault.message))?;
    program.evaluate(input, &Nothing, limits).map_err(|fault| match fault {
        EvaluateFault::Bound(bound) => format!("bound: {bound}"),
        EvaluateFault::Failed(error) => format!("error: {error}"),
    })
}

/// On a thread with the stack of a tokio worker, so that a program that overflows it ends this test.
fn check_bounded(program: &'static str) {
    let started = Instant::now();
    // A fifth of the default, so that unoptimised code gets through all of them in some seconds.
    let limits = Limits { expression_work: 400_000, ..Limits::default() };
    let run = move || evaluate_within(program, &json!({"a": [1, 2, 3], "t": "x".repeat(1000)}), &limits);
    let result = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(run).unwrap().join().unwrap();
    let took = started.elapsed();
    println!("{took:>10.1?}  {}  {program}", result.as_ref().map_or_else(String::clone, |_| "ok".into()));
    assert!(took.as_secs() < 5, "{program} took {took:?}");
    let error = result.expect_err(program);
    assert!(error.starts_with("bound") || error.starts_with("compile"), "{program}: {error}");
}

#[test]
fn hostile_programs_are_stopped() {
    for program in [
        "def f: f; f",
        "def f: f, f; [f]",
        "def f: 1 + f; f",
        "def f: try f catch f; f",
        "def f: (try error catch .), f; last(f)",
        "def f: f?; f",
        "def f: f // 1; f",
        "def f(g): f(g | g); f(.)",
        "def f(g): def h: f(g | .); h; f(.)",
        "def f(g): g; def h: f(h); h",
        "def f($x): f($x + 1); f(0)",
        "def f: . as $x | f; f",
        "def f: [f]; f",
        "def f: {a: f}; f",
        "def f: [.] | f; f",
        "def f: {a: .} | f; f",
        "until(false; .)",
        "0 | until(false; . + 1)",
        "[repeat(1)]",
        "last(repeat(1))",
        "[while(true; .)]",
        "[recurse(.)]",
        "last(recurse(.))",
        "[range(1e12)]",
        "[range(1e18; 0; -1)]",
        "[range(0; 1; 0)]",
        "last(range(1e12))",
        "reduce range(1e12) as $x (0; .)",
        "[foreach range(1e12) as $x (0; .; .)]",
        "[limit(1e12; repeat(1))]",
        "[skip(1e12; repeat(1))]",
        "first(range(1e12) | select(. < 0))",
        "isempty(range(1e12) | select(. < 0))",
        "any(range(1e12); false)",
        "label $out | range(1e12) | if . < 0 then break $out else empty end",
        "\"x\" * 1e12",
        "\"x\" * 1000000000",
        "reduce range(64) as $x (\"x\"; . + .)",
        "reduce range(64) as $x (\"x\"; . * 2)",
        "reduce range(64) as $x ([0]; . + .)",
        "reduce range(64) as $x ([0]; [., .]) | tojson",
        "reduce range(64) as $x ([0]; [., .]) | . == .",
        "reduce range(64) as $x ([0]; [., .]) | flatten | length",
        "reduce range(64) as $x ([0]; [., .]) | .a",
        "reduce range(64) as $x ({}; {a: ., b: .}) | . * . | tostring",
        "reduce range(64) as $x ({}; {a: ., b: .}) | try .[0] catch .",
        "reduce range(1000000) as $x (0; [.])",
        "reduce range(1000000) as $x (0; {a: .})",
        "reduce range(1000000) as $x (null; .a.a.a.a = .)",
        "[path(last(limit(1e6; repeat(.a))))]",
        "null | path(def f: .a | f; f)",
        "null | last(path(repeat(.a)))",
        "null | (def f: .a | f; f) |= 1",
        "(repeat(.a)) |= 1",
        "[range(100000)] | to_entries | [range(1000) as $x | from_entries?] | length",
        "[range(100000)] | reduce range(1000) as $x (.; map(.))",
        "[range(50000)] | [range(50000)] - . | [range(1e9)]",
        "reduce range(100000) as $x ({}; .[\"k\\($x)\"] = $x)",
        "def f: def g: def h: f; h; g; f",
        "def f: reduce (1,2) as $x (0; f); f",
        "def f: foreach (1,2) as $x (0; f); f",
        "def f: label $l | f; f",
        "def f: if true then f else f end; f",
        "def f: . as [$a] | f; [1] | f",
        "def f: {a: (f)}; f",
        "def f: \"\\(f)\"; f",
        "def f: .[f]; f",
        "def f: -f; f",
        "def f: limit(1; f); f",
        "def f: first(f); f",
        "def f: map(f); [[[1]]] | def g: [., .] | g; g",
        "def f: walk(f); [1] | f",
        "null | setpath([range(100000) | \"a\"]; 1)",
        "getpath([range(1e9)])",
        "[combinations(30)]",
        "[[range(100)]] | [.[0], .[0], .[0], .[0], .[0]] | [combinations]",
        "[(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)+(1,2)]",
        "last((1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1)|(1,1))",
        "[range(1000)] as $a | last($a[] as $x | $a[] as $y | $a[] as $z | 1)",
        "[range(100000)] | [.[] as $x | .[] as $y | select($x == $y)]",
        "[range(200000)] | last(range(1000) as $i | .[])",
        "(\"a\" * 1000000) | [match(\"(a|aa)+$\"; \"g\")] | [range(1e9)]",
        "(\"a\" * 100000) | test(\"(?:a{100}){100}b\")",
        "\"a\" | test(\"(((((a{99}){99}){99}){99}){99})\")",
        "(\"ab\" * 500000) | [indices(\"ab\" * 100)[]] | [range(1e9)]",
        "[range(20000)] | contains([range(20000)] | reverse)",
        "[range(300000)] | [range(100) as $x | sort_by(-.)] | length",
        "[range(100000)] | reduce range(100000) as $i (.; .[$i] = .[$i + 1])",
        "walk(def f: f; f)",
        "[.. |= [., .]] | [range(1e10)]",
        "def a: b; 1",
        "$ENV",
        "env",
        "input",
        "debug",
        "now",
        "halt",
        "\"x\" | halt_error",
        "import \"a\" as a; 1",
        "include \"a\"; 1",
        "\"a\" | error(\"b\") | input_line_number",
        "getpath([\"a\"]) as $__loc__ | $__prog_args",
        "splits(\"a\"; \"b\"; \"c\")",
    ] {
        check_bounded(program);
    }
    if let Ok(status) = std::fs::read_to_string("/proc/self/status")
        && let Some(peak) = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))
    {
        let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        println!("{kilobytes} kB at most");
        assert!(kilobytes < 400_000, "{kilobytes} kB");
    }
    let nested: &'static str = Box::leak(format!("{}1{}", "[".repeat(4000), "]".repeat(4000)).into_boxed_str());
    let piped: &'static str = Box::leak(vec!["."; 4000].join("|").into_boxed_str());
    let negated: &'static str = Box::leak(format!("{}1", "-".repeat(8000)).into_boxed_str());
    for program in [nested, piped, negated] {
        let run = move || evaluate(program, &json!(null));
        let result = std::thread::Builder::new().stack_size(64 * 1024 * 1024).spawn(run).unwrap().join().unwrap();
        assert!(result.unwrap_err().starts_with("compile"));
    }
}

#[track_caller]
fn check(program: &str, input: Value, expected: Value) {
    assert_eq!(evaluate(program, &input), Ok(expected), "{program}");
}

/// What fails by itself does so before it costs anything.
#[test]
fn absurd_programs_fail_at_once() {
    for program in [
        "\"[\" * 100000 | fromjson",
        "reduce range(100) as $x (2; . * .)",
        "\"9\" * 100000 | tonumber | . * .",
        "\"1e999999999\" | tonumber",
        ".[100000000] = 1",
        "[.[\"a\"]]",
    ] {
        let started = Instant::now();
        let result = evaluate(program, &json!([1]));
        println!("{:?} {result:?}", started.elapsed());
        assert!(started.elapsed().as_secs() < 1 && result.is_err_and(|error| error.starts_with("error")), "{program}");
    }
}

#[test]
fn honest_programs_are_not() {
    check(".a.b", json!({"a": {"b": 1}}), json!(1));
    check(".colors + [\"red\"]", json!(null), json!(["red"]));
    check(".n", json!({"n": 9_007_199_254_740_993_u64}), json!(9_007_199_254_740_993_u64));
    check(".n + 1", json!({"n": 9_007_199_254_740_993_u64}), json!(9_007_199_254_740_994_u64));
    check(".n", json!({"n": u64::MAX}), json!(u64::MAX));
    check(".n", json!({"n": i64::MIN}), json!(i64::MIN));
    check("0.1 + 0.2", json!(null), json!(0.1 + 0.2));
    check("6 / 2", json!(null), json!(3));
    check("1e3", json!(null), json!(1000));
    check("map(.x) | add", json!([{"x": 1}, {"x": 2}]), json!(3));
    check("[.[] | select(. > 1)]", json!([1, 2, 3]), json!([2, 3]));
    check("to_entries | map(.key) | join(\"-\")", json!({"a": 1, "b": 2}), json!("a-b"));
    check("with_entries(.value += 1)", json!({"a": 1}), json!({"a": 2}));
    check(
        "group_by(.k) | map({k: .[0].k, n: length})",
        json!([{"k": 1}, {"k": 2}, {"k": 1}]),
        json!([{"k": 1, "n": 2}, {"k": 2, "n": 1}]),
    );
    check("\"Hello \\(.user.name)!\"", json!({"user": {"name": "Ann"}}), json!("Hello Ann!"));
    check(".a // \"none\"", json!({}), json!("none"));
    check("def f: if . > 3 then . else . + 1 | f end; f", json!(0), json!(4));
    check("def fac: if . < 2 then 1 else . * (. - 1 | fac) end; fac", json!(20), json!(2_432_902_008_176_640_000_u64));
    check("[limit(3; repeat(1))]", json!(null), json!([1, 1, 1]));
    check("0 | until(. >= 20000; . + 1)", json!(null), json!(20000));
    check("reduce range(20000) as $i ([]; . + [$i]) | length", json!(null), json!(20000));
    check("[foreach range(3) as $i (0; . + $i)]", json!(null), json!([0, 1, 3]));
    check("reduce range(5000) as $i (\"\"; . + \"ab\") | length", json!(null), json!(10000));
    check(".a.b.c = 1", json!(null), json!({"a": {"b": {"c": 1}}}));
    check(".a[1] = 1", json!({}), json!({"a": [null, 1]}));
    check("del(.a)", json!({"a": 1, "b": 2}), json!({"b": 2}));
    check("[paths]", json!({"a": [1]}), json!([["a"], ["a", 0]]));
    check("walk(if type == \"number\" then . + 1 else . end)", json!([1, [2]]), json!([2, [3]]));
    check("try error(\"x\") catch .", json!(null), json!("x"));
    check("try error({a: 1}) catch .a", json!(null), json!(1));
    check("[.[]?]", json!(1), json!([]));
    check("test(\"^a+$\")", json!("aaa"), json!(true));
    check("[scan(\"[0-9]+\")]", json!("a1b22"), json!(["1", "22"]));
    check("sub(\"b\"; \"x\")", json!("abb"), json!("axb"));
    check("gsub(\"b\"; \"x\")", json!("abb"), json!("axx"));
    check("capture(\"(?<y>[0-9]{4})\").y", json!("in 2026"), json!("2026"));
    check("split(\",\")", json!("a,b"), json!(["a", "b"]));
    check("ascii_upcase | @base64 | @base64d", json!("ab"), json!("AB"));
    check("@csv", json!(["a", 1, "b\"c"]), json!("\"a\",1,\"b\"\"c\""));
    check("@tsv", json!(["a\tb", null, 1]), json!("a\\tb\t\t1"));
    check("[.[] | tonumber? // \"no\"]", json!(["1", "x"]), json!([1, "no"]));
    check("rindex(\"a\")", json!("aba"), json!(2));
    check("@json", json!({"a": 1}), json!("{\"a\":1}"));
    check("inside([1, 2])", json!([1]), json!(true));
    check("tojson | fromjson", json!({"a": [1, "x"]}), json!({"a": [1, "x"]}));
    check("\"3\" | tonumber", json!(null), json!(3));
    check("indices(\"a\")", json!("aba"), json!([0, 2]));
    check("index(\",\")", json!("a,b"), json!(1));
    check("contains({a: [1]})", json!({"a": [1, 2]}), json!(true));
    check("has(\"a\"), has(\"b\")", json!({"a": null}), json!(true));
    check(".[1:]", json!([1, 2, 3]), json!([2, 3]));
    check(".[-2:]", json!("abc"), json!("bc"));
    check("sort_by(.a) | .[0].a", json!([{"a": 2}, {"a": 1}]), json!(1));
    check("unique", json!([2, 1, 2]), json!([1, 2]));
    check("min_by(.), max", json!([3, 1]), json!(1));
    check("flatten", json!([1, [2, [3]]]), json!([1, 2, 3]));
    check("[range(0; 10; 3)]", json!(null), json!([0, 3, 6, 9]));
    check("{a: 1} * {b: {c: 2}}", json!(null), json!({"a": 1, "b": {"c": 2}}));
    check("[.[] as [$a, {b: $c}] | $a + $c]", json!([[1, {"b": 2}]]), json!([3]));
    check("label $out | 1, break $out, 2", json!(null), json!(1));
    check("\"2026-11-27T10:00:00Z\" | fromdate", json!(null), json!(1_795_773_600));
    check("0 | todate", json!(null), json!("1970-01-01T00:00:00Z"));
    check("[splits(\", *\")]", json!("a, b"), json!(["a", "b"]));
    check("empty", json!(1), json!(null));
    check("ltrimstr(\"a\")", json!("ab"), json!("b"));
    check("transpose", json!([[1, 2], [3, 4]]), json!([[1, 3], [2, 4]]));
    check("{(.k): 1}", json!({"k": "x"}), json!({"x": 1}));
    check("{a, b: 2}", json!({"a": 1}), json!({"a": 1, "b": 2}));
    check("[1,2] - [2]", json!(null), json!([1]));
}
