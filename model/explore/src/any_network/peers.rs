//! The processes that explore together.
//!
//! They work in rounds: each process sends one block to every other one, and waits for theirs. After a
//! round all processes know the same statuses, so all take the same decisions. Blocks go over TCP, one
//! connection for each pair of processes. The greeting says what is explored, and by how many processes;
//! others are refused before anything is sent. There is no encryption: the addresses belong to
//! a network that is trusted.
//!
//! `timely` was considered. Its progress tracking is of no use to rounds, and it reports the loss of a
//! peer as a panic in a background thread, while the worker waits on.

use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::control::{Control, StopReason};
use crate::hash::content_hash;

/// The processes that explore together, and which of them this one is.
#[derive(Clone, Debug)]
pub struct Hosts {
    addresses: Vec<String>,
    process: usize,
}

/// The most processes that can explore together. Each has a connection to each other one.
pub const MOST_PROCESSES: usize = 1 << 10;

/// A list of hosts that is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostsError {
    /// A line is no address.
    #[error("{0:?} is not of the form host:port")]
    NotAnAddress(String),
    /// There are more than [`MOST_PROCESSES`].
    #[error("there are {0} addresses, and at most {MOST_PROCESSES} are possible")]
    TooMany(usize),
    /// The list has no such process.
    #[error("there is no process {process}: the {addresses} addresses count from 0")]
    NoSuchProcess {
        /// The process that was asked for.
        process: usize,
        /// The number of addresses.
        addresses: usize,
    },
}

impl Hosts {
    /// Returns a list of processes. `addresses` has the address of every process, as `host:port`, in
    /// the same order for all; `process` is the place of this one, from 0 on.
    ///
    /// # Errors
    ///
    /// If there are too many addresses, none for this process, or one that is of another form.
    pub fn new(addresses: Vec<String>, process: usize) -> Result<Hosts, HostsError> {
        if addresses.len() > MOST_PROCESSES {
            return Err(HostsError::TooMany(addresses.len()));
        }
        if process >= addresses.len() {
            return Err(HostsError::NoSuchProcess { process, addresses: addresses.len() });
        }
        let is_address = |address: &String| {
            let parts = address.rsplit_once(':');
            parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        match addresses.iter().find(|address| !is_address(address)) {
            Some(other) => Err(HostsError::NotAnAddress(other.clone())),
            None => Ok(Hosts { addresses, process }),
        }
    }

    /// Returns the place of this process, and the number of all.
    pub fn place(&self) -> (usize, usize) {
        (self.process, self.addresses.len())
    }
}

/// A failure of the exchange with other processes.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The process cannot listen at its own address.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// The reason.
        source: io::Error,
    },
    /// A process explores something else, or counts the processes otherwise.
    #[error("the process at {address} {difference}")]
    Foreign {
        /// The address of the other process.
        address: String,
        /// What it does instead.
        difference: String,
    },
    /// The search was stopped before all processes were there.
    #[error("stopped while waiting for process {process} at {address}")]
    Stopped {
        /// The process that was not there.
        process: usize,
        /// Its address.
        address: String,
        /// The reason to stop.
        reason: StopReason,
    },
    /// The connection to a process was lost.
    #[error("lost process {process} at {address}: {source}")]
    Lost {
        /// The process.
        process: usize,
        /// Its address.
        address: String,
        /// The reason.
        source: io::Error,
    },
}

/// The connections to the other processes.
pub(crate) struct Peers {
    process: usize,
    /// By process; none for this one.
    links: Vec<Option<Link>>,
}

struct Link {
    address: String,
    stream: TcpStream,
    blocks: Receiver<io::Result<Vec<u8>>>,
}

/// The first bytes of a greeting.
const MAGIC: [u8; 8] = *b"explore1";

/// The bytes of a greeting.
const GREETING: usize = 32;

/// The byte with which a process that has connected confirms the greetings.
const CONFIRMED: u8 = 1;

/// What a process says first.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Greeting {
    identity: u64,
    processes: u64,
    process: u64,
}

/// The time that a connected process has to greet. A stray connection must not hold up the others.
const GREETING_TIME: Duration = Duration::from_secs(5);

/// The time between two attempts to reach a process that is not there yet.
const RETRY: Duration = Duration::from_millis(100);

/// The time after which a machine counts as gone that acknowledges nothing.
#[cfg(target_os = "linux")]
const VANISHED: Duration = Duration::from_secs(30);

/// The largest block, in bytes. A round's states are far smaller.
const LARGEST_BLOCK: u64 = 4 << 30;

impl Peers {
    /// Returns a process that explores alone.
    pub(crate) fn alone() -> Peers {
        Peers { process: 0, links: vec![None] }
    }

