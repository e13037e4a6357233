//! A flow record in 72 bytes without text, so that millions can be sorted.
//!
//! Sorting rows of text would keep the decompressed blocks that they point into.

use super::address::Address;

/// Bytes of a packed record.
pub const PACKED_BYTES: usize = 72;

/// Protocol number of TCP.
pub const TCP: u8 = 6;

/// Stands for a protocol that the log does not have.
pub const NO_PROTOCOL: u8 = 255;

/// Number of a name that the log does not have.
pub const NO_NAME: u32 = u32::MAX;

/// Whether a security group let it pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The log does not say.
    Unknown = 0,
    /// ACCEPT.
    Accept = 1,
    /// REJECT.
    Reject = 2,
}

/// Which way it went at the interface that logged it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The log does not say.
    Unknown = 0,
    /// Into it.
    Ingress = 1,
    /// Out of it.
    Egress = 2,
}

/// A flow record, as far as connections go. Times are microseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// First packet.
    pub start: i64,
    /// Last packet.
    pub end: i64,
    /// Source address.
    pub src: Address,
    /// Target address.
    pub dst: Address,
    /// Source port, 0 if there is none.
    pub srcport: u16,
    /// Target port, 0 if there is none.
    pub dstport: u16,
    /// IANA number, or [`NO_PROTOCOL`].
    pub protocol: u8,
    /// ACCEPT or REJECT.
    pub action: Action,
    /// Way through the interface.
    pub direction: Direction,
    /// TCP flags, ORed over the window, if the log has them.
    pub flags: Option<u16>,
    /// Bytes.
    pub bytes: i64,
    /// Packets.
    pub packets: i64,
    /// Number of the interface with its workload in [`super::names::Names`].
    pub who: u32,
    /// Number of the object, or [`NO_NAME`].
    pub source: u32,
    /// Line in the object.
    pub line: i64,
}

impl Record {
    /// Everything but the times.
    pub fn pack(&self) -> [u8; PACKED_BYTES] {
        let mut out = [0; PACKED_BYTES];
        out[..16].copy_from_slice(&self.src);
        out[16..32].copy_from_slice(&self.dst);
        out[32..40].copy_from_slice(&self.bytes.to_le_bytes());
        out[40..48].copy_from_slice(&self.packets.to_le_bytes());
        out[48..56].copy_from_slice(&self.line.to_le_bytes());
        out[56..60].copy_from_slice(&self.who.to_le_bytes());
        out[60..64].copy_from_slice(&self.source.to_le_bytes());
        out[64..66].copy_from_slice(&self.srcport.to_le_bytes());
        out[66..68].copy_from_slice(&self.dstport.to_le_bytes());
        out[68..70].copy_from_slice(&self.flags.unwrap_or(0).to_le_bytes());
        out[70] = self.protocol;
        out[71] = self.action as u8 | (self.direction as u8) << 2 | u8::from(self.flags.is_some()) << 4;
        out
    }

    /// The record that [`Record::pack`] made of it. `packed` must be that long.
    pub fn unpack(start: i64, end: i64, packed: &[u8]) -> Record {
        fn part<const N: usize>(packed: &[u8], at: usize) -> [u8; N] {
            let mut out = [0; N];
            out.copy_from_slice(&packed[at..at + N]);
            out
        }
        let bits = packed[71];
        Record {
            start,
            end,
            src: part(packed, 0),
            dst: part(packed, 16),
            bytes: i64::from_le_bytes(part(packed, 32)),
            packets: i64::from_le_bytes(part(packed, 40)),
            line: i64::from_le_bytes(part(packed, 48)),
            who: u32::from_le_bytes(part(packed, 56)),
            source: u32::from_le_bytes(part(packed, 60)),
            srcport: u16::from_le_bytes(part(packed, 64)),
            dstport: u16::from_le_bytes(part(packed, 66)),
            flags: (bits & 16 != 0).then(|| u16::from_le_bytes(part(packed, 68))),
            protocol: packed[70],
            action: match bits & 3 {
                1 => Action::Accept,
                2 => Action::Reject,
                _ => Action::Unknown,
            },
            direction: match bits >> 2 & 3 {
                1 => Direction::Ingress,
                2 => Direction::Egress,
                _ => Direction::Unknown,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_loses_nothing() {
        let record = Record {
            start: 5,
            end: 7,
            src: [1; 16],
            dst: [2; 16],
            srcport: 65_535,
            dstport: 443,
            protocol: TCP,
            action: Action::Reject,
            direction: Direction::Egress,
            flags: Some(19),
            bytes: i64::MAX,
            packets: 3,
            who: 70_000,
            source: NO_NAME,
            line: 1 << 40,
        };
        assert_eq!(Record::unpack(5, 7, &record.pack()), record);
        let bare = Record {
            flags: None,
            direction: Direction::Unknown,
            action: Action::Unknown,
            ..record
        };
        assert_eq!(Record::unpack(5, 7, &bare.pack()), bare);
    }
}
