//! A real Prometheus, which is told whom to scrape while it runs.

use crate::support::{Connection, Dir, command, until};
use serde_json::Value;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};

/// Whom it scrapes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub job: &'static str,
    pub at: SocketAddr,
}

/// A Prometheus of our own, gone with its test.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    targets: PathBuf,
}

impl Prometheus {
    /// One that scrapes nobody yet, and judges nothing, twice a second.
    pub fn start(dir: &Dir, features: &[&str]) -> Self {
        Self::with_rules(dir, "groups: []\n", "500ms", features)
    }

    /// One that scrapes nobody yet, and judges these rules, `every` so often.
    pub fn with_rules(dir: &Dir, rules: &str, every: &str, features: &[&str]) -> Self {
        dir.write("rules.yml", rules);
        let targets = dir.path().join("targets.json");
        std::fs::write(&targets, "[]").unwrap();
        let config = dir.write(
            "prometheus.yml",
            format!(
                "global: {{scrape_interval: {every}, scrape_timeout: {every}, evaluation_interval: {every}}}\n\
                 rule_files: [rules.yml]\n\
                 scrape_configs: [{{job_name: none, file_sd_configs: [{{files: [targets.json], refresh_interval: 1s}}]}}]\n"
            ),
        );
        // Free a moment ago; its own listener cannot say which port it got.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = std::fs::File::create(dir.file("prometheus.log")).unwrap();
        let mut prometheus = command("prometheus", dir.path());
        prometheus.arg(format!("--config.file={config}"));
        prometheus.arg(format!("--storage.tsdb.path={}", dir.file("tsdb")));
        prometheus.arg(format!("--web.listen-address={address}"));
        prometheus.args(features).stdout(Stdio::null()).stderr(log);
        let own = Self { child: prometheus.spawn().unwrap(), address, targets };
        until("Prometheus", || {
            TcpStream::connect(address).ok()?;
            (Connection::to(address).ask("GET", "/-/ready").status == 200).then_some(())
        });
        own
    }

    /// From now on it scrapes these.
    pub fn scrapes(&self, targets: &[Target]) {
        let groups = targets.iter().map(|target| {
            serde_json::json!({ "targets": [target.at.to_string()], "labels": { "job": target.job } })
        });
        let list = Value::from(groups.collect::<Vec<_>>()).to_string();
        // Renamed into place: it may look at any moment.
        let next = self.targets.with_extension("next");
        std::fs::write(&next, list).unwrap();
        std::fs::rename(next, &self.targets).unwrap();
    }

    /// What a path of its API answers with.
    pub fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let mut target = format!("/api/v1/{path}?");
        for (name, value) in parameters {
            let _ = write!(target, "{name}=");
            value.bytes().for_each(|byte| {
                let _ = write!(target, "%{byte:02X}");
            });
            target.push('&');
        }
        // Its longer answers come in chunks, unless the request is of HTTP/1.0.
        let body = unchunked(self.address, &target);
        let answer: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{target}: {body}"));
        assert_eq!(answer["status"], "success", "{target}: {body}");
        answer["data"].clone()
    }

    /// The series of an instant query.
    pub fn series(&self, query: &str) -> Vec<Value> {
        self.ask("query", &[("query", query)])["result"].as_array().cloned().unwrap_or_default()
    }

    /// The first value of an instant query, if there is one.
    pub fn query(&self, query: &str) -> Option<f64> {
        self.series(query).first()?["value"][1].as_str()?.parse().ok()
    }

    /// Waits until a query gives this value.
    pub fn gives(&self, query: &str, expected: f64) {
        until(query, || (self.query(query)? == expected).then_some(()));
    }
}

/// The body of an answer to a request of HTTP/1.0.
fn unchunked(address: SocketAddr, target: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    stream.write_all(format!("GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
