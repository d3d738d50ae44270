//go:build linux

package plugmux

import (
	"net"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const nobody = "65534"

// listenAsAnother listens as a user that a policy takes for another one: as root by becoming nobody for the moment of
// the listening, otherwise by a policy of somebody else.
func listenAsAnother(t *testing.T) (net.Listener, string, string, peerPolicy) {
	t.Helper()
	path, policy := "@"+strings.ReplaceAll(t.TempDir(), "/", "-"), newPeerPolicy(nil)
	if policy.own == rootUser {
		return listenAs(t, path, nobody), path, nobody, policy
	}
	own := policy.own
	policy.own = nobody
	return listenAs(t, path, own), path, own, policy
}

func listenAs(t *testing.T, path, id string) net.Listener {
	t.Helper()
	runtime.LockOSThread() // the kernel's users are those of threads
	defer runtime.UnlockOSThread()
	own := ownUser()
	become := func(id string) {
		number, err := strconv.Atoi(id)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := syscall.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(number), ^uintptr(0)); err != 0 {
			t.Fatal(err)
		}
	}
	if id != own {
		become(id)
		defer become(own)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

func TestARuntimeOfAnotherUserIsToldNothing(t *testing.T) {
	listener, path, id, policy := listenAsAnother(t)
	heard := make(chan int, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		n, _ := conn.Read(make([]byte, 1))
		heard <- n
	}()
	_, err := dial(testContext(t), path, policy)
	if err == nil || !strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), peerUsersVariable) {
		t.Error(err)
	}
	if n := <-heard; n != 0 {
		t.Error("the plugin has sent something to a runtime of another user")
	}
}

func TestADetachedPluginRefusesARuntimeOfAnotherUser(t *testing.T) {
	_, path, _, policy := listenAsAnother(t)
	launch := &launchConfig{Name: "a", Timeout: testLimit, Socket: path, Detached: true}
	if _, err := launch.open(&policy); err == nil || !strings.Contains(err.Error(), peerUsersVariable) {
		t.Error(err)
	}
}

func TestFurtherUsersAreAllowedByNameOrID(t *testing.T) {
	for name, c := range map[string]struct {
		variable string
		allowed  []string
		says     string
	}{
		"an id":              {"", []string{"4242"}, ""},
		"the variable":       {"17, 4242", nil, ""},
		"root's name":        {"root", nil, "neither root"},
		"nobody":             {"", nil, "user 4242"},
		"any user":           {"*", nil, ""},
		"any user by option": {"", []string{"*"}, ""},
		"a name unknown":     {"", []string{"no-such-user"}, "no-such-user"},
		"empty parts":        {" , ,", nil, "neither root"},
		"another's id":       {"4243", nil, "neither root"},
		"a part of the id":   {"424", nil, "neither root"},
		"both of the kinds":  {"17", []string{"4242"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(peerUsersVariable, c.variable)
			policy := newPeerPolicy(c.allowed)
			policy.own = "1"
			err := policy.checkUser("4242")
			if (err == nil) != (c.says == "") || (err != nil && !strings.Contains(err.Error(), c.says)) {
				t.Error(err)
			}
		})
	}
}

func TestRootAndThePluginsOwnUserAreAllowed(t *testing.T) {
	policy := peerPolicy{own: "4242"}
	for _, id := range []string{rootUser, "4242"} {
		if err := policy.checkUser(id); err != nil {
			t.Error(err)
		}
	}
}

func TestAPeerWhoseUserTheSystemDoesNotTellIsRefused(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	if newPeerPolicy([]string{"0"}).check(ours) == nil {
		t.Error("it is trusted")
	}
}
