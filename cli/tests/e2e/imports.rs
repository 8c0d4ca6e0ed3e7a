//! Files of other redirectors: a row is carried with the meaning it had, or listed with a reason, and `conform` finds what
//! is not as the file means it.

use crate::support::{Connection, Dir, LINKR, Linkr, beside_others, command, text};
use crate::tls::Certificate;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A file, how it is imported, and what comes of it.
struct Case {
    name: &'static str,
    text: &'static str,
    words: &'static [&'static str],
    created: usize,
    /// The lines that are rejected, and why.
    rejected: &'static [&'static str],
    /// Requests, and what they are answered with.
    answers: &'static [(&'static str, u16, &'static str)],
}

fn import(linkr: &Linkr, dir: &Dir, case: &Case) {
    let file = dir.write(case.name, case.text);
    let done = linkr.run(dir, &[&["import", &file], case.words].concat());
    let (out, err) = (text(&done.stdout), text(&done.stderr));
    let (created, rejected) = (case.created, case.rejected.len());
    let want = format!("created {created}, updated 0, skipped 0, rejected {rejected} in ");
    assert!(out.starts_with(&want), "{}: {out}{err}", case.name);
    let listed = fs::read_to_string(format!("{file}.rejected.csv")).unwrap_or_default();
    let reasons: Vec<String> = listed
        .lines()
        .skip(1)
        .map(|line| line.splitn(3, ',').take(2).collect::<Vec<_>>().join(","))
        .collect();
    assert_eq!(reasons, case.rejected, "{}: {listed}", case.name);
}

/// Imports each, asks the edge, and lets it be conformed.
fn carried(cases: &[Case]) {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    linkr.ok(&dir, &["domain", "create", "own.example"]);
    for case in cases {
        import(&linkr, &dir, case);
        linkr.catch_up();
        for (path, status, location) in case.answers {
            let (host, path) = path.split_once('/').unwrap();
            let answer = asked(&linkr, host, path);
            assert_eq!((answer.0, answer.1.as_str()), (*status, *location), "{}: {host}/{path}", case.name);
        }
        let (file, edge) = (dir.file(case.name), linkr.edge().to_string());
        let words: Vec<&str> = case.words.iter().filter(|word| **word != "--update").copied().collect();
        let conform = [&["conform", "--links", &file, "--edge", &edge], &words[..]].concat();
        let done = linkr.run(&dir, &conform);
        let said = text(&done.stdout);
        assert!(done.status.success() && said.contains(": 0 differences;"), "{}: {said}", case.name);
        assert!(said.contains(&format!("asked for {} codes", case.created + 100)), "{}: {said}", case.name);
    }
}

/// Status and `Location`.
fn asked(linkr: &Linkr, host: &str, path: &str) -> (u16, String) {
    let mut connection = Connection::to(linkr.edge());
    let host = if host.is_empty() { "localhost" } else { host };
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let answer = connection.answer(false).unwrap().unwrap();
    (answer.status, answer.location().to_owned())
}

