//! The reason why a server ends, said once.

use std::io::Write as _;
use std::time::SystemTime;

use crate::LogFormat;

/// Prints one line on standard error, whatever the log's filter: text, or JSON as the log has it.
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
    // If nobody reads it, there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}
