//! A real Chromium, told what to do by chromedriver (W3C WebDriver, and Chromium's own protocol for what that lacks).

use crate::support::{Connection, PATIENCE};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

pub struct Driver {
    process: Child,
    connection: Connection,
    session: String,
}

impl Driver {
    /// Starts one on a port of the kernel's choice.
    pub fn start() -> Self {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.into_iter().find_map(|line| {
            let (_, behind) = line.split_once("started successfully on port ")?;
            behind.trim_end_matches('.').parse::<u16>().ok()
        });
        let connection = Connection::to(([127, 0, 0, 1], port.unwrap()).into());
        let mut driver = Self { process, connection, session: String::new() };
        let flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ];
        let wish = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": flags },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let began = driver.ask("POST", "/session", &wish);
        driver.session = format!("/session/{}", began["sessionId"].as_str().unwrap());
        driver
    }

    fn ask(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let answer = self.connection.call(method, path, &body).unwrap().unwrap();
        let told: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        assert_eq!(answer.status, 200, "{method} {path}: {}", told["value"]["message"]);
        told["value"].clone()
    }

    fn tell(&mut self, path: &str, body: &Value) -> Value {
        let path = format!("{}{path}", self.session);
        self.ask("POST", &path, body)
    }

    /// A command of Chromium's own protocol.
    fn chromium(&mut self, command: &str, parameters: &Value) -> Value {
        self.tell("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// How wide the window is, whether the system is dark, and where the visitor lives.
    pub fn looks_like(&mut self, width: u32, dark: bool) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.chromium("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.chromium("Emulation.setEmulatedMedia", &features);
        self.chromium("Emulation.setTimezoneOverride", &json!({ "timezoneId": "Europe/Berlin" }));
    }

    pub fn open(&mut self, address: &str) {
        self.tell("/url", &json!({ "url": address }));
    }

    pub fn address(&mut self) -> String {
        let path = format!("{}/url", self.session);
        self.ask("GET", &path, &Value::Null).as_str().unwrap().to_owned()
    }

    /// The value of an expression, waited for.
    pub fn value(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let told = self.chromium("Runtime.evaluate", &asked);
        assert!(told["exceptionDetails"].is_null(), "{}", told["exceptionDetails"]);
        told["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub fn until(&mut self, expression: &str) {
        let began = Instant::now();
        while self.value(expression) != true {
            assert!(began.elapsed() < PATIENCE, "waited for {expression} at {}", self.address());
        }
    }

    fn element(&mut self, selector: &str) -> String {
        let found = self.tell("/element", &json!({ "using": "css selector", "value": selector }));
        let (_, id) = found.as_object().unwrap().iter().next().unwrap();
        id.as_str().unwrap().to_owned()
    }

    /// Presses the mouse on it: on what stands there by now, where the page has just been replaced.
    pub fn click(&mut self, selector: &str) {
        let began = Instant::now();
        loop {
            let element = self.element(selector);
            let path = format!("{}/element/{element}/click", self.session);
            let answer = self.connection.call("POST", &path, "{}").unwrap().unwrap();
            if answer.status == 200 {
                return;
            }
            let stale = answer.body.contains("stale element reference") && began.elapsed() < PATIENCE;
            assert!(stale, "{selector}: {}", answer.body);
        }
    }

    /// Types where the keyboard is.
    pub fn keys(&mut self, text: &str) {
        let press = |key: char| {
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
        };
        let actions: Vec<Value> = text.chars().flat_map(press).collect();
        self.tell(
            "/actions",
            &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }),
        );
    }

    /// Goes on by the tabulator until the keyboard is there.
    pub fn tab_to(&mut self, selector: &str) {
        for _ in 0..200 {
            if self.value(&format!("document.activeElement.matches({})", json!(selector))) == true {
                return;
            }
            self.keys("\u{e004}");
        }
        panic!("the keyboard does not reach {selector} at {}", self.address());
    }

    /// The whole page as PNG.
    pub fn picture(&mut self) -> Vec<u8> {
        let height = self.value("Math.min(document.documentElement.scrollHeight, 4000)");
        let width = self.value("innerWidth");
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let drawn =
            self.chromium("Page.captureScreenshot", &json!({ "captureBeyondViewport": true, "clip": clip }));
        BASE64_STANDARD.decode(drawn["data"].as_str().unwrap()).unwrap()
    }

    /// What the console and the network said since the last time: errors, and requests to other hosts than this one.
    pub fn complaints(&mut self, host: &str) -> Vec<String> {
        let mut all = Vec::new();
        let said = self.tell("/se/log", &json!({ "type": "browser" }));
        for entry in said.as_array().unwrap() {
            if entry["level"] == "SEVERE" || entry["level"] == "WARNING" {
                all.push(entry["message"].to_string());
            }
        }
        let sent = self.tell("/se/log", &json!({ "type": "performance" }));
        for entry in sent.as_array().unwrap() {
            let event: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            let request = &event["message"];
            let address = request["params"]["request"]["url"].as_str().unwrap_or_default();
            let own = address.starts_with(&format!("http://{host}/")) || address.starts_with("data:");
            if request["method"] == "Network.requestWillBeSent" && !own {
                all.push(format!("a request to {address}"));
            }
        }
        all
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It takes its browser along.
        let _ = self.connection.call("DELETE", &self.session, "");
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
