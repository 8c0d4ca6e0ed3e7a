//! Bytes back into a batch. Whoever sends them may be anybody with an edge's key: every bound is checked before memory is
//! taken for it.

use super::columns::ColumnReader;
use super::encode::LAYOUT;
use super::{
    AgentText, Batch, BatchFault, Loss, MAX_CLICKS, MAX_COUNT, MAX_NO, MAX_NOTES, MAX_TEXT, Total,
    UnknownCode,
};
use crate::varint::Reader;
use crate::{Click, Country, Device, Kind, Language, LossReason};
use BatchFault::Malformed;
use link::{DomainId, Seq};
use std::sync::Arc;

/// More texts than that no batch has: a browser, a system and a referrer a click.
const MAX_TEXTS: usize = 3 * MAX_CLICKS;

/// What a batch begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHead {
    /// As in [`Batch`].
    pub first_no: u64,
    /// As in [`Batch`].
    pub classifier: u16,
    /// How many clicks it has.
    pub clicks: usize,
}

/// The beginning of the batch in these bytes, whatever is behind it.
///
/// # Errors
/// [`BatchFault`] if no batch begins so.
pub fn head(bytes: &[u8]) -> Result<BatchHead, BatchFault> {
    read_head(&mut ColumnReader::new(bytes))
}

/// The batch in these bytes.
///
/// # Errors
/// [`BatchFault`]; nothing of the batch may be counted then.
pub fn decode(bytes: &[u8]) -> Result<Batch, BatchFault> {
    let mut columns = ColumnReader::new(bytes);
    let BatchHead { first_no, classifier, clicks: count } = read_head(&mut columns)?;
    let batch = Batch {
        clicks: if count == 0 { Vec::new() } else { read_clicks(&mut columns, count)? },
        totals: read_totals(&mut columns)?,
        losses: read_losses(&mut columns)?,
        unknown: read_unknown(&mut columns)?,
        agents: read_agents(&mut columns)?,
        ..Batch::new(first_no, classifier)
    };
    if !columns.is_empty() {
        return Err(Malformed("something is behind its end"));
    }
    if batch.last_no() > MAX_NO { Err(Malformed("last number")) } else { Ok(batch) }
}

fn read_head(columns: &mut ColumnReader<'_>) -> Result<BatchHead, BatchFault> {
    let layout = columns.byte()?;
    if layout != LAYOUT {
        return Err(if layout > LAYOUT { BatchFault::TooNew } else { Malformed("layout") });
    }
    let first_no = columns.number()?;
    if !(1..=MAX_NO).contains(&first_no) {
        return Err(Malformed("first number"));
    }
    let classifier = u16::try_from(columns.number()?).map_err(|_| Malformed("classifier"))?;
    Ok(BatchHead { first_no, classifier, clicks: columns.count(MAX_CLICKS)? })
}

fn read_clicks(columns: &mut ColumnReader<'_>, count: usize) -> Result<Vec<Click>, BatchFault> {
    let times = columns.column()?;
    let (mut times, mut at) = (Column::new(&times), 0i64);
    let links = read_links(columns, count)?;
    let kinds = columns.column_of(count)?;
    let countries = read_letters(columns, count, u8::is_ascii_uppercase)?;
    let languages = read_letters(columns, count, u8::is_ascii_lowercase)?;
    let texts = read_strings(columns, MAX_TEXTS)?;
    let texts: Vec<Arc<str>> = texts.into_iter().map(Arc::from).collect();
    let clients = read_clients(columns, count, &texts)?;
    let referrers = read_referrers(columns, count, &texts)?;
    let visitors = read_visitors(columns, count)?;
    let mut clicks = Vec::with_capacity(count);
    for click in 0..count {
        at = at.wrapping_add(times.signed()?);
        let (link, client) = (links.of(click), clients.of(click));
        clicks.push(Click {
            at,
            domain: link.domain,
            uid: link.uid,
            version: link.version,
            kind: kind(kinds[click]).filter(|kind| !kind.is_total()).ok_or(Malformed("kind of a click"))?,
            country: Country(*countries.of(click)),
            browser: Arc::clone(&client.browser),
            os: Arc::clone(&client.os),
            device: client.device,
            referrer: Arc::clone(referrers.of(click)),
            language: Language(*languages.of(click)),
            visitor: visitors[click],
            agent: client.agent,
        });
    }
    times.end()?;
    Ok(clicks)
}

/// Values of the batch's own dictionary, and which of them each click has.
struct Indexed<T> {
    values: Vec<T>,
    indexes: Vec<u32>,
}

impl<T> Indexed<T> {
    fn read(columns: &mut ColumnReader<'_>, count: usize, values: Vec<T>) -> Result<Self, BatchFault> {
        let indexes = columns.indexes(count, values.len())?;
        Ok(Self { values, indexes })
    }

