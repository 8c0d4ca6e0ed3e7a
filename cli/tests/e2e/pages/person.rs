//! Somebody with a browser without script: keeps a cookie, and sends forms as they stand on a page.

use crate::support::{Answer, Connection, text};
use exposition::escaped;
use std::io::Read;
use std::net::SocketAddr;

/// What a browser saves.
pub struct Download {
    pub name: String,
    pub body: String,
}

pub struct Person {
    at: SocketAddr,
    cookie: String,
}

impl Person {
    pub fn new(at: SocketAddr) -> Self {
        Self { at, cookie: String::new() }
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    /// A file: its name as it is to be saved, and its bytes. (HTTP/1.0, so that it comes without chunks.)
    pub fn download(&mut self, path: &str) -> Download {
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\nCookie: {}\r\n\r\n", self.at, self.cookie);
        let mut connection = Connection::to(self.at);
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        connection.stream().read_to_end(&mut answer).unwrap();
        let answer = text(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
        assert!(head.split(' ').nth(1) == Some("200"), "{path}: {answer}");
        let name = head.split_once("filename=\"").and_then(|(_, behind)| behind.split('"').next());
        Download { name: name.unwrap_or_default().to_owned(), body: body.to_owned() }
    }

    fn ask(&mut self, method: &str, path: &str, form: &str) -> Answer {
        let (at, cookie) = (self.at, &self.cookie);
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {at}\r\nCookie: {cookie}\r\n");
        if method == "POST" {
            request.push_str(&format!(
                "Origin: http://{at}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
                form.len()
            ));
        }
        let mut connection = Connection::to(at);
        connection.write_all(format!("{request}\r\n{form}").as_bytes()).unwrap();
        let answer = connection.answer(false).unwrap().unwrap();
        if let Some(set) = answer.field("set-cookie") {
            set.split(';').next().unwrap().clone_into(&mut self.cookie);
        }
        answer
    }

    /// Sends the form of a page that leads to `action`, with these fields changed. A name that is given more than once is
    /// sent more than once, and a button is a field, too.
    pub fn submit(&mut self, page: &str, action: &str, changed: &[(&str, &str)]) -> Answer {
        let quoted = format!("action=\"{action}\"");
        let form =
            page.split("<form ").skip(1).find(|form| form.split('>').next().unwrap().contains(&quoted));
        let form = form.unwrap_or_else(|| panic!("no form leads to {action}: {page}"));
        let mut fields = standing(form.split("</form>").next().unwrap());
        fields.retain(|(name, _)| changed.iter().all(|(own, _)| own != name));
        fields.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let pairs: Vec<_> =
            fields.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        self.ask("POST", action, &pairs.join("&"))
    }
}

/// What stands in the fields of a form.
fn standing(form: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for part in form.split('<').skip(1) {
        let (tag, behind) = part.split_once('>').unwrap_or((part, ""));
        let of = |name: &str| attribute(tag, name);
        match tag.split([' ', '>']).next().unwrap() {
            "input" => {
                let box_off = of("type").as_deref() == Some("checkbox") && !tag.contains(" checked");
                if let Some(name) = of("name").filter(|_| !box_off) {
                    fields.push((name, of("value").unwrap_or_default()));
                }
            }
            "textarea" => {
                fields.push((of("name").unwrap(), unescaped(behind.strip_prefix('\n').unwrap_or(behind))));
            }
            "select" => fields.push((of("name").unwrap(), String::from("\0"))),
            // The one that is selected, or the first.
            "option" => {
                let (_, value) = fields.last_mut().unwrap();
                if value == "\0" || tag.contains(" selected") {
                    *value = of("value").unwrap_or_default();
                }
            }
            _ => {}
        }
    }
    fields
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split('"').next().map(unescaped)
}

pub fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}