#[test]
fn exports_of_shorteners_keep_their_meaning() {
    carried(&[
        Case {
            name: "forward.csv",
            text: "Long URL,Short code\nhttps://a.example/p?a=1,e1\n",
            words: &["--format", "shlink-csv"],
            created: 1,
            rejected: &[],
            answers: &[
                ("/e1?utm=x", 302, "https://a.example/p?a=1&utm=x"),
                ("/e1?a=2", 302, "https://a.example/p?a=2"),
                ("/e1", 302, "https://a.example/p?a=1"),
            ],
        },
        Case {
            name: "api.csv",
            text: "shortCode,longUrl,validUntil,maxVisits,forwardQuery,tags\n\
                   e2,https://a.example/,2099-01-01T00:00:00+01:00,,false,\n\
                   e3,https://a.example/,,10,true,\ne4,https://a.example/,,,TRUE,x\n",
            words: &["--format", "shlink-csv"],
            created: 2,
            rejected: &["3,LACKING"],
            answers: &[
                ("/e2?x=1", 302, "https://a.example/"),
                ("/e3", 404, ""),
                ("/e4?x=1", 302, "https://a.example/?x=1"),
            ],
        },
        Case {
            name: "domains.csv",
            text: "Long URL,Tags,Domain,Short code,Title\nhttps://a.example/1,x|y,,e5,\n\
                   https://a.example/2,,Own.Example,e6,my title\nhttps://a.example/3,,other.example,e7,x\n",
            words: &["--format", "shlink-csv", "--domain", "own.example"],
            created: 1,
            rejected: &["2,DOMAIN", "4,DOMAIN"],
            answers: &[
                ("own.example/e6", 302, "https://a.example/2"),
                ("/e5", 404, ""),
                ("own.example/e5", 404, ""),
            ],
        },
        Case {
            name: "bitly.csv",
            text: "created_at,id,link,custom_bitlinks,long_url,title,archived,tags\n\
                   2020-10-26T17:20:40+0000,go.example/b1,https://go.example/b1,\"[\"\"https://go.example/by-name\"\"]\",\
                   https://a.example/1,T1,false,\"[\"\"one\"\"]\"\n\
                   2020-10-26T17:20:40+0000,go.example/b2,https://go.example/b2,[],https://a.example/2,T2,true,[]\n\
                   2020-10-26T17:20:40+0000,x.example/b3,https://x.example/b3,[],https://a.example/2,T2,true,[]\n",
            words: &["--format", "bitly-csv"],
            created: 3,
            rejected: &["4,DOMAIN"],
            answers: &[
                ("go.example/b1", 301, "https://a.example/1"),
                ("go.example/by-name", 301, "https://a.example/1"),
                ("/b2", 301, "https://a.example/2"),
            ],
        },
        Case {
            name: "kutt.csv",
            text: "id,address,banned,password,target,link,expire_in\n\
                   u1,k1,false,false,https://a.example/1,https://go.example/k1,\n\
                   u2,k2,TRUE,FALSE,https://a.example/2,,\nu3,k3,0,0,https://a.example/3,,2099-01-01 00:00\n\
                   u4,k4,f,true,https://a.example/4,,\n",
            words: &["--format", "kutt-csv"],
            created: 3,
            rejected: &["5,LACKING"],
            answers: &[
                ("/k1?x", 302, "https://a.example/1"),
                ("/k2", 410, ""),
                ("/k3", 302, "https://a.example/3"),
            ],
        },
        Case {
            name: "numbers.csv",
            text: "address,target,domain_id,banned\nn1,https://a.example/1,7,f\nn2,https://a.example/2,8,f\n\
                   n1,https://a.example/3,8,f\nn3,https://a.example/3,,f\n",
            words: &["--format", "kutt-csv", "--update"],
            created: 1,
            rejected: &["3,DOMAIN", "4,DOMAIN", "5,DOMAIN"],
            answers: &[("/n1", 302, "https://a.example/1"), ("/n2", 404, "")],
        },
        Case {
            name: "rebrandly.csv",
            text: "Id,Title,SlashTag,Destination,ShortUrl,Created At,Clicks,Status\n\
                   ab,T,r1,https://a.example/,go.example/r1,2022-01-01T00:00:00.000Z,5,active\n",
            words: &["--format", "rebrandly-csv"],
            created: 1,
            rejected: &[],
            answers: &[("go.example/r1?x=1", 301, "https://a.example/?x=1")],
        },
        Case {
            name: "short-io.csv",
            text: "Original URL,Short URL,Path,Created At,Tags,Password\n\
                   https://a.example/?a=1,https://go.example/s1,s1,2022-01-01,,\n\
                   https://a.example/?shortio_nomerge=1,https://go.example/s2,s2,2022-01-01,,\n\
                   https://a.example/,https://go.example/s3,s3,2022-01-01,,secret\n",
            words: &["--format", "short-io-csv"],
            created: 2,
            rejected: &["4,LACKING"],
            answers: &[("/s1?a=2", 302, "https://a.example/?a=2"), ("/s2?a=2", 302, "https://a.example/")],
        },
    ]);
}

