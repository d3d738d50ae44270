package remote

import (
	"container/list"
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
	// maxHandshakes is how many connections may be in their handshakes at once; each has ConnectTimeout. One more ends the
	// oldest, so that connections which are opened and left keep nobody out.
	maxHandshakes = 1024
	// acceptPause is how long a listener rests that cannot accept, as when the process has no descriptors left.
	acceptPause = 100 * time.Millisecond
	tellAgain   = time.Minute
	maxKinds    = 8 // of refusals that are told of in that time
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
	told        Floods
}

// Listen listens at an address that is not looked up, and logs who is refused.
func Listen(address Address, credentials *Credentials, log *slog.Logger) (*Listener, error) {
	switch {
	case address.IsLookedUp():
		return nil, fmt.Errorf("a plugin cannot listen at %s: write tls://host:port", address)
	case address.IsSecure() && credentials == nil:
		return nil, NoCertificate(address)
	}
	configuration := net.ListenConfig{KeepAlive: -1, Control: tune}
	inner, err := configuration.Listen(context.Background(), "tcp", address.Dialled())
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %s: %s", address, describeError(err))
	}
	listener := &Listener{Listener: inner, address: address, credentials: credentials, ready: make(chan net.Conn), told: Floods{Log: log}}
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
	var lock sync.Mutex
	under := list.New() // the connections in their handshakes, the oldest first
	for {
		conn, err := l.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.told.Warn("a connection could not be accepted", "", err)
			select {
			case <-time.After(acceptPause):
			case <-l.open.Done():
				return
			}
			continue
		}
		lock.Lock()
		if under.Len() >= maxHandshakes {
			_ = under.Remove(under.Front()).(net.Conn).Close()
		}
		this := under.PushBack(conn)
		lock.Unlock()
		l.handshakes.Go(func() {
			l.admit(conn, func() {
				lock.Lock()
				defer lock.Unlock()
				under.Remove(this) // harmless where it has been removed
			})
		})
	}
}

// admit does the handshake of a connection and hands the connection on.
func (l *Listener) admit(conn net.Conn, done func()) {
	defer done()
	admitted := conn
	if l.address.IsSecure() {
		secure := tls.Server(conn, l.credentials.serverConfig())
		ctx, cancel := context.WithTimeout(l.open, ConnectTimeout)
		defer cancel()
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			if !errors.Is(err, context.Canceled) && !errors.Is(err, net.ErrClosed) {
				l.told.Warn("a connection was refused", conn.RemoteAddr().String(), errors.New(l.credentials.words(err, false)))
			}
			return
		}
		admitted = Conn{secure, secure.ConnectionState().PeerCertificates[0]}
	}
	done()
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

// Repeats logs what happens again and again once for each text, and then each minute.
type Repeats struct {
	Log  *slog.Logger
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
	r.Log.Warn(message, "error", err)
}

// Floods logs what strangers can cause as often as they like: each kind once a minute, and few kinds.
type Floods struct {
	Log   *slog.Logger
	lock  sync.Mutex
	since time.Time
	kinds map[string]bool
	more  int
}

// Warn logs a warning, or counts it. The error is the kind: it does not tell where the stranger is.
func (f *Floods) Warn(message, where string, err error) {
	f.lock.Lock()
	defer f.lock.Unlock()
	if time.Since(f.since) >= tellAgain {
		if f.more > 0 {
			f.Log.Warn("there were more refusals of the kinds told before", "count", f.more)
		}
		f.since, f.kinds, f.more = time.Now(), map[string]bool{}, 0
	}
	kind := message + err.Error()
	if f.kinds[kind] || len(f.kinds) >= maxKinds {
		f.more++
		return
	}
	f.kinds[kind] = true
	if where != "" {
		err = fmt.Errorf("%s: %w", where, err)
	}
	f.Log.Warn(message, "error", err)
}
