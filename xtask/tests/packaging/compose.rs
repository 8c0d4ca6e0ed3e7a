//! `deploy/compose.yaml`, replayed: each service's command with its environment, as a process on an address of its own in the place of
//! a container, a real PostgreSQL, and then the commands that the file's head names, up to the redirect.

use super::{Packaged, ok, root, skip, turn, until};
use serde_json::Value;
use services::{Folder, Postgres, Process};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

/// As `docker compose` reads the file: defaults in the place of variables that are not set, aliases and merges resolved.
const READ: &str = "import json, re, sys, yaml
text = re.sub(r'\\$\\{\\w+:-([^}]*)\\}', r'\\1', open(sys.argv[1]).read())
print(json.dumps(yaml.safe_load(text)))";

/// The services by name, and what stands in for their names, ports and volumes here.
struct Stack {
    services: BTreeMap<String, Value>,
    places: BTreeMap<String, String>,
    postgres: String,
    folder: Folder,
}

impl Stack {
    /// The services that run linkr.
    fn ours(&self) -> impl Iterator<Item = &String> {
        self.services.iter().filter(|(_, one)| one["image"] == "linkr").map(|(name, _)| name)
    }

    fn environment(&self, name: &str) -> Vec<(String, String)> {
        let set = self.services[name]["environment"].as_object().unwrap();
        set.iter().map(|(key, value)| (key.clone(), self.here(name, value.as_str().unwrap()))).collect()
    }

    /// A value as it is here: hosts are addresses, and `/data` is a folder.
    fn here(&self, name: &str, value: &str) -> String {
        let data = format!("{}/{name}/", self.folder.path().display());
        let mut value = value.replace("0.0.0.0", &self.places[name]).replace("/data/", &data);
        value = value.replace("@postgres/", &format!("@{}/", self.postgres));
        for (other, place) in &self.places {
            value = value.replace(&format!("//{other}:"), &format!("//{place}:"));
        }
        value
    }

    fn linkr(&self, name: &str, words: &[&str]) -> Command {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        let mut linkr = services::command(Packaged::new().binary, &folder);
        linkr.args(words).envs(self.environment(name));
        linkr
    }

    fn start(&self, name: &str) -> Process {
        let words: Vec<&str> = self.services[name]["command"]
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap())
            .collect();
        let log = self.folder.path().join(format!("{name}.log"));
        Process::hear(&self.linkr(name, &words), &log, &["admin"])
            .unwrap_or_else(|fault| panic!("{name}: {fault}"))
    }
}

/// Addresses of loopback that no other run of this test has.
fn place(number: usize) -> String {
    let process = std::process::id() as usize;
    format!("127.{}.{}.{number}", 64 + process / 256 % 128, process % 256)
}

#[test]
#[ignore = "starts a database and three servers: make test-long"]
fn compose_reaches_a_redirect_as_it_stands() {
    let test = "compose_reaches_a_redirect_as_it_stands";
    let _turn = turn();
    let python = root().join("target/tools/python/bin/python");
    let file = root().join("deploy/compose.yaml");
    if !python.is_file() {
        return skip(test, "no target/tools/python (make test-long fetches it)");
    }
    if std::env::var_os("LINKR_TEST_POSTGRES").is_some() {
        return skip(test, "it makes a role on a server of its own");
    }
    let postgres = match Postgres::start(&[]) {
        Ok(postgres) => postgres,
        Err(fault) => return skip(test, &fault.to_string()),
    };
    let read = ok(services::command(python, &root()).args(["-c", READ]).arg(&file));
    let read: Value = serde_json::from_str(&read).unwrap();
    let services: BTreeMap<String, Value> = serde_json::from_value(read["services"].clone()).unwrap();
    nothing_is_missing_or_unused(&read, &services);
    let made = services["postgres"]["environment"].as_object().unwrap();
    let word = |name: &str| made[name].as_str().unwrap();
    let (user, password, database) = (word("POSTGRES_USER"), word("POSTGRES_PASSWORD"), word("POSTGRES_DB"));
    postgres.psql("postgres", &format!("CREATE ROLE {user} LOGIN SUPERUSER PASSWORD '{password}'")).unwrap();
    postgres.create(database).unwrap();
    let places = services.keys().enumerate().map(|(at, name)| (name.clone(), place(at + 2))).collect();
    let stack = Stack {
        places,
        postgres: format!("127.0.0.1:{}", postgres.port().unwrap()),
        folder: Folder::new("compose", None).unwrap(),
        services,
    };
    replay(&stack, &fs::read_to_string(&file).unwrap());
}

/// What the head of the file says, in its order.
fn replay(stack: &Stack, text: &str) {
    let mut running = Vec::new();
    let mut told = 0;
    for line in
        text.lines().map_while(|line| line.strip_prefix('#')).filter_map(|line| line.strip_prefix("   "))
    {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["docker", "build", ..] => {} // the_image_runs_as_people_run_it
            ["docker", "compose", "up", "-d", "--wait"] => {
                running.extend(stack.ours().map(|name| stack.start(name)));
                for name in stack.ours() {
                    let is_healthy =
                        || stack.linkr(name, &["healthcheck"]).output().unwrap().status.success();
                    until(&format!("{name} to be healthy"), || is_healthy().then_some(()));
                }
            }
            ["docker", "compose", "exec", service, "/linkr", words @ ..] => {
                // In its container it is reached at 127.0.0.1.
                let api = format!("http://{}:8081", stack.places[*service]);
                ok(stack.linkr(service, words).env("LINKR_SERVER", api));
            }
            ["curl", "-i", url] => {
                let (port, path) = url.strip_prefix("http://127.0.0.1:").unwrap().split_once('/').unwrap();
                let published = Value::from(format!("127.0.0.1:{port}:8080"));
                let edge = stack.ours().find(|name| {
                    stack.services[*name]["ports"].as_array().is_some_and(|ports| ports.contains(&published))
                });
                let address = format!("{}:8080", stack.places[edge.expect("who publishes this port")]);
                until("the redirect", || {
                    get(&address, path).contains("\r\nLocation: https://example.com\r\n").then_some(())
                });
            }
            _ => panic!("compose.yaml names a command that is not replayed: {line}"),
        }
        told += 1;
    }
    assert_eq!((told, running.len()), (4, 3));
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: go.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 302 ") || answer.starts_with("HTTP/1.1 404 "), "{answer}");
    answer
}

/// Each file that it names is there, each volume is declared, and each service is reached by another or from outside.
fn nothing_is_missing_or_unused(read: &Value, services: &BTreeMap<String, Value>) {
    assert!(
        read["secrets"].is_null() && read["configs"].is_null(),
        "files that people would have to make first"
    );
    for (name, service) in services {
        for option in service["security_opt"].as_array().into_iter().flatten() {
            if let Some(file) = option.as_str().unwrap().strip_prefix("seccomp=") {
                assert!(Path::new(&root()).join("deploy").join(file).is_file(), "{name}: {file}");
            }
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let (volume, _) = volume.as_str().unwrap().split_once(':').unwrap();
            assert!(read["volumes"].as_object().unwrap().contains_key(volume), "{name}: {volume}");
        }
        let named = |other: &Value| {
            let text = other["environment"].to_string();
            [format!("//{name}:"), format!("@{name}/")].iter().any(|host| text.contains(host))
        };
        assert!(!service["ports"].is_null() || services.values().any(named), "nobody reaches {name}");
    }
}
