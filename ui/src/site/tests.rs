//! The way in over a stand-in for the API: names, origins, sessions, tokens, and which page a scope opens.

use super::*;
use axum::body::{Body, to_bytes};
use axum::response::IntoResponse;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const SCOPES: [&str; 7] =
    ["links:read", "links:write", "domains:admin", "keys:admin", "feed", "clicks:read", "clicks:delete"];

/// An API that knows one link of each name, and refuses every key that is not `lk_good…`.
fn api() -> Api {
    Api::new(tower::service_fn(|request: Request| async move {
        let key =
            request.headers().get("authorization").and_then(|key| key.to_str().ok()).unwrap_or_default();
        if !key.starts_with("Bearer lk_good") {
            let problem =
                serde_json::json!({ "reason": "UNAUTHENTICATED", "detail": "the key is not known here" });
            return Ok::<_, Infallible>((StatusCode::UNAUTHORIZED, problem.to_string()).into_response());
        }
        let link =
            serde_json::json!({ "code": "a", "domain": "-", "target": "https://a.example", "etag": "\"1\"" });
        Ok(axum::Json(link).into_response())
    }))
}

struct Visitor<'a> {
    site: &'a Site,
    cookie: String,
}

impl Visitor<'_> {
    async fn ask(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        form: &str,
    ) -> (StatusCode, String, Response<Body>) {
        let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:8081");
        if !self.cookie.is_empty() {
            request = request.header("cookie", &self.cookie);
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        if method == "POST" {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        let response = self.site.answer(request.body(Body::from(form.to_owned())).unwrap()).await;
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
        (parts.status, text, Response::from_parts(parts, Body::empty()))
    }

    /// The token that a page carries.
    async fn token(&self) -> String {
        let (_, page, _) = self.ask("GET", "/ui/session", &[], "").await;
        let behind = page.split("name=\"_token\" value=\"").nth(1).unwrap_or_else(|| panic!("{page}"));
        behind.split('"').next().unwrap().to_owned()
    }
}

/// A site whose key `lk_good` has these scopes, as long as `good` says so.
fn site(scopes: &'static [&'static str], good: Arc<AtomicBool>) -> Site {
    let rights: KeyRights = Arc::new(move |key| {
        let rights = Rights { key_id: "0123".into(), scopes: scopes.to_vec(), ..Rights::default() };
        (key == "lk_good" && good.load(Relaxed)).then_some(rights)
    });
    Site::new(api(), Some(rights), None)
}

async fn signed_in(site: &Site) -> Visitor<'_> {
    let stranger = Visitor { site, cookie: String::new() };
    let (status, _, response) = stranger.ask("POST", "/ui/sign-in", &[], "key=lk_good").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let set = response.headers()["set-cookie"].to_str().unwrap();
    assert!(set.starts_with("linkr-8081=") && set.contains("HttpOnly; SameSite=Strict"), "{set}");
    Visitor { site, cookie: set.split(';').next().unwrap().to_owned() }
}

fn good() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(true))
}

#[tokio::test]
async fn a_page_opens_for_the_scope_that_it_needs_and_for_no_other() {
    for scope in SCOPES {
        let own: &'static [&'static str] = Vec::leak(vec![scope]);
        let site = site(own, good());
        let visitor = signed_in(&site).await;
        let token = visitor.token().await;
        for (method, path, needs) in pages::all() {
            let form = format!("_token={token}&code=a");
            let form = if method == "POST" { form.as_str() } else { "" };
            let (status, page, _) = visitor.ask(method, &format!("{path}?code=a"), &[], form).await;
            let opens = needs.is_none_or(|needs| needs == scope);
            assert_eq!(
                status != StatusCode::FORBIDDEN,
                opens,
                "{method} {path} with {scope}: {status} {page}"
            );
            if let (false, Some(needs)) = (opens, needs) {
                assert!(page.contains(needs), "{method} {path} with {scope} does not say {needs}");
            }
        }
        let (_, page, _) = visitor.ask("GET", "/ui/session", &[], "").await;
        for (path, word) in pages::MENU {
            let needs = pages::find(&Method::GET, path).and_then(|entry| entry.needs);
            let offered = page.contains(&format!("<a href=\"{path}\">{word}</a>"));
            assert_eq!(offered, needs.is_none_or(|needs| needs == scope), "{path} in the menu with {scope}");
        }
    }
}

