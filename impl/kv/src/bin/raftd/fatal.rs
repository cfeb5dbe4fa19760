//! The message with the reason why a server ends.

use std::io::Write as _;
use std::time::SystemTime;

use crate::LogFormat;

/// Prints one line on standard error, independent of the log's filter: as text, or as JSON in the
/// form of the log.
pub(crate) fn print(message: &str, format: LogFormat) {
    let line = match format {
        LogFormat::Text => format!("raftd: {message}"),
        LogFormat::Json => {
            let timestamp = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
            let fields = serde_json::json!({ "message": message });
            serde_json::json!({
                "timestamp": timestamp, "level": "ERROR", "fields": fields, "target": "raftd",
            })
            .to_string()
        }
    };
    // If the line cannot be written, there is no other place to report the reason.
    let _ = writeln!(std::io::stderr(), "{line}");
}
