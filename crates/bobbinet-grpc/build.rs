//! Makes the types and services of both packages, without a protobuf compiler, and a table of what their messages hold.

use std::{collections::BTreeMap, env, error::Error, fs, path::Path};

use prost_types::{
    DescriptorProto, FieldDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

/// Of each message, by its full name: its fields that hold other messages, or many of anything.
type Shapes = BTreeMap<String, Vec<FieldDescriptorProto>>;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut shapes, mut maps) = (Shapes::new(), Vec::new());
    for proto in ["a2a_v1_0.proto", "a2a_v0_3.proto"] {
        println!("cargo::rerun-if-changed=proto/{proto}");
        let files = protox::compile([Path::new("proto").join(proto)], ["proto"])?;
        for file in &files.file {
            for message in &file.message_type {
                note(&mut shapes, &mut maps, file.package(), message);
            }
        }
        let mut config = tonic_prost_build::Config::new();
        config.enable_type_names();
        tonic_prost_build::configure()
            .btree_map(".")
            .bytes(".")
            .disable_comments(["."])
            .codec_path("crate::codec::BoundedCodec")
            .compile_fds_with_config(files, config)?;
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("shapes.rs"), table(&shapes, &maps))?;
    Ok(())
}

fn note(shapes: &mut Shapes, maps: &mut Vec<String>, scope: &str, message: &DescriptorProto) {
    let name = format!("{scope}.{}", message.name());
    for inner in &message.nested_type {
        note(shapes, maps, &name, inner);
    }
    if message.options.as_ref().is_some_and(|options| options.map_entry()) {
        maps.push(name.clone());
    }
    let fields = message.field.iter().filter(|field| is_many(field) || field.r#type() == Type::Message);
    shapes.insert(name, fields.cloned().collect());
}

fn is_many(field: &FieldDescriptorProto) -> bool {
    field.label() == Label::Repeated
}

/// The constant `SHAPES`, in the order of the names.
fn table(shapes: &Shapes, maps: &[String]) -> String {
    let field = |field: &FieldDescriptorProto| {
        let inner = field.type_name().trim_start_matches('.');
        let message = shapes.keys().position(|name| name == inner);
        let many = match (is_many(field), message) {
            (false, _) => "One",
            (true, _) if maps.iter().any(|name| name == inner) => "Map",
            (true, Some(_)) if inner != "google.protobuf.Value" => "Messages",
            (true, _) => "Values",
        };
        format!("Field {{ number: {}, holds: Holds::{many}, message: {message:?} }}", field.number())
    };
    let shape = |(name, fields): (&String, &Vec<FieldDescriptorProto>)| {
        let fields: Vec<String> = fields.iter().map(field).collect();
        format!("    Shape {{ name: {name:?}, fields: &[{}] }},\n", fields.join(", "))
    };
    format!("const SHAPES: &[Shape] = &[\n{}];\n", shapes.iter().map(shape).collect::<String>())
}
