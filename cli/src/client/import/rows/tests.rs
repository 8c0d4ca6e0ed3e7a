//! Rows of every form, as they are taken and as they are not.

use super::*;

fn rows(text: &'static [u8], format: Format) -> Result<Vec<Row>, CommandFault> {
    rows_with(text, "-", format, &ReadArgs::default())
}

fn rows_with(
    text: &'static [u8],
    domain: &str,
    format: Format,
    reading: &ReadArgs,
) -> Result<Vec<Row>, CommandFault> {
    let mut rows = Rows::open(Box::new(text), "FILE", domain, reading, Ok(format))?;
    std::iter::from_fn(|| rows.next().transpose()).collect()
}

fn reason(row: &Row) -> &str {
    row.link.as_ref().map_or_else(|(_, why)| why.as_str(), |_| "")
}

#[test]
fn good_and_bad_rows_of_csv() {
    let text = b"\xef\xbb\xbfcode,target,max_age\na,https://x,1\nb,\"https://y\nz\",\nc,https://x\nd,\xff,\n\ne,https://x,-1\n";
    let rows = rows(text, Format::Csv).unwrap();
    let seen: Vec<(u64, &str)> = rows.iter().map(|row| (row.line, reason(row))).collect();
    let want = [
        (2, ""),
        (3, ""),
        (5, "has 2 columns, the first line has 3"),
        (6, "is not UTF-8"),
        (8, "max_age is not a whole number of seconds"),
    ];
    assert_eq!(seen, want);
    assert_eq!(rows[0].link.as_ref().unwrap().max_age, Some(1));
}

#[test]
fn lines_of_a_file_from_windows() {
    let text = b"code,target\r\na,b\r\nc\r\n\r\n\r\nd\r\n";
    let rows = rows(text, Format::Csv).unwrap();
    assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 3, 6]);
}

#[test]
fn good_and_bad_rows_of_json_lines() {
    let text = b"{\"code\":\"a\",\"target\":\"https://x\",\"tags\":[\"t\"]}\nno\n{\"kode\":1}\n[]\n\
        {\"code\":\"a\",\"domain\":\"go.example.com\"}\n{\"code\":\"a\",\"domain\":\"-\"}\n\
        {\"code\":\"a\",\"delete_time\":\"2020-01-01T00:00:00Z\"}";
    let rows = rows(text, Format::Jsonl).unwrap();
    let good: Vec<bool> = rows.iter().map(|row| row.link.is_ok()).collect();
    assert_eq!(good, [true, false, false, false, false, true, false]);
    assert_eq!((rows[1].line, rows[1].cells[0].as_str()), (2, "no"));
    assert_eq!(reason(&rows[2]), "its field 'kode' is unknown");
}

#[test]
fn letters_are_one_code_in_every_form() {
    for (text, format) in [
        ("code,target\nb\u{fc}cher(1),https://x\n", Format::Csv),
        ("code,target\n/b%C3%BCcher(1),https://x\n", Format::Csv),
        ("code,target\nbu\u{308}cher(1),https://x\n", Format::Csv),
        ("/b\u{fc}cher(1) https://x;\n", Format::NginxMap),
        ("/b%c3%bccher(1) https://x\n", Format::HaproxyMap),
        ("keyword,url\nb\u{fc}cher(1),https://x\n", Format::YourlsCsv),
        ("go.example/b%C3%BCcher(1),https://x\n", Format::CloudflareCsv),
    ] {
        let rows = rows(text.as_bytes(), format).unwrap();
        assert_eq!(rows[0].link.as_ref().unwrap().code, "b\u{fc}cher(1)", "{text}");
    }
}

#[test]
fn a_quote_that_is_open_at_the_end_of_the_file_makes_no_link() {
    for (end, line, cell) in [
        ("b,\"https://y", 3, "https://y"),
        ("b,\"https://y\r\nc,d\n", 3, "https://y\r\nc,d\n"),
        ("\"b,c\"\"", 3, "b,c\""),
        ("\"", 3, ""),
    ] {
        for start in ["", "\u{feff}"] {
            let text = format!("{start}code,target\na,https://x\n{end}");
            let rows = rows(text.leak().as_bytes(), Format::Csv).unwrap();
            assert_eq!((rows.len(), rows[0].link.is_ok()), (2, true), "{end:?}");
            let reason = rows[1].link.as_ref().err().map(|(reason, _)| *reason);
            assert_eq!((rows[1].line, reason), (line, Some("UNCLOSED_QUOTE")), "{end:?}");
            assert_eq!(rows[1].cells.last().unwrap(), cell);
        }
    }
    for end in [
        "b,\"https://y\"",
        "b,\"https://y\"\n",
        "b,\"https://y\"\r\n\r\n",
        "b,https\"://y",
        "b,\"https://y\"\"\"\r",
    ] {
        let text = format!("code,target\na,https://x\n{end}");
        let rows = rows(text.leak().as_bytes(), Format::Csv).unwrap();
        assert!(rows.len() == 2 && rows[1].link.is_ok() && rows[1].line == 3, "{end:?}");
    }
}

