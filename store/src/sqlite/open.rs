//! How the file is opened, claimed and brought up to date. Nothing is read or written for anybody here.

use super::connect::{Options, reader, writer};
use super::file::{ClaimedFile, OpenFault};
use super::judge::{self, FileJudgement};
use super::mark::{self, FileMark, WalState};
use super::witness::{self, WitnessNote, WitnessState};
use super::{check, connect, foreign, read};
use crate::model::StoreFault;
use crate::port::SECRET;
use crate::schema::{self, TableSurvey};
use link::{Position, Seq};
use rusqlite::{Connection, OptionalExtension, params};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

mod migrations {
    refinery::embed_migrations!("../migrations/sqlite");
}

/// The one that writes, and the files that it has.
pub(super) fn open(path: &Path, options: Options) -> Result<(Connection, ClaimedFile), OpenFault> {
    let shown = path.display();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|e| OpenFault::new(format!("cannot make the folder of the store {shown}: {e}")))?;
    }
    let files = ClaimedFile::new(path)?;
    let failed = |e: &dyn std::fmt::Display| OpenFault::new(format!("cannot open the store {shown}: {e}"));
    let broken = |e: &rusqlite::Error| match super::fault(e) {
        StoreFault::Corrupt(_) => failed(&format!("{e}; {}", judge::way_out(path))),
        _ => failed(e), // the disk's fault says nothing about the file
    };
    let noted = WitnessNote::of(&files.path); // before SQLite looks at the log
    let log = mark::log_of(&files.path).map_err(|e| failed(&e))?;
    if let Some(why) = noted.as_ref().and_then(|noted| noted.is_cut_short(log)) {
        return Err(OpenFault::new(judge::lacks(path, &why)));
    }
    if let Some(why) = foreign::beside_it(&files.path, log, noted.as_ref()) {
        return Err(OpenFault::new(why));
    }
    let rolled_back = connect::roll_back(&files.path).map_err(|e| broken(&e))?;
    let marked = mark::of(&files.path).map_err(|e| broken(&e))?;
    let judged = match marked.as_ref() {
        Some(mark) => judge::judge(path, mark, &files.identity, log, noted.as_ref()),
        None => judge::unmarked(path, log, noted.as_ref()),
    };
    match judged {
        FileJudgement::Good
            if rolled_back && let Some(at) = marked.as_ref().and_then(FileMark::closed_at) =>
        {
            look_through(path, &files, at)?;
        }
        FileJudgement::Good | FileJudgement::Cut(_) => {}
        FileJudgement::Moved(closed_at) => look_through(path, &files, closed_at)?,
        FileJudgement::Refused(why) => return Err(OpenFault::new(why)),
    }
    let mut connection = writer(&files.path, options).map_err(|e| broken(&e))?;
    let runner = steps();
    let refused = |why: String| OpenFault::new(format!("cannot use the store {shown}: {why}"));
    let there = version(&connection).map_err(|e| broken(&e))?;
    let latest = schema::latest(&runner);
    schema::check(there, latest).map_err(refused)?;
    let goes_on = match (marked.as_ref(), noted.as_ref()) {
        (Some(mark), Some(noted)) if !mark.is_closed() || log == WalState::Holds => {
            let closed_at = mark.closed_at();
            let doubted = rolled_back || closed_at.is_some() || noted.doubts(mark, &files.identity, log);
            let ends = RequiredEnd { file: &files.path, least: noted.witness.seq, closed_at, doubted };
            recovered(path, &connection, &ends)?;
            ended(path, &connection, mark)?
        }
        _ => None,
    };
    let nonce = goes_on.unwrap_or_else(mark::new_nonce);
    let seq = read::head(&connection).map_or(0, |head| head.seq); // a new store has none
    let note = |witness: &mut witness::Witness| {
        (witness.nonce, witness.state, witness.seq) = (nonce, WitnessState::Open, seq);
        witness.log = None;
    };
    if goes_on.is_none() {
        // Before there is a journal, which belongs to a start that has noted no log yet.
        files.note(note).and_then(|()| files.note_is_kept()).map_err(|e| failed(&e))?;
        without_log(&connection);
    }
    let (began, name) = (Instant::now(), shown.to_string());
    schema::tell_begin(&name, there, latest);
    runner.run(&mut connection).map_err(|e| match schema::told(&e) {
        Some(why) => refused(why),
        None => failed(&e.source().map_or_else(|| e.to_string(), ToString::to_string)),
    })?;
    schema::tell_end(&name, there, latest, began.elapsed());
    // Before the mark: a store that is closed may have any note beside it, one that is open has its own.
    let note = |witness: &mut witness::Witness| {
        note(witness);
        witness.log = witness::log_file(&files.path); // one that somebody else has open is still there
    };
    files.note(note).and_then(|()| files.note_is_kept()).map_err(|e| failed(&e))?;
    let begin = || {
        let whole = connection.unchecked_transaction()?;
        begin_history(&whole)?;
        if goes_on.is_none() {
            mark::open(&whole, &files.identity, nonce)?;
        }
        whole.commit()?;
        with_log(&connection)?;
        // The mark is in the log where somebody else has that open.
        if goes_on.is_none() { mark::fold(&connection).map(drop) } else { Ok(()) }
    };
    begin().map_err(|e| broken(&e))?;
    files.log_is_open().map_err(|e| failed(&e))?;
    let log_is_noted = files.note(|witness| witness.log = witness::log_file(&files.path));
    // On disk: without it a power cut would not tell that the log is missed.
    log_is_noted.and_then(|()| files.note_is_kept()).map_err(|e| failed(&e))?;
    if !files.names(nonce) {
        return Err(read_by_another(path));
    }
    Ok((connection, files))
}

