//! Compiles `linkr/v1/*.proto` in pure Rust: no protoc is needed.

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=linkr");
    let files = [
        "linkr/v1/links.proto",
        "linkr/v1/feed.proto",
        "linkr/v1/edges.proto",
        "linkr/v1/keys.proto",
        "linkr/v1/domains.proto",
    ];
    let descriptors = protox::compile(files, ["."])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("linkr.v1.bin"), descriptors.encode_to_vec())?;
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    let calls = tonic_prost_build::configure().bytes(".linkr.v1").codec_path("crate::bounds::Codec");
    calls.compile_fds_with_config(descriptors, config)?;
    Ok(())
}