    fn of(&self, click: usize) -> &T {
        &self.values[self.indexes[click] as usize]
    }
}

struct ClickedLink {
    domain: DomainId,
    uid: Seq,
    version: Seq,
}

fn read_links(columns: &mut ColumnReader<'_>, count: usize) -> Result<Indexed<ClickedLink>, BatchFault> {
    let distinct = columns.count(count)?;
    let [domains, uids, versions] = [columns.column()?, columns.column()?, columns.column()?];
    let mut domains = Column::new(&domains);
    let (mut uids, mut versions) = (Column::new(&uids), Column::new(&versions));
    let (mut domain, mut uid) = (0u32, 0u64);
    let mut links = Vec::with_capacity(distinct);
    for _ in 0..distinct {
        let step = u32::try_from(domains.number()?).ok();
        let next = step.and_then(|step| domain.checked_add(step)).ok_or(Malformed("domain of a link"))?;
        let from = if next == domain { uid } else { 0 };
        uid = from.checked_add(uids.number()?).ok_or(Malformed("uid of a link"))?;
        domain = next;
        let version = uid.wrapping_add(versions.signed()? as u64);
        links.push(ClickedLink { domain: DomainId(domain), uid, version });
    }
    domains.end()?;
    uids.end()?;
    versions.end()?;
    Indexed::read(columns, count, links)
}

/// Pairs of such letters, or of zeros.
fn read_letters(
    columns: &mut ColumnReader<'_>,
    count: usize,
    is_letter: fn(&u8) -> bool,
) -> Result<Indexed<[u8; 2]>, BatchFault> {
    let distinct = columns.count(count)?;
    let column = columns.column_of(2 * distinct)?;
    let pairs = column.as_chunks::<2>().0.to_vec();
    if !pairs.iter().all(|pair| *pair == [0; 2] || pair.iter().all(is_letter)) {
        return Err(Malformed("letters of a country or a language"));
    }
    Indexed::read(columns, count, pairs)
}

struct ClickClient {
    agent: u64,
    browser: Arc<str>,
    os: Arc<str>,
    device: Device,
}

fn read_clients(
    columns: &mut ColumnReader<'_>,
    count: usize,
    texts: &[Arc<str>],
) -> Result<Indexed<ClickClient>, BatchFault> {
    let distinct = columns.count(count)?;
    let agents = columns.column_of(8 * distinct)?;
    let [browsers, systems] = [columns.column()?, columns.column()?];
    let devices = columns.column_of(distinct)?;
    let (mut browsers, mut systems) = (Column::new(&browsers), Column::new(&systems));
    let mut clients = Vec::with_capacity(distinct);
    for (agent, device) in agents.as_chunks::<8>().0.iter().zip(devices.iter()) {
        clients.push(ClickClient {
            agent: u64::from_le_bytes(*agent),
            browser: browsers.text(texts)?,
            os: systems.text(texts)?,
            device: *Device::ALL.get(usize::from(*device)).ok_or(Malformed("device"))?,
        });
    }
    browsers.end()?;
    systems.end()?;
    Indexed::read(columns, count, clients)
}

fn read_referrers(
    columns: &mut ColumnReader<'_>,
    count: usize,
    texts: &[Arc<str>],
) -> Result<Indexed<Arc<str>>, BatchFault> {
    let distinct = columns.count(count)?;
    let column = columns.column()?;
    let mut column = Column::new(&column);
    let referrers = (0..distinct).map(|_| column.text(texts)).collect::<Result<Vec<_>, _>>()?;
    column.end()?;
    Indexed::read(columns, count, referrers)
}

fn read_visitors(columns: &mut ColumnReader<'_>, count: usize) -> Result<Vec<u64>, BatchFault> {
    let [references, new] = [columns.column()?, columns.column()?];
    let mut references = Column::new(&references);
    let (new, rest) = new.as_chunks::<8>();
    let (mut met, mut visitors) = (0usize, Vec::with_capacity(count));
    let fault = Malformed("visitor");
    for _ in 0..count {
        let place = match references.number()? {
            0 => {
                visitors.push(0);
                continue;
            }
            1 => {
                met += 1;
                met - 1
            }
            back => usize::try_from(back - 1).ok().and_then(|back| met.checked_sub(back)).ok_or(fault)?,
        };
        visitors.push(u64::from_le_bytes(*new.get(place).ok_or(fault)?));
    }
    references.end()?;
    if met == new.len() && rest.is_empty() { Ok(visitors) } else { Err(fault) }
}

