//! Commands of the pages of docs/, read from their blocks and run as they stand there. Only ports are others: each is a free one.

use crate::support::{Dir, LINKR, Linkr, command, text, workspace};
use std::os::unix::fs::symlink;
use std::process::{Command, Output};

/// Ports of a `linkr up` on a page, in the order of the variables that set them.
const PORTS: [(&str, &str); 3] =
    [("LINKR_LISTEN", "127.0.0.1:8080"), ("LINKR_API", "127.0.0.1:8081"), ("LINKR_ADMIN", "127.0.0.1:8082")];

/// A page, by its path from the root of this tree.
pub struct Page(String);

impl Page {
    pub fn at(path: &str) -> Self {
        Self(std::fs::read_to_string(workspace().join(path)).unwrap())
    }

    /// The commands below a heading, in order: each block of lines that are set in. `""`: what stands before the first one.
    pub fn blocks(&self, heading: &str) -> Vec<String> {
        let section = match heading {
            "" => self.0.as_str(),
            heading => {
                let found = self.0.split_once(&format!("\n## {heading}\n"));
                found.unwrap_or_else(|| panic!("no {heading}")).1
            }
        };
        let section = section.split("\n## ").next().unwrap();
        let mut blocks = vec![String::new()];
        for line in section.lines() {
            match (line.strip_prefix("    "), blocks.last_mut().unwrap()) {
                (Some(command), block) => *block += &format!("{command}\n"),
                (None, block) if !block.is_empty() => blocks.push(String::new()),
                _ => {}
            }
        }
        blocks.retain(|block| !block.is_empty());
        blocks
    }

    /// The one block below a heading.
    pub fn block(&self, heading: &str) -> String {
        let blocks = self.blocks(heading);
        let [one] = blocks.as_slice() else { panic!("{heading}: {blocks:?}") };
        one.clone()
    }
}

/// Where commands of a page are typed: a directory, in which `linkr` is the binary under test.
pub struct Terminal<'a> {
    dir: &'a Dir,
    variables: Vec<(String, String)>,
    ports: [u16; 3],
}

impl<'a> Terminal<'a> {
    pub fn new(dir: &'a Dir) -> Self {
        std::fs::create_dir_all(dir.file("bin")).unwrap();
        let _ = symlink(LINKR, dir.path().join("bin/linkr")); // it may be there from a terminal before
        let ports = [(); 3].map(|()| services::free_port().unwrap());
        Self { dir, variables: Vec::new(), ports }
    }

    /// A variable that the page's commands name.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn typed(&self, commands: &str) -> Command {
        let mut commands = commands.to_owned();
        let mut shell = command("sh", self.dir.path());
        for ((variable, page), port) in PORTS.iter().zip(self.ports) {
            let own = format!("127.0.0.1:{port}");
            commands = commands.replace(page, &own);
            shell.env(variable, own);
        }
        let path = std::env::var("PATH").unwrap_or_default();
        shell.env("PATH", format!("{}:{path}", self.dir.file("bin")));
        shell
            .env("LINKR_SERVER", format!("http://127.0.0.1:{}", self.ports[1]))
            .env("LINKR_EDGE", format!("127.0.0.1:{}", self.ports[2]))
            .env("LINKR_INSECURE", "false");
        shell.envs(self.variables.iter().map(|(name, value)| (name, value)));
        shell.args(["-e", "-c", &commands]);
        shell
    }

    /// What the commands come to.
    pub fn run(&self, commands: &str) -> Output {
        self.typed(commands).output().unwrap()
    }

    /// What they print; each of them has to succeed.
    #[track_caller]
    pub fn ok(&self, commands: &str) -> String {
        let done = self.run(commands);
        assert!(done.status.success(), "{commands}{}{}", text(&done.stdout), text(&done.stderr));
        text(&done.stdout)
    }

    /// Why they fail.
    #[track_caller]
    pub fn fails(&self, commands: &str) -> String {
        let done = self.run(commands);
        assert!(!done.status.success(), "{commands}{}", text(&done.stdout));
        text(&done.stderr)
    }

    /// Starts the server of a block, which is that one command, and waits for these words.
    pub fn start(&self, command: &str, wanted: &[&str]) -> Linkr {
        Linkr::start(self.typed(&format!("exec {}", command.trim())), self.dir, wanted)
    }
}