#[test]
fn a_file_of_rejected_rows_can_be_imported() {
    let text = b"line,reason,message,code,target\n4,INVALID,no,a,https://x\n5,COLUMNS,no,b\n";
    let good = rows(text, Format::Csv).unwrap();
    assert_eq!(good[0].cells, ["a", "https://x"]);
    assert_eq!(good[0].link.as_ref().unwrap().target, "https://x");
    assert_eq!((good[1].cells.len(), reason(&good[1])), (1, "has 4 columns, the first line has 5"));
    let text = b"line,reason,message,row\n4,INVALID,no,\"{\"\"code\"\":\"\"a\"\",\"\"target\"\":\"\"https://x\"\"}\"\n";
    let good = rows(text, Format::Csv).unwrap();
    assert_eq!(good[0].link.as_ref().unwrap().code, "a");
}

#[test]
fn a_mark_in_front_of_any_format_is_no_part_of_it() {
    for (text, format) in [
        ("code,target\na,https://x\n", Format::Csv),
        ("{\"code\":\"a\",\"target\":\"https://x\"}\n", Format::Jsonl),
        ("/a https://x;\n", Format::NginxMap),
        ("/a https://x\n", Format::HaproxyMap),
        ("keyword,url\na,https://x\n", Format::YourlsCsv),
        ("code;target\na;https://x\n", Format::Csv),
        ("go.example/a,https://x\n", Format::CloudflareCsv),
        ("/a https://x\n", Format::Redirects),
        ("{\"redirects\":[{\"source\":\"/a\",\"destination\":\"https://x\"}]}", Format::VercelJson),
    ] {
        for start in ["", "\u{feff}"] {
            let rows = rows(format!("{start}{text}").leak().as_bytes(), format).unwrap();
            let link = rows[0].link.as_ref().unwrap();
            assert_eq!((&*link.code, rows.len()), ("a", 1), "{start:?}{text}");
        }
    }
    let said = rows(b"\xff\xfec\0o\0", Format::HaproxyMap).err().unwrap().message().to_owned();
    assert!(said.contains("UTF-16: iconv") && said.ends_with("--format haproxy-map"), "{said}");
    for (text, want) in [
        (&b"c\0o\0d\0e\0,\0"[..], "it holds zero bytes"),
        (b"PK\x03\x04\n\0\0\0links.csv", "save it as CSV"),
        (b"BZh91AY&SY", "bzcat FILE | "),
    ] {
        let said = rows(text, Format::Csv).err().unwrap().message().to_owned();
        assert!(said.contains(want), "{said}");
    }
}

/// Found by users: more than half of a museum's map led to paths of its own.
#[test]
fn a_relative_target_leads_to_the_base() {
    let target = |target: &str, base: Option<&str>| {
        let reading = ReadArgs { base: base.map(str::to_owned), ..ReadArgs::default() };
        let text = format!("code,target\na,{target}\n").leak().as_bytes();
        let row = rows_with(text, "-", Format::Csv, &reading).unwrap().remove(0);
        row.link.map(|link| link.target).map_err(|(reason, _)| reason)
    };
    let base = Some("https://www.example");
    for (given, want) in [
        ("/x/y?a=1#f", "https://www.example/x/y?a=1#f"),
        ("/", "https://www.example/"),
        ("//b.example/x", "https://b.example/x"),
        ("/%7Ea/../b", "https://www.example/%7Ea/../b"),
        ("http://b.example/", "http://b.example/"),
        ("x/y", "x/y"),
        ("?a=1", "?a=1"),
    ] {
        assert_eq!(target(given, base).as_deref(), Ok(want));
    }
    assert_eq!(target("/x", None), Err("INVALID"));
    assert_eq!(target("https://b.example/", None).as_deref(), Ok("https://b.example/"));
}