#[tokio::test]
async fn who_has_no_session_is_asked_for_a_key_and_a_wrong_one_is_told_why() {
    let site = site(&SCOPES, good());
    let stranger = Visitor { site: &site, cookie: String::new() };
    let (status, page, response) = stranger.ask("GET", "/ui/links?tag=x", &[], "").await;
    assert_eq!((status, page.as_str()), (StatusCode::SEE_OTHER, ""));
    let way = response.headers()["location"].to_str().unwrap().to_owned();
    let (status, page, response) = stranger.ask("GET", &way, &[], "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("name=\"then\" value=\"/ui/links?tag=x\""), "{page}");
    assert!(
        response.headers()["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'")
    );
    let (status, page, _) = stranger.ask("POST", "/ui/sign-in", &[], "key=lk_bad").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(page.contains("the key is not known here"), "{page}");
    let (_, page, _) = stranger.ask("POST", "/ui/sign-in", &[], "key=lk%0Abad").await;
    assert!(page.contains("is no key"), "{page}");
    let (_, _, response) = stranger.ask("POST", "/ui/sign-in", &[], "key=lk_good&then=/ui/links?tag=x").await;
    assert_eq!(response.headers()["location"], "/ui/links?tag=x");
    let (_, _, response) =
        stranger.ask("POST", "/ui/sign-in", &[], "key=lk_good&then=//evil.example/ui").await;
    assert_eq!(response.headers()["location"], "/ui", "nobody is led elsewhere");
    // A way from another site comes without the cookie: the page asks for itself once more.
    let (status, page, _) = stranger.ask("GET", "/ui/links", &[("sec-fetch-site", "cross-site")], "").await;
    assert!(status == StatusCode::OK && page.contains("http-equiv=\"refresh\""), "{page}");
}

