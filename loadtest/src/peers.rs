//! Servers to compare with, started from what is installed, over the same links, and stopped again.

use crate::args::LoadArgs;
use crate::keys::{Expectation, Key};
use crate::plan::{Pace, Plan};
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server under test. Ends when dropped.
pub struct Peer {
    /// What it is called in the report.
    pub name: String,
    /// Where it answers.
    address: SocketAddr,
    /// Whether it speaks TLS, with a certificate that signed itself.
    pub tls: bool,
    /// Where an edge's metrics are.
    pub admin: Option<SocketAddr>,
    /// It answers the floor's fixed redirect, whatever it is asked.
    fixed: bool,
    children: Vec<Child>,
    dir: PathBuf,
}

impl Drop for Peer {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            // Asked first: nginx's master ends its workers only then.
            let _ = Command::new("kill").arg(child.id().to_string()).stderr(Stdio::null()).status();
            let deadline = Instant::now() + Duration::from_secs(3);
            while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A link as all servers get it: code and target.
type Link<'a> = (&'a str, &'a str);

fn link(key: &Key) -> Option<Link<'_>> {
    match &key.expect {
        Expectation::To(target) => Some((&key.code, target)),
        _ => None,
    }
}

/// Starts a server by its name: `floor`, `floor-epoll`, `linkr`, `linkr-epoll`, `nginx`, `haproxy`; the two linkr and
/// nginx also with `-tls` behind, the two linkr with `-uncounted` for an edge that notes no clicks.
///
/// # Errors
/// One line: not installed, or it does not come up.
pub fn start(name: &str, keys: &[Key], load: &LoadArgs) -> Result<Peer, String> {
    let core = load.server_core;
    let links: Vec<Link<'_>> = keys.iter().filter_map(link).collect();
    let links = &links[..];
    let dir = std::env::temp_dir().join(format!("linkr-loadtest-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(|fault| format!("cannot make {}: {fault}", dir.display()))?;
    let address = free_port()?;
    let (plain, tls) = name.strip_suffix("-tls").map_or((name, false), |plain| (plain, true));
    let children = Vec::new();
    let mut peer = Peer { name: name.into(), address, tls, admin: None, fixed: false, children, dir };
    if tls {
        peer.make_certificate()?;
    }
    let (plain, counts) = plain.strip_suffix("-uncounted").map_or((plain, true), |plain| (plain, false));
    match plain {
        "linkr" | "linkr-epoll" => peer.linkr(plain == "linkr-epoll", counts, links, core)?,
        _ if !counts => return Err(format!("{plain} counts no clicks anyhow: leave -uncounted out")),
        "floor" | "floor-epoll" | "haproxy" if tls => {
            return Err(format!("{plain} is not started with TLS here"));
        }
        "floor" | "floor-epoll" => peer.floor(name == "floor-epoll", load.wire.new_connections, core)?,
        "nginx" => peer.nginx(links, core)?,
        "haproxy" => peer.haproxy(links, core)?,
        _ => {
            return Err(format!(
                "there is no server '{name}': floor, floor-epoll, linkr, linkr-epoll, nginx, haproxy; linkr-tls, \
                 linkr-epoll-tls, nginx-tls; linkr-uncounted, linkr-epoll-uncounted"
            ));
        }
    }
    peer.wait_until_it_answers()?;
    Ok(peer)
}

impl Peer {
    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http{}://{}", if self.tls { "s" } else { "" }, self.address)
    }

    /// How to load it: its certificate, if it has one, was made here.
    ///
    /// # Errors
    /// One line: what cannot be meant.
    pub fn plan(&self, load: &LoadArgs, pace: Pace) -> Result<Plan, String> {
        let mut plan = load.plan(&self.url(), pace)?;
        plan.trust_any = true;
        Ok(plan)
    }

    /// What must come back from it for these keys.
    pub fn keys(&self, mut keys: Vec<Key>) -> Vec<Key> {
        if self.fixed {
            keys.iter_mut().for_each(|key| key.expect = Expectation::To(crate::floor::TARGET.into()));
        }
        keys
    }

    fn spawn(&mut self, core: usize, command: &mut Command) -> Result<(), String> {
        let program = command.get_program().to_owned();
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", &core.to_string()]).arg(&program).args(command.get_args());
        pinned.envs(command.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
        let log = std::fs::File::create(self.dir.join(format!("{}.log", self.children.len())));
        let log = log.map(Stdio::from).unwrap_or_else(|_| Stdio::null());
        let child = pinned.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.children.push(child.map_err(|fault| format!("cannot start {}: {fault}", program.display()))?);
        Ok(())
    }

    /// Of the kind that sites have: P-256.
    fn make_certificate(&self) -> Result<(), String> {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        openssl.args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]);
        openssl.args(["-keyout", "key.pem", "-out", "cert.pem"]).current_dir(&self.dir).stderr(Stdio::null());
        match openssl.status() {
            Ok(status) if status.success() => Ok(()),
            _ => Err("openssl makes no certificate (package openssl)".into()),
        }
    }

    fn floor(&mut self, epoll: bool, close: bool, core: usize) -> Result<(), String> {
        let own = std::env::current_exe().map_err(|fault| fault.to_string())?;
        let mut command = Command::new(own);
        command.args(["floor", "--listen", &self.address.to_string()]);
        if epoll {
            command.arg("--epoll");
        }
        if close {
            command.arg("--close");
        }
        self.fixed = true;
        self.spawn(core, &mut command)
    }

    fn linkr(&mut self, epoll: bool, counts: bool, links: &[Link<'_>], core: usize) -> Result<(), String> {
        let own = std::env::current_exe().map_err(|fault| fault.to_string())?;
        let binary = own.with_file_name("linkr");
        if !binary.is_file() {
            return Err(format!("{} is not there: build it first, with the same profile", binary.display()));
        }
        let (api, admin, control_admin) = (free_port()?, free_port()?, free_port()?);
        let store = format!("sqlite:{}", self.dir.join("linkr.db").display());
        let mut control = Command::new(&binary);
        control.args(["control", "--insecure", "--store", &store, "--api", &api.to_string()]);
        control.args(["--admin", &control_admin.to_string()]);
        // Not on the core of the edge: what is compared is the half that answers.
        self.spawn(core + 1, &mut control)?;
        let file = String::from("code,target\n") + &lines(links, |code, target| format!("{code},{target}"));
        let csv = self.dir.join("links.csv");
        std::fs::write(&csv, file).map_err(|fault| fault.to_string())?;
        wait(api, Duration::from_secs(10))?;
        let import = Command::new(&binary)
            .args(["import", &csv.display().to_string(), "--server", &format!("http://{api}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !import.is_ok_and(|status| status.success()) {
            return Err("linkr import failed".into());
        }
        let mut edge = Command::new(&binary);
        edge.args(["edge", "--workers", "1", "--control", &format!("http://{api}")]);
        edge.args(["--admin", &admin.to_string()]);
        let address = self.address.to_string();
        if self.tls {
            edge.args(["--listen", "127.0.0.1:0", "--listen-tls", &address]);
            edge.arg("--tls-cert").arg(self.dir.join("cert.pem"));
            edge.arg("--tls-key").arg(self.dir.join("key.pem"));
        } else {
            edge.args(["--listen", &address]);
        }
        edge.args(["--hot-set-bytes", "8GiB"]);
        if counts {
            edge.arg("--clicks-dir").arg(self.dir.join("clicks"));
        }
        if epoll {
            edge.env("MONOIO_FORCE_LEGACY_DRIVER", "1");
        }
        self.spawn(core, &mut edge)?;
        self.admin = Some(admin);
        wait_ready(admin)
    }

    fn nginx(&mut self, links: &[Link<'_>], core: usize) -> Result<(), String> {
        let dir = self.dir.display();
        let map = lines(links, |code, target| format!("/{code} \"{target}\";"));
        let (ssl, certificate) = match self.tls {
            true => (" ssl", format!("ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;")),
            false => ("", String::new()),
        };
        let buckets = (links.len() * 2).next_power_of_two().max(2048);
        let config = format!(
            "daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log crit;\n\
             events {{ worker_connections 20000; }}\n\
             http {{ access_log off; server_tokens off; keepalive_requests 100000000; keepalive_timeout 600s;\n\
             client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; scgi_temp_path {dir};\n\
             map_hash_max_size {buckets}; map_hash_bucket_size 512;\n\
             map $uri $target {{ default \"\"; include {dir}/map; }}\n\
             server {{ listen {}{ssl} backlog=4096; {certificate} location / {{ if ($target = \"\") {{ return 404; }} return 302 $target; }} }} }}\n",
            self.address
        );
        let write =
            |name: &str, text: &str| std::fs::write(self.dir.join(name), text).map_err(|f| f.to_string());
        write("map", &map)?;
        write("nginx.conf", &config)?;
        let conf = self.dir.join("nginx.conf");
        self.spawn(core, Command::new("nginx").args(["-p", &dir.to_string(), "-c"]).arg(conf))
    }

    fn haproxy(&mut self, links: &[Link<'_>], core: usize) -> Result<(), String> {
        let dir = self.dir.display();
        let map = lines(links, |code, target| format!("/{code} {target}"));
        let config = format!(
            "global\n  nbthread 1\n  maxconn 4000\n\
             defaults\n  mode http\n  timeout client 600s\n  timeout http-keep-alive 600s\n  timeout http-request 10s\n\
             frontend links\n  bind {}\n  http-request set-var(txn.target) path,map_str({dir}/map)\n\
             \x20 http-request redirect code 302 location %[var(txn.target)] if {{ var(txn.target) -m found }}\n\
             \x20 http-request return status 404\n",
            self.address
        );
        let write =
            |name: &str, text: &str| std::fs::write(self.dir.join(name), text).map_err(|f| f.to_string());
        write("map", &map)?;
        write("haproxy.cfg", &config)?;
        let conf = self.dir.join("haproxy.cfg");
        self.spawn(core, Command::new("haproxy").args(["-db", "-q", "-f"]).arg(conf))
    }

    fn wait_until_it_answers(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(60); // nginx reads a million links for some seconds
        loop {
            if TcpStream::connect_timeout(&self.address, Duration::from_millis(200)).is_ok() {
                return Ok(());
            }
            if let Some(child) = self.children.last_mut()
                && let Ok(Some(status)) = child.try_wait()
            {
                let log = std::fs::read_to_string(self.dir.join(format!("{}.log", self.children.len() - 1)));
                let last = log.unwrap_or_default().lines().last().unwrap_or_default().to_owned();
                return Err(format!("{} ended at once ({status}): {last}", self.name));
            }
            if Instant::now() > deadline {
                return Err(format!("{} does not answer on {}", self.name, self.address));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn lines(links: &[Link<'_>], line: impl Fn(&str, &str) -> String) -> String {
    links.iter().fold(String::new(), |text, (code, target)| text + &line(code, target) + "\n")
}

fn free_port() -> Result<SocketAddr, String> {
    let listener =
        TcpListener::bind("127.0.0.1:0").map_err(|fault| format!("there is no free port: {fault}"))?;
    listener.local_addr().map_err(|fault| fault.to_string())
}

fn wait(address: SocketAddr, most: Duration) -> Result<(), String> {
    let deadline = Instant::now() + most;
    while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
        if Instant::now() > deadline {
            return Err(format!("nothing answers on {address}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Until `/readyz` says 200.
fn wait_ready(admin: SocketAddr) -> Result<(), String> {
    use std::io::Write;
    let deadline = Instant::now() + Duration::from_secs(120);
    while Instant::now() < deadline {
        if let Ok(mut socket) = TcpStream::connect_timeout(&admin, Duration::from_millis(200)) {
            let mut text = String::new();
            let _ = write!(socket, "GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
            let _ = socket.read_to_string(&mut text);
            if text.starts_with("HTTP/1.1 200") {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err("the edge does not become ready".into())
}
