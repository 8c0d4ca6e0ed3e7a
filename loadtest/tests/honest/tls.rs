//! TLS against a real nginx: full and resumed handshakes, as nginx itself logs them, and who is believed.

use super::{Dir, TURN, fate, loadtest, redirect, server};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// An nginx of our own that redirects everything, with a certificate that signed itself.
struct Nginx {
    child: Child,
    address: SocketAddr,
    dir: Dir,
}

impl Nginx {
    /// `None` when nginx or openssl is not installed.
    fn start(name: &str, protocol: &str) -> Option<Self> {
        let dir = Dir::new(name);
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        openssl.args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        openssl.args(["-keyout", "key.pem", "-out", "cert.pem"]).current_dir(&dir.0).stderr(Stdio::null());
        let Ok(status) = openssl.status() else {
            println!("skipped: openssl is not installed (package openssl)");
            return None;
        };
        assert!(status.success(), "openssl makes no certificate");
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = dir.0.display();
        let config = format!(
            "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n\
             events {{ }}\n\
             http {{ log_format tls '$ssl_protocol $ssl_session_reused'; access_log {folder}/access.log tls;\n\
             client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};\n\
             uwsgi_temp_path {folder}; scgi_temp_path {folder}; keepalive_requests 1000000;\n\
             server {{ listen {address} ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem;\n\
             ssl_protocols {protocol}; location / {{ return 302 https://right.example/; }} }} }}\n",
        );
        let conf = dir.file("nginx.conf", &config);
        let program =
            if std::path::Path::new("/usr/sbin/nginx").is_file() { "/usr/sbin/nginx" } else { "nginx" };
        let mut nginx = Command::new(program);
        nginx.args([
            "-p",
            &folder.to_string(),
            "-c",
            &conf,
            "-e",
            &dir.0.join("error.log").display().to_string(),
        ]);
        let Ok(child) = nginx.stderr(Stdio::null()).spawn() else {
            println!("skipped: nginx is not installed (package nginx-light)");
            return None;
        };
        let mut nginx = Self { child, address, dir };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            let error = || std::fs::read_to_string(nginx.dir.0.join("error.log")).unwrap_or_default();
            assert!(nginx.child.try_wait().unwrap().is_none(), "nginx ended: {}", error());
            assert!(Instant::now() < deadline, "nginx does not listen: {}", error());
            std::thread::yield_now();
        }
        Some(nginx)
    }

    /// Runs the load and returns the report, the exit status and what was said.
    fn load(&self, more: &[&str]) -> (serde_json::Value, i32, String) {
        let links = self.dir.file("links.csv", "code,location\nabc,https://right.example/\n");
        let out = self.dir.0.join("out");
        let _ = std::fs::remove_dir_all(&out);
        let mut command = loadtest();
        command.args(["run", &format!("https://{}", self.address), "--links", &links, "-c", "4"]);
        let output = command.arg("--out").arg(&out).args(more).env_remove("SSL_CERT_FILE").output().unwrap();
        let report = std::fs::read_to_string(out.join("report.json")).unwrap_or("null".into());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (serde_json::from_str(&report).unwrap(), output.status.code().unwrap(), said)
    }

    /// Ends it and returns its log: protocol of each request, and how many of their sessions were resumed.
    fn log(mut self) -> (Vec<String>, usize) {
        self.end();
        let text = std::fs::read_to_string(self.dir.0.join("access.log")).unwrap();
        let lines = text.lines().map(|line| line.split_once(' ').unwrap());
        let (protocols, resumed): (Vec<_>, Vec<_>) = lines.map(|(p, r)| (p.to_owned(), r == "r")).unzip();
        (protocols, resumed.into_iter().filter(|resumed| *resumed).count())
    }

    fn end(&mut self) {
        // Asked, so that what it has to log is logged.
        let _ = Command::new("kill").arg(self.child.id().to_string()).stderr(Stdio::null()).status();
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn tls_on_kept_connections() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        let Some(nginx) = Nginx::start(&format!("kept-{protocol}"), protocol) else { return };
        let (report, status, said) = nginx.load(&["--trust-any", "--rate", "1000", "--time", "0.4"]);
        assert_eq!((fate(&report, "right"), status), (400, 0), "{protocol}: {said}{report}");
        assert_eq!(report["warm"]["connections"], 4, "{report}");
        // More is under way than a session holds of what is not sent yet.
        let flat = ["--trust-any", "--time", "0.3", "--pipeline", "200", "--browser"];
        let (report, status, said) = nginx.load(&flat);
        let right = fate(&report, "right");
        assert!(right > 800 && status == 0, "{protocol}: {said}{report}");
        let (protocols, resumed) = nginx.log();
        assert!(protocols.len() as u64 >= 400 + right, "{}", protocols.len());
        assert!(protocols.iter().all(|used| used == protocol));
        assert_eq!(resumed, 0, "nothing to resume: all connections were made at once");
    }
}

#[test]
fn a_resumed_session_is_one_and_a_full_handshake_is_none() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (protocol, resume) in [("TLSv1.2", false), ("TLSv1.2", true), ("TLSv1.3", false), ("TLSv1.3", true)] {
        let Some(nginx) = Nginx::start(&format!("{protocol}-{resume}"), protocol) else { return };
        let mut words = vec!["--trust-any", "--new-connections", "--rate", "400", "--time", "0.5"];
        words.extend(resume.then_some("--resume"));
        let (report, status, said) = nginx.load(&words);
        let told = format!("{protocol}, {words:?}: {said}{report}");
        assert_eq!((fate(&report, "right"), status), (200, 0), "{told}");
        assert_eq!(report["warm"]["connections"], 200, "{told}");
        let (protocols, resumed) = nginx.log();
        assert!(protocols.len() == 200 && protocols.iter().all(|used| used == protocol), "{told}");
        assert_eq!(report["warm"]["resumed"], resumed, "{told}");
        // The first ones have nothing to resume yet.
        assert!(if resume { resumed >= 150 } else { resumed == 0 }, "{resumed} resumed: {told}");
    }
}

#[test]
fn who_is_not_trusted_gets_no_request() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let Some(nginx) = Nginx::start("trust", "TLSv1.2 TLSv1.3") else { return };
    // Something to believe, whatever this machine believes; and not nginx's.
    let other = Nginx::start("other", "TLSv1.3").unwrap();
    let cert = |nginx: &Nginx| nginx.dir.0.join("cert.pem");
    let with = |cert: std::path::PathBuf, more: &[&str]| {
        let mut command = loadtest();
        command.args(["run", &format!("https://{}", nginx.address), "--code", "abc", "--time", "0.2"]);
        command.args(["--rate", "100", "-c", "2"]).args(more).env("SSL_CERT_FILE", cert).output().unwrap()
    };
    for more in [&[][..], &["--new-connections"]] {
        let output = with(cert(&other), more);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("invalid peer certificate") && said.contains("--trust-any"), "{said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
        let output = with(cert(&nginx), more);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let output = with("/nowhere.pem".into(), &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("cannot read /nowhere.pem"), "{said}");
    let (protocols, _) = nginx.log();
    assert_eq!(protocols.len(), 40, "only the two that were trusted");
}

#[test]
fn a_server_that_speaks_no_tls_is_said_to_be_one() {
    let address = server(|_| Some(redirect("https://right.example/")));
    let mut command = loadtest();
    command.args(["run", &format!("https://{address}"), "--code", "abc", "--trust-any", "--timeout", "1"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot connect to https://"), "{said}");
}
