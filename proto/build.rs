//! Compiles `linkr/v1/*.proto` in pure Rust: no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=linkr");
    println!("cargo:rerun-if-changed=google");
    let files = [
        "linkr/v1/links.proto",
        "linkr/v1/feed.proto",
        "linkr/v1/edges.proto",
        "linkr/v1/keys.proto",
        "linkr/v1/domains.proto",
        "linkr/v1/targets.proto",
        "linkr/v1/clicks.proto",
    ];
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(files)?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    // Not the set below: its type knows no option of ours, and would drop them.
    std::fs::write(out.join("linkr.v1.bin"), compiler.encode_file_descriptor_set())?;
    let mut descriptors = compiler.file_descriptor_set();
    descriptors.file.retain(|file| !file.package().starts_with("google.api"));
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    let calls = tonic_prost_build::configure().bytes(".linkr.v1").codec_path("crate::bounds::Codec");
    calls.compile_fds_with_config(descriptors, config)?;
    Ok(())
}
