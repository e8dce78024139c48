//! A loop over epoll alone, without a runtime.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

const READ: usize = 64 * 1024;
const LISTENER: u64 = u64::MAX;

struct Connection {
    stream: TcpStream,
    /// The beginning of a frame that is not whole yet.
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
}

pub(super) fn run(listener: &TcpListener) -> anyhow::Result<()> {
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(
        &poll,
        listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Vec::with_capacity(1024);
    let mut buffer = vec![0; READ];
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let index = event.data.u64();
            if index == LISTENER {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                let data = EventData::new_u64(connections.len() as u64);
                epoll::add(&poll, &stream, data, EventFlags::IN)?;
                connections.push(Some(Connection {
                    stream,
                    input: Vec::new(),
                    output: Vec::new(),
                    written: 0,
                }));
                continue;
            }
            let Some(place) = connections.get_mut(index as usize) else {
                continue;
            };
            let Some(connection) = place else { continue };
            let waited = !connection.output.is_empty();
            match connection.turn(&mut buffer) {
                Ok(()) => {
                    let waits = !connection.output.is_empty();
                    if waits != waited {
                        let flags = if waits {
                            EventFlags::OUT
                        } else {
                            EventFlags::IN
                        };
                        epoll::modify(&poll, &connection.stream, event.data, flags)?;
                    }
                }
                Err(_) => *place = None,
            }
        }
    }
}

impl Connection {
    fn turn(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        if self.output.is_empty() {
            let count = self.stream.read(buffer)?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if self.input.is_empty() {
                let used = answer(&buffer[..count], &mut self.output);
                self.input.extend_from_slice(&buffer[used..count]);
            } else {
                self.input.extend_from_slice(&buffer[..count]);
                let used = answer(&self.input, &mut self.output);
                self.input.drain(..used);
            }
        }
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }
}

/// Echoes the whole frames in `input`; how many bytes they are.
pub(super) fn answer(input: &[u8], output: &mut Vec<u8>) -> usize {
    let mut at = 0;
    while let Some(header) = input[at..].first_chunk() {
        let end = at + 4 + u32::from_be_bytes(*header) as usize;
        let Some(frame) = input.get(at + 4..end) else {
            break;
        };
        output.extend_from_slice(&(frame.len() as u32).to_be_bytes());
        output.extend_from_slice(frame);
        at = end;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_are_answered_and_the_rest_waits() {
        let mut output = Vec::new();
        let input = b"\0\0\0\x02hi\0\0\0\0\0\0\0\x05hel";
        assert_eq!(answer(input, &mut output), 10);
        assert_eq!(output, b"\0\0\0\x02hi\0\0\0\0");
        assert_eq!(answer(b"\0\0", &mut output), 0);
    }
}
