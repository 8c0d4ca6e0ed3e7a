//! A small database of countries in the MMDB form (MaxMind DB file format specification 2.0), written by hand: for IPv6, with
//! IPv4 below ::/96, and 24 bits for each half of a node.

/// A network of IPv4, and the country that it is in.
pub struct Row {
    pub network: [u8; 4],
    pub bits: usize,
    pub country: String,
}

/// Behind the tree, in front of the data.
const GAP: usize = 16;
/// Bits in front of an IPv4 address.
const BEFORE: usize = 96;

/// Where half a node leads.
#[derive(Clone, Copy)]
enum Half {
    Nothing,
    Node(usize),
    Data(usize),
}

/// The bytes of the file.
pub fn write(rows: &[Row]) -> Vec<u8> {
    let (mut nodes, mut data) = (vec![[Half::Nothing; 2]], Vec::new());
    for row in rows {
        let at = data.len();
        map(&mut data, 1);
        text(&mut data, "country");
        map(&mut data, 1);
        text(&mut data, "iso_code");
        text(&mut data, &row.country);
        put(&mut nodes, row, at);
    }
    let count = nodes.len();
    let mut file = Vec::new();
    for half in nodes.iter().flatten() {
        let record = match half {
            Half::Nothing => count,
            Half::Node(node) => *node,
            Half::Data(at) => count + GAP + at,
        };
        file.extend_from_slice(&(record as u32).to_be_bytes()[1..]);
    }
    file.extend_from_slice(&[0; GAP]);
    file.extend_from_slice(&data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    metadata(&mut file, count);
    file
}

fn put(nodes: &mut Vec<[Half; 2]>, row: &Row, data: usize) {
    let address = u32::from_be_bytes(row.network);
    let depth = BEFORE + row.bits;
    let mut node = 0;
    for level in 0..depth {
        let bit = level.checked_sub(BEFORE).map_or(0, |level| (address >> (31 - level) & 1) as usize);
        if level + 1 == depth {
            nodes[node][bit] = Half::Data(data);
            return;
        }
        node = match nodes[node][bit] {
            Half::Node(next) => next,
            _ => {
                nodes.push([Half::Nothing; 2]);
                let next = nodes.len() - 1;
                nodes[node][bit] = Half::Node(next);
                next
            }
        };
    }
}

fn metadata(out: &mut Vec<u8>, count: usize) {
    map(out, 9);
    text(out, "binary_format_major_version");
    short(out, 2);
    text(out, "binary_format_minor_version");
    short(out, 0);
    text(out, "build_epoch");
    out.extend_from_slice(&[8, 2]); // an unsigned number of 64 bits, in eight bytes
    out.extend_from_slice(&1_700_000_000_u64.to_be_bytes());
    text(out, "database_type");
    text(out, "Test-Country");
    text(out, "description");
    map(out, 0);
    text(out, "ip_version");
    short(out, 6);
    text(out, "languages");
    out.extend_from_slice(&[0, 4]); // a list of none
    text(out, "node_count");
    out.push(6 << 5 | 4); // an unsigned number of 32 bits, in four bytes
    out.extend_from_slice(&(count as u32).to_be_bytes());
    text(out, "record_size");
    short(out, 24);
}

fn map(out: &mut Vec<u8>, pairs: u8) {
    out.push(7 << 5 | pairs);
}

/// Of less than 29 bytes.
fn text(out: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 29);
    out.push(2 << 5 | text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

fn short(out: &mut Vec<u8>, number: u16) {
    out.push(5 << 5 | 2);
    out.extend_from_slice(&number.to_be_bytes());
}
