//! Programs from PyPI that judge the API and the manifests as strangers: a folder of their own below `target`, never the system's.

use super::tools;
use std::path::Path;

const FOLDER: &str = "target/tools/python";
const PROGRAMS: [(&str, &str); 6] = [
    ("schemathesis", "schemathesis==4.32.5"),
    ("openapi-python-client", "openapi-python-client==0.29.1"),
    ("buf", "buf-bin==1.75.0"),
    ("kubernetes-validate", "kubernetes-validate==1.37.0"),
    ("cyclonedx-py", "cyclonedx-bom==7.5.0"),
    ("rotel-agent", "rotel==0.0.1a15"),
];
/// Fetches what is missing. Never fails: a test that lacks its program says so itself.
pub fn install_what_is_missing() {
    let missing =
        || PROGRAMS.iter().filter(|(program, _)| !Path::new(FOLDER).join("bin").join(program).is_file());
    if missing().next().is_some() {
        if !tools::run_quietly("/usr/bin/python3", &["-m", "ensurepip", "--version"]) {
            tools::install_as_root(&["python3-venv"]);
        }
        let wanted: Vec<&str> = PROGRAMS.iter().map(|(_, wanted)| *wanted).collect();
        let pip = format!("{FOLDER}/bin/pip");
        let _ = tools::run("/usr/bin/python3", &["-m", "venv", FOLDER])
            && tools::run(
                &pip,
                &[&["install", "--quiet", "--disable-pip-version-check"], &wanted[..]].concat(),
            );
    }
    for (program, _) in missing() {
        println!(
            "{program} is missing (from PyPI): skipped: the API, traces, the manifests and a release in the hands of strangers"
        );
    }
}