/// Whether this version can go on with a store that another process has open: its tables are not of a newer linkr. Nothing is
/// changed.
///
/// # Errors
/// What to do about it, in one line.
pub fn can_open(path: &Path) -> Result<(), OpenFault> {
    let refused =
        |e: &dyn std::fmt::Display| OpenFault::new(format!("cannot use the store {}: {e}", path.display()));
    let there = reader(path).and_then(|db| version(&db)).map_err(|e| refused(&e))?;
    schema::check(there, schema::latest(&steps())).map_err(|why| refused(&why))
}

/// What a start of this program finds of the tables in a file, whether or not a linkr runs on it. Nothing is changed; a file
/// that is not there has no tables.
///
/// # Errors
/// It cannot be read.
pub fn survey(path: &Path) -> Result<TableSurvey, String> {
    if !path.exists() {
        return Ok(TableSurvey::default());
    }
    // Without its index a log cannot be read without making one: what is in the file itself tells the same of tables.
    let is_open = ["-wal", "-shm"].iter().all(|end| proto::own::beside(path, end).exists());
    let db = if is_open { reader(path) } else { connect::without_log(path) };
    let surveyed = db.and_then(|db| {
        let (there, known) = (version(&db)?, schema::latest(&steps()));
        let links = match schema::is_older(there, known) {
            true => db.query_row("SELECT count(*) FROM links", [], |row| row.get(0))?,
            false => 0,
        };
        Ok(TableSurvey::new(there, known, links))
    });
    surveyed.map_err(|fault| format!("{}: {fault}", path.display()))
}

/// Without the mark in the file itself, a copy of it would open without a word.
fn read_by_another(path: &Path) -> OpenFault {
    OpenFault::new(format!(
        "cannot open the store {}: another program reads it, and keeps it as it was: end that (an sqlite3 shell, a copy under \
         way), and start again",
        path.display()
    ))
}

/// Where a store that is recovered has to end.
struct RequiredEnd<'a> {
    file: &'a Path,
    least: Seq,
    closed_at: Option<Position>,
    /// It is looked through.
    doubted: bool,
}

/// What a crash left has to go as far as was noted before, and where that is in doubt it is looked through. Nothing of the
/// log is in the file yet.
fn recovered(path: &Path, db: &Connection, ends: &RequiredEnd<'_>) -> Result<(), OpenFault> {
    let (began, shown) = (Instant::now(), path.display());
    let way_out = judge::way_out(path);
    let refused = |why: &dyn std::fmt::Display| {
        OpenFault::new(format!("the store {shown} is not as its linkr left it ({why}): {way_out}"))
    };
    let failed = |fault: StoreFault| match fault {
        StoreFault::Corrupt(why) => refused(&why),
        fault => OpenFault::new(format!("cannot open the store {shown}: {fault}")),
    };
    let head = read::head(db).map_err(failed)?;
    if head.seq < ends.least {
        return Err(OpenFault::new(format!("{}; {way_out}", judge::older(path, head.seq, ends.least))));
    }
    if ends.closed_at.is_some_and(|at| at != head) {
        return Err(refused(&"it was closed, and its log does not end there"));
    }
    if ends.doubted {
        // On a connection of its own: whatever it reads keeps nothing from what follows.
        let checked = reader(ends.file).map_err(|e| super::fault(&e)).and_then(|db| check::whole(&db));
        checked.map_err(failed)?.map_err(|why| refused(&why))?;
        let took_ms = began.elapsed().as_millis() as u64;
        tracing::info!(name: "store_recovered", store = %shown, took_ms, "the store was open when its linkr ended, and is whole");
    }
    Ok(())
}