fn read_totals(columns: &mut ColumnReader<'_>) -> Result<Vec<Total>, BatchFault> {
    let count = columns.count(MAX_NOTES)?;
    let column = columns.column()?;
    let (mut column, mut minute) = (Column::new(&column), 0i64);
    let mut totals = Vec::with_capacity(count);
    for _ in 0..count {
        let domain = column.domain()?;
        let kind = kind(column.byte()?).filter(|kind| kind.is_total()).ok_or(Malformed("kind of a total"))?;
        minute = minute.wrapping_add(column.signed()?);
        totals.push(Total { domain, kind, minute, count: column.count()? });
    }
    column.end()?;
    Ok(totals)
}

fn read_losses(columns: &mut ColumnReader<'_>) -> Result<Vec<Loss>, BatchFault> {
    let count = columns.count(MAX_NOTES)?;
    let column = columns.column()?;
    let (mut column, mut minute) = (Column::new(&column), 0i64);
    let mut losses = Vec::with_capacity(count);
    for _ in 0..count {
        let reason = LossReason::ALL.get(usize::from(column.byte()?));
        let reason = *reason.ok_or(Malformed("reason of a loss"))?;
        minute = minute.wrapping_add(column.signed()?);
        losses.push(Loss { reason, minute, count: column.count()? });
    }
    column.end()?;
    Ok(losses)
}

fn read_unknown(columns: &mut ColumnReader<'_>) -> Result<Vec<UnknownCode>, BatchFault> {
    let count = columns.count(MAX_NOTES)?;
    let column = columns.column()?;
    let (mut column, mut hour) = (Column::new(&column), 0i64);
    let mut unknown = Vec::with_capacity(count);
    for _ in 0..count {
        let domain = column.domain()?;
        hour = hour.wrapping_add(column.signed()?);
        let count = column.count()?;
        let code = match column.number()? {
            0 => None,
            length if length <= MAX_TEXT as u64 + 1 => Some(column.bytes(length as usize - 1)?.into()),
            _ => return Err(BatchFault::TooLarge),
        };
        unknown.push(UnknownCode { domain, hour, code, count });
    }
    column.end()?;
    Ok(unknown)
}

fn read_agents(columns: &mut ColumnReader<'_>) -> Result<Vec<AgentText>, BatchFault> {
    let texts = read_strings(columns, MAX_NOTES)?;
    let hashes = columns.column_of(8 * texts.len())?;
    let hashes = hashes.as_chunks::<8>().0.iter().map(|hash| u64::from_le_bytes(*hash));
    Ok(hashes.zip(texts).map(|(hash, text)| AgentText { hash, text }).collect())
}

/// Texts, at most so many.
fn read_strings(columns: &mut ColumnReader<'_>, most: usize) -> Result<Vec<String>, BatchFault> {
    let count = columns.count(most)?;
    let [lengths, bytes] = [columns.column()?, columns.column()?];
    let (mut lengths, mut bytes) = (Column::new(&lengths), Column::new(&bytes));
    let mut texts = Vec::with_capacity(count.min(lengths.0.0.len()));
    for _ in 0..count {
        let length = lengths.number()?;
        if length > MAX_TEXT as u64 {
            return Err(BatchFault::TooLarge);
        }
        let text = std::str::from_utf8(bytes.bytes(length as usize)?).map_err(|_| Malformed("text"))?;
        texts.push(text.to_owned());
    }
    lengths.end()?;
    bytes.end()?;
    Ok(texts)
}

fn kind(number: u8) -> Option<Kind> {
    Kind::ALL.get(usize::from(number)).copied()
}

/// One column as it is read.
struct Column<'a>(Reader<'a>);

impl<'a> Column<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self(Reader(bytes))
    }

    fn number(&mut self) -> Result<u64, BatchFault> {
        self.0.number().ok_or(Malformed("number in a column"))
    }

    fn signed(&mut self) -> Result<i64, BatchFault> {
        self.0.signed().ok_or(Malformed("number in a column"))
    }

    fn byte(&mut self) -> Result<u8, BatchFault> {
        self.0.byte().ok_or(Malformed("end of a column"))
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], BatchFault> {
        self.0.bytes(length).ok_or(Malformed("end of a column"))
    }

    fn domain(&mut self) -> Result<DomainId, BatchFault> {
        u32::try_from(self.number()?).map(DomainId).map_err(|_| Malformed("domain"))
    }

    fn count(&mut self) -> Result<u64, BatchFault> {
        let count = self.number()?;
        if count <= MAX_COUNT { Ok(count) } else { Err(Malformed("count")) }
    }

    fn text(&mut self, texts: &[Arc<str>]) -> Result<Arc<str>, BatchFault> {
        let text = usize::try_from(self.number()?).ok().and_then(|text| texts.get(text));
        text.cloned().ok_or(Malformed("text of a click"))
    }

    /// Nothing may be left.
    fn end(&self) -> Result<(), BatchFault> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("end of a column")) }
    }
}
