//! Which format a scraper would rather have.

use super::Format;

/// The format with the highest quality, of several the first; `None` when no known one is acceptable.
pub fn best<'a>(fields: impl IntoIterator<Item = &'a str>) -> Option<Format> {
    let mut best: Option<(Format, u16)> = None;
    for range in fields.into_iter().flat_map(|field| field.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let parameters: Vec<(&str, &str)> = parts.filter_map(parameter).collect();
        let quality = quality(&parameters);
        if let Some(format) = format(kind, &parameters)
            && quality > best.map_or(0, |(_, quality)| quality)
        {
            best = Some((format, quality));
        }
    }
    best.map(|(format, _)| format)
}

fn parameter(part: &str) -> Option<(&str, &str)> {
    part.split_once('=').map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
}

fn get<'a>(parameters: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// In thousandths; what is no number counts as 0.
fn quality(parameters: &[(&str, &str)]) -> u16 {
    let quality: f32 = get(parameters, "q").map_or(1.0, |value| value.parse().unwrap_or(0.0));
    (quality.clamp(0.0, 1.0) * 1000.0).round() as u16
}

/// The format that a media range names, if it is one of ours in a version of ours.
fn format(kind: &str, parameters: &[(&str, &str)]) -> Option<Format> {
    let is = |name: &str, value: &str| get(parameters, name).is_none_or(|given| given == value);
    match kind.to_ascii_lowercase().as_str() {
        "text/plain" if is("version", "0.0.4") => Some(Format::Classic),
        "text/*" | "*/*" => Some(Format::Classic),
        "application/openmetrics-text" if is("version", "1.0.0") => Some(Format::OpenMetrics),
        "application/vnd.google.protobuf"
            if is("proto", "io.prometheus.client.MetricFamily") && is("encoding", "delimited") =>
        {
            Some(Format::Protobuf)
        }
        _ => None,
    }
}