/// Ends an opening that a crash left: from here on its log may go, and nobody may miss it. While somebody reads an older
/// state, nothing can be brought into the file, and the opening goes on.
fn ended(path: &Path, db: &Connection, mark: &FileMark) -> Result<Option<u32>, OpenFault> {
    let broken =
        |e: &dyn std::fmt::Display| OpenFault::new(format!("cannot open the store {}: {e}", path.display()));
    match mark::fold(db).map_err(|e| broken(&e))? {
        true if mark.is_closed() || mark::close(db).map_err(|e| broken(&e))? => Ok(None),
        false if !mark.is_closed() => Ok(Some(mark.nonce())),
        _ => Err(read_by_another(path)),
    }
}

/// A store that was closed as another file was moved or copied, perhaps while a linkr still ran on it.
fn look_through(path: &Path, files: &ClaimedFile, closed_at: Position) -> Result<(), OpenFault> {
    let began = Instant::now();
    let shown = path.display();
    let checked = reader(&files.path).map_err(|e| super::fault(&e)).and_then(|db| check::whole(&db));
    let why = match checked {
        Ok(Ok(head)) if head == closed_at => {
            let took_ms = began.elapsed().as_millis() as u64;
            tracing::info!(name: "store_moved", store = %shown, took_ms, "the store was moved or copied since it was closed, and is whole");
            return Ok(());
        }
        Ok(Ok(_)) => "it does not end where it ended when it was closed".to_owned(),
        Ok(Err(why)) | Err(StoreFault::Corrupt(why)) => why,
        Err(fault) => return Err(OpenFault::new(format!("cannot open the store {shown}: {fault}"))),
    };
    Err(OpenFault::new(format!(
        "the store {shown} is a copy, and parts of it are of different moments ({why}): take copies with linkr backup, or \
         while no linkr runs on it"
    )))
}

/// What is written next is in the file itself. Where somebody else has it open it keeps its log, and that goes into the
/// file a little later.
fn without_log(connection: &Connection) {
    let _ = connection.pragma_update(None, "journal_mode", "delete");
}

fn with_log(connection: &Connection) -> rusqlite::Result<()> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    match mode == "wal" {
        true => Ok(()),
        // SQLite says no more than that it did not.
        false => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
            Some("its write-ahead log cannot be made".to_owned()),
        )),
    }
}

/// The schema that the file has.
fn version(connection: &Connection) -> rusqlite::Result<Option<i32>> {
    let there = "SELECT 1 FROM sqlite_master WHERE name = 'refinery_schema_history'";
    match connection.query_row(there, [], |_| Ok(())).optional()? {
        Some(()) => {
            connection.query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0))
        }
        None => Ok(None),
    }
}

/// `true`: there was none.
fn make_secret(connection: &Connection) -> rusqlite::Result<bool> {
    let secret: [u8; SECRET] = crate::random::bytes();
    Ok(connection.execute("INSERT OR IGNORE INTO secret VALUES (1, ?1)", params![secret])? == 1)
}

