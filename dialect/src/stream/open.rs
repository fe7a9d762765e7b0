//! Which channels are open, and which are left because their choice goes on to another one.

use smallvec::SmallVec;

use super::{Channel, ChannelKind, Closes, Piece, StreamEvent};

/// Choices followed at most; no provider gives more to one request. The channels of others end
/// only when the dialect says so.
const GROUPS_MAX: usize = 128;
/// Channels remembered at most of one group, open and ended each. Where there are more, none is
/// left any longer because of another.
const CHANNELS_MAX: usize = 128;

/// The channels of one reply, in groups of which normally one channel is written at a time.
#[derive(Debug, Default)]
pub(super) struct OpenChannels {
    groups: SmallVec<[Group; 1]>,
}

#[derive(Debug)]
struct Group {
    id: u32,
    open: SmallVec<[Open; 2]>,
    ended: SmallVec<[Channel; 4]>,
    /// Seen to go back to a channel that had ended: none is left any longer because of another.
    alternates: bool,
}

#[derive(Debug)]
struct Open {
    channel: Channel,
    /// Whether it is a text of a tool call.
    in_call: bool,
    /// Whether it stands where no text is expected.
    is_aside: bool,
    /// Whether the event at hand has text of it.
    written: bool,
    /// Whether the event at hand is its first.
    new: bool,
}

impl OpenChannels {
    /// Takes note of an event's pieces of text and of what it ends, and adds what ends because of it.
    ///
    /// `by_choice`: every choice is a group of its own (they are written side by side); otherwise
    /// the whole reply is one.
    pub(super) fn note(&mut self, pieces: &[Piece], by_choice: bool, event: &mut StreamEvent) {
        for piece in pieces {
            let id = if by_choice { piece.channel.choice } else { 0 };
            if let Some(group) = self.group(id) {
                event.reopened |= group.write(piece);
            }
        }
        for group in &mut self.groups {
            group.go_on(&mut event.closes);
        }
        for closes in &event.closes {
            for group in &mut self.groups {
                group.end(|open| match closes {
                    Closes::Channel(closed) | Closes::Left(closed) => open.channel == *closed,
                    Closes::Choice(choice) => open.channel.choice == *choice,
                    Closes::All => true,
                });
            }
        }
    }

    fn group(&mut self, id: u32) -> Option<&mut Group> {
        let known = self.groups.iter().position(|group| group.id == id);
        if known.is_none() && self.groups.len() < GROUPS_MAX {
            let (open, ended) = (SmallVec::new(), SmallVec::new());
            self.groups.push(Group { id, open, ended, alternates: false });
        }
        match known {
            Some(at) => self.groups.get_mut(at),
            None => self.groups.last_mut().filter(|group| group.id == id),
        }
    }
}

impl Group {
    /// Takes note of a piece of text; true if its channel had ended.
    fn write(&mut self, piece: &Piece) -> bool {
        let Piece { channel, in_call, is_aside, .. } = *piece;
        if let Some(open) = self.open.iter_mut().find(|open| open.channel == channel) {
            open.written = true;
            return false;
        }
        let reopened = self.ended.contains(&channel);
        let full = self.open.len() >= CHANNELS_MAX || self.ended.len() >= CHANNELS_MAX;
        self.alternates |= (reopened && !is_aside) || full;
        self.ended.retain(|ended| *ended != channel);
        if self.open.len() < CHANNELS_MAX {
            self.open.push(Open { channel, in_call, is_aside, written: true, new: true });
        }
        reopened
    }

    /// Tells what the event leaves behind of the channels that it has no text of.
    fn go_on(&mut self, closes: &mut SmallVec<[Closes; 2]>) {
        if !self.alternates && self.open.iter().any(|open| open.written && !open.is_aside) {
            let left = self.open.iter().filter(|open| !open.written && self.is_left(open));
            closes.extend(left.map(|open| Closes::Left(open.channel)));
        }
        for open in &mut self.open {
            (open.written, open.new) = (false, false);
        }
    }

    /// Whether an event with text, but none of `open`, goes on from it.
    fn is_left(&self, open: &Open) -> bool {
        let mut new = self.open.iter().filter(|open| open.new && !open.is_aside);
        match open.channel.kind {
            // Parallel tool calls take turns.
            ChannelKind::ToolArguments => {
                new.any(|new| !new.in_call || new.channel.choice != open.channel.choice)
            }
            // A tool's name may stand beside the first of its arguments, and then nothing begins
            // that would end it.
            ChannelKind::Other => true,
            _ => new.next().is_some(),
        }
    }

    fn end(&mut self, ends: impl Fn(&Open) -> bool) {
        let ended = self.open.iter().filter(|open| ends(open)).map(|open| open.channel);
        self.ended.extend(ended);
        self.open.retain(|open| !ends(open));
        let oldest = self.ended.len().saturating_sub(CHANNELS_MAX);
        self.ended.drain(..oldest);
    }
}
