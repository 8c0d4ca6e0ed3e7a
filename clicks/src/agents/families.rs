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

/// Tells browsers apart.
pub(super) struct Families {
    browsers: Marks,
    systems: Marks,
    more_systems: Marks,
    devices: Marks,
    /// Our names for `woothee`'s: all that it can say, so that no part of an agent becomes a name.
    names: HashMap<&'static str, Arc<str>>,
    none: Arc<str>,
    old_android: Arc<str>,
}

impl Families {
    pub(super) fn new() -> Self {
        let theirs = DATASET.values().flat_map(|result| [result.name, result.os]);
        let mut names: HashMap<&'static str, Arc<str>> = theirs.map(|name| (name, name.into())).collect();
        names.extend(RENAMED.iter().map(|mark| (mark.text, mark.name.into())));
        Self {
            browsers: Marks::new(BROWSERS),
            systems: Marks::new(SYSTEMS),
            more_systems: Marks::new(MORE_SYSTEMS),
            devices: Marks::new(DEVICES),
            names,
            none: "".into(),
            old_android: "Android Browser".into(),
        }
    }

    /// The class of an agent that is on no list.
    pub(super) fn class(&self, agent: &str) -> AgentClass {
        let said = Parser::new().parse(agent).unwrap_or_default();
        let is_program = said.category == "crawler" || said.name == "HTTP Library";
        let ours = |name: &str| self.names.get(name).unwrap_or(&self.none);
        let os = self.systems.first(agent).unwrap_or_else(|| match ours(said.os) {
            os if os.is_empty() => self.more_systems.first(agent).unwrap_or(os),
            os => os,
        });
        let browser = self.browsers.first(agent).unwrap_or_else(|| match ours(said.name) {
            // The browser of Android before 4.4 names its engine's.
            browser if &**browser == "Safari" && &**os == "Android" => &self.old_android,
            browser => browser,
        });
        if is_program {
            return AgentClass { kind: Some(Kind::Bot), browser: browser.clone(), ..AgentClass::unknown() };
        }
        let device = self.device(agent, os, said.category);
        AgentClass { kind: None, browser: browser.clone(), os: os.clone(), device }
    }

    fn device(&self, agent: &str, os: &str, category: &str) -> Device {
        match self.devices.first(agent).map(|name| &**name) {
            Some("other") => return Device::Other,
            Some(_) => return Device::Mobile,
            None => {}
        }
        match (os, category) {
            ("Android" | "iOS" | "HarmonyOS" | "KaiOS" | "Windows Phone" | "BlackBerry" | "Symbian", _)
            | (_, "smartphone" | "mobilephone") => Device::Mobile,
            (_, "appliance") => Device::Other,
            ("ChromeOS" | "Windows" | "macOS" | "Linux", _) | (_, "pc") => Device::Desktop,
            _ => Device::Unknown,
        }
    }
}

/// Marks that are looked for all at once.
struct Marks {
    texts: AhoCorasick,
    /// In the order of the texts.
    names: Vec<Arc<str>>,
}

impl Marks {
    fn new(marks: &[Mark]) -> Self {
        Self {
            texts: AhoCorasick::new(marks.iter().map(|mark| mark.text))
                .expect("a short list fits an automaton"),
            names: marks.iter().map(|mark| mark.name.into()).collect(),
        }
    }

    /// What the first mark of the list that the agent has says.
    fn first(&self, agent: &str) -> Option<&Arc<str>> {
        let found = self.texts.find_overlapping_iter(agent).map(|found| found.pattern().as_usize()).min()?;
        Some(&self.names[found])
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