/// A fresh store begins history 1 with a random number of its own: two stores never share one. One that is opened
/// again begins a new history at its head (R2): it may have been put back to an older state meanwhile, and then nobody
/// who has seen more may take what follows for what was there. Whoever has not goes on across the fork.
fn begin_history(connection: &Connection) -> rusqlite::Result<()> {
    let begun = connection.query_row("SELECT 1 FROM log_head", [], |_| Ok(())).optional()?;
    if begun.is_none() {
        connection.execute(
            "INSERT INTO log_head (one, epoch_counter, epoch_random, head, tag) VALUES (1, 1, ?1, 0, 0)",
            params![crate::random::u32()],
        )?;
        return make_secret(connection).map(drop);
    }
    // Without a secret this is a state from before there was one, perhaps put back: no edge can prove what it has seen
    // since. The number of the history is then one that none can have reached.
    let least = if make_secret(connection)? { crate::clock::unix_ms() / 60_000 } else { 0 };
    connection.execute(
        "UPDATE log_head SET parent_counter = epoch_counter, parent_random = epoch_random, fork_seq = head, \
         epoch_counter = max(epoch_counter + 1, ?2, (SELECT coalesce(max(counter), 0) + 1 FROM epochs)), \
         epoch_random = ?1",
        params![crate::random::u32(), least],
    )?;
    connection.execute(
        "INSERT INTO epochs SELECT epoch_counter, epoch_random, parent_counter, parent_random, fork_seq, head, ?1 \
         FROM log_head",
        [crate::clock::unix_ms()],
    )?;
    Ok(())
}

/// In one transaction: refinery keeps a step and the line that it was taken in two, and a store whose linkr ended between
/// them was never opened again.
fn steps() -> refinery::Runner {
    migrations::migrations::runner().set_grouped(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_whose_first_start_was_cut_at_its_tables_is_made_by_the_next() {
        let mut store = Connection::open_in_memory().unwrap();
        let last = steps().get_migrations().len() / 2;
        let cut = format!(
            "CREATE TABLE refinery_schema_history
                (version INT4 PRIMARY KEY, name VARCHAR(255), applied_on VARCHAR(255), checksum VARCHAR(255));
            CREATE TRIGGER cut BEFORE INSERT ON refinery_schema_history WHEN NEW.version = {last}
                BEGIN SELECT RAISE(FAIL, 'the disk is full'); END;"
        );
        store.execute_batch(&cut).unwrap();
        steps().run(&mut store).unwrap_err();
        store.execute_batch("DROP TRIGGER cut").unwrap();
        steps().run(&mut store).unwrap();
    }

    #[test]
    fn a_survey_says_what_a_start_would_do_and_changes_nothing() {
        let folder = services::Folder::new("survey", None).unwrap();
        let path = folder.path().join("links.db");
        assert_eq!(survey(&path), Ok(TableSurvey::default()));
        assert!(!path.exists());
        let mut store = Connection::open(&path).unwrap();
        let before = migrations::migrations::runner().set_target(refinery::Target::Version(12));
        before.set_grouped(true).run(&mut store).unwrap();
        let link = "INSERT INTO links (key, record, version, title, tags, note, create_time, update_time) \
                    VALUES ('a', '', 1, '', '[]', '', 1, 1)";
        store.execute_batch(link).unwrap();
        store.close().unwrap();
        let (there, known) = (12, schema::latest(&steps()));
        let older = schema::OlderTables { there, known, links: 1 };
        assert_eq!(survey(&path), Ok(TableSurvey { refused: None, older: Some(older) }));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing lies beside it");
        let mut store = Connection::open(&path).unwrap();
        steps().run(&mut store).unwrap();
        store.execute("INSERT INTO refinery_schema_history VALUES (99, 'later', '', '1')", []).unwrap();
        assert!(survey(&path).unwrap().refused.unwrap().contains("a newer linkr (schema 99"));
        std::fs::write(&path, "no database").unwrap();
        assert!(survey(&path).unwrap_err().contains("links.db: "));
    }

    #[test]
    fn links_of_before_there_was_an_index_of_tags_wait_for_it() {
        let mut store = Connection::open_in_memory().unwrap();
        let before = migrations::migrations::runner().set_target(refinery::Target::Version(12));
        before.set_grouped(true).run(&mut store).unwrap();
        let links = "INSERT INTO links (key, record, version, title, tags, note, create_time, update_time, delete_time) \
                     VALUES ('a', '', 1, '', '[\"t\"]', '', 1, 1, NULL), ('b', '', 2, '', '[]', '', 1, 1, NULL), \
                     ('c', '', 3, '', '[\"t\"]', '', 1, 1, 5)";
        store.execute_batch(links).unwrap();
        steps().run(&mut store).unwrap();
        let waits = "SELECT group_concat(link) FROM tags_behind";
        assert_eq!(store.query_row(waits, [], |row| row.get::<_, String>(0)).unwrap(), "a");
    }
}
