//! `linkr config`: the settings checked, and printed as a settings file.

use crate::args::Linkr;
use crate::fault::CommandFault;
use crate::line::{one_line, with_defaults};
use crate::{out, secret, serve, settings};
use clap::{ArgAction, Command, CommandFactory};

/// `linkr config check`. A bad file has stopped the program before this; what is left are the environment and what
/// only a start would say.
pub fn check() -> Result<(), CommandFault> {
    let command = settings::command(&std::env::args_os().collect::<Vec<_>>())?;
    for names in [&["up"][..], &["edge"], &["control"], &["link", "list"]] {
        let checked = with_defaults(&command, names).and_then(|asked| serve::check(&asked));
        checked
            .map_err(|fault| CommandFault::new(format_args!("linkr {}: {}", names[0], fault.message())))?;
    }
    match settings::file_of(&std::env::args_os().collect::<Vec<_>>()) {
        Some(file) => out::line(&format!("{} is good", file.display())),
        None => out::line("there is no linkr.toml here: the defaults apply"),
    }
}

/// `linkr config print`.
pub fn print() -> Result<(), CommandFault> {
    let command = settings::command(&std::env::args_os().collect::<Vec<_>>())?;
    let in_order = Linkr::command(); // setting a default moves an argument behind the others
    let mut text = String::new();
    for (table, path) in
        [("up", &["up"][..]), ("edge", &["edge"]), ("control", &["control"]), ("client", &["link", "list"])]
    {
        text.push_str(&format!("[{table}]\n"));
        let words = ["linkr"].iter().chain(path);
        let matches = command.clone().try_get_matches_from(words).map_err(|fault| one_line(&fault))?;
        let matches = path.iter().try_fold(&matches, |matches, name| matches.subcommand_matches(name));
        let args = path.iter().try_fold(&in_order, |command, name| command.find_subcommand(name));
        for arg in args.into_iter().flat_map(Command::get_arguments) {
            let Some(key) = arg.get_long().filter(|key| settings::is_key(table, key)) else { continue };
            let values = matches.and_then(|matches| matches.get_raw(arg.get_id().as_str()));
            let values: Vec<String> =
                values.into_iter().flatten().map(|value| value.to_string_lossy().into_owned()).collect();
            let value = match (arg.get_action(), arg.get_value_delimiter(), values.as_slice()) {
                (ArgAction::SetTrue, _, [value]) => value.clone(),
                (_, Some(_), values) => format!("{values:?}"),
                (_, _, [value]) if value.parse::<i64>().is_ok() => value.clone(),
                (_, _, [value]) => {
                    match secret::without_password(value).filter(|_| secret::is_address(key)) {
                        Some(bare) => {
                            text.push_str(&without_secret(key, &bare));
                            continue;
                        }
                        None => format!("{value:?}"),
                    }
                }
                _ => continue,
            };
            text.push_str(&format!("{key} = {value}\n"));
        }
        text.push('\n');
    }
    out::write(text.trim_end().as_bytes()).and_then(|()| out::line(""))
}

/// A setting whose password is left out: the file can be used as it is once the password stands in one of its own.
fn without_secret(key: &str, bare: &str) -> String {
    match key {
        "redis" => format!(
            "# redis = {bare:?} has a password, which is left out: put the whole address into a file, and name that here:\n\
             # redis-file = \"FILE\"\n"
        ),
        key => format!(
            "# its password is left out: put that into a file, and name it here:\n# {key}-password-file = \"FILE\"\n\
             {key} = {bare:?}\n"
        ),
    }
}