    /// Connects to all other processes. `identity` is equal for processes that explore the same.
    pub(crate) fn connect(
        hosts: &Hosts,
        identity: u64,
        control: &Control,
    ) -> Result<Peers, PeerError> {
        let Hosts { addresses, process } = hosts;
        let own =
            Greeting { identity, processes: addresses.len() as u64, process: *process as u64 };
        let mut streams: Vec<Option<TcpStream>> = addresses.iter().map(|_| None).collect();
        let later = process + 1..addresses.len();
        // The last process waits for nobody, so it need not listen.
        let listener = if later.is_empty() { None } else { Some(listen(&addresses[*process])?) };
        for (to, address) in addresses.iter().enumerate().take(*process) {
            streams[to] = Some(reach(address, to, own, control)?);
        }
        while let Some(listener) = &listener
            && let Some(absent) = later.clone().find(|other| streams[*other].is_none())
        {
            stop_if_asked(control, absent, &addresses[absent])?;
            match listener.accept() {
                Ok((stream, from)) => {
                    // A process that was started again takes the place of its earlier one.
                    if let Some((other, stream)) = welcome(stream, &from.to_string(), own)? {
                        streams[other] = Some(stream);
                    }
                }
                Err(_) => std::thread::sleep(RETRY),
            }
        }
        let links = streams.into_iter().zip(addresses).enumerate();
        let links = links.map(|(process, (stream, address))| {
            let lost = |source| PeerError::Lost { process, address: address.clone(), source };
            stream.map(|stream| Link::new(stream, address).map_err(lost)).transpose()
        });
        Ok(Peers { process: *process, links: links.collect::<Result<_, _>>()? })
    }

    /// Returns the place of this process.
    pub(crate) fn process(&self) -> usize {
        self.process
    }

    /// Returns the number of processes.
    pub(crate) fn count(&self) -> usize {
        self.links.len()
    }

    /// Sends a value to each process, this one included, and returns the values that each sent to this
    /// one.
    ///
    /// # Errors
    ///
    /// If a process is lost.
    pub(crate) fn exchange<T: Serialize + DeserializeOwned>(
        &mut self,
        values: Vec<T>,
    ) -> Result<Vec<T>, PeerError> {
        let mut own = None;
        for ((process, link), value) in self.links.iter_mut().enumerate().zip(values) {
            match link {
                None => own = Some(value),
                Some(link) => link.send(&value).map_err(|source| link.lost(process, source))?,
            }
        }
        let receive = |(process, link): (usize, &mut Option<Link>)| match link {
            None => Ok(own.take().expect("one value for each process, this one included")),
            Some(link) => link.receive().map_err(|source| link.lost(process, source)),
        };
        self.links.iter_mut().enumerate().map(receive).collect()
    }

    /// Returns the failure of a process that sends blocks which contradict each other.
    pub(crate) fn is_wrong(&self, process: usize) -> PeerError {
        let address = self.links[process].as_ref().map_or("this process", |link| &link.address);
        let source = io::Error::new(io::ErrorKind::InvalidData, "its block contradicts itself");
        PeerError::Lost { process, address: address.to_owned(), source }
    }

    /// Sends one value to all processes and returns the values of all, this one included.
    ///
    /// # Errors
    ///
    /// If a process is lost.
    pub(crate) fn share<T: Clone + Serialize + DeserializeOwned>(
        &mut self,
        value: T,
    ) -> Result<Vec<T>, PeerError> {
        self.exchange(vec![value; self.count()])
    }
}

impl Link {
    fn new(stream: TcpStream, address: &str) -> io::Result<Link> {
        // A machine that vanishes closes no connection.
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(10))
            .with_interval(Duration::from_secs(5))
            .with_retries(4);
        let socket = socket2::SockRef::from(&stream);
        socket.set_tcp_keepalive(&keepalive)?;
        // While sent bytes are not acknowledged, this limit is in force instead.
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(VANISHED))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(None)?;
        let reader = BufReader::new(stream.try_clone()?);
        // No process is more than one round ahead.
        let (sender, blocks) = sync_channel(1);
        std::thread::Builder::new().spawn(move || read_blocks(reader, &sender))?;
        Ok(Link { address: address.to_owned(), stream, blocks })
    }

    fn send<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        let block = postcard::to_stdvec(&(kind::<T>(), value)).map_err(io::Error::other)?;
        self.stream.write_all(&(block.len() as u64).to_le_bytes())?;
        self.stream.write_all(&block)
    }

    fn receive<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let closed = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let block = self.blocks.recv().map_err(|_| closed())??;
        let (sent, rest) = postcard::take_from_bytes::<u64>(&block).map_err(io::Error::other)?;
        if sent != kind::<T>() {
            return Err(io::Error::other("it is at another step of the search"));
        }
        postcard::from_bytes(rest).map_err(io::Error::other)
    }

    fn lost(&self, process: usize, source: io::Error) -> PeerError {
        PeerError::Lost { process, address: self.address.clone(), source }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Ends the thread that reads. It does not matter if the connection has gone already.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

/// Returns a number for the kind of a block's value. Processes that have lost step send different
/// kinds, and bytes of one kind can look like another one.
fn kind<T>() -> u64 {
    content_hash(&std::any::type_name::<T>())
}

fn read_blocks(mut reader: impl Read, blocks: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let block = read_block(&mut reader);
        let ended = block.is_err();
        if blocks.send(block).is_err() || ended {
            return;
        }
    }
}