#[tokio::test]
async fn a_form_without_its_token_does_nothing_and_keeps_what_was_typed() {
    let site = site(&SCOPES, good());
    let visitor = signed_in(&site).await;
    let other = signed_in(&site).await;
    for token in ["", "00", &other.token().await] {
        let form = format!("_token={token}&target=https%3A%2F%2Fa.example&note=%3Cb%3E");
        let (status, page, _) = visitor.ask("POST", "/ui/links/new?domain=-", &[], &form).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{page}");
        assert!(
            page.contains("name=\"note\" value=\"&lt;b&gt;\"")
                && page.contains("action=\"/ui/links/new?domain=-\""),
            "{page}"
        );
    }
    let form = format!("_token={}", visitor.token().await);
    let (status, _, _) = visitor.ask("POST", "/ui/sign-out", &[], &form).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (status, _, _) = visitor.ask("GET", "/ui/session", &[], "").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (status, _, _) = other.ask("GET", "/ui/session", &[], "").await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn signing_out_everywhere_ends_every_session_of_the_key() {
    let site = site(&SCOPES, good());
    let (one, other) = (signed_in(&site).await, signed_in(&site).await);
    let form = format!("_token={}&everywhere=1", one.token().await);
    one.ask("POST", "/ui/sign-out", &[], &form).await;
    for visitor in [one, other] {
        let (_, _, response) = visitor.ask("GET", "/ui/session", &[], "").await;
        let way = response.headers()["location"].to_str().unwrap().to_owned();
        let (_, page, _) = visitor.ask("GET", &way, &[], "").await;
        assert!(page.contains("Your session has ended."), "{page}");
    }
}

#[tokio::test]
async fn what_was_typed_outlives_the_session() {
    let good = good();
    let site = site(&SCOPES, good.clone());
    let visitor = signed_in(&site).await;
    let token = visitor.token().await;
    good.store(false, Relaxed);
    let form = format!("_token={token}&target=https%3A%2F%2Fa.example&title=long+text");
    let (status, page, _) = visitor.ask("POST", "/ui/links/new", &[], &form).await;
    assert!(status == StatusCode::UNAUTHORIZED && page.contains("was revoked or has expired"), "{page}");
    let field = |name: &str| {
        let behind = page.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap();
        behind.split('"').next().unwrap().replace("&amp;", "&")
    };
    let (then, kept) = (field("then"), field("kept"));
    good.store(true, Relaxed);
    let again = Pairs::default().with("key", "lk_good").with("then", &then).with("kept", &kept).encode();
    let stranger = Visitor { site: &site, cookie: String::new() };
    let (status, page, response) = stranger.ask("POST", "/ui/sign-in", &[], &again).await;
    assert_eq!(status, StatusCode::OK);
    assert!(response.headers().contains_key("set-cookie"));
    assert!(
        page.contains("name=\"title\" value=\"long text\"") && page.contains("action=\"/ui/links/new\""),
        "{page}"
    );
}

#[tokio::test]
async fn foreign_names_forms_and_frames_are_refused_in_words() {
    let site = site(&SCOPES, good());
    let visitor = signed_in(&site).await;
    let token = visitor.token().await;
    let form = format!("_token={token}");
    for fields in [("origin", "http://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let (status, page, _) = visitor.ask("POST", "/ui/links/new", &[fields], &form).await;
        assert!(status == StatusCode::FORBIDDEN && page.contains("nothing was done"), "{page}");
    }
    let (status, page, _) = visitor.ask("GET", "/ui/links", &[("sec-fetch-dest", "iframe")], "").await;
    assert!(status == StatusCode::FORBIDDEN && page.contains("inside of others"), "{page}");
    let request = Request::get("/ui/links").header("host", "evil.example").body(Body::empty()).unwrap();
    let response = site.answer(request).await;
    assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST);
    let request =
        Request::post("/ui/links/new").header("host", "127.0.0.1").header("content-type", "text/plain");
    let response = site.answer(request.body(Body::from("x=y")).unwrap()).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_address_of_the_terminal_signs_in_once() {
    let site = site(&SCOPES, good());
    let path = site.tickets().path("lk_good");
    let stranger = Visitor { site: &site, cookie: String::new() };
    let (status, page, _) = stranger.ask("GET", &path, &[], "").await;
    assert!(
        status == StatusCode::OK && page.contains("name=\"once\""),
        "a look at it does not use it up: {page}"
    );
    let (_, once) = path.split_once('?').unwrap();
    let (status, _, _) = stranger.ask("POST", "/ui/sign-in", &[], once).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (status, page, _) = stranger.ask("POST", "/ui/sign-in", &[], once).await;
    assert!(status == StatusCode::UNAUTHORIZED && page.contains("was used already"), "{page}");
}

#[tokio::test]
async fn where_no_key_is_asked_for_everybody_has_a_session_and_its_token() {
    let site = Site::new(api(), None, None);
    let stranger = Visitor { site: &site, cookie: String::new() };
    let (status, page, response) = stranger.ask("GET", "/ui/session", &[], "").await;
    assert!(status == StatusCode::OK && page.contains("none is asked for here"), "{page}");
    let cookie = response.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let visitor = Visitor { site: &site, cookie };
    let (status, _, _) = visitor.ask("POST", "/ui/links/bulk", &[], "pick=a&do=delete").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _, _) = stranger.ask("GET", "/ui/nothing", &[], "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _, _) = stranger.ask("GET", "/ui/assets/style-0.css", &[], "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

/// Whoever likes can begin a form and never end it: those who are signed in do not wait for that.
#[tokio::test(start_paused = true)]
async fn strangers_who_never_end_their_forms_keep_nobody_out_for_long() {
    let site = site(&SCOPES, good());
    let visitor = signed_in(&site).await;
    let begun = |site: Site| async move {
        let never = Body::from_stream(tokio_stream::pending::<Result<Vec<u8>, Infallible>>());
        let request = Request::post("/ui/sign-in").header("host", "127.0.0.1:8081");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        site.answer(request.body(never).unwrap()).await.status()
    };
    let stuck: Vec<_> = (0..2 * STRANGERS).map(|_| tokio::spawn(begun(site.clone()))).collect();
    tokio::task::yield_now().await;
    let form = format!("_token={}", visitor.token().await);
    let before = tokio::time::Instant::now();
    let (status, _, _) = visitor.ask("POST", "/ui/links/bulk", &[], &form).await;
    assert!(status == StatusCode::SEE_OTHER && before.elapsed() < Duration::from_secs(1));
    for one in stuck {
        assert_eq!(one.await.unwrap(), StatusCode::BAD_REQUEST);
    }
    assert!(before.elapsed() <= PATIENCE + Duration::from_secs(1), "{:?}", before.elapsed());
}

/// Found while it was built: whoever signs out everywhere has ended what another browser of his watches.
#[tokio::test]
async fn a_watch_of_clicks_tells_nothing_once_its_session_has_ended() {
    let (send, lines) = tokio::sync::mpsc::channel::<Result<&'static str, Infallible>>(4);
    let lines = Arc::new(std::sync::Mutex::new(Some(tokio_stream::wrappers::ReceiverStream::new(lines))));
    let api = Api::new(tower::service_fn(move |request: Request| {
        assert!(request.uri().path().ends_with("/clicks:watch"), "{}", request.uri());
        let stream = lines.lock().unwrap().take().map(Body::from_stream);
        async move { Ok::<_, Infallible>(Response::new(stream.unwrap_or_default())) }
    }));
    let rights: KeyRights = Arc::new(|_| {
        Some(Rights { key_id: "0123".into(), scopes: vec!["clicks:read"], ..Rights::default() })
    });
    let site = Site::new(api, Some(rights), None);
    let visitor = signed_in(&site).await;
    let other = signed_in(&site).await;
    let request = Request::get("/ui/clicks/live?code=a").header("host", "127.0.0.1:8081");
    let watch = site.answer(request.header("cookie", &visitor.cookie).body(Body::empty()).unwrap()).await;
    let mut told = watch.into_body().into_data_stream();
    send.send(Ok("one\n")).await.unwrap();
    assert_eq!(tokio_stream::StreamExt::next(&mut told).await.unwrap().unwrap(), "one\n");
    let form = format!("_token={}&everywhere=1", other.token().await);
    other.ask("POST", "/ui/sign-out", &[], &form).await;
    send.send(Ok("two\n")).await.unwrap();
    assert!(tokio_stream::StreamExt::next(&mut told).await.is_none(), "nothing is told, and the watch ends");
}

/// Found by measuring: each table read all clicks of the link again, a second of work for one with ten million.
#[tokio::test]
async fn the_clicks_of_a_link_with_all_tables_are_one_question_beside_that_of_the_time_before() {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = asked.clone();
    let api = Api::new(tower::service_fn(move |request: Request| {
        let address = request.uri().to_string();
        let answer = if address.contains(":clicks?") {
            heard.lock().unwrap().push(address);
            let split = |by: &str, value: &str| serde_json::json!({ "group_by": by, "total": 9, "other": 2, "rows": [{ "keys": [value], "count": 7 }] });
            let names = ["country", "referrer", "device", "browser", "os", "language", "kind"];
            let splits: Vec<_> = names.iter().map(|name| split(name, &format!("some-{name}"))).collect();
            serde_json::json!({ "total": 9, "rows": [], "splits": splits })
        } else {
            serde_json::json!({ "code": "a", "domain": "-", "target": "https://a.example" })
        };
        async move { Ok::<_, Infallible>(axum::Json(answer).into_response()) }
    }));
    let site = Site::new(api, None, None);
    let visitor = Visitor { site: &site, cookie: String::new() };
    let (status, page, _) = visitor.ask("GET", "/ui/clicks?code=a", &[], "").await;
    assert_eq!(status, StatusCode::OK, "{page}");
    for part in ["some-country", "some-referrer", "some-os", "some-kind", "all others"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let asked = std::mem::take(&mut *asked.lock().unwrap());
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(
        asked[0].contains("splits=country%2Creferrer%2Cdevice%2Cbrowser%2Cos%2Clanguage%2Ckind"),
        "{asked:?}"
    );
    assert!(!asked[1].contains("splits"), "{asked:?}");
}
