//! Which browser an agent is, on which system and device. Marks that name one surely decide; the rest is for `woothee` to say.

use super::AgentClass;
use crate::click::Device;
use crate::kind::Kind;
use aho_corasick::AhoCorasick;
use std::collections::HashMap;
use std::sync::Arc;
use woothee::dataset::DATASET;
use woothee::parser::Parser;

/// A part of an agent, and what it says.
struct Mark {
    text: &'static str,
    name: &'static str,
}

macro_rules! marks {
    ($($name:literal: $($text:literal)+;)+) => { &[$($(Mark { text: $text, name: $name }),+),+] };
}

/// Browsers, and apps in which people follow links. The first in the list decides.
const BROWSERS: &[Mark] = marks! {
    "Instagram": "Instagram";
    "Threads": "Barcelona ";
    "Facebook": "FBAN/" "FBAV/" "FB_IAB" "MetaIAB";
    "TikTok": "musical_ly" "BytedanceWebview" "TikTok";
    "LinkedIn": "LinkedInApp";
    "Snapchat": "Snapchat/";
    "Pinterest": "Pinterest/" "Pinterest for ";
    "X": "Twitter for " "TwitterAndroid";
    "LINE": " Line/";
    "WeChat": "MicroMessenger/";
    "KakaoTalk": "KAKAOTALK";
    "Naver": "NAVER(inapp";
    "Google app": " GSA/";
    "DuckDuckGo": "DuckDuckGo/" " Ddg/";
    "Opera Mini": "Opera Mini/";
    "Opera": "OPR/" "OPT/" "OPX/" "OPiOS/";
    "Vivaldi": "Vivaldi/";
    "Yandex Browser": "YaBrowser/";
    "Samsung Internet": "SamsungBrowser/";
    "UC Browser": "UCBrowser" "UCWEB";
    "QQ Browser": "QQBrowser/";
    "Mi Browser": "MiuiBrowser/";
    "Huawei Browser": "HuaweiBrowser/";
    "HeyTap Browser": "HeyTapBrowser/";
    "Vivo Browser": "VivoBrowser/";
    "Whale": "Whale/";
    "Silk": " Silk/";
    "Brave": "Brave/";
    "Edge": "EdgiOS/" "EdgA/" "Edg/" "Edge/";
    "Firefox": "FxiOS/" " Focus/" " Klar/";
    "Chrome": "CriOS/";
    "Pale Moon": "PaleMoon/";
    "SeaMonkey": "SeaMonkey/";
    "Konqueror": "Konqueror/";
    "BlackBerry": "BlackBerry" "BB10;";
    "Internet Explorer": "IEMobile/" "MSIE " "Trident/";
    "NetFront": "NetFront/";
    "Electron": "Electron/";
};

/// Systems, likewise; those whose agents name another one come first.
const SYSTEMS: &[Mark] = marks! {
    "Windows Phone": "Windows Phone";
    "Xbox": "Xbox";
    "PlayStation": "PlayStation" "PLAYSTATION";
    "Nintendo": "Nintendo";
    "KaiOS": "KAIOS/";
    "Tizen": "Tizen";
    "webOS": "Web0S" "webOS" "hpwOS";
    "HarmonyOS": "HarmonyOS";
    "BlackBerry": "BlackBerry" "BB10;";
    "Symbian": "Symbian" "SymbOS" "Series60";
    "ChromeOS": "CrOS ";
    "Android": "Android";
    "iOS": "iPhone" "iPad" "iPod";
};

/// Systems of which `woothee` does not know the version.
const MORE_SYSTEMS: &[Mark] = marks! {
    "Windows": "Windows" "Win32" "Win64";
    "macOS": "Macintosh" "Mac OS X" "Darwin";
    "Linux": "Linux" "X11";
};

/// What says more of a device than its system.
const DEVICES: &[Mark] = marks! {
    "other": "SmartTV" "Smart-TV" "SMART-TV" "Web0S" "HbbTV" "BRAVIA" "AppleTV" "Apple TV" "Android TV" "GoogleTV" "CrKey" "Roku" "; AFT"
        "Xbox" "PlayStation" "PLAYSTATION" "Nintendo" " Watch";
    "mobile": "Mobile" "Opera Mini/" "MIDP" "UP.Browser" "NetFront/" "Obigo" "Windows CE";
};

/// What `woothee` calls otherwise than we do.
const RENAMED: &[Mark] = marks! {
    "Google app": "Google Search App";
    "Samsung Internet": "SamsungBrowser";
    "iOS": "iPhone" "iPad" "iPod";
    "macOS": "Mac OSX";
    "Windows": "Windows UNKNOWN Ver";
    "Windows Phone": "Windows Phone OS";
    "BlackBerry": "BlackBerry 10";
    "Symbian": "SymbianOS";
    "Nintendo": "Nintendo 3DS" "Nintendo DSi" "Nintendo Wii" "Nintendo Wii U";
    "PlayStation": "PlayStation 3" "PlayStation 4" "PlayStation Portable" "PlayStation Vita";
    "Xbox": "Xbox 360" "Xbox One";
    "": "UNKNOWN" "HTTP Library" "misc crawler";
};

