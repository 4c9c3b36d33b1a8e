//! The loopback interface of a new network namespace: brought up, with more addresses, by rtnetlink (Linux manual,
//! rtnetlink(7)).

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with};

use super::during;

/// Every network namespace has it first.
const LOOPBACK: u32 = 1;

const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const REQUEST_AND_ACKNOWLEDGE: u16 = 1 | 4;
const CREATE_OR_REPLACE: u16 = 0x400 | 0x100;
const IFF_UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_F_NODAD: u8 = 2;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const EEXIST: i32 = 17;

/// Brings the interface up and gives it these addresses; those that it has already stay.
pub(super) fn bring_up(addresses: &[IpAddr]) -> io::Result<()> {
    // Protocol 0 is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
        .map_err(|error| during("asking for the loopback interface", error))?;
    bind(&socket, &SocketAddrNetlink::new(0, 0)).map_err(|error| during("asking for the loopback interface", error))?;
    // struct ifinfomsg: family, padding, type, index, flags, which flags change.
    let mut up = vec![0, 0, 0, 0];
    up.extend(LOOPBACK.to_ne_bytes());
    up.extend(IFF_UP.to_ne_bytes());
    up.extend(IFF_UP.to_ne_bytes());
    ask(&socket, RTM_NEWLINK, 0, &up).map_err(|error| during("bringing the loopback interface up", error))?;
    for address in addresses.iter().filter(|address| !address.is_loopback()) {
        match ask(&socket, RTM_NEWADDR, CREATE_OR_REPLACE, &new_address(*address)) {
            Err(error) if error.raw_os_error() == Some(EEXIST) => {}
            done => done.map_err(|error| during(&format!("taking the address {address}"), error))?,
        }
    }
    Ok(())
}

/// struct ifaddrmsg: family, length of the prefix, flags, scope, index; then the address as attributes.
fn new_address(address: IpAddr) -> Vec<u8> {
    let (family, bytes) = match address {
        IpAddr::V4(address) => (AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (AF_INET6, address.octets().to_vec()),
    };
    let bits = u8::try_from(bytes.len() * 8).unwrap_or(u8::MAX);
    let mut message = vec![family, bits, IFA_F_NODAD, 0];
    message.extend(LOOPBACK.to_ne_bytes());
    for kind in [IFA_LOCAL, IFA_ADDRESS] {
        let length = u16::try_from(4 + bytes.len()).unwrap_or(u16::MAX);
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(&bytes);
    }
    message
}

/// Sends one request and reads its acknowledgement.
fn ask(socket: &OwnedFd, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    // struct nlmsghdr: length, type, flags, sequence, process.
    let length = u32::try_from(16 + body.len()).map_err(io::Error::other)?;
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((REQUEST_AND_ACKNOWLEDGE | flags).to_ne_bytes());
    message.extend(1_u32.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    sendto(socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0_u8; 4096];
    let (count, _) = recv(socket, &mut answer[..], RecvFlags::empty())?;
    let number = |at: usize| answer.get(at..at + 4).and_then(|four| four.try_into().ok()).map(i32::from_ne_bytes);
    let kind = answer.get(4..6).and_then(|two| two.try_into().ok()).map(u16::from_ne_bytes);
    match (kind, number(16)) {
        (Some(NLMSG_ERROR), Some(0)) if count >= 20 => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) if count >= 20 => Err(io::Error::from_raw_os_error(-code)),
        _ => Err(io::Error::other("the kernel gave an answer that is none")),
    }
}