#[test]
fn maps_and_rules_of_sites_keep_their_meaning() {
    carried(&[
        Case {
            name: "base.map",
            text: "go.example/h1 https://a.example/new\nwww.go.example https://go.example\n\
                   go.example https://www.a.example/\n/h2 https://a.example/2\nother.example/h3 https://a.example/3\n\
                   go.example/h1 https://a.example/later\n",
            words: &["--format", "haproxy-map"],
            created: 2,
            rejected: &["2,KEY", "3,KEY", "5,DOMAIN", "6,SHADOWED"],
            answers: &[
                ("go.example/h1", 302, "https://a.example/new"),
                ("/h2", 302, "https://a.example/2"),
                ("/h3", 404, ""),
            ],
        },
        Case {
            name: "own.map",
            text: "go.example/h4 https://a.example/4\nown.example/h5 https://a.example/5\n",
            words: &["--format", "haproxy-map", "--domain", "own.example"],
            created: 1,
            rejected: &["1,DOMAIN"],
            answers: &[("own.example/h5", 302, "https://a.example/5"), ("/h4", 404, "")],
        },
        Case {
            name: "museum.map",
            text: "map $uri $new {\n  /m1 /visit/hours;\n  /m2 \"https://a.example/2\";\n  /m3 //b.example/3;\n  m4 /x;\n}\n",
            words: &["--format", "nginx-map", "--base", "https://www.a.example/"],
            created: 3,
            rejected: &["5,KEY"],
            answers: &[
                ("/m1", 302, "https://www.a.example/visit/hours"),
                ("/m2", 302, "https://a.example/2"),
                ("/m3", 302, "https://b.example/3"),
            ],
        },
        Case {
            name: "_redirects",
            text: "# netlify\n/n1 https://a.example/1 301\n/n2/* https://a.example/:splat 302!\n/n3 /local\n\
                   /n4 id=:id https://a.example/:id 301\n/n5 https://a.example/5 302!\n/n2/x https://a.example/x\n",
            words: &["--base", "https://www.a.example"],
            created: 3,
            rejected: &["3,PATTERN", "5,QUERY", "7,SHADOWED"],
            answers: &[
                ("/n2/x", 404, ""),
                ("/n1?x=1", 301, "https://a.example/1?x=1"),
                ("/n3", 301, "https://www.a.example/local"),
                ("/n5", 302, "https://a.example/5"),
            ],
        },
        Case {
            name: "vercel.json",
            text: "{\"redirects\":[{\"source\":\"/v1\",\"destination\":\"https://a.example/1\",\"permanent\":true},\n\
                   {\"source\":\"/v2\",\"destination\":\"/2\",\"permanent\":false},\n\
                   {\"source\":\"/v3/:id\",\"destination\":\"https://a.example/:id\"},\n\
                   {\"source\":\"/v4(/|)\",\"destination\":\"https://a.example/4\"},\n\
                   {\"source\":\"/v5\",\"destination\":\"https://a.example/5\"},\n\
                   {\"source\":\"/v4\",\"destination\":\"https://a.example/6\"}]}",
            words: &[],
            created: 2,
            rejected: &["2,INVALID", "3,PATTERN", "4,PATTERN", "6,SHADOWED"],
            answers: &[
                ("/v1", 308, "https://a.example/1"),
                ("/v2", 404, ""),
                ("/v4", 404, ""),
                ("/v5?x=1", 308, "https://a.example/5?x=1"),
            ],
        },
        Case {
            name: "bulk.csv",
            text: "go.example/c1,https://a.example/1,301,FALSE,FALSE,FALSE,FALSE\n\
                   https://go.example/c2,https://a.example/2,302,TRUE\ngo.example/c3,https://a.example/3,,,TRUE\n",
            words: &["--format", "cloudflare-csv"],
            created: 2,
            rejected: &["3,LACKING"],
            answers: &[
                ("go.example/c1?x=1", 301, "https://a.example/1"),
                ("/c2?x=1", 302, "https://a.example/2?x=1"),
                ("/c3", 404, ""),
            ],
        },
    ]);
}

