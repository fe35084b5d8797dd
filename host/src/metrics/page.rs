//! The page that a monitoring system reads: OpenMetrics 1.0, or the older text format of
//! Prometheus, which says the same with fewer words.

use std::borrow::Cow;
use std::fmt::Write as _;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

/// How the page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4, which everything reads.
    Text,
    /// OpenMetrics 1.0, with units.
    OpenMetrics,
}

impl Format {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All that these count.
pub fn page(format: Format, registries: &[&Registry]) -> String {
    let mut page = String::with_capacity(16 << 10);
    // Writing to a String cannot fail.
    for registry in registries {
        let _ = encode_registry(&mut page, registry);
    }
    let _ = encode_eof(&mut page);
    match format {
        Format::OpenMetrics => page,
        Format::Text => older(&page),
    }
}

/// The page in the older format: a counter has its suffix in its name, and there is
/// neither a unit nor an end.
fn older(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut help = None;
    for line in page.lines() {
        if let Some(of) = line.strip_prefix("# HELP ") {
            help = of.split_once(' ');
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|of| of.split_once(' '))
        {
            let (name, kind) = match kind {
                "counter" => (Cow::from(format!("{name}_total")), kind),
                "info" => (Cow::from(format!("{name}_info")), "gauge"),
                "unknown" => (name.into(), "untyped"),
                kind => (name.into(), kind),
            };
            if let Some((_, help)) = help.take() {
                let _ = writeln!(text, "# HELP {name} {help}");
            }
            let _ = writeln!(text, "# TYPE {name} {kind}");
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_says_the_same() {
        let page = "# HELP skep_build The version.\n# TYPE skep_build info\nskep_build_info{version=\"1\"} 1\n# HELP skep_calls Calls.\n# TYPE skep_calls counter\nskep_calls_total{of=\"# TYPE\"} 3\n# HELP skep_wait_seconds Waits.\n# TYPE skep_wait_seconds gauge\n# UNIT skep_wait_seconds seconds\nskep_wait_seconds 0.5\n# EOF\n";
        assert_eq!(
            older(page),
            "# HELP skep_build_info The version.\n# TYPE skep_build_info gauge\nskep_build_info{version=\"1\"} 1\n# HELP skep_calls_total Calls.\n# TYPE skep_calls_total counter\nskep_calls_total{of=\"# TYPE\"} 3\n# HELP skep_wait_seconds Waits.\n# TYPE skep_wait_seconds gauge\nskep_wait_seconds 0.5\n"
        );
    }
}