#[test]
fn what_spreadsheets_and_people_leave_behind() {
    let codes = |text: &'static [u8]| {
        let rows = rows(text, Format::Csv).unwrap();
        let code = |row: &Row| row.link.as_ref().map_or_else(|(why, _)| *why, |_| "").to_owned();
        rows.iter().map(|row| (row.line, code(row))).collect::<Vec<_>>()
    };
    let want = |lines: &[(u64, &str)]| {
        lines.iter().map(|(line, why)| (*line, (*why).to_owned())).collect::<Vec<_>>()
    };
    let text = b"sep=;\r\ncode;target\r\na;https://x\r\nb;https://x;\r\n";
    assert_eq!(codes(text), want(&[(3, ""), (4, "")]));
    let text = b"code,target\na,https://x,, \nb,https://x,y\nc\n";
    assert_eq!(codes(text), want(&[(2, ""), (3, "COLUMNS"), (4, "COLUMNS")]));
    let text = b",code,target\n0,a,https://x\n,b,https://x\n";
    assert_eq!(codes(text), want(&[(2, "COLUMNS"), (3, "")]));
    let text = b"code,target\n/a,https://x\nhttps://go.example/b,https://x\n/,https://x\n";
    assert_eq!(codes(text), want(&[(2, ""), (3, "INVALID"), (4, "")]));
    let taken = rows(b"code,target\n/a/b,https://x\n", Format::Csv).unwrap();
    assert_eq!(taken[0].link.as_ref().unwrap().code, "a/b");
}

#[test]
fn a_line_that_means_several_links_is_as_many_rows() {
    let text = b"id,custom_bitlinks,long_url\nbit.ly/1,\"[\"\"bit.ly/a\"\",\"\"b.test/b\"\"]\",https://x\nbit.ly/2,,https://x\n";
    let rows = rows(text, Format::BitlyCsv).unwrap();
    let seen: Vec<(u64, &str)> = rows
        .iter()
        .map(|row| (row.line, row.link.as_ref().map_or_else(|(why, _)| *why, |link| link.code.as_str())))
        .collect();
    assert_eq!(seen, [(2, "1"), (2, "a"), (2, "DOMAIN"), (3, "2")]);
    assert!(rows.iter().all(|row| row.cells.len() == 3));
    assert_eq!(rows[0].link.as_ref().unwrap().domain, "bit.ly", "where conform asks for it");
}

#[test]
fn names_of_columns_are_for_tables_without_a_form_of_their_own() {
    let reading = ReadArgs { columns: vec![("code".into(), "slug".into())], ..ReadArgs::default() };
    let taken = rows_with(b"slug,target\na,https://x\n", "-", Format::Csv, &reading).unwrap();
    assert_eq!(taken[0].link.as_ref().unwrap().code, "a");
    for format in [Format::Jsonl, Format::NginxMap, Format::ShlinkCsv, Format::CloudflareCsv] {
        let said = rows_with(b"x", "-", format, &reading).err().unwrap().message().to_owned();
        assert!(said.starts_with("--columns is for --format csv"), "{said}");
    }
}

/// Found with published tables of old and new addresses: every row was refused.
#[test]
fn a_code_may_be_a_whole_url_where_columns_are_named() {
    let reading = ReadArgs {
        columns: vec![("code".into(), "Old URL".into()), ("target".into(), "New URL".into())],
        ..ReadArgs::default()
    };
    let text = b"Old URL,New URL\nhttps://go.example/a/b.html, https://x\nhttp://b.example/c,https://x\n\
        https://go.example/a#b,https://x\nhttps://go.example/,https://x\n/d,https://x\nhttps://go.example/e?f,https://x\n# https://go.example/g,https://x\n";
    let rows = |domain| rows_with(text, domain, Format::Csv, &reading).unwrap();
    let taken = |domain| {
        let code =
            |row: &Row| row.link.as_ref().map_or_else(|(why, _)| *why, |link| link.code.as_str()).to_owned();
        rows(domain).iter().map(code).collect::<Vec<_>>()
    };
    assert_eq!(taken("-"), ["a/b.html", "DOMAIN", "KEY", "KEY", "d", "QUERY", "KEY"]);
    assert_eq!(taken("b.example"), ["DOMAIN", "c", "KEY", "KEY", "d", "QUERY", "KEY"]);
    assert_eq!(rows("-")[0].link.as_ref().unwrap().domain, "go.example", "where conform asks for it");
}