/// The lists of marks, in the order of [`Found`].
const LISTS: [&[Mark]; 4] = [BROWSERS, SYSTEMS, MORE_SYSTEMS, DEVICES];

/// Tells browsers apart.
pub(super) struct Families {
    /// All marks of all lists.
    marks: AhoCorasick,
    /// In the order of the marks.
    of_marks: Vec<Said>,
    /// Our names for `woothee`'s: all that it can say, so that no part of an agent becomes a name.
    names: HashMap<&'static str, Arc<str>>,
    none: Arc<str>,
    old_android: Arc<str>,
}

/// What a mark says.
struct Said {
    /// Which of [`LISTS`] it is of.
    list: usize,
    name: Arc<str>,
}

/// What the first mark of each list that an agent has says.
type Found<'a> = [Option<&'a Arc<str>>; LISTS.len()];

impl Families {
    pub(super) fn new() -> Self {
        let theirs = DATASET.values().flat_map(|result| [result.name, result.os]);
        let mut names: HashMap<&'static str, Arc<str>> = theirs.map(|name| (name, name.into())).collect();
        names.extend(RENAMED.iter().map(|mark| (mark.text, mark.name.into())));
        let of_list = |(list, marks): (usize, &'static [Mark])| {
            marks.iter().map(move |mark| Said { list, name: mark.name.into() })
        };
        Self {
            marks: AhoCorasick::new(LISTS.iter().copied().flatten().map(|mark| mark.text))
                .expect("short lists fit an automaton"),
            of_marks: LISTS.into_iter().enumerate().flat_map(of_list).collect(),
            names,
            none: "".into(),
            old_android: "Android Browser".into(),
        }
    }

    /// The class of an agent that is on no list.
    pub(super) fn class(&self, agent: &str) -> AgentClass {
        let said = Parser::new().parse(agent).unwrap_or_default();
        let [browser, system, more_system, device] = self.find(agent);
        let theirs = |name: &str| self.names.get(name).unwrap_or(&self.none);
        let os = system.unwrap_or_else(|| match theirs(said.os) {
            os if os.is_empty() => more_system.unwrap_or(os),
            os => os,
        });
        let browser = browser.unwrap_or_else(|| match theirs(said.name) {
            // The browser of Android before 4.4 names its engine's.
            browser if &**browser == "Safari" && &**os == "Android" => &self.old_android,
            browser => browser,
        });
        if said.category == "crawler" || said.name == "HTTP Library" {
            return AgentClass { kind: Some(Kind::Bot), browser: browser.clone(), ..AgentClass::unknown() };
        }
        let device = match device.map(|name| &**name) {
            Some("mobile") => Device::Mobile,
            Some(_) => Device::Other,
            None => usual_device(os, said.category),
        };
        AgentClass { kind: None, browser: browser.clone(), os: os.clone(), device }
    }

    fn find(&self, agent: &str) -> Found<'_> {
        let mut first = [usize::MAX; LISTS.len()];
        for found in self.marks.find_overlapping_iter(agent) {
            let mark = found.pattern().as_usize();
            let list = self.of_marks[mark].list;
            first[list] = first[list].min(mark);
        }
        first.map(|mark| self.of_marks.get(mark).map(|said| &said.name))
    }
}

/// What a system runs on, where nothing says more; `category` is `woothee`'s.
fn usual_device(os: &str, category: &str) -> Device {
    match (os, category) {
        ("Android" | "iOS" | "HarmonyOS" | "KaiOS" | "Windows Phone" | "BlackBerry" | "Symbian", _)
        | (_, "smartphone" | "mobilephone") => Device::Mobile,
        (_, "appliance") => Device::Other,
        ("ChromeOS" | "Windows" | "macOS" | "Linux", _) | (_, "pc") => Device::Desktop,
        _ => Device::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_renamed_is_a_name_of_theirs() {
        let theirs: Vec<_> = DATASET.values().flat_map(|result| [result.name, result.os]).collect();
        for mark in RENAMED.iter().filter(|mark| mark.text != "UNKNOWN") {
            assert!(theirs.contains(&mark.text), "{}", mark.text);
        }
        for result in DATASET.values() {
            assert!(
                matches!(
                    result.category,
                    "" | "pc" | "smartphone" | "mobilephone" | "appliance" | "crawler" | "misc"
                ),
                "{}",
                result.category
            );
        }
    }
}
