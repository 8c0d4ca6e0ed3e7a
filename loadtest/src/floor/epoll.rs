//! The floor on epoll, one system call to read and one to write for each packet.

use super::{ANSWER, Faults, count};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::io::{self, Read, Write};

const LISTENER: Token = Token(usize::MAX);

pub(super) fn serve(listener: std::net::TcpListener, mut faults: Faults) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let close = faults.floor.close;
    let (mut listener, mut poll) = (TcpListener::from_std(listener), Poll::new()?);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    let (mut events, mut input, mut output) =
        (Events::with_capacity(256), vec![0; 65536], Vec::with_capacity(65536));
    loop {
        if let Err(fault) = poll.poll(&mut events, None)
            && fault.kind() != io::ErrorKind::Interrupted
        {
            return Err(fault);
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let at = connections.iter().position(Option::is_none).unwrap_or(connections.len());
                    poll.registry().register(&mut stream, Token(at), Interest::READABLE)?;
                    if at == connections.len() {
                        connections.push(None);
                    }
                    connections[at] = Some(stream);
                }
                continue;
            }
            let place = &mut connections[event.token().0];
            let Some(stream) = place else { continue };
            let Ok(length @ 1..) = stream.read(&mut input) else {
                *place = None;
                continue;
            };
            output.clear();
            let answers = count(&input[..length]);
            faults.before(answers);
            (0..answers).for_each(|_| output.extend_from_slice(ANSWER));
            if stream.write_all(&output).is_err() || (close && answers > 0) {
                *place = None;
            }
        }
    }
}
