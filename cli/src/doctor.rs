//! `linkr doctor`: gathers what can be known of a deployment, and says what of it hurts. It changes nothing.

mod checks;
mod facts;
mod gather;

use crate::args::{Doctor, Output};
use crate::fault::CommandFault;
use crate::out;
use checks::Finding;
use facts::Facts;
use serde_json::json;

/// `linkr doctor`: exit status 1 if something hurts.
pub fn examine(asked: Doctor) -> Result<(), CommandFault> {
    let Doctor { also, output, server } = asked;
    let server = server.started_by();
    let Some(facts) = gather::facts(&server, &also) else {
        return Err(CommandFault::new(
            "linkr doctor looks at a control that runs or is to run: leave bump-epoch or mint-key out",
        ));
    };
    let found = checks::all(&facts);
    match output {
        Output::Json => out::json(&in_json(&facts, &found))?,
        _ => out::text(&in_words(&facts, &found))?,
    }
    // The findings are printed already, so the fault has no words.
    if found.is_empty() { Ok(()) } else { Err(CommandFault::no("")) }
}

/// The parts of a deployment that the facts are about.
fn looked_at(facts: &Facts) -> Vec<String> {
    let mut all = vec!["settings".to_owned(), "this machine".to_owned()];
    all.extend(facts.running.iter().map(|running| format!("what runs at {}", running.admin)));
    all.extend(facts.others.iter().map(|(address, _)| format!("what runs at {address}")));
    all.extend(facts.sqlite.as_ref().map(|_| "SQLite".to_owned()));
    all.extend(facts.postgres.as_ref().map(|_| "PostgreSQL".to_owned()));
    all.extend(facts.redis.as_ref().map(|_| "Redis".to_owned()));
    all
}

fn in_json(facts: &Facts, found: &[Finding]) -> serde_json::Value {
    let troubles: Vec<_> = found
        .iter()
        .map(|one| json!({ "name": one.name, "cause": one.cause, "way_out": one.way_out }))
        .collect();
    json!({ "looked_at": looked_at(facts), "runs": facts.running.is_some(), "troubles": troubles })
}

fn in_words(facts: &Facts, found: &[Finding]) -> String {
    let mut text = String::new();
    for one in found {
        text.push_str(&format!("{}: {}\n    {}\n", one.name, one.cause, one.way_out));
    }
    let what = looked_at(facts).join(", ");
    let count = match found.len() {
        0 => "nothing hurts".to_owned(),
        1 => "1 trouble".to_owned(),
        many => format!("{many} troubles"),
    };
    let silent = if facts.running.is_none() { "; it does not run" } else { "" };
    text + &format!("{count} (looked at: {what}{silent})\n")
}
