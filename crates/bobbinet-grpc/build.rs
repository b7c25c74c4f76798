//! Makes the types and services of both packages, without a protobuf compiler.

use std::{error::Error, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    for proto in ["a2a_v1_0.proto", "a2a_v0_3.proto"] {
        println!("cargo::rerun-if-changed=proto/{proto}");
        let files = protox::compile([Path::new("proto").join(proto)], ["proto"])?;
        tonic_prost_build::configure().btree_map(".").bytes(".").disable_comments(["."]).compile_fds(files)?;
    }
    Ok(())
}
