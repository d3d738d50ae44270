package plugmux

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// peerUsersVariable is the environment variable that names further users whose runtime the plugin may dial.
const peerUsersVariable = "PLUGMUX_PEER_USERS"

const rootUser = 0

// peerPolicy decides whose runtime the plugin may dial. Any user may listen at a path or an abstract name, and the plugin
// gives its secrets to the runtime that it registers with.
type peerPolicy struct {
	own     int      // the id of the plugin's user; negative if the system has no user ids
	allowed []string // names or ids of further users
}

func newPeerPolicy(allowed []string) peerPolicy {
	return peerPolicy{os.Geteuid(), slices.Concat(allowed, strings.Split(os.Getenv(peerUsersVariable), ","))}
}

// check fails if the other end of a connection belongs to a user that the policy does not allow. On systems that do not
// report the user of a peer, it allows every user.
func (p peerPolicy) check(conn net.Conn) error {
	socket, ok := conn.(*net.UnixConn)
	if !ok || p.own < 0 {
		return nil
	}
	id, known, err := peerUser(socket)
	if err != nil {
		return fmt.Errorf("the system does not tell which user listens there: %w", err)
	}
	if !known {
		return nil
	}
	return p.checkUser(id)
}

func (p peerPolicy) checkUser(id int) error {
	if id == p.own || id == rootUser {
		return nil
	}
	for _, text := range p.allowed {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		allowed, err := userID(text)
		if err != nil {
			return fmt.Errorf("%s or Config.PeerUsers names an unknown user: %w", peerUsersVariable, err)
		}
		if id == allowed {
			return nil
		}
	}
	return fmt.Errorf("it belongs to %s, which is neither root nor the user of this plugin (uid %d); "+
		"set %s or Config.PeerUsers to allow that user", describeUser(id), p.own, peerUsersVariable)
}

func userID(text string) (int, error) {
	if id, err := strconv.Atoi(text); err == nil {
		return id, nil
	}
	found, err := user.Lookup(text)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(found.Uid)
}

func describeUser(id int) string {
	if found, err := user.LookupId(strconv.Itoa(id)); err == nil {
		return fmt.Sprintf("user %q (uid %d)", found.Username, id)
	}
	return fmt.Sprintf("uid %d", id)
}