#[test]
fn tables_of_spreadsheets_are_taken() {
    carried(&[
        Case {
            name: "case.csv",
            text: "Code,Target,Max Age,\nt1,https://a.example/,60,\n",
            words: &[],
            created: 1,
            rejected: &[],
            answers: &[("/t1", 302, "https://a.example/")],
        },
        Case {
            name: "spaces.csv",
            text: "code, target, status, disabled\nt2, https://a.example/, 302, false\nt3 , https://a.example/,,TRUE\n\
                   t4,https://a.example/ ,307,FALSE\n",
            words: &[],
            created: 3,
            rejected: &[],
            answers: &[
                ("/t2", 302, "https://a.example/"),
                ("/t3", 410, ""),
                ("/t4", 307, "https://a.example/"),
            ],
        },
        Case {
            name: "semicolon.csv",
            text: "\u{feff}code;target;title\r\nt5;https://a.example/1;Eins\r\nt6;https://a.example/2;\"a;b\"\r\n",
            words: &[],
            created: 2,
            rejected: &[],
            answers: &[("/t5", 302, "https://a.example/1")],
        },
        Case {
            name: "tabs.csv",
            text: "code\ttarget\nt7\thttps://a.example/,1\n",
            words: &[],
            created: 1,
            rejected: &[],
            answers: &[("/t7", 302, "https://a.example/,1")],
        },
        Case {
            name: "columns.csv",
            text: "slug,url,clicks\nt8,/1,7\nt9,https://a.example/2,7\n",
            words: &["--columns", "code=slug,target=url", "--base", "https://b.example"],
            created: 2,
            rejected: &[],
            answers: &[("/t8", 302, "https://b.example/1"), ("/t9", 302, "https://a.example/2")],
        },
    ]);
}

#[test]
fn what_was_decided_is_told() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let said = |name: &str, content: &str, words: &[&str]| {
        let file = dir.write(name, content);
        let done = linkr.run(&dir, &[&["import", &file], words].concat());
        text(&done.stderr)
    };
    let rows = "shortCode,longUrl,cropped,validUntil\na,https://a.example/,3,2099-01-01 00:00:00\nb,ftp://a.example/,3,\n";
    let told = said("a.csv", rows, &["--format", "shlink-csv"]);
    for part in [
        "is read as shlink-csv: code from 'shortCode', target from 'longUrl'",
        "passed over: 'cropped'; status 302",
        "times without an offset, which were read as UTC: 1",
        "1 row was rejected: ",
        "says why (1 INVALID)",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = said("b.csv", "code;target\nc;https://a.example/\n", &[]);
    assert!(told.contains("is read as csv: its columns are separated by ';'"), "{told}");
    assert_eq!(said("c.csv", "code,target\nd,https://a.example/\n", &[]), "", "nothing had to be decided");
    let told = said("d.map", "/e https://a.example/;\n", &["--format", "nginx-map"]);
    assert!(
        told.contains("nginx compares paths without case") && told.contains("a map says neither"),
        "{told}"
    );
    let told = said("e.csv", "Long URL,Short code\nhttps://a.example/,f\n", &[]);
    assert!(told.contains("does not name the column 'code': is it --format shlink-csv?"), "{told}");
    let told = said("f.csv", "slug,url\nf,https://a.example/\n", &[]);
    assert!(told.contains("--columns code=NAME says which one it is"), "{told}");
    let told = said("g.map", "/g https://a.example/;\n", &["--format", "nginx-map", "--columns", "code=x"]);
    assert!(told.contains("--columns is for --format csv"), "{told}");
    let told = said("h.map", "/h https://a.example/;\n", &["--format", "nginx-map", "--base", "www.example"]);
    assert!(told.contains("--base") && told.contains("such as https://www.example"), "{told}");
}

