"""Twisted's Int32StringReceiver, as its manual has it: every frame back to whoever sent it."""

from twisted.internet import protocol, reactor
from twisted.protocols.basic import Int32StringReceiver


class Echo(Int32StringReceiver):
    MAX_LENGTH = 16 * 1024 * 1024

    def connectionMade(self):
        self.transport.setTcpNoDelay(True)

    def stringReceived(self, frame):
        self.sendString(frame)


factory = protocol.Factory.forProtocol(Echo)
port = reactor.listenTCP(0, factory, backlog=1024, interface="127.0.0.1")
print("LISTENING", port.getHost().port, flush=True)
reactor.run()
