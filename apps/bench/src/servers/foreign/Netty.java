import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.*;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.handler.codec.*;
import java.net.InetSocketAddress;

/** Netty's length-field codec on one event loop, flushed when a read is used up. */
public class Netty {
    public static void main(String[] args) throws Exception {
        EventLoopGroup loop = new NioEventLoopGroup(1);
        ServerBootstrap server = new ServerBootstrap()
            .group(loop, loop)
            .channel(NioServerSocketChannel.class)
            .option(ChannelOption.SO_BACKLOG, 1024)
            .childOption(ChannelOption.TCP_NODELAY, true)
            .childHandler(new ChannelInitializer<SocketChannel>() {
                protected void initChannel(SocketChannel channel) {
                    channel.pipeline().addLast(
                        new LengthFieldBasedFrameDecoder(16 << 20, 0, 4, 0, 4),
                        new LengthFieldPrepender(4),
                        new ChannelInboundHandlerAdapter() {
                            public void channelRead(ChannelHandlerContext context, Object frame) {
                                context.write(frame);
                            }
                            public void channelReadComplete(ChannelHandlerContext context) {
                                context.flush();
                            }
                            public void exceptionCaught(ChannelHandlerContext context, Throwable reset) {
                                context.close();
                            }
                        });
                }
            });
        Channel channel = server.bind("127.0.0.1", 0).sync().channel();
        System.out.println("LISTENING " + ((InetSocketAddress) channel.localAddress()).getPort());
    }
}