/// Found by users: an import lost every query, and nothing said so, since what checks it read the file in the same way.
#[test]
fn conform_finds_what_is_not_as_the_file_means_it() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let rows = "shortCode,longUrl,domain\nq1,https://a.example/1,go.example\nq2,https://a.example/2,go.example\n\
                q3,https://a.example/3,go.example\n";
    let file = dir.write("links.csv", rows);
    linkr.ok(&dir, &["import", &file, "--format", "shlink-csv"]);
    let edge = linkr.edge().to_string();
    let conform = || {
        linkr.catch_up();
        let words = ["conform", "--links", &file, "--format", "shlink-csv", "--edge", &edge];
        let done = linkr.run(&dir, &words);
        (done.status.code(), text(&done.stdout))
    };
    assert_eq!(conform().0, Some(0));
    linkr.ok(&dir, &["link", "update", "q1", "--query", "drop"]);
    linkr.ok(&dir, &["link", "update", "q2", "--status", "307"]);
    let (code, said) = conform();
    assert_eq!(code, Some(1), "{said}");
    for part in [
        "line 2, go.example/q1: 302 https://a.example/1 instead of 302 https://a.example/1?linkr-conform=1",
        "line 3, go.example/q2: 307 https://a.example/2?linkr-conform=1 instead of 302 ",
        ": 2 differences;",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Under the host that the file names another domain answers now.
    linkr.ok(&dir, &["domain", "create", "go.example"]);
    let (code, said) = conform();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("line 4, go.example/q3: 404 instead of 302") && said.contains(": 3 differences;"),
        "{said}"
    );
}

/// Found by hand: right behind an import `conform` told of 148 links that the edge did not have yet.
#[test]
fn conform_gives_an_edge_the_second_that_it_may_be_behind() {
    let dir = Dir::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let edge = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        // An edge that gets to know of `late` once it was asked for it.
        let asked = Arc::new(AtomicBool::new(false));
        for stream in listener.incoming().flatten() {
            let asked = Arc::clone(&asked);
            std::thread::spawn(move || {
                let mut answers = stream.try_clone().unwrap();
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let there = line.starts_with("HEAD /late?") && asked.swap(true, Ordering::Relaxed)
                        || line.starts_with("HEAD /there?");
                    let answer = match there {
                        true => "302 Found\r\nLocation: https://a.example/",
                        false => "404 Not Found",
                    };
                    if line.starts_with("HEAD /") {
                        write!(answers, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").unwrap();
                    }
                }
            });
        }
    });
    let rows = "code,target\nlate,https://a.example/\nthere,https://a.example/\nnever,https://a.example/\n";
    let file = dir.write("links.csv", rows);
    let done =
        command(LINKR, dir.path()).args(["conform", "--links", &file, "--edge", &edge]).output().unwrap();
    let said = text(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{said}");
    let want = "line 4, /never: 404 instead of 302 https://a.example/\nasked for 103 codes, ";
    assert!(said.starts_with(want) && said.contains(": 1 differences;"), "{said}");
}