fn read_block(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    reader.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > LARGEST_BLOCK {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its block is too large"));
    }
    let mut block = Vec::new();
    // Reads as much as there is, so a wrong length takes no memory.
    let read = reader.take(length).read_to_end(&mut block)? as u64;
    if read < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(block)
}

fn listen(address: &str) -> Result<TcpListener, PeerError> {
    let listen = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|source| PeerError::Listen { address: address.to_owned(), source })
}

fn stop_if_asked(control: &Control, process: usize, address: &str) -> Result<(), PeerError> {
    let stopped = |reason| PeerError::Stopped { process, address: address.to_owned(), reason };
    control.stopped().map_or(Ok(()), |reason| Err(stopped(reason)))
}

/// Connects to a process, as soon as it listens.
fn reach(
    address: &str,
    process: usize,
    own: Greeting,
    control: &Control,
) -> Result<TcpStream, PeerError> {
    loop {
        stop_if_asked(control, process, address)?;
        let resolved = address.to_socket_addrs().into_iter().flatten();
        let greeted = resolved.into_iter().find_map(|address| {
            let mut stream = TcpStream::connect_timeout(&address, GREETING_TIME).ok()?;
            Some((own.exchange(&mut stream).ok()?, stream))
        });
        if let Some((other, mut stream)) = greeted {
            own.check(other, Some(process as u64), address)?;
            if stream.write_all(&[CONFIRMED]).is_ok() {
                return Ok(stream);
            }
        }
        std::thread::sleep(RETRY);
    }
}

/// Greets a process that has connected. Returns its place; none if it is no process of any search.
fn welcome(
    mut stream: TcpStream,
    address: &str,
    own: Greeting,
) -> Result<Option<(usize, TcpStream)>, PeerError> {
    let greeted = stream.set_nonblocking(false).and_then(|()| own.exchange(&mut stream));
    let Ok(other) = greeted else {
        return Ok(None);
    };
    own.check(other, None, address)?;
    // The other may have given up before this process has read its greeting.
    let mut confirmed = [0];
    if stream.read_exact(&mut confirmed).is_err() || confirmed != [CONFIRMED] {
        return Ok(None);
    }
    Ok(usize::try_from(other.process).ok().map(|process| (process, stream)))
}

impl Greeting {
    /// Sends this greeting and receives the other.
    fn exchange(self, stream: &mut TcpStream) -> io::Result<Greeting> {
        stream.set_read_timeout(Some(GREETING_TIME))?;
        let fields = [self.identity, self.processes, self.process];
        let bytes: Vec<u8> =
            MAGIC.into_iter().chain(fields.into_iter().flat_map(u64::to_le_bytes)).collect();
        stream.write_all(&bytes)?;
        let mut received = [0; GREETING];
        stream.read_exact(&mut received)?;
        let words: Vec<[u8; 8]> = received.as_chunks().0.to_vec();
        let field = |place: usize| u64::from_le_bytes(words[place]);
        if words[0] != MAGIC {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Greeting { identity: field(1), processes: field(2), process: field(3) })
    }

    /// Checks the greeting of another process. Processes that connect have later places.
    fn check(self, other: Greeting, expected: Option<u64>, address: &str) -> Result<(), PeerError> {
        let difference = if other.processes != self.processes {
            format!("counts {} processes, this one {}", other.processes, self.processes)
        } else if expected.is_some_and(|expected| expected != other.process) {
            format!("is process {}, not {}", other.process, expected.unwrap_or_default())
        } else if expected.is_none() && !(self.process + 1..self.processes).contains(&other.process)
        {
            format!(
                "says that it is process {}, and this is process {}",
                other.process, self.process
            )
        } else if other.identity != self.identity {
            "explores something else: another configuration, other options, or another program"
                .to_owned()
        } else {
            return Ok(());
        };
        Err(PeerError::Foreign { address: address.to_owned(), difference })
    }
}
