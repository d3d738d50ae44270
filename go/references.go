package plugmux

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"sync"

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

// Lend lets the runtime call an object of the plugin's, which nobody else can: it gives a reference, a string for a field
// of a message. The object ends when it is withdrawn, when the runtime releases it, or with the link. The context must
// descend from that of a handler or of [Config.Background].
func Lend(ctx context.Context, servables ...Servable) (reference string, err error) {
	link, err := linkOf(ctx)
	if err != nil {
		return "", err
	}
	return link.references.lend(newSite(&pluginsv1.RegisterPluginRequest{}, servables))
}

// Withdraw takes an object back that [Lend] has lent; harmless where it has been released. Calls under way go on.
func Withdraw(ctx context.Context, reference string) {
	if link, err := linkOf(ctx); err == nil {
		link.references.release(reference)
	}
}

// OnRelease is called once when the object that it is lent with has ended, however it has.
func OnRelease(cleanUp func()) Servable {
	return func(s *site) { s.cleanUp = append(s.cleanUp, cleanUp) }
}

// At is the base URL of an object that the runtime has lent, in place of [HostURL]:
//
//	progress := cloudv1connect.NewProgressServiceClient(plugmux.Host, plugmux.At(request.Progress))
func At(reference string) string { return HostURL + referencePrefix + reference }

// Release gives an object back that the runtime has lent; harmless where it has ended before.
func Release(ctx context.Context, reference string) error {
	client := plugmuxv1connect.NewReferenceServiceClient(Host, HostURL)
	_, err := client.Release(ctx, &plugmuxv1.ReleaseRequest{Reference: reference})
	return err
}

// references are the objects that are lent on one link.
type references struct {
	lock   sync.Mutex
	lent   map[string]*site
	closed bool
}

func (r *references) lend(object *site) (string, error) {
	var random [16]byte
	_, _ = rand.Read(random[:]) // it never fails
	reference := hex.EncodeToString(random[:])
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.closed {
		return "", errLinkEnded
	}
	if r.lent == nil {
		r.lent = map[string]*site{}
	}
	r.lent[reference] = object
	return reference, nil
}

func (r *references) find(reference string) (*site, bool) {
	r.lock.Lock()
	defer r.lock.Unlock()
	object, ok := r.lent[reference]
	return object, ok
}

// release returns when the object has cleaned up.
func (r *references) release(reference string) {
	r.lock.Lock()
	object, ok := r.lent[reference]
	delete(r.lent, reference)
	r.lock.Unlock()
	if ok {
		object.release()
	}
}

// close releases everything, as the link has ended.
func (r *references) close() {
	r.lock.Lock()
	lent := r.lent
	r.lent, r.closed = nil, true
	r.lock.Unlock()
	for _, object := range lent {
		object.release()
	}
}

func (s *site) release() {
	for _, cleanUp := range s.cleanUp {
		containing("what OnRelease was given", cleanUp)
	}
}

// serveLent hands a request to the object that its path names.
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

// referenceService lets the runtime give back what it was lent.
type referenceService struct{}

func (referenceService) Release(ctx context.Context, request *plugmuxv1.ReleaseRequest) (*plugmuxv1.ReleaseResponse, error) {
	Withdraw(ctx, request.GetReference())
	return &plugmuxv1.ReleaseResponse{}, nil
}
