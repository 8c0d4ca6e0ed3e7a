//! What stands around every page: head, menu, notice, foot. What a page shows is not known here.

use crate::assets;
use crate::sessions::{self, Notice};
use maud::{DOCTYPE, Markup, html};

/// A picture for the tab, which the browser would ask the API for otherwise.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' \
                    height='16' rx='3' fill='%231a56b0'/%3E%3Cpath d='M4 3v10h8' fill='none' stroke='%23fff' \
                    stroke-width='2.4'/%3E%3C/svg%3E";

/// What the frame shows of whoever looks.
pub struct Frame<'a> {
    /// Places of the menu: address, word, whether it is the one that is shown.
    pub menu: &'a [MenuItem],
    /// Who is signed in; `None`: nobody is.
    pub visitor: Option<&'a str>,
    /// The token of his forms.
    pub token: String,
    /// The zone in which he types times, where he chose one.
    pub zone: Option<&'a str>,
    /// What was done just now.
    pub notice: Option<Notice>,
}

/// A place of the menu.
pub struct MenuItem {
    /// Where it leads.
    pub path: &'static str,
    /// What it is called.
    pub word: &'static str,
    /// Whether it is shown now.
    pub here: bool,
}

/// The whole document.
pub fn document(frame: &Frame<'_>, title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · linkr" }
                link rel="icon" href=(ICON);
                link rel="stylesheet" href=(assets::style());
                script src=(assets::script()) defer {}
            }
            body data-zone=[frame.zone] {
                a class="skip" href="#content" { "Skip to the content" }
                header class="top" {
                    a class="brand" href="/ui" { "linkr" }
                    @if !frame.menu.is_empty() {
                        nav aria-label="Pages" {
                            ul {
                                @for item in frame.menu {
                                    li {
                                        a href=(item.path) aria-current=[item.here.then_some("page")] { (item.word) }
                                    }
                                }
                            }
                        }
                    }
                    @if let Some(visitor) = frame.visitor {
                        div class="who" {
                            a href="/ui/session" { (visitor) }
                            form method="post" action="/ui/sign-out" {
                                input type="hidden" name="_token" value=(frame.token);
                                button class="quiet" { "Sign out" }
                            }
                        }
                    }
                }
                main id="content" tabindex="-1" {
                    h1 { (title) }
                    @if let Some(notice) = &frame.notice {
                        (told(notice, &frame.token))
                    }
                    (body)
                }
                footer {
                    p {
                        span data-zone-note="" { "Times are in UTC." }
                        " linkr " (env!("CARGO_PKG_VERSION")) " · "
                        a href="/docs" { "For programs: REST and gRPC" }
                    }
                }
            }
        }
    }
}

/// What was done, and the button that takes it back.
fn told(notice: &Notice, token: &str) -> Markup {
    html! {
        div role="status" class=(if notice.bad { "notice bad" } else { "notice" }) {
            (notice.text)
            @if let Some(undo) = &notice.undo {
                form method="post" action=(undo.action) {
                    input type="hidden" name="_token" value=(token);
                    input type="hidden" name="_once" value=(sessions::once());
                    @for (name, value) in &undo.fields { input type="hidden" name=(name) value=(value); }
                    button { (undo.word) }
                }
            }
        }
    }
}

/// A page that sends the browser to the same address again, as a step of this site: it then sends the cookie, which it
/// leaves out where another page leads here.
pub fn once_more() -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content="0";
                title { "linkr" }
                link rel="icon" href=(ICON);
            }
            body { p { a href="" { "Go on to linkr" } } }
        }
    }
}
