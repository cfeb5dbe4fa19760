//! Addresses of processes on this machine.

use std::net::TcpListener;

/// Returns addresses on which nobody listens.
pub(crate) fn addresses(count: usize) -> Vec<String> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("there is a port")).collect();
    let address = |listener: &TcpListener| listener.local_addr().expect("it listens").to_string();
    listeners.iter().map(address).collect()
}
