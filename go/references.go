package plugmux

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	pluginsv1 "plugmux.dev/gen/go/plugins/v1"
	plugmuxv1 "plugmux.dev/gen/go/plugmux/v1"
	"plugmux.dev/gen/go/plugmux/v1/plugmuxv1connect"
)

const referencePrefix = "/reference/"

var (
	errNotLent   = errors.New("the reference is not known on this link: it has been released, or is of another link")
	errLinkEnded = errors.New("the link has ended: nothing can be lent on it")
)

// Lend serves an object that only the runtime can call, and returns the reference to put into a message. The object is served
// until [Withdraw] is called, the runtime releases it, or the link ends. The context must be derived from that of a handler or
// of [Config.Background]. Lend fails if the link has ended.
func Lend(ctx context.Context, servables ...Servable) (reference string, err error) {
	link, err := linkOf(ctx)
	if err != nil {
		return "", err
	}
	return link.references.lend(newLinkApp(&pluginsv1.RegisterPluginRequest{}, servables))
}

// Withdraw stops serving an object that [Lend] has lent, and waits for its [OnRelease] functions. It does nothing if the object
// was released before. Calls that are being served continue.
func Withdraw(ctx context.Context, reference string) {
	if link, err := linkOf(ctx); err == nil {
		link.references.release(reference)
	}
}

// OnRelease calls a function once when the object that it is lent with has been withdrawn or released, or its link has ended.
// At the end of a link the plugin waits for these functions for [Limits.CloseTimeout] together.
// Use it with [Lend] and [Instances.Open]; in [Main] it has no effect.
func OnRelease(cleanUp func()) Servable {
	return func(s *linkApp) { s.cleanUp = append(s.cleanUp, cleanUp) }
}

// At returns the base URL of an object that the runtime has lent, to use in place of [HostURL]:
//
//	progress := cloudv1connect.NewProgressServiceClient(plugmux.Host, plugmux.At(request.Progress))
func At(reference string) string { return HostURL + referencePrefix + reference }

// Release tells the runtime that an object which it has lent is no longer needed. It does nothing if the object has ended.
func Release(ctx context.Context, reference string) error {
	client := plugmuxv1connect.NewReferenceServiceClient(Host, HostURL)
	_, err := client.Release(ctx, &plugmuxv1.ReleaseRequest{Reference: reference})
	return err
}

// references holds the objects that are lent on one link.
type references struct {
	lock   sync.Mutex
	lent   map[string]*linkApp
	closed bool
}

func (r *references) lend(object *linkApp) (string, error) {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	reference := hex.EncodeToString(random[:])
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.closed {
		return "", errLinkEnded
	}
	if r.lent == nil {
		r.lent = map[string]*linkApp{}
	}
	r.lent[reference] = object
	return reference, nil
}

func (r *references) find(reference string) (*linkApp, bool) {
	r.lock.Lock()
	defer r.lock.Unlock()
	object, ok := r.lent[reference]
	return object, ok
}

// release stops serving an object and waits for its OnRelease functions.
func (r *references) release(reference string) {
	r.lock.Lock()
	object, ok := r.lent[reference]
	delete(r.lent, reference)
	r.lock.Unlock()
	if ok {
		object.release()
	}
}

// close releases all objects when the link has ended, each in its own goroutine. It reports whether all their OnRelease functions
// have returned in time.
func (r *references) close(limit time.Duration) bool {
	r.lock.Lock()
	lent := r.lent
	r.lent, r.closed = nil, true
	r.lock.Unlock()
	var releases sync.WaitGroup
	for _, object := range lent {
		releases.Go(object.release)
	}
	return waitFor(&releases, limit)
}

// waitFor waits for a group, and reports whether it was done in time.
func waitFor(group *sync.WaitGroup, limit time.Duration) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		group.Wait()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

func (s *linkApp) release() {
	for _, cleanUp := range s.cleanUp {
		runLogged("an OnRelease function", cleanUp)
	}
}

// serveLent passes a request to the object that its path names.
func serveLent(w http.ResponseWriter, r *http.Request) {
	reference := r.PathValue("reference")
	if link, err := linkOf(r.Context()); err == nil {
		if object, ok := link.references.find(reference); ok {
			http.StripPrefix(referencePrefix+reference, object).ServeHTTP(w, r)
			return
		}
	}
	_ = connect.NewErrorWriter().Write(w, r, connect.NewError(connect.CodeNotFound, errNotLent))
}

// referenceService lets the runtime release objects that the plugin has lent.
type referenceService struct{}

func (referenceService) Release(ctx context.Context, request *plugmuxv1.ReleaseRequest) (*plugmuxv1.ReleaseResponse, error) {
	Withdraw(ctx, request.GetReference())
	return &plugmuxv1.ReleaseResponse{}, nil
}