#[test]
fn a_list_without_a_header_and_its_rejected_rows() {
    let reason = |row: &Row| row.link.as_ref().err().map(|(reason, _)| *reason);
    let list =
        rows(b"go.example/a,https://x\ngo.example/b,https://x,302,,TRUE\n", Format::CloudflareCsv).unwrap();
    assert_eq!(
        (list[0].line, reason(&list[0]), list[1].line, reason(&list[1])),
        (1, None, 2, Some("LACKING"))
    );
    let text =
        b"line,reason,message,source_url,target_url,status_code\n2,LACKING,no,go.example/b,https://x,302\n";
    let saved = rows(b"go.example/a;https://x;302\n", Format::CloudflareCsv).unwrap();
    assert_eq!(saved[0].link.as_ref().unwrap().status, 302, "as spreadsheets of some countries save it");
    let mended = rows(text, Format::CloudflareCsv).unwrap();
    assert_eq!((mended.len(), mended[0].link.as_ref().unwrap().status), (1, 302));
}

#[test]
fn rejected_statements_can_be_mended() {
    for (format, cells) in [
        (Format::NginxMap, "2,INVALID,no,/a https://x;\n3,INVALID,no,\"/b \"\"https://y\"\";\"\n"),
        (Format::HaproxyMap, "2,INVALID,no,/a https://x\n3,KEY,no,/b https://y\n"),
        (Format::Redirects, "2,INVALID,no,/a https://x 301\n3,PATTERN,no,/b https://y\n"),
        (
            Format::VercelJson,
            "2,INVALID,no,\"{\"\"source\"\":\"\"/a\"\",\"\"destination\"\":\"\"https://x\"\"}\"\n\
             3,INVALID,no,\"{\"\"source\"\":\"\"/b\"\",\"\"destination\"\":\"\"https://y\"\"}\"\n",
        ),
    ] {
        let text = format!("line,reason,message,statement\n{cells}").leak().as_bytes();
        let mut saved = csv::WriterBuilder::new().delimiter(b';').from_writer(Vec::new());
        for row in csv::ReaderBuilder::new().has_headers(false).from_reader(text).into_records() {
            saved.write_record(&row.unwrap()).unwrap();
        }
        let saved = saved.into_inner().unwrap();
        assert_eq!(rows(saved.leak(), format).unwrap().len(), 2, "as some spreadsheets save it: {format:?}");
        let rows = rows(text, format).unwrap();
        let links: Vec<_> = rows.iter().map(|row| row.link.as_ref().unwrap()).collect();
        let links: Vec<_> = links.iter().map(|link| (link.code.as_str(), link.target.as_str())).collect();
        assert_eq!(links, [("a", "https://x"), ("b", "https://y")], "{format:?}");
    }
}

#[test]
fn a_row_without_end_is_not_kept_in_memory() {
    for (head, format) in [
        ("", Format::Csv),
        ("code,target\na,\"", Format::Csv),
        ("", Format::Jsonl),
        ("", Format::NginxMap),
        ("", Format::HaproxyMap),
        ("", Format::Redirects),
        ("{", Format::VercelJson),
        ("", Format::CloudflareCsv),
    ] {
        let source = Box::new(head.as_bytes().chain(std::io::repeat(b'x')));
        let rows = Rows::open(source, "FILE", "-", &ReadArgs::default(), Ok(format))
            .and_then(|mut rows| rows.next());
        let said = rows.err().unwrap().message().to_owned();
        assert!(said.contains("FILE") && said.contains("is longer than"), "{head:?}: {said}");
    }
}

#[test]
fn a_reason_is_worded_well() {
    let rows = rows(b"code,target\na\n", Format::Csv).unwrap();
    assert_eq!(reason(&rows[0]), "has 1 column, the first line has 2");
    let rows = self::rows(b"{\"code\":\n", Format::Jsonl).unwrap();
    assert_eq!(reason(&rows[0]), "is not JSON: EOF while parsing a value");
}

#[test]
fn a_file_that_cannot_be_imported_at_all() {
    for (text, want) in [
        (&b"\x28\xb5\x2f\xfdrest"[..], "FILE is compressed: zstdcat FILE | linkr import - --format csv"),
        (
            b"code,url\n",
            "cannot read FILE: its first line does not name the column 'target': --columns target=NAME",
        ),
        (b"", "cannot read FILE: its first line does not name the column 'code': --columns code=NAME"),
        (b"code,target,code\n", "cannot read FILE: its column 'code' is there twice"),
    ] {
        let fault = rows(text, Format::Csv).err().unwrap();
        assert!(fault.message().starts_with(want), "{}", fault.message());
    }
    let fault = rows(b"code,target,x\n", Format::Csv).err().unwrap();
    assert!(fault.message().contains("its column 'x' is unknown"));
}
