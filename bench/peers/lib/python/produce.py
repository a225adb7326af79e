"""The producer of a peer whose workers are started by a command of its own, and import the program under its name."""

import peer
import program

peer.produce(program.Producer())
