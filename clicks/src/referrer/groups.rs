//! The hosts that are known by one name: search engines, social networks, mail, messengers. Android names an app by its
//! package where a browser names a host (`android-app://com.google.android.gm`).

/// All hosts of a domain have this name.
pub(super) struct Group {
    pub(super) domain: &'static str,
    pub(super) name: &'static str,
}

macro_rules! groups {
    ($($name:literal: $($domain:literal)+;)+) => { &[$($(Group { domain: $domain, name: $name }),+),+] };
}

/// Those that have a domain in each country: the label before its ending.
pub(super) const COUNTRIES: &[Group] = groups! {
    "Google": "google";
    "Yandex": "yandex";
    "Amazon": "amazon";
    "Pinterest": "pinterest";
    "eBay": "ebay";
};

/// By a domain; the longest one that fits decides.
pub(super) const DOMAINS: &[Group] = groups! {
    // Search, and what answers instead of it.
    "Google": "cdn.ampproject.org" "com.google.android.googlequicksearchbox" "com.google.android.apps.searchlite";
    "Google News": "news.google.com" "news.url.google.com" "com.google.android.apps.magazines";
    "Bing": "bing.com" "cn.bing.com";
    "DuckDuckGo": "duckduckgo.com";
    "Yahoo": "yahoo.com" "yahoo.co.jp";
    "Yandex": "ya.ru" "dzen.ru";
    "Baidu": "baidu.com";
    "Naver": "naver.com" "naver.me";
    "Ecosia": "ecosia.org";
    "Brave": "search.brave.com";
    "Startpage": "startpage.com";
    "Qwant": "qwant.com";
    "Seznam": "seznam.cz";
    "Kagi": "kagi.com";
    "ChatGPT": "chatgpt.com" "chat.openai.com" "com.openai.chatgpt";
    "Gemini": "gemini.google.com";
    "Copilot": "copilot.microsoft.com";
    "Perplexity": "perplexity.ai" "ai.perplexity.app.android";
    "Claude": "claude.ai" "com.anthropic.claude";
    // Social networks.
    "X": "x.com" "t.co" "twitter.com" "com.twitter.android";
    "Facebook": "facebook.com" "fb.com" "fb.me" "com.facebook.katana" "com.facebook.lite";
    "Messenger": "messenger.com" "com.facebook.orca";
    "Instagram": "instagram.com" "com.instagram.android";
    "Threads": "threads.net" "threads.com" "com.instagram.barcelona";
    "LinkedIn": "linkedin.com" "lnkd.in" "com.linkedin.android";
    "Reddit": "reddit.com" "redd.it" "com.reddit.frontpage";
    "Pinterest": "pin.it" "com.pinterest";
    "TikTok": "tiktok.com" "com.zhiliaoapp.musically";
    "YouTube": "youtube.com" "youtu.be" "com.google.android.youtube";
    "Snapchat": "snapchat.com" "com.snapchat.android";
    "Bluesky": "bsky.app" "xyz.blueskyweb.app";
    "Mastodon": "mastodon.social" "mastodon.online" "org.joinmastodon.android";
    "Tumblr": "tumblr.com" "com.tumblr";
    "VK": "vk.com" "vk.ru" "com.vkontakte.android";
    "OK": "ok.ru";
    "Weibo": "weibo.com" "weibo.cn" "com.sina.weibo";
    "Xing": "xing.com";
    "Quora": "quora.com";
    "Medium": "medium.com";
    "Hacker News": "news.ycombinator.com";
    "Twitch": "twitch.tv";
    "GitHub": "github.com";
    "Stack Overflow": "stackoverflow.com";
    "Wikipedia": "wikipedia.org" "org.wikipedia";
    "Amazon": "com.amazon.mshop.android.shopping";
    // Mail.
    "Gmail": "mail.google.com" "com.google.android.gm";
    "Yahoo Mail": "mail.yahoo.com" "mail.yahoo.co.jp" "com.yahoo.mobile.client.android.mail";
    "Outlook": "outlook.com" "outlook.live.com" "mail.live.com" "outlook.office.com" "outlook.office365.com"
        "com.microsoft.office.outlook";
    "Proton Mail": "mail.proton.me" "ch.protonmail.android";
    "GMX": "gmx.net" "gmx.com" "gmx.de";
    "WEB.DE": "web.de";
    "Mail.ru": "mail.ru";
    "AOL": "aol.com";
    // Messengers.
    "WhatsApp": "whatsapp.com" "wa.me" "com.whatsapp";
    "Telegram": "t.me" "telegram.org" "telegram.me" "org.telegram.messenger" "org.telegram.messenger.web";
    "Discord": "discord.com" "discordapp.com" "com.discord";
    "Slack": "slack.com" "com.slack";
    "Microsoft Teams": "teams.microsoft.com" "teams.live.com" "com.microsoft.teams";
    "LINE": "line.me" "jp.naver.line.android";
    "KakaoTalk": "kakao.com" "com.kakao.talk";
    "WeChat": "weixin.qq.com" "com.tencent.mm";
    "Viber": "viber.com" "com.viber.voip";
};
