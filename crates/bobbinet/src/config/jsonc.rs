//! JSON with comments and trailing commas into the tree: what editors take for an `mcp.json`.
//!
//! Not through YAML, although JSON is YAML: a comment would silently become part of the next name.

use bobbinet_text::Position;
use jsonc_parser::{
    CollectOptions, ParseOptions,
    ast::{ObjectPropName, Value as Ast},
    common::Ranged,
    parse_to_ast,
};

use super::{
    finding::{Finding, Severity, Source},
    tree::{Key, Node, Value},
};

/// Reads a document.
pub(crate) fn parse(source: &Source) -> Result<Node, Finding> {
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let text = source.text.trim_start_matches('\u{feff}');
    let fault =
        |position, words: String| Finding::at(Severity::Error, source, position, format!("this is not JSON: {words}"));
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options)
        .map_err(|error| fault(Position::of_byte(text, error.range().start), lower(&error.kind().to_string())))?;
    match parsed.value {
        Some(value) => Ok(node(text, &value)),
        None => Err(fault(Position { line: 1, column: 1 }, "there is no value".to_owned())),
    }
}

fn lower(words: &str) -> String {
    let mut chars = words.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

fn node(text: &str, ast: &Ast<'_>) -> Node {
    let value = match ast {
        Ast::NullKeyword(_) => Value::Null("null".to_owned()),
        Ast::BooleanLit(literal) => Value::Flag(literal.value, literal.value.to_string()),
        Ast::NumberLit(literal) => Value::Number(literal.value.to_owned()),
        Ast::StringLit(literal) => Value::Text(literal.value.to_string()),
        Ast::Array(array) => Value::List(array.elements.iter().map(|element| node(text, element)).collect()),
        Ast::Object(object) => {
            let property = |property: &jsonc_parser::ast::ObjectProp<'_>| {
                let name = match &property.name {
                    ObjectPropName::String(literal) => literal.value.to_string(),
                    ObjectPropName::Word(literal) => literal.value.to_owned(),
                };
                let at = Position::of_byte(text, property.name.start());
                (Key { at, text: name }, node(text, &property.value))
            };
            Value::Map(object.properties.iter().map(property).collect())
        }
    };
    Node { at: Position::of_byte(text, ast.start()), value }
}
