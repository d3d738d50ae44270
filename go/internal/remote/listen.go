package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	// maxHandshakes is how many connections may be in their handshakes at once; each has ConnectTimeout.
	maxHandshakes = 4096
	// acceptPause is how long a listener rests that cannot accept, as when the process has no descriptors left.
	acceptPause = 100 * time.Millisecond
	tellAgain   = time.Minute
)

// Listener accepts connections whose handshakes are done, so that a peer which is slow or refused keeps nobody out.
type Listener struct {
	net.Listener
	address     Address
	credentials *Credentials
	ready       chan net.Conn
	open        context.Context // ends when the listener is closed
	end         context.CancelFunc
	handshakes  sync.WaitGroup
	told        Repeats
}

// Listen listens at an address that is not looked up.
func Listen(address Address, credentials *Credentials) (*Listener, error) {
	switch {
	case address.IsLookedUp():
		return nil, fmt.Errorf("a plugin cannot listen at %s: write tls://host:port", address)
	case address.IsSecure() && credentials == nil:
		return nil, NoCertificate(address)
	}
	configuration := net.ListenConfig{KeepAlive: -1, Control: tune}
	inner, err := configuration.Listen(context.Background(), "tcp", address.Dialled())
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %s: %s", address, reason(err))
	}
	listener := &Listener{Listener: inner, address: address, credentials: credentials, ready: make(chan net.Conn)}
	listener.open, listener.end = context.WithCancel(context.Background())
	go listener.accept()
	return listener, nil
}

// Address is where the listener listens, with the port that the system has chosen.
func (l *Listener) Address() Address {
	address := l.address
	if bound, ok := l.Addr().(*net.TCPAddr); ok {
		address.Port = bound.Port
	}
	return address
}

// Accept returns the next connection whose handshake is done.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.ready:
		return conn, nil
	case <-l.open.Done():
		return nil, net.ErrClosed
	}
}

// Close ends the listener and the handshakes that are under way.
func (l *Listener) Close() error {
	err := l.Listener.Close()
	l.end()
	l.handshakes.Wait()
	return err
}

func (l *Listener) accept() {
	slots := make(chan struct{}, maxHandshakes)
	for {
		conn, err := l.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.told.Warn("a connection could not be accepted", err)
			select {
			case <-time.After(acceptPause):
			case <-l.open.Done():
				return
			}
			continue
		}
		select {
		case slots <- struct{}{}:
		default: // the newest goes: the others are nearer to their end
			_ = conn.Close()
			continue
		}
		l.handshakes.Add(1)
		go func() {
			defer l.handshakes.Done()
			l.admit(conn)
			<-slots
		}()
	}
}

// admit does the handshake of a connection and hands the connection on.
func (l *Listener) admit(conn net.Conn) {
	admitted := conn
	if l.address.IsSecure() {
		secure := tls.Server(conn, l.credentials.serverConfig())
		ctx, cancel := context.WithTimeout(l.open, ConnectTimeout)
		defer cancel()
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			if !errors.Is(err, context.Canceled) {
				l.told.Warn("a connection was refused", l.credentials.Refusal(conn.RemoteAddr().String(), err, false))
			}
			return
		}
		admitted = Conn{secure, secure.ConnectionState().PeerCertificates[0]}
	}
	select {
	case l.ready <- admitted:
	case <-l.open.Done():
		_ = conn.Close()
	}
}

// Conn is a connection whose other end has shown a certificate. It hides the type of the connection: net/http closes one whose
// ALPN protocol it does not know.
type Conn struct {
	net.Conn
	Certificate *x509.Certificate
}

// Repeats logs what happens again and again once for each text, and then each minute. The zero value is ready for use.
type Repeats struct {
	lock sync.Mutex
	last string
	at   time.Time
}

// Warn logs a warning, unless it has been logged within a minute.
func (r *Repeats) Warn(message string, err error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	text := message + ": " + err.Error()
	if text == r.last && time.Since(r.at) < tellAgain {
		return
	}
	r.last, r.at = text, time.Now()
	slog.Warn(message, "error", err)
}