#[test]
fn conform_asks_over_tls() {
    let _turn = beside_others();
    let dir = Dir::new();
    let certificate = Certificate::write(&dir, "edge", &["127.0.0.1", "go.example"]);
    let linkr = Linkr::up_with(&dir, &certificate.env());
    let file = dir.write("links.csv", "code,target\na,https://a.example/1\nb,https://a.example/2\n");
    linkr.ok(&dir, &["import", &file]);
    linkr.catch_up();
    let edge = format!("https://{}", linkr.tls());
    let conform = |words: &[&str]| {
        let done = linkr.run(&dir, &[&["conform", "--links", &file, "--edge", &edge], words].concat());
        (done.status.code(), text(&done.stdout) + &text(&done.stderr))
    };
    let ca = ["--edge-ca", certificate.cert()];
    let (code, said) = conform(&ca);
    assert!(
        code == Some(0) && said.contains("asked for 102 codes") && said.contains(": 0 differences"),
        "{said}"
    );
    let (code, said) = conform(&[&ca[..], &["--domain", "go.example"]].concat());
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = conform(&[]);
    assert!(code == Some(2) && said.contains("--edge-ca names"), "{said}");
    let (code, said) = conform(&[&ca[..], &["--domain", "other.example"]].concat());
    assert!(code == Some(2) && said.contains("is for another name"), "{said}");
    let plain = format!("https://{}", linkr.edge());
    let words = ["conform", "--links", &file, "--edge", &plain, ca[0], ca[1]];
    let said = text(&linkr.run(&dir, &words).stderr);
    assert!(said.contains("speaks no TLS"), "{said}");
}

#[test]
fn the_same_link_again_is_no_error_where_that_is_asked_for() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let create = |words: &[&str]| {
        let done = linkr.run(&dir, &[&["link", "create"], words].concat());
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    let same = ["https://a.example/a b", "--code", "x", "--same-ok", "-o", "json"];
    let first = create(&same);
    assert_eq!(first.0, Some(0), "{}", first.2);
    let again = create(&same);
    assert_eq!((again.0, again.2.as_str()), (Some(0), ""));
    let etag = |said: &str| said.split("\"etag\":").nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert_eq!(etag(&first.1), etag(&again.1));
    for (words, field) in [
        (&["https://a.example/b", "--code", "x", "--same-ok"][..], "its target is another"),
        (&["https://a.example/a b", "--code", "x", "--same-ok", "--status", "307"], "its status is another"),
        (&["https://a.example/a b", "--code", "x"], "x"),
        (&["https://a.example/a b", "--same-ok"], "--code"),
        (&["https://a.example/a b", "--code", "x", "--same-ok", "--ack", "propagated"], "leave --ack out"),
    ] {
        let (code, _, said) = create(words);
        assert!(code == Some(2) && said.contains(field), "{words:?}: {said}");
    }
    linkr.ok(&dir, &["link", "update", "x", "--note", "of somebody else"]);
    assert_eq!(create(&same).0, Some(0));
    linkr.ok(&dir, &["link", "delete", "x"]);
    assert_eq!(create(&same).0, Some(2));
}

/// Rows are sent in the order of their keys; people see them in that of their file.
#[test]
fn the_order_of_a_file_is_kept_where_it_shows() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    linkr.ok(&dir, &["domain", "create", "folds.example", "--fold-case"]);
    let mut rows = String::from("code,target\n");
    for n in (0..12_000).rev() {
        rows.push_str(&format!("Row-{n},https://a.example/{n}\n"));
    }
    // Of two the first counts; what a server refuses and what is refused here stand in one order.
    rows.push_str(
        "zz,https://a.example/first\nbad code,https://a.example/\nonly\nzz,https://a.example/second\n",
    );
    rows.push_str("robots.txt,https://a.example/\naa,ftp://a.example/\n");
    let file = dir.write("rows.csv", &rows);
    for domain in ["-", "folds.example"] {
        let said = linkr.ok(&dir, &["import", &file, "--domain", domain]);
        assert!(said.starts_with("created 12001, updated 0, skipped 0, rejected 5 in "), "{said}");
        let rejected = fs::read_to_string(format!("{file}.rejected.csv")).unwrap();
        let lines: Vec<&str> = rejected.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
        assert_eq!(lines, ["12003", "12004", "12005", "12006", "12007"], "{rejected}");
        let shown = linkr.ok(&dir, &["link", "get", "zz", "--domain", domain]);
        assert!(shown.contains("https://a.example/first"), "{shown}");
        let again = linkr.ok(&dir, &["import", &file, "--domain", domain]);
        assert!(again.starts_with("created 0, updated 0, skipped 12001, rejected 5 in "), "{again}");
    }
}
